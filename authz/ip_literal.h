// IP addresses as text. Pure: nothing is looked up.
#pragma once

#include <optional>
#include <string>

namespace mooring::authz {

// CanonicalIp is the one spelling of an IPv4 or IPv6 address without brackets or zone; nothing if
// `text` is none.
std::optional<std::string> CanonicalIp(const std::string& text);

inline bool IsIpLiteral(const std::string& text) { return CanonicalIp(text).has_value(); }

}  // namespace mooring::authz
