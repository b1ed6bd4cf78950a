// The PROXY protocol's header, byte by byte.
#include <doctest/doctest.h>

#include <string>

#include "proxy/data/proxy_header.h"
#include "proxy/net/address.h"

namespace mooring {
namespace {

net::SocketAddress At(const char* text) {
  return *net::SocketAddress::FromLiteral(*net::ParseAddress(text, ""));
}

constexpr char kId[] = "spiffe://t.consul/ns/default/dc/dc1/svc/web";

// Both TLVs, as they follow the addresses.
std::string Tlvs() {
  const std::string id = kId;
  std::string ssl("\x03\0\0\0\0\x21\0\x07TLSv1.3", 15);
  return std::string("\x20\0\x0F", 3) + ssl + std::string("\xE0\0", 2) +
         static_cast<char>(id.size()) + id;
}

std::string Header(char family, const std::string& addresses) {
  const std::string rest = addresses + Tlvs();
  return std::string("\r\n\r\n\0\r\nQUIT\n\x21", 13) + family + '\0' +
         static_cast<char>(rest.size()) + rest;
}

TEST_CASE("proxy header: IPv4, IPv6, and what has no address") {
  CHECK(data::ProxyHeader(At("10.0.0.7:4660"), At("192.0.2.1:443"), kId, "TLSv1.3") ==
        Header(0x11, std::string("\x0A\0\0\x07\xC0\0\x02\x01\x12\x34\x01\xBB", 12)));
  CHECK(data::ProxyHeader(At("[2001:db8::7]:4660"), At("[::1]:443"), kId, "TLSv1.3") ==
        Header(0x21, std::string("\x20\x01\x0D\xB8\0\0\0\0\0\0\0\0\0\0\0\x07"
                                 "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x12\x34\x01\xBB",
                                 36)));
  CHECK(data::ProxyHeader(net::SocketAddress(), At("[::1]:443"), kId, "TLSv1.3") ==
        Header(0x00, ""));
}

}  // namespace
}  // namespace mooring
