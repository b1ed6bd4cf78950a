// Offer: what a mesh context offers of TLS, and how a wish from outside narrows it. Nothing widens
// it: TLS 1.2 is the least, and our suites are all there are. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "authz/consul/api.h"
#include "authz/result.h"

namespace mooring::tls {

enum class Version { kTls12, kTls13 };
const char* VersionName(Version version);  // "TLSv1.2"

// OurSuites are those of TLS 1.2, by their names of RFC 5289 and 7905: ECDHE with AEAD only (RFC
// 9325 4.2). Those of TLS 1.3 are all of this kind, and not to be chosen.
const std::vector<std::string>& OurSuites();

// KnownGroups are the key exchange groups that a context can offer: X25519MLKEM768 (hybrid with
// ML-KEM, of TLS 1.3 alone), X25519, P-256 and P-384. OurGroups are those that it offers unless it
// is told, most preferred first.
const std::vector<std::string>& KnownGroups();
const std::vector<std::string>& OurGroups();

// ParseGroups reads names of them between commas, most preferred first; GroupsText writes them so.
Result<std::vector<std::string>> ParseGroups(std::string_view list);
std::string GroupsText(const std::vector<std::string>& groups);

struct Offer {
  Version least = Version::kTls12;
  Version most = Version::kTls13;
  // of TLS 1.2, in our order; empty if that is not spoken
  std::vector<std::string> suites = OurSuites();
  std::vector<std::string> groups = OurGroups();
  // callers get tickets to resume by; a dialling side decides by session (Session::Connect)
  bool tickets = true;

  bool operator==(const Offer&) const = default;
};

// Offers are those of the contexts that stand side by side.
struct Offers {
  Offer accepting;
  Offer dialling;

  bool operator==(const Offers&) const = default;
};

// Narrow is `offer` without what the mesh config entry forbids. `where`, such as Incoming, begins a
// message. Errors: a version that is none, and a rest of nothing. Suites that we do not have count
// for nothing; if none of ours is left, TLS 1.3 is, where it may be.
Result<Offer> Narrow(Offer offer, const authz::TlsParameters& wish, std::string_view where);

}  // namespace mooring::tls
