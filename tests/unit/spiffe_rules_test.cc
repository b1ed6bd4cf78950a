// SPIFFE's own rules, a row each: SPIFFE-ID (SPIFFE-ID.md) over the parser, X509-SVID
// (X509-SVID.md) over the judge. A row names its section; what the specification leaves open is
// marked so.
#include <openssl/nid.h>

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "authz/spiffe.h"
#include "tests/unit/mint.h"

namespace mooring {
namespace {

using mint::Mint;
using mint::Minted;
using mint::Recipe;

const std::string kDomain = "11111111-2222-3333-4444-555555555555.consul";
const std::string kPath = "/ns/default/dc/dc1/svc/web";
const std::string kId = "spiffe://" + kDomain + kPath;

// Long is an ID of so many bytes.
std::string Long(std::size_t bytes) { return kId + std::string(bytes - kId.size(), 'x'); }

// Domain is a trust domain of so many bytes.
std::string Domain(std::size_t bytes) { return std::string(bytes, 'd'); }

struct IdRow {
  const char* section;
  const char* rule;
  std::string id;
  bool good;
};

const std::vector<IdRow>& IdRows() {
  static const std::vector<IdRow> rows = {
      {"2", "scheme spiffe", kId, true},
      {"2", "another scheme", "https://" + kDomain + kPath, false},
      {"2", "the scheme in lower case: one spelling (open)", "SPIFFE://" + kDomain + kPath, false},
      {"2", "no query", kId + "?a=b", false},
      {"2", "no query, be it empty", kId + "?", false},
      {"2", "no fragment", kId + "#a", false},
      {"2", "no fragment, be it empty", kId + "#", false},
      {"2", "an authority there must be", "spiffe:" + kPath, false},
      {"2.1", "a trust domain there must be", "spiffe://" + kPath, false},
      {"2.1", "trust domain: a-z", "spiffe://abcdefghijklmnopqrstuvwxyz" + kPath, true},
      {"2.1", "trust domain: 0-9 . - _", "spiffe://0123456789.-_" + kPath, true},
      {"2.1", "trust domain: no upper case", "spiffe://Example.org" + kPath, false},
      {"2.1", "trust domain: no percent-encoding", "spiffe://example%2eorg" + kPath, false},
      {"2.1", "trust domain: no other byte", "spiffe://example!org" + kPath, false},
      {"2.1", "trust domain: no byte above 127", "spiffe://ex\xC3\xA4mple" + kPath, false},
      {"2.1", "trust domain: an address is a name", "spiffe://10.0.0.1" + kPath, true},
      {"2.1", "trust domain: no address in brackets", "spiffe://[::1]" + kPath, false},
      {"2.1", "no user information", "spiffe://user@" + kDomain + kPath, false},
      {"2.1", "no user information, be it empty", "spiffe://@" + kDomain + kPath, false},
      {"2.1", "no port", "spiffe://" + kDomain + ":8443" + kPath, false},
      {"2.1", "no port, be it empty", "spiffe://" + kDomain + ":" + kPath, false},
      {"2.2", "path: a-z A-Z 0-9 . - _", "spiffe://td/ns/aZ09.-_/dc/d/svc/s", true},
      {"2.2", "path: no other byte", kId + "!", false},
      {"2.2", "path: no colon, which segments of a URI may have", kId + ":a", false},
      {"2.2", "path: no percent-encoding", kId + "%61", false},
      {"2.2", "path: no empty segment", "spiffe://td/ns//dc/d/svc/s", false},
      {"2.2", "path: no empty segment at the start", "spiffe://td//ns/n/dc/d/svc/s", false},
      {"2.2", "path: no segment .", "spiffe://td/ns/./dc/d/svc/s", false},
      {"2.2", "path: no segment ..", "spiffe://td/ns/../dc/d/svc/s", false},
      {"2.2", "path: ... is a segment", "spiffe://td/ns/.../dc/d/svc/s", true},
      {"2.2", "path: no slash at the end", kId + "/", false},
      {"2.2", "no path, no workload", "spiffe://" + kDomain, false},
      {"2.2", "a lone slash is no path", "spiffe://" + kDomain + "/", false},
      {"2.3", "2048 bytes are supported", Long(2048), true},
      {"2.3", "above 2048 bytes none (open)", Long(2049), false},
      {"2.1", "255 bytes of a trust domain are supported", "spiffe://" + Domain(255) + kPath, true},
      {"2.1", "above 255 bytes none", "spiffe://" + Domain(256) + kPath, false},
  };
  return rows;
}

TEST_CASE("spiffe rules: every row of SPIFFE-ID is decided as the specification says") {
  for (const IdRow& row : IdRows()) {
    CAPTURE(row.section);
    CAPTURE(row.rule);
    const auto id = authz::ParseServiceId(row.id);
    CHECK(id.has_value() == row.good);
    if (id) CHECK(id->Uri() == row.id);  // one spelling
  }
}

TEST_CASE("spiffe rules: 2.4, IDs are compared byte by byte, in the path with letter case") {
  const auto id = authz::ParseServiceId(kId);
  const auto other = authz::ParseServiceId("spiffe://" + kDomain + "/ns/default/dc/dc1/svc/Web");
  REQUIRE(id.has_value());
  REQUIRE(other.has_value());
  CHECK_FALSE(*id == *other);
}

// What a leaf under a mesh's root looks like, as X509-SVID wants it, changed by the row.
struct SvidRow {
  const char* section;
  const char* rule;
  void (*change)(Recipe&);
  const char* verdict;  // in both roles
};

void AddUri(Recipe& recipe) { recipe.sans.emplace_back(GEN_URI, kId + "2"); }

const std::vector<SvidRow>& SvidRows() {
  static const std::vector<SvidRow> rows = {
      {"2", "exactly one URI SAN", [](Recipe&) {}, "none"},
      {"2", "no URI SAN",
       [](Recipe& r) {
         r.sans = {{GEN_DNS, "web"}};
       },
       "leaf_rules"},
      {"2", "no SAN at all", [](Recipe& r) { r.sans.clear(); }, "leaf_rules"},
      {"2", "more than one URI SAN", AddUri, "leaf_rules"},
      {"2", "the same URI twice", [](Recipe& r) { r.sans.push_back(r.sans[0]); }, "leaf_rules"},
      {"2", "other kinds of SAN, any number",
       [](Recipe& r) {
         for (int i = 0; i < 50; ++i) r.sans.emplace_back(GEN_DNS, "h" + std::to_string(i));
         r.sans.emplace_back(GEN_IPADD, std::string(4, '\x7f'));
       },
       "none"},
      {"2", "the URI is a SPIFFE ID",
       [](Recipe& r) {
         r.sans = {{GEN_URI, "https://example.org/"}};
       },
       "not_a_service_id"},
      {"2", "an empty subject, with critical names", [](Recipe& r) { r.common_name.clear(); },
       "none"},
      {"3.1", "a leaf has a path: a trust domain's ID is an authority's",
       [](Recipe& r) {
         r.sans = {{GEN_URI, "spiffe://" + kDomain}};
       },
       "not_a_service_id"},
      {"3.1", "a leaf's path is not the root path",
       [](Recipe& r) {
         r.sans = {{GEN_URI, "spiffe://" + kDomain + "/"}};
       },
       "not_a_service_id"},
      {"3.2", "an authority authenticates nobody", [](Recipe& r) { r.ca = true; }, "leaf_rules"},
      {"4.1", "cA false", [](Recipe& r) { r.ca = false; }, "none"},
      {"4.1", "basicConstraints absent is cA false (RFC 5280 4.2.1.9)",
       [](Recipe& r) { r.ca.reset(); }, "none"},
      {"4.3", "key usage there must be", [](Recipe& r) { r.key_usage.clear(); }, "leaf_rules"},
      {"4.3", "digitalSignature alone", [](Recipe& r) { r.key_usage = {0}; }, "none"},
      {"4.3", "without digitalSignature",
       [](Recipe& r) {
         r.key_usage = {2, 4};
       },
       "leaf_rules"},
      {"4.3", "with keyEncipherment and keyAgreement",
       [](Recipe& r) {
         r.key_usage = {0, 2, 4};
       },
       "none"},
      {"4.3", "keyCertSign",
       [](Recipe& r) {
         r.key_usage = {0, 5};
       },
       "leaf_rules"},
      {"4.3", "cRLSign",
       [](Recipe& r) {
         r.key_usage = {0, 6};
       },
       "leaf_rules"},
      {"4.4", "no extended key usage: it should be there, and need not",
       [](Recipe& r) { r.extended.clear(); }, "none"},
      {"4.4", "both purposes",
       [](Recipe& r) {
         r.extended = {NID_server_auth, NID_client_auth};
       },
       "none"},
      {"4.4", "both purposes and another",
       [](Recipe& r) {
         r.extended = {NID_server_auth, NID_client_auth, NID_code_sign};
       },
       "none"},
      {"4.4", "neither purpose", [](Recipe& r) { r.extended = {NID_code_sign}; }, "leaf_rules"},
      {"4.4", "any purpose names neither (open)",
       [](Recipe& r) { r.extended = {NID_anyExtendedKeyUsage}; }, "leaf_rules"},
      {"5.1", "a trusted path (RFC 5280): in time", [](Recipe& r) { r.until = -r.until; },
       "cert_expired"},
      {"5.1", "a trusted path (RFC 5280): every critical extension is known",
       [](Recipe& r) { r.unknown_critical = true; }, "leaf_rules"},
  };
  return rows;
}

std::string Verdict(const Minted& root, const std::vector<const Minted*>& chain) {
  const auto roots = mint::Roots(kDomain, {&root});
  const auto as_client = mint::Judge(*roots, chain, tls::Purpose::kPeerIsClient).refusal;
  const auto as_server = mint::Judge(*roots, chain, tls::Purpose::kPeerIsServer).refusal;
  CHECK(as_client == as_server);
  return tls::RefusalName(as_client);
}

TEST_CASE("spiffe rules: every row of X509-SVID on leaves is decided as the specification says") {
  const Minted root = Mint(mint::Ca("Mesh Root"));
  for (const SvidRow& row : SvidRows()) {
    CAPTURE(row.section);
    CAPTURE(row.rule);
    Recipe recipe = mint::Leaf(kId);
    if (std::string(row.section) == "5.1" && row.verdict == std::string("cert_expired"))
      recipe.from = -2 * recipe.until;
    row.change(recipe);
    const Minted leaf = Mint(recipe, &root);
    CHECK(Verdict(root, {&leaf}) == row.verdict);
  }
}

TEST_CASE("spiffe rules: every row of X509-SVID on signing certificates is decided so too") {
  struct Row {
    const char* section;
    const char* rule;
    void (*change)(Recipe&);
    const char* verdict;  // of a good leaf below it
  };
  const std::vector<Row> rows = {
      {"3.2", "without a SPIFFE ID", [](Recipe&) {}, "none"},
      {"3.2", "with one without a path",
       [](Recipe& r) {
         r.sans = {{GEN_URI, "spiffe://" + kDomain}};
       },
       "none"},
      {"4.1", "cA true there must be", [](Recipe& r) { r.ca = false; }, "unknown_ca"},
      {"4.1", "basicConstraints there must be", [](Recipe& r) { r.ca.reset(); }, "unknown_ca"},
      {"4.1", "a path length that suffices", [](Recipe& r) { r.path_length = 0; }, "none"},
      {"4.2", "a name constraint that permits the ID", [](Recipe& r) { r.permitted_uri = kDomain; },
       "none"},
      {"4.2", "a name constraint that permits another",
       [](Recipe& r) { r.permitted_uri = "other.example"; }, "unknown_ca"},
      {"4.3", "keyCertSign there must be",
       [](Recipe& r) {
         r.key_usage = {0, 6};
       },
       "unknown_ca"},
      {"4.3", "keyCertSign alone", [](Recipe& r) { r.key_usage = {5}; }, "none"},
  };
  const Minted root = Mint(mint::Ca("Mesh Root"));
  for (const Row& row : rows) {
    CAPTURE(row.section);
    CAPTURE(row.rule);
    Recipe recipe = mint::Ca("Mesh Intermediate");
    row.change(recipe);
    const Minted authority = Mint(recipe, &root);
    const Minted leaf = Mint(mint::Leaf(kId), &authority);
    CHECK(Verdict(root, {&leaf, &authority}) == row.verdict);
    CHECK(Verdict(root, {&authority}) != "none");  // 3.2: it authenticates nobody
  }
}

TEST_CASE("spiffe rules: an authority vouches for its own trust domain alone, 5.1 and bundles") {
  const Minted root = Mint(mint::Ca("Mesh Root"));
  const Minted leaf = Mint(mint::Leaf("spiffe://other.consul" + kPath), &root);
  CHECK(Verdict(root, {&leaf}) == "foreign_trust_domain");
}

}  // namespace
}  // namespace mooring
