#include "proxy/net/address.h"

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <string_view>

namespace mooring::net {
namespace {

std::string TextOf(std::string_view text, std::optional<std::string_view> host = std::nullopt) {
  const Result<Address> address = ParseAddress(text, host);
  return address ? address->Text() : "error: " + address.error().message;
}

bool Refused(std::string_view text, std::string_view why) {
  const Result<Address> address = ParseAddress(text);
  if (address) return false;
  INFO(address.error().message);
  const bool named = address.error().message.find(why) != std::string::npos;
  CHECK(named);
  return named;
}

TEST_CASE("address: every form is read and written back the same") {
  for (const char* text :
       {"127.0.0.1:8002", "0.0.0.0:0", "[::1]:80", "[2001:db8::7]:65535", "db.example:5432",
        "db.example.:5432", "my_app-1:9", "unix:/run/x.sock"}) {
    CHECK(TextOf(text) == text);
  }
}

TEST_CASE("address: the parts land where they belong") {
  const Result<Address> tcp = ParseAddress("[::1]:8443");
  REQUIRE(tcp);
  CHECK(tcp->kind == Address::Kind::kTcp);
  CHECK(tcp->host == "::1");
  CHECK(tcp->port == 8443);
  const Result<Address> path = ParseAddress("unix:/run/x.sock");
  REQUIRE(path);
  CHECK(path->kind == Address::Kind::kUnix);
  CHECK(path->path == "/run/x.sock");
  CHECK(path->mode == 0600);
}

TEST_CASE("address: two spellings of one IPv6 address are equal") {
  CHECK(TextOf("[0:0:0:0:0:0:0:1]:80") == "[::1]:80");
  CHECK(TextOf("[2001:DB8::0007]:80") == "[2001:db8::7]:80");
}

TEST_CASE("address: a missing host takes the default, and is an error without one") {
  CHECK(TextOf(":8443", "0.0.0.0") == "0.0.0.0:8443");
  CHECK(TextOf("10.0.0.1:8443", "0.0.0.0") == "10.0.0.1:8443");
  CHECK(Refused(":8443", "write 127.0.0.1:8443 for this machine alone"));
}

TEST_CASE("address: what is no address is refused with the reason") {
  CHECK(Refused("", "the address is empty"));
  CHECK(Refused("8443", "it has no port"));
  CHECK(Refused("localhost", "write host:port"));
  CHECK(Refused("::1:80", "an IPv6 host goes into brackets"));
  CHECK(Refused("[::1]", "it has no port"));
  CHECK(Refused("[::1", "not closed"));
  CHECK(Refused("[]:80", "the host is empty"));
  CHECK(Refused("[127.0.0.1]:80", "brackets hold an IPv6 address only"));
  CHECK(Refused("[fe80::1%eth0]:80", "zones are not supported"));
  CHECK(Refused("http://a:80", "it takes no scheme"));
  CHECK(Refused("a b:80", "a character that no host name has"));
  CHECK(Refused("a..b:80", "empty part"));
  CHECK(Refused(std::string(64, 'a') + ":80", "longer than 63"));
  CHECK(Refused(std::string(254, 'a') + ":80", "longer than 253"));
}

TEST_CASE("address: a port is a decimal number from 0 to 65535") {
  for (const char* text : {"a:", "a:65536", "a:-1", "a:+1", "a:0x50", "a:http", "a: 80", "a:80 ",
                           "a:080", "a:99999999999999999999"}) {
    CHECK(Refused(text, "is not a number from 0 to 65535"));
  }
  CHECK(TextOf("a:65535") == "a:65535");
}

TEST_CASE("address: a host that resolvers read in different ways is refused") {
  for (const char* text : {"256.0.0.1:80", "1.2.3:80", "127.1:80", "010.0.0.1:80", "2130706433:80",
                           "0x7f.1:80", "127.0.0.1.:80", "1.2.3.4.5:80"}) {
    CHECK(Refused(text, "is not an IPv4 address"));
  }
}

TEST_CASE("address: control characters are refused") {
  CHECK_FALSE(ParseAddress("a\n\x1b[2J:80"));
  CHECK_FALSE(ParseAddress(std::string_view("127.0.0.1\0x:80", 14)));
}

TEST_CASE("address: a relative unix path counts from the base folder") {
  const auto path = [](std::string_view text, std::string_view base) {
    const Result<Address> address = ParseAddress(text, std::nullopt, base);
    return address ? address->path : address.error().message;
  };
  CHECK(path("unix:x.sock", "/etc/mooring") == "/etc/mooring/x.sock");
  CHECK(path("unix:x.sock", "/") == "/x.sock");
  CHECK(path("unix:/run/x.sock", "/etc/mooring") == "/run/x.sock");
  CHECK(path("unix:x.sock", "") == "x.sock");
}

TEST_CASE("address: a unix path that cannot be bound is refused") {
  CHECK(Refused("unix:", "the path is empty"));
  CHECK(Refused("unix:/run/", "names a folder"));
  CHECK(Refused("unix:@abstract", "abstract sockets are not supported"));
  CHECK(Refused("unix://run/x.sock", "begins with a third slash"));
  CHECK(TextOf("unix:///run/x.sock") == "unix:/run/x.sock");
  const std::string longest = "unix:/" + std::string(106, 'a');
  CHECK(ParseAddress(longest));
  CHECK(Refused(longest + 'a', "108 bytes long and the kernel takes 107"));
}

TEST_CASE("address: the length counts with the base folder") {
  const std::string relative = "unix:" + std::string(100, 'a');
  CHECK(ParseAddress(relative, std::nullopt, "/short"));
  CHECK_FALSE(ParseAddress(relative, std::nullopt, "/longer/base"));
}

TEST_CASE("address: loopback and wildcard are told from the literal alone") {
  const auto loopback = [](std::string_view text) { return ParseAddress(text)->IsLoopback(); };
  const auto wildcard = [](std::string_view text) { return ParseAddress(text)->IsWildcard(); };
  CHECK(loopback("127.0.0.1:1"));
  CHECK(loopback("127.9.9.9:1"));
  CHECK(loopback("[::1]:1"));
  CHECK(loopback("unix:/x"));
  CHECK_FALSE(loopback("localhost:1"));
  CHECK_FALSE(loopback("127.example:1"));
  CHECK_FALSE(loopback("10.0.0.1:1"));
  CHECK_FALSE(loopback("0.0.0.0:1"));
  CHECK(wildcard("0.0.0.0:1"));
  CHECK(wildcard("[::]:1"));
  CHECK_FALSE(wildcard("[::1]:1"));
  CHECK_FALSE(wildcard("unix:/x"));
  CHECK(ParseAddress("10.0.0.1:1")->IsIpLiteral());
  CHECK_FALSE(ParseAddress("db:1")->IsIpLiteral());
  CHECK_FALSE(ParseAddress("unix:/x")->IsIpLiteral());
}

TEST_CASE("address: a host alone is read in canonical spelling") {
  CHECK(*ParseHost("::0001") == "::1");
  CHECK(*ParseHost("db.example") == "db.example");
  CHECK_FALSE(ParseHost("10.0.0.1:80"));
  CHECK_FALSE(ParseHost("[::1]"));
  CHECK_FALSE(ParseHost(""));
}

}  // namespace
}  // namespace mooring::net
