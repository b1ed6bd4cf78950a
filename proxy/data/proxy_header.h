// The header of the PROXY protocol, version 2, by which an app learns who its caller is. Pure.
//
// Addresses are those of the caller's TCP connection. Two TLVs follow: 0x20 (PP2_TYPE_SSL, with the
// TLS version; the client certificate was verified) and kSpiffeIdTlv with the caller's SPIFFE ID.
// Where the connection has no IP addresses, the header says that they are not known (AF_UNSPEC).
// Source: HAProxy, doc/proxy-protocol.txt, sections 2.2 to 2.2.6.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/net/socket.h"

namespace mooring::data {

// The first of the types that are left to applications (PP2_TYPE_MIN_CUSTOM).
inline constexpr std::uint8_t kSpiffeIdTlv = 0xE0;

// ProxyHeader is the whole header, in bytes. `identity` is what the caller has proven.
std::string ProxyHeader(const net::SocketAddress& from, const net::SocketAddress& to,
                        std::string_view identity, std::string_view tls_version);

}  // namespace mooring::data
