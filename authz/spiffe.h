// SPIFFE IDs as Consul writes them, parsed once and strictly.
//
// Only the canonical form is an ID: anything that two programs could read differently (upper-case
// trust domain, percent-encoding, `.` segments, port, user, query, trailing slash) is refused, so
// that identities can be compared byte by byte. Pure values; knows neither certificates nor
// intentions. Source: SPIFFE-ID specification sections 2.1-2.4; Consul's URI forms.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "authz/result.h"

namespace mooring::authz {

inline constexpr std::size_t kMaxSpiffeIdBytes = 2048;    // SPIFFE-ID 2.3
inline constexpr std::size_t kMaxTrustDomainBytes = 255;  // SPIFFE-ID 2.1

// ServiceId is the SPIFFE ID of one mesh service:
// spiffe://<trust_domain>[/ap/<partition>]/ns/<ns>/dc/<datacenter>/svc/<service>
struct ServiceId {
  std::string trust_domain;
  std::string partition;  // empty: the default partition, which has no /ap/ segment
  std::string ns;         // "default" in Consul's community edition
  std::string datacenter;
  std::string service;

  bool operator==(const ServiceId&) const = default;

  // Uri is the canonical text; ParseServiceId(Uri()) gives the same value back.
  std::string Uri() const;

  // Sni is the server name that Consul's sidecars and gateways route by:
  // <svc>.<ns>.<dc>.internal.<td>, or <svc>.<ns>.<ap>.<dc>.internal-v1.<td> outside the default
  // partition.
  std::string Sni() const;
};

// ParseServiceId reads a canonical SPIFFE service ID. Other Consul identities (agent, gateway,
// signing) and every non-canonical spelling are errors whose message says which rule broke.
Result<ServiceId> ParseServiceId(std::string_view uri);

// IsTrustDomain: non-empty, lower-case letters, digits, '.', '-', '_', at most 255 bytes.
bool IsTrustDomain(std::string_view text);

// IsPathSegment: non-empty, letters, digits, '.', '-', '_', and neither "." nor "..".
bool IsPathSegment(std::string_view text);

}  // namespace mooring::authz
