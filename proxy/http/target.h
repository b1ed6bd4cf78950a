// Target: the request target of an HTTP request, taken apart. Pure. Source: RFC 9112 3.2, RFC 3986.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace mooring::http {

struct Target {
  std::string path;                               // percent-decoded, begins with a slash
  std::multimap<std::string, std::string> query;  // percent-decoded, `+` is a space
};

// ParseTarget reads the origin form (`/path?query`) and the absolute form
// (`http://host/path?query`, whose authority is ignored). Nothing for any other form, a broken
// percent code or an encoded NUL.
std::optional<Target> ParseTarget(std::string_view text);

}  // namespace mooring::http
