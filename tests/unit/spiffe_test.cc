#include "authz/spiffe.h"
#include "authz/text.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

namespace mooring::authz {
namespace {

using namespace std::string_literals;

const std::string kDomain = "a9540554-c846-a4e4-0348-1fc3612015e5.consul";
const std::string kGood = "spiffe://" + kDomain + "/ns/default/dc/dc1/svc/web";

std::string With(const std::string& from, const std::string& to) {
  std::string uri = kGood;
  uri.replace(uri.find(from), from.size(), to);
  return uri;
}

TEST_CASE("spiffe: a service's identity is read into its parts") {
  const auto id = ParseServiceId(kGood);
  REQUIRE(id.has_value());
  CHECK(id->trust_domain == kDomain);
  CHECK(id->partition.empty());
  CHECK(id->ns == "default");
  CHECK(id->datacenter == "dc1");
  CHECK(id->service == "web");
  CHECK(id->Uri() == kGood);
  CHECK(id->Sni() == "web.default.dc1.internal." + kDomain);
}

TEST_CASE("spiffe: a partition is read, printed and part of the server name") {
  const std::string uri = With("/ns/", "/ap/billing/ns/");
  const auto id = ParseServiceId(uri);
  REQUIRE(id.has_value());
  CHECK(id->partition == "billing");
  CHECK(id->Uri() == uri);
  CHECK(id->Sni() == "web.default.billing.dc1.internal-v1." + kDomain);
}

TEST_CASE("spiffe: every allowed byte is kept as it is, letter case included") {
  for (const std::string& name : {"WEB"s, "Web-1"s, "a_b.c"s, "..."s, "-"s, "0"s, ".a"s, "ns"s}) {
    CAPTURE(name);
    const auto id = ParseServiceId(With("/svc/web", "/svc/" + name));
    REQUIRE(id.has_value());
    CHECK(id->service == name);
    CHECK(id->Uri() == With("/svc/web", "/svc/" + name));
  }
  CHECK_FALSE(*ParseServiceId(With("/svc/web", "/svc/WEB")) == *ParseServiceId(kGood));
}

TEST_CASE("spiffe: names that are also keywords of the path stay names") {
  const std::string uri = "spiffe://td/ap/ns/ns/ns/dc/svc/svc/gateway";
  const auto id = ParseServiceId(uri);
  REQUIRE(id.has_value());
  CHECK(id->partition == "ns");
  CHECK(id->ns == "ns");
  CHECK(id->datacenter == "svc");
  CHECK(id->service == "gateway");
}

TEST_CASE("spiffe: everything that is not canonical is refused by the rule it breaks") {
  struct Row {
    std::string uri;
    std::string rule;
  };
  const std::vector<Row> rows = {
      {"", "empty"},
      {"spiffe", "spiffe://"},
      {"spiffe:", "spiffe://"},
      {"spiffe:/td/ns/default/dc/dc1/svc/web", "spiffe://"},
      {With("spiffe", "SPIFFE"), "lower case"},
      {With("spiffe", "http"), "spiffe://"},
      {" " + kGood, "spiffe://"},
      {"\xEF\xBB\xBF" + kGood, "spiffe://"},

      {"spiffe://", "trust domain is empty"},
      {"spiffe:///ns/default/dc/dc1/svc/web", "trust domain is empty"},
      {With(".consul", ".CONSUL"), "lower case"},
      {With(".consul", ".consul:8443"), "port"},
      {With(".consul", ".consul:"), "port"},
      {With("a9540554", "user@a9540554"), "user information"},
      {With("a9540554", "user:word@a9540554"), "user information"},
      {With("a9540554", "@a9540554"), "user information"},
      {With(".consul", ".cons\xC3\xBCl"), "a-z, 0-9"},
      {With(".consul", " .consul"), "a-z, 0-9"},
      {With(".consul", "~.consul"), "a-z, 0-9"},
      {With("a9540554", "[::1]"), "port"},
      {"spiffe://" + std::string(256, 'a') + "/ns/default/dc/dc1/svc/web", "255"},

      {"spiffe://" + kDomain, "names a trust domain"},
      {"spiffe://" + kDomain + "/", "names a trust domain"},
      {kGood + "/", "trailing slash"},
      {With("/ns/", "//ns/"), "empty path segment"},
      {With("/default/", "//"), "empty path segment"},
      {With("/svc/web", "/svc//web"), "empty path segment"},
      {With("/svc/web", "/svc/"), "trailing slash"},
      {With("/svc/web", "/svc/."), "relative"},
      {With("/svc/web", "/svc/.."), "relative"},
      {With("/svc/web", "/svc/x/../web"), "relative"},
      {With("/svc/web", "/svc/./web"), "relative"},

      {With("/svc/web", "/svc/%77eb"), "percent"},
      {With("/svc/web", "/svc/web%2Fadmin"), "percent"},
      {With("/svc/web", "/svc/web%"), "percent"},
      {With(".consul", "%2Econsul"), "percent"},
      {kGood + "?x=1", "query"},
      {kGood + "?", "query"},
      {kGood + "#x", "fragment"},
      {kGood + "#", "fragment"},
      {kGood + "\n", "path segment may hold"},
      {kGood + "\0"s, "path segment may hold"},
      {kGood + "\0.evil"s, "path segment may hold"},
      {kGood + " ", "path segment may hold"},
      {kGood + "*", "path segment may hold"},
      {With("/svc/web", "/svc/*"), "path segment may hold"},
      {With("/svc/web",
            "/svc/w\xD0\xB5"
            "b"),
       "path segment may hold"},  // Cyrillic e
      {With("/svc/web", "/svc/web:1"), "path segment may hold"},
      {With("/svc/web", "/svc/a@web"), "path segment may hold"},
      {With("/svc/web", "/svc/web\\x"), "path segment may hold"},
      {With("/svc/web", "/svc/web;x"), "path segment may hold"},

      {With("/svc/web", ""), "its path is not"},
      {With("/svc/web", "/svc"), "its path is not"},
      {With("/svc/web", "/svc/web/more"), "its path is not"},
      {With("/svc/", "/SVC/"), "its path is not"},
      {With("/ns/", "/NS/"), "its path is not"},
      {With("/dc/", "/DC/"), "its path is not"},
      {"spiffe://td/dc/dc1/ns/default/svc/web", "its path is not"},
      {"spiffe://td/x", "its path is not"},
      {"spiffe://td/ap/p/ns/default/identity/web", "its path is not"},
      {With("/ns/", "/ap/ns/"), "its path is not"},
      {With("/ns/", "/ap/a/ap/b/ns/"), "its path is not"},
      {With("/ns/", "/AP/billing/ns/"), "its path is not"},
      {With("/ns/", "/ap/default/ns/"), "default partition"},
      {"spiffe://td/agent/client/dc/dc1/id/8a1b", "agent"},
      {"spiffe://td/agent/server/dc/dc1", "agent"},
      {"spiffe://td/gateway/mesh/dc/dc1", "gateway"},
      {"spiffe://td/ap/p/gateway/mesh/dc/dc1", "gateway"},
      {"spiffe://td/ap", "its path is not"},
      {"spiffe://td/ap/p", "its path is not"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.uri);
    const auto id = ParseServiceId(row.uri);
    REQUIRE_FALSE(id.has_value());
    CHECK(id.error().code == ErrorCode::kInvalid);
    CHECK(id.error().message.find(row.rule) != std::string::npos);
    INFO(id.error().message);
  }
}

TEST_CASE("spiffe: 2048 bytes are an identity, 2049 are none") {
  const std::string longest = kGood + std::string(2048 - kGood.size(), 'x');
  REQUIRE(longest.size() == kMaxSpiffeIdBytes);
  CHECK(ParseServiceId(longest).has_value());
  const auto longer = ParseServiceId(longest + "x");
  REQUIRE_FALSE(longer.has_value());
  CHECK(longer.error().message.find("2048") != std::string::npos);
  CHECK(longer.error().message.size() < 300);
}

TEST_CASE("spiffe: a trust domain has 255 bytes at most") {
  CHECK(IsTrustDomain(std::string(255, 'a')));
  CHECK_FALSE(IsTrustDomain(std::string(256, 'a')));
}

TEST_CASE("spiffe: a refusal's message repeats what was sent as it is, and not all of it") {
  const std::string sent = kGood + "\n\x1b[2J\xff\"\\";
  const auto id = ParseServiceId(sent);
  REQUIRE_FALSE(id.has_value());
  CHECK(id.error().message.find('"' + sent + '"') != std::string::npos);
  const auto longer = ParseServiceId(kGood + std::string(5000, 'a'));
  REQUIRE_FALSE(longer.has_value());
  CHECK(longer.error().message.size() < 400);
  CHECK(longer.error().message.find("aaa...") != std::string::npos);
}

TEST_CASE("text: a name is shortened between two characters, with a mark") {
  CHECK(Shortened("abcd", 4) == "abcd");
  CHECK(Shortened("abcde", 4) == "abcd...");
  CHECK(Shortened("abc\xc3\xa9", 4) == "abc...");
  CHECK(Shortened("a\xf0\x9f\x9a\xa2z", 4) == "a...");
  CHECK(Shortened("\x80\x80\x80\x80\x80\x80", 4) == "\x80\x80\x80\x80...");
}

TEST_CASE("spiffe: any single byte changed or added gives another identity or none") {
  const auto good = ParseServiceId(kGood);
  REQUIRE(good.has_value());
  for (std::size_t at = 0; at <= kGood.size(); ++at) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string added = kGood;
      added.insert(at, 1, static_cast<char>(byte));
      if (const auto id = ParseServiceId(added)) {
        CHECK_FALSE(*id == *good);
        CHECK(id->Uri() == added);
      }
      if (at == kGood.size() || kGood[at] == static_cast<char>(byte)) continue;
      std::string changed = kGood;
      changed[at] = static_cast<char>(byte);
      if (const auto id = ParseServiceId(changed)) {
        CHECK_FALSE(*id == *good);
        CHECK(id->Uri() == changed);
      }
    }
  }
}

TEST_CASE("spiffe: path segments and trust domains by table") {
  CHECK(IsPathSegment("web"));
  CHECK(IsPathSegment("Web_1.x-y"));
  CHECK(IsPathSegment("..."));
  for (const char* bad : {"", ".", "..", "a/b", "a b", "a%", "*", "\xC3\xA4"}) {
    CAPTURE(bad);
    CHECK_FALSE(IsPathSegment(bad));
  }
  CHECK(IsTrustDomain("example.org"));
  CHECK(IsTrustDomain("a_b-c.0"));
  for (const char* bad : {"", "Example.org", "a:1", "a@b", "a/b", "a b", "a%20", "*"}) {
    CAPTURE(bad);
    CHECK_FALSE(IsTrustDomain(bad));
  }
}

}  // namespace
}  // namespace mooring::authz
