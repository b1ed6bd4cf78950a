#include "authz/ip_literal.h"

#include <arpa/inet.h>

#include <array>

namespace mooring::authz {

std::optional<std::string> CanonicalIp(const std::string& text) {
  // inet_pton stops at a NUL, and would take "127.0.0.1\0x" for an address.
  if (text.find('\0') != std::string::npos) return std::nullopt;
  std::array<unsigned char, sizeof(in6_addr)> raw{};
  std::array<char, INET6_ADDRSTRLEN> canonical{};
  for (const int family : {AF_INET, AF_INET6}) {
    if (inet_pton(family, text.c_str(), raw.data()) == 1 &&
        inet_ntop(family, raw.data(), canonical.data(), canonical.size()) != nullptr) {
      return std::string(canonical.data());
    }
  }
  return std::nullopt;
}

}  // namespace mooring::authz
