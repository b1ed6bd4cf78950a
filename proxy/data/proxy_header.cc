#include "proxy/data/proxy_header.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>

namespace mooring::data {
namespace {

constexpr std::string_view kSignature{"\r\n\r\n\0\r\nQUIT\n", 12};
constexpr char kProxyCommand = 0x21;  // version 2, PROXY
constexpr char kTcp4 = 0x11;
constexpr char kTcp6 = 0x21;
constexpr char kUnspecified = 0x00;

constexpr std::uint8_t kSslTlv = 0x20;
constexpr std::uint8_t kSslVersionTlv = 0x21;
// PP2_CLIENT_SSL, and PP2_CLIENT_CERT_CONN: a certificate in this connection. What a resumed one
// has shown was judged again.
constexpr char kClient = 0x01 | 0x02;

void AppendNumber(std::string* out, std::uint16_t number) {
  *out += static_cast<char>(number >> 8U);
  *out += static_cast<char>(number & 0xFFU);
}

void AppendTlv(std::string* out, std::uint8_t type, std::string_view value) {
  *out += static_cast<char>(type);
  AppendNumber(out, static_cast<std::uint16_t>(value.size()));
  *out += value;
}

template <typename T>
std::string_view Bytes(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

template <typename Sockaddr>
Sockaddr As(const net::SocketAddress& address) {
  Sockaddr raw{};
  std::memcpy(&raw, address.raw(), sizeof raw);
  return raw;
}

// Addresses are family, addresses and ports, all in network order.
char AppendAddresses(std::string* out, const net::SocketAddress& from,
                     const net::SocketAddress& to) {
  if (from.family() == AF_INET && to.family() == AF_INET) {
    const auto source = As<sockaddr_in>(from);
    const auto destination = As<sockaddr_in>(to);
    *out += Bytes(source.sin_addr);
    *out += Bytes(destination.sin_addr);
    *out += Bytes(source.sin_port);
    *out += Bytes(destination.sin_port);
    return kTcp4;
  }
  if (from.family() == AF_INET6 && to.family() == AF_INET6) {
    const auto source = As<sockaddr_in6>(from);
    const auto destination = As<sockaddr_in6>(to);
    *out += Bytes(source.sin6_addr);
    *out += Bytes(destination.sin6_addr);
    *out += Bytes(source.sin6_port);
    *out += Bytes(destination.sin6_port);
    return kTcp6;
  }
  return kUnspecified;
}

}  // namespace

std::string ProxyHeader(const net::SocketAddress& from, const net::SocketAddress& to,
                        std::string_view identity, std::string_view tls_version) {
  std::string rest;
  const char family = AppendAddresses(&rest, from, to);
  std::string ssl{kClient};
  ssl.append(4, '\0');  // verify: 0 is a certificate that was believed
  AppendTlv(&ssl, kSslVersionTlv, tls_version);
  AppendTlv(&rest, kSslTlv, ssl);
  AppendTlv(&rest, kSpiffeIdTlv, identity);

  std::string header(kSignature);
  header += kProxyCommand;
  header += family;
  AppendNumber(&header, static_cast<std::uint16_t>(rest.size()));
  return header + rest;
}

}  // namespace mooring::data
