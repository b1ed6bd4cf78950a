// spiffe: one SPIFFE ID, against a second reading of the rules.
#include "authz/spiffe.h"

#include <string>
#include <vector>

#include "tests/fuzz/targets.h"

namespace mooring::fuzz {
namespace {

bool AllOf(std::string_view text, std::string_view allowed) {
  return text.find_first_not_of(allowed) == std::string_view::npos;
}

constexpr std::string_view kHostBytes = "abcdefghijklmnopqrstuvwxyz0123456789.-_";
constexpr std::string_view kPathBytes =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";

// IsCanonical reads the specification (SPIFFE-ID 2.1 to 2.4) and Consul's forms once more, as a
// list of what stands between slashes.
bool IsCanonical(std::string_view text) {
  if (text.size() > 2048) return false;
  std::vector<std::string_view> parts;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find('/', at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  if (parts.size() < 9 || parts[0] != "spiffe:" || !parts[1].empty()) return false;
  if (parts[2].empty() || parts[2].size() > 255 || !AllOf(parts[2], kHostBytes)) return false;
  for (std::size_t i = 3; i < parts.size(); ++i) {
    if (parts[i].empty() || parts[i] == "." || parts[i] == ".." || !AllOf(parts[i], kPathBytes))
      return false;
  }
  std::size_t at = 3;
  if (parts.size() == 11) {
    if (parts[3] != "ap" || parts[4] == "default") return false;
    at = 5;
  } else if (parts.size() != 9) {
    return false;
  }
  return parts[at] == "ns" && parts[at + 2] == "dc" && parts[at + 4] == "svc";
}

// CheckLimits holds the same ID against the rules with as many bytes as may be, and with one more:
// no mutation of bytes makes a name of 256.
void CheckLimits(const authz::ServiceId& id) {
  for (const std::size_t size : {std::size_t{255}, std::size_t{256}}) {
    authz::ServiceId other = id;
    other.trust_domain.resize(size, 'a');
    const std::string uri = other.Uri();
    FUZZ_REQUIRE(authz::ParseServiceId(uri).has_value() == IsCanonical(uri), uri);
  }
  for (const std::size_t size : {std::size_t{2048}, std::size_t{2049}}) {
    authz::ServiceId other = id;
    other.service.append(size - std::min(size, id.Uri().size()), 'a');
    const std::string uri = other.Uri();
    FUZZ_REQUIRE(authz::ParseServiceId(uri).has_value() == IsCanonical(uri), uri);
  }
}

}  // namespace

void spiffe(Input input) {
  const std::string_view text = TextOf(input);
  const auto parsed = authz::ParseServiceId(text);
  FUZZ_REQUIRE(parsed.has_value() == IsCanonical(text), text);
  if (!parsed) {
    const std::string& message = parsed.error().message;
    FUZZ_REQUIRE(!message.empty() && message.size() < 1000, message);
    return;
  }
  FUZZ_REQUIRE(parsed->Uri() == text, parsed->Uri());
  const auto again = authz::ParseServiceId(parsed->Uri());
  FUZZ_REQUIRE(again.has_value() && *again == *parsed, text);
  FUZZ_REQUIRE(parsed->Sni().ends_with("." + parsed->trust_domain), parsed->Sni());
  CheckLimits(*parsed);
}

}  // namespace mooring::fuzz
