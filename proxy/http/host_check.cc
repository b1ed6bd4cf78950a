#include "proxy/http/host_check.h"

#include <algorithm>

#include "authz/ip_literal.h"

namespace mooring::http {
namespace {

bool Same(std::string_view a, std::string_view b) {
  const auto lower = [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [lower](char x, char y) { return lower(x) == lower(y); });
}

}  // namespace

bool IsOurs(std::string_view host, std::string_view name) {
  if (host.starts_with('[')) {
    const std::size_t end = host.find(']');
    return end != std::string_view::npos &&
           authz::IsIpLiteral(std::string(host.substr(1, end - 1)));
  }
  host = host.substr(0, host.rfind(':'));
  if (host.ends_with('.')) host.remove_suffix(1);
  return authz::IsIpLiteral(std::string(host)) || Same(host, "localhost") ||
         (!name.empty() && Same(host, name));
}

}  // namespace mooring::http
