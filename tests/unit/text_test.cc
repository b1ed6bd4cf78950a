// What all rooms share of text: hexadecimal digits, percent codes, times, IP addresses.
#include "authz/text.h"

#include <doctest/doctest.h>

#include "authz/hex.h"
#include "authz/ip_literal.h"
#include "authz/rfc3339.h"

namespace mooring::authz {
namespace {

using namespace std::chrono_literals;

TEST_CASE("text: a byte is two digits, and each digit its value in either case") {
  std::string text;
  for (const int byte : {0x00, 0x0a, 0xa0, 0xff}) AppendHex(&text, static_cast<std::uint8_t>(byte));
  CHECK(text == "000aa0ff");
  AppendHex(&text, 0xce, kUpperHex);
  CHECK(text == "000aa0ffCE");
  for (int value = 0; value < 16; ++value) {
    CHECK(HexValue(kLowerHex[static_cast<std::size_t>(value)]) == value);
    CHECK(HexValue(kUpperHex[static_cast<std::size_t>(value)]) == value);
  }
  for (const char c : {'g', 'G', '/', ':', '@', '`', ' ', '\0', '\xff'}) CHECK(HexValue(c) == -1);
}

TEST_CASE(
    "text: all but unreserved bytes are percent-encoded, or all but those that the caller keeps") {
  CHECK(PercentEncoded("a b/ü~") == "a%20b%2F%C3%BC~");
  CHECK(PercentEncoded("AZaz09-._~") == "AZaz09-._~");
  CHECK(PercentEncoded(std::string_view("\0%+?&=#:@", 9)) == "%00%25%2B%3F%26%3D%23%3A%40");
  CHECK(PercentEncoded("a~b-c/d", "-/") == "a%7Eb-c/d");
  CHECK(PercentEncoded("") == "");
}

TEST_CASE("text: times are UTC, with as many digits of a fraction as were asked for") {
  const std::chrono::system_clock::time_point epoch{};
  CHECK(Rfc3339(epoch) == "1970-01-01T00:00:00Z");
  CHECK(Rfc3339(epoch + 1'500ms) == "1970-01-01T00:00:01Z");
  CHECK(Rfc3339(epoch + 1'004ms, 3) == "1970-01-01T00:00:01.004Z");
  CHECK(Rfc3339(epoch + 1'500ms, 9) == "1970-01-01T00:00:01.500000000Z");
  CHECK(Rfc3339(epoch + 1'796'000'000s) == "2026-11-30T00:53:20Z");
  CHECK(Rfc3339(epoch - 1ms, 3) == "1969-12-31T23:59:59.999Z");
}

TEST_CASE("text: an IP address has one spelling, and what is none has no spelling") {
  CHECK(CanonicalIp("10.0.0.1") == "10.0.0.1");
  CHECK(CanonicalIp("0:0:0:0:0:0:0:1") == "::1");
  CHECK(CanonicalIp("FE80::00AB") == "fe80::ab");
  for (const char* text : {"", "db", "10.0.0", "10.0.0.01", "10.0.0.256", "[::1]", "::1%lo",
                           "1.2.3.4 ", "0x7f.0.0.1"}) {
    CAPTURE(text);
    CHECK_FALSE(IsIpLiteral(text));
  }
  CHECK_FALSE(IsIpLiteral(std::string("127.0.0.1\0x", 11)));
}

}  // namespace
}  // namespace mooring::authz
