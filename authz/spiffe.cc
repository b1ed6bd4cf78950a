#include "authz/spiffe.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "authz/text.h"

namespace mooring::authz {
namespace {

constexpr std::string_view kScheme = "spiffe://";

// Locale-free on purpose: <cctype> would let the environment decide what a letter is.
bool IsLower(char c) { return c >= 'a' && c <= 'z'; }
bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsMark(char c) { return c == '.' || c == '-' || c == '_'; }

bool IsTrustDomainByte(char c) { return IsLower(c) || IsDigit(c) || IsMark(c); }
bool IsSegmentByte(char c) { return IsTrustDomainByte(c) || IsUpper(c); }

Error Refuse(std::string_view uri, std::string_view rule) {
  return Invalid("SPIFFE ID \"" + Shortened(uri) + "\" is refused: " + std::string(rule));
}

// TrustDomainFault names the rule of SPIFFE-ID 2.1 that `host` breaks; empty if none.
std::string_view TrustDomainFault(std::string_view host) {
  if (host.empty()) return "the trust domain is empty";
  if (host.size() > kMaxTrustDomainBytes) return "the trust domain is longer than 255 bytes";
  if (host.find('@') != std::string_view::npos) return "user information is not allowed";
  if (host.find(':') != std::string_view::npos) return "a port is not allowed";
  if (std::any_of(host.begin(), host.end(), IsUpper)) return "the trust domain must be lower case";
  if (!std::all_of(host.begin(), host.end(), IsTrustDomainByte)) {
    return "the trust domain may hold only a-z, 0-9, '.', '-' and '_'";
  }
  return {};
}

// PathFault names the rule of SPIFFE-ID 2.2 that `path` (with its leading slash) breaks; empty if
// none.
std::string_view PathFault(std::string_view path) {
  if (path.empty() || path == "/") return "it names a trust domain, not a service";
  if (path.back() == '/') return "a trailing slash is not allowed";
  if (path.find("//") != std::string_view::npos) return "an empty path segment is not allowed";
  return {};
}

std::vector<std::string_view> Split(std::string_view path) {
  std::vector<std::string_view> segments;
  while (!path.empty()) {
    path.remove_prefix(1);  // the slash
    const std::size_t end = std::min(path.find('/'), path.size());
    segments.push_back(path.substr(0, end));
    path.remove_prefix(end);
  }
  return segments;
}

// OtherIdentity says what a path that is no service's is, for the two that operators meet.
std::string_view OtherIdentity(const std::vector<std::string_view>& segments) {
  if (segments.front() == "agent") return "it is a Consul agent's identity, not a service's";
  const std::size_t first = segments.front() == "ap" && segments.size() > 2 ? 2 : 0;
  if (segments[first] == "gateway") return "it is a gateway's identity, not a service's";
  return "its path is not [/ap/<partition>]/ns/<namespace>/dc/<datacenter>/svc/<service>";
}

}  // namespace

bool IsTrustDomain(std::string_view text) { return TrustDomainFault(text).empty(); }

bool IsPathSegment(std::string_view text) {
  return !text.empty() && text != "." && text != ".." &&
         std::all_of(text.begin(), text.end(), IsSegmentByte);
}

Result<ServiceId> ParseServiceId(std::string_view uri) {
  if (uri.empty()) return Refuse(uri, "it is empty");
  if (uri.size() > kMaxSpiffeIdBytes) return Refuse(uri, "it is longer than 2048 bytes");
  if (!uri.starts_with(kScheme))
    return Refuse(uri, "it does not begin with spiffe:// in lower case");

  // These first, over the whole text, so that the message names them wherever they stand.
  if (uri.find('%') != std::string_view::npos)
    return Refuse(uri, "percent-encoding is not allowed");
  if (uri.find('?') != std::string_view::npos) return Refuse(uri, "a query is not allowed");
  if (uri.find('#') != std::string_view::npos) return Refuse(uri, "a fragment is not allowed");

  const std::string_view rest = uri.substr(kScheme.size());
  const std::size_t host_end = std::min(rest.find('/'), rest.size());
  const std::string_view host = rest.substr(0, host_end);
  const std::string_view path = rest.substr(host_end);
  if (const auto fault = TrustDomainFault(host); !fault.empty()) return Refuse(uri, fault);
  if (const auto fault = PathFault(path); !fault.empty()) return Refuse(uri, fault);

  const std::vector<std::string_view> segments = Split(path);
  for (const std::string_view segment : segments) {
    if (segment == "." || segment == "..")
      return Refuse(uri, "relative path segments are not allowed");
    if (!IsPathSegment(segment)) {
      return Refuse(uri, "a path segment may hold only a-z, A-Z, 0-9, '.', '-' and '_'");
    }
  }

  ServiceId id;
  id.trust_domain = host;
  std::size_t at = 0;  // where the part that every service's ID has begins
  if (segments.size() == 8 && segments[0] == "ap") {
    // Consul leaves the segment out for the default partition; with it one identity had two
    // spellings.
    if (segments[1] == "default") return Refuse(uri, "the default partition has no /ap/ segment");
    id.partition = segments[1];
    at = 2;
  }
  if (segments.size() != at + 6 || segments[at] != "ns" || segments[at + 2] != "dc" ||
      segments[at + 4] != "svc") {
    return Refuse(uri, OtherIdentity(segments));
  }
  id.ns = segments[at + 1];
  id.datacenter = segments[at + 3];
  id.service = segments[at + 5];
  return id;
}

std::string ServiceId::Uri() const {
  std::string uri{kScheme};
  uri += trust_domain;
  if (!partition.empty()) uri += "/ap/" + partition;
  uri += "/ns/" + ns + "/dc/" + datacenter + "/svc/" + service;
  return uri;
}

std::string ServiceId::Sni() const {
  if (partition.empty()) return service + "." + ns + "." + datacenter + ".internal." + trust_domain;
  return service + "." + ns + "." + partition + "." + datacenter + ".internal-v1." + trust_domain;
}

}  // namespace mooring::authz
