#include <doctest/doctest.h>
#include <openssl/err.h>
#include <openssl/nid.h>

#include <array>
#include <chrono>
#include <functional>
#include <span>
#include <string>

#include "tests/unit/mint.h"
#include "tls/identity.h"

namespace mooring::tls {
namespace {

using mint::KeyKind;
using mint::Mint;
using mint::Minted;
using mint::Recipe;
using std::chrono::hours;

constexpr const char* kDomain = "11111111-2222-3333-4444-555555555555.consul";
const std::string kPrefix = std::string("spiffe://") + kDomain;
const std::string kWeb = kPrefix + "/ns/default/dc/dc1/svc/web";

constexpr std::array kBoth = {Purpose::kPeerIsClient, Purpose::kPeerIsServer};

const Minted& Root() {
  static const Minted root = Mint(mint::Ca("Test CA"));
  return root;
}

const TrustBundle& Bundle() {
  static const auto bundle = mint::Roots(kDomain, {&Root()});
  return *bundle;
}

// Refused judges a chain in both roles, expects one answer and gives its name.
std::string Verdict(const TrustBundle& roots, const std::vector<const Minted*>& chain) {
  const Judgement client = mint::Judge(roots, chain, Purpose::kPeerIsClient);
  const Judgement server = mint::Judge(roots, chain, Purpose::kPeerIsServer);
  CHECK(client.refusal == server.refusal);
  CHECK(client.detail == server.detail);
  CHECK(client.detail.empty() == (client.refusal == Refusal::kNone));
  CHECK(client.detail.size() < 1000);
  return RefusalName(client.refusal);
}

std::string Verdict(const Recipe& recipe) {
  const Minted leaf = Mint(recipe, &Root());
  return Verdict(Bundle(), {&leaf});
}

Recipe With(const std::function<void(Recipe&)>& change) {
  Recipe recipe = mint::Leaf(kWeb);
  change(recipe);
  return recipe;
}

// Line is a chain of `count` intermediates below Root(), the one nearest the root first.
std::vector<Minted> Line(int count) {
  std::vector<Minted> line;
  for (int i = 0; i < count; ++i) {
    line.push_back(
        Mint(mint::Ca("Intermediate " + std::to_string(i)), i == 0 ? &Root() : &line.back()));
  }
  return line;
}

std::vector<const Minted*> Chain(const Minted& leaf, const std::vector<Minted>& line) {
  std::vector<const Minted*> chain = {&leaf};
  for (auto it = line.rbegin(); it != line.rend(); ++it) chain.push_back(&*it);
  return chain;
}

// WithDamage is the certificate with one more extension, name constraints that cannot be read,
// signed by the root.
Minted WithDamage(Minted made) {
  const bssl::UniquePtr<ASN1_OCTET_STRING> data(ASN1_OCTET_STRING_new());
  constexpr std::array<std::uint8_t, 2> kNull = {5, 0};
  REQUIRE(ASN1_OCTET_STRING_set(data.get(), kNull.data(), kNull.size()) == 1);
  const bssl::UniquePtr<X509_EXTENSION> extension(
      X509_EXTENSION_create_by_NID(nullptr, NID_name_constraints, 1, data.get()));
  REQUIRE(X509_add_ext(made.certificate.get(), extension.get(), -1) == 1);
  REQUIRE(X509_sign(made.certificate.get(), Root().key.get(), EVP_sha256()) != 0);
  std::uint8_t* der = nullptr;
  const int length = i2d_X509(made.certificate.get(), &der);
  REQUIRE(length > 0);
  const bssl::UniquePtr<std::uint8_t> owner(der);
  made.der.assign(der, der + length);
  return made;
}

}  // namespace

TEST_CASE("judge: a good leaf is accepted in both roles, with its identity") {
  const Minted leaf = Mint(mint::Leaf(kWeb), &Root());
  for (const Purpose purpose : kBoth) {
    const Judgement judgement = mint::Judge(Bundle(), {&leaf}, purpose);
    CHECK(judgement.refusal == Refusal::kNone);
    CHECK(judgement.detail.empty());
    CHECK(judgement.id.Uri() == kWeb);
  }
}

TEST_CASE("roots: a bundle includes another if it believes all that the other believes") {
  const Minted other = Mint(mint::Ca("Other CA"));
  const auto both = mint::Roots(kDomain, {&other, &Root()});
  const auto one = mint::Roots(kDomain, {&other});
  const auto elsewhere = mint::Roots("other.consul", {&other, &Root()});
  CHECK(both->Includes(Bundle()));
  CHECK(both->Includes(*one));
  CHECK(Bundle().Includes(Bundle()));
  CHECK_FALSE(Bundle().Includes(*both));
  CHECK_FALSE(one->Includes(Bundle()));
  CHECK_FALSE(elsewhere->Includes(Bundle()));
}

TEST_CASE("judge: leaves that must be admitted are admitted") {
  CHECK(Verdict(With([](Recipe& r) { r.sans.emplace_back(GEN_DNS, "web.example"); })) == "none");
  CHECK(Verdict(With([](Recipe& r) {
          r.sans.insert(r.sans.begin(), {GEN_DNS, "web.example"});
        })) == "none");
  CHECK(Verdict(With([](Recipe& r) { r.extended.clear(); })) == "none");
  CHECK(Verdict(With([](Recipe& r) { r.ca.reset(); })) == "none");
  CHECK(Verdict(With([](Recipe& r) { r.key_usage = {0}; })) == "none");
  CHECK(Verdict(With([](Recipe& r) { r.common_name.clear(); })) == "none");
  CHECK(Verdict(With([](Recipe& r) { r.key_ids = false; })) == "none");
  CHECK(Verdict(mint::Leaf(kPrefix + "/ap/part1/ns/default/dc/dc1/svc/web")) == "none");
  CHECK(Verdict(mint::Leaf(kPrefix + "/ns/default/dc/dc1/svc/" + std::string(1900, 'x'))) ==
        "none");
}

TEST_CASE("judge: RSA, ECDSA and Ed25519 keys of sufficient size are admitted, smaller ones not") {
  for (const KeyKind kind : {KeyKind::kP256, KeyKind::kP384, KeyKind::kP521, KeyKind::kEd25519,
                             KeyKind::kRsa2048, KeyKind::kRsa4096}) {
    CHECK(Verdict(With([&](Recipe& r) { r.key = kind; })) == "none");
  }
  CHECK(Verdict(With([](Recipe& r) { r.key = KeyKind::kRsa1024; })) == "leaf_rules");
  CHECK(Verdict(With([](Recipe& r) { r.key = KeyKind::kP224; })) == "leaf_rules");
}

TEST_CASE("judge: exactly one URI SAN is demanded") {
  CHECK(Verdict(With([](Recipe& r) {
          r.sans.emplace_back(GEN_URI, kPrefix + "/ns/default/dc/dc1/svc/denied");
        })) == "leaf_rules");
  CHECK(Verdict(With([](Recipe& r) { r.sans.emplace_back(GEN_URI, kWeb); })) == "leaf_rules");
  CHECK(Verdict(With([](Recipe& r) {
          r.sans.insert(r.sans.begin(), {GEN_URI, "http://web.example/"});
        })) == "leaf_rules");
  CHECK(Verdict(With([](Recipe& r) { r.sans = {{GEN_DNS, "web.example"}}; })) == "leaf_rules");
  CHECK(Verdict(With([](Recipe& r) { r.sans.clear(); })) == "leaf_rules");
}

TEST_CASE("judge: a certificate that may sign others does not authenticate a peer") {
  CHECK(Verdict(With([](Recipe& r) {
          r.ca = true;
          r.key_usage = {0, 5};
        })) == "leaf_rules");
  CHECK(Verdict(With([](Recipe& r) { r.ca = true; })) == "leaf_rules");
  CHECK(Verdict(With([](Recipe& r) { r.key_usage = {0, 5}; })) == "leaf_rules");
  CHECK(Verdict(With([](Recipe& r) { r.key_usage = {0, 6}; })) == "leaf_rules");
  CHECK(Verdict(Bundle(), {&Root()}) == "leaf_rules");  // the very root, shown as a leaf
}

TEST_CASE("judge: key usage must be there with digitalSignature") {
  CHECK(Verdict(With([](Recipe& r) { r.key_usage.clear(); })) == "leaf_rules");
  CHECK(Verdict(With([](Recipe& r) { r.key_usage = {2, 4}; })) == "leaf_rules");
}

TEST_CASE("judge: extended key usage, where present, must cover the role") {
  const Minted server_only = Mint(With([](Recipe& r) { r.extended = {NID_server_auth}; }), &Root());
  CHECK(mint::Judge(Bundle(), {&server_only}, Purpose::kPeerIsClient).refusal ==
        Refusal::kLeafRules);
  CHECK(mint::Judge(Bundle(), {&server_only}, Purpose::kPeerIsServer).refusal == Refusal::kNone);
  const Minted client_only = Mint(With([](Recipe& r) { r.extended = {NID_client_auth}; }), &Root());
  CHECK(mint::Judge(Bundle(), {&client_only}, Purpose::kPeerIsClient).refusal == Refusal::kNone);
  CHECK(mint::Judge(Bundle(), {&client_only}, Purpose::kPeerIsServer).refusal ==
        Refusal::kLeafRules);
  CHECK(Verdict(With([](Recipe& r) { r.extended = {NID_code_sign}; })) == "leaf_rules");
}

TEST_CASE("judge: time is judged at the time given") {
  CHECK(Verdict(With([](Recipe& r) {
          r.from = hours(-2);
          r.until = hours(-1);
        })) == "cert_expired");
  CHECK(Verdict(With([](Recipe& r) {
          r.from = hours(1);
          r.until = hours(2);
        })) == "cert_not_yet_valid");
  Recipe long_ca = mint::Ca("Long CA");
  long_ca.from = hours(-24 * 365);
  long_ca.until = hours(24 * 365);
  const Minted root = Mint(long_ca);
  const auto roots = mint::Roots(kDomain, {&root});
  const Minted leaf = Mint(mint::Leaf(kWeb), &root);
  const WallTime now = std::chrono::system_clock::now();
  const auto at = [&](WallTime time) {
    return mint::Judge(*roots, {&leaf}, Purpose::kPeerIsClient, time).refusal;
  };
  CHECK(at(now) == Refusal::kNone);
  CHECK(at(now + hours(2)) == Refusal::kExpired);
  CHECK(at(now - hours(2)) == Refusal::kNotYetValid);
}

TEST_CASE("judge: an expired root or intermediate ends the path") {
  Recipe old_ca = mint::Ca("Old CA");
  old_ca.from = hours(-3);
  old_ca.until = hours(-1);
  const Minted old_root = Mint(old_ca);
  const auto old_roots = mint::Roots(kDomain, {&old_root});
  const Minted leaf = Mint(mint::Leaf(kWeb), &old_root);
  CHECK(Verdict(*old_roots, {&leaf}) == "cert_expired");
  const Minted old_intermediate = Mint(old_ca, &Root());
  const Minted below = Mint(mint::Leaf(kWeb), &old_intermediate);
  CHECK(Verdict(Bundle(), {&below, &old_intermediate}) == "cert_expired");
}

TEST_CASE("judge: an unknown critical extension is refused") {
  CHECK(Verdict(With([](Recipe& r) { r.unknown_critical = true; })) == "leaf_rules");
}

TEST_CASE("judge: only canonical SPIFFE service IDs are identities") {
  const std::string host = kDomain;
  std::string upper = host;
  upper[0] = 'A';
  const std::vector<std::string> refused = {
      "spiffe://" + upper + "/ns/default/dc/dc1/svc/web",
      "SPIFFE://" + host + "/ns/default/dc/dc1/svc/web",
      "http://" + host + "/ns/default/dc/dc1/svc/web",
      kPrefix + "/ns/default/dc/dc1/svc/%77eb",
      kPrefix + "/ns/default/dc/dc1/svc/web%2Fadmin",
      kPrefix + "/ns/default/dc/dc1/svc/x/../web",
      kPrefix + "/ns/default/dc/dc1/svc/..",
      kWeb + "/",
      kWeb + "?query",
      kWeb + "#fragment",
      "spiffe://" + host + ":8443/ns/default/dc/dc1/svc/web",
      "spiffe://user@" + host + "/ns/default/dc/dc1/svc/web",
      kPrefix,
      kPrefix + "/",
      kPrefix + "/agent/client/dc/dc1/id/node1",
      kPrefix + "/gateway/mesh/dc/dc1",
      kPrefix +
          "/ns/default/dc/dc1/svc/w\xd0\xb5"
          "b",  // Cyrillic e
      kPrefix + "/ns/default/dc/dc1/svc/web\n",
      kWeb + std::string("\0", 1),
      kWeb + std::string("\0.evil.example", 14),
      kPrefix + "/ns/default/dc/dc1/svc/" + std::string(2100, 'x'),
      "spiffe:///ns/default/dc/dc1/svc/web",
      "",
  };
  for (const std::string& uri : refused) {
    CAPTURE(uri);
    CHECK(Verdict(mint::Leaf(uri)) == "not_a_service_id");
  }
}

TEST_CASE("judge: another letter case is another service") {
  const Minted leaf = Mint(mint::Leaf(kPrefix + "/ns/default/dc/dc1/svc/WEB"), &Root());
  const Judgement judgement = mint::Judge(Bundle(), {&leaf}, Purpose::kPeerIsClient);
  CHECK(judgement.refusal == Refusal::kNone);
  CHECK(judgement.id.service == "WEB");
}

TEST_CASE("judge: a foreign trust domain signed by our CA is refused, and named") {
  const Minted leaf = Mint(mint::Leaf("spiffe://other.consul/ns/default/dc/dc1/svc/web"), &Root());
  const Judgement judgement = mint::Judge(Bundle(), {&leaf}, Purpose::kPeerIsServer);
  CHECK(judgement.refusal == Refusal::kForeignTrustDomain);
  CHECK(judgement.id.trust_domain == "other.consul");
  CHECK(judgement.detail.find("other.consul") != std::string::npos);
}

TEST_CASE("judge: nobody but a root we hold is believed") {
  const Minted fake = Mint(mint::Ca("Test CA"));  // our root's name, another key
  const Minted from_fake = Mint(mint::Leaf(kWeb), &fake);
  CHECK(Verdict(Bundle(), {&from_fake}) == "unknown_ca");
  CHECK(Verdict(Bundle(), {&from_fake, &fake}) == "unknown_ca");
  Recipe bare = mint::Leaf(kWeb);
  bare.key_ids = false;  // so that only the signature tells the two apart
  const Minted bare_from_fake = Mint(bare, &fake);
  CHECK(Verdict(Bundle(), {&bare_from_fake}) == "unknown_ca");
  CHECK(Verdict(Bundle(), {&bare_from_fake, &fake}) == "unknown_ca");
  CHECK(Verdict(Bundle(), {&bare_from_fake, &fake, &Root()}) == "unknown_ca");

  Recipe self = mint::Leaf(kWeb);
  self.key_usage = {0, 5};
  const Minted self_signing = Mint(self);
  CHECK(Verdict(Bundle(), {&self_signing}) == "unknown_ca");
  const Minted self_signed = Mint(mint::Leaf(kWeb));
  CHECK(Verdict(Bundle(), {&self_signed}) == "unknown_ca");
  CHECK(Verdict(Bundle(), {&self_signed, &Root()}) == "unknown_ca");
}

TEST_CASE("judge: a good leaf cannot sign another") {
  const Minted web = Mint(mint::Leaf(kWeb), &Root());
  const Minted below = Mint(mint::Leaf(kPrefix + "/ns/default/dc/dc1/svc/admin"), &web);
  CHECK(Verdict(Bundle(), {&below, &web}) == "unknown_ca");
  Recipe bold = mint::Leaf(kWeb);
  bold.key_usage = {0, 5};  // keyCertSign, but no CA
  const Minted signing = Mint(bold, &Root());
  const Minted lower = Mint(mint::Leaf(kPrefix + "/ns/default/dc/dc1/svc/admin"), &signing);
  CHECK(Verdict(Bundle(), {&lower, &signing}) == "unknown_ca");
}

TEST_CASE("judge: a chain never ends in an intermediate that the peer sent") {
  const Minted elsewhere = Mint(mint::Ca("Elsewhere"));
  const Minted intermediate = Mint(mint::Ca("Intermediate"), &elsewhere);
  const Minted leaf = Mint(mint::Leaf(kWeb), &intermediate);
  CHECK(Verdict(Bundle(), {&leaf, &intermediate}) == "unknown_ca");
  CHECK(Verdict(Bundle(), {&leaf, &intermediate, &elsewhere}) == "unknown_ca");
}

TEST_CASE("judge: intermediates are found in any order, among others, and only if sent") {
  const std::vector<Minted> line = Line(3);
  const Minted leaf = Mint(mint::Leaf(kWeb), &line.back());
  const Minted stray = Mint(mint::Ca("Stray"));
  CHECK(Verdict(Bundle(), {&leaf, &line[2], &line[1], &line[0]}) == "none");
  CHECK(Verdict(Bundle(), {&leaf, &line[0], &stray, &line[1], &line[2]}) == "none");
  CHECK(Verdict(Bundle(), {&leaf, &line[2], &line[2], &line[1], &line[0], &Root()}) == "none");
  CHECK(Verdict(Bundle(), {&leaf, &line[2], &line[0]}) == "unknown_ca");
  CHECK(Verdict(Bundle(), {&leaf}) == "unknown_ca");
}

TEST_CASE("judge: ten certificates are taken, eleven are too long") {
  const std::vector<Minted> line = Line(9);
  const Minted leaf = Mint(mint::Leaf(kWeb), &line.back());
  CHECK(Verdict(Bundle(), Chain(leaf, line)) == "none");
  std::vector<const Minted*> longer = Chain(leaf, line);
  longer.push_back(&Root());
  CHECK(Verdict(Bundle(), longer) == "chain_too_long");
  std::vector<const Minted*> repeated = Chain(leaf, line);
  repeated.insert(repeated.end(), 100, &line.back());
  CHECK(Verdict(Bundle(), repeated) == "none");  // what comes again is no other
}

TEST_CASE("judge: no certificate, or one that does not parse") {
  CHECK(Bundle().Judge({}, Purpose::kPeerIsClient, std::chrono::system_clock::now()).refusal ==
        Refusal::kNoCertificate);
  Minted leaf = Mint(mint::Leaf(kWeb), &Root());
  Minted longer = Mint(mint::Leaf(kWeb), &Root());
  longer.der.push_back(0);
  CHECK(Verdict(Bundle(), {&longer}) == "certificate_malformed");
  CHECK(Verdict(Bundle(), {&leaf, &longer}) == "certificate_malformed");
  leaf.der.resize(leaf.der.size() / 2);
  CHECK(Verdict(Bundle(), {&leaf}) == "certificate_malformed");
  leaf.der.clear();
  CHECK(Verdict(Bundle(), {&leaf}) == "certificate_malformed");
  leaf.der.assign(1000, 0x30);
  CHECK(Verdict(Bundle(), {&leaf}) == "certificate_malformed");
}

TEST_CASE("judge: no single flipped bit of a good leaf is accepted") {
  Minted leaf = Mint(mint::Leaf(kWeb), &Root());
  for (std::size_t i = 0; i < leaf.der.size(); ++i) {
    const auto bit = static_cast<std::uint8_t>(1U << (i % 8));
    leaf.der[i] ^= bit;
    CHECK(mint::Judge(Bundle(), {&leaf}, Purpose::kPeerIsClient).refusal != Refusal::kNone);
    leaf.der[i] ^= bit;
  }
}

TEST_CASE("judge: path lengths are kept, the root's own too") {
  Recipe end = mint::Ca("Last CA");
  end.path_length = 0;
  const Minted last = Mint(end, &Root());
  const Minted direct = Mint(mint::Leaf(kWeb), &last);
  CHECK(Verdict(Bundle(), {&direct, &last}) == "none");
  const Minted beyond = Mint(mint::Ca("One CA too many"), &last);
  const Minted leaf = Mint(mint::Leaf(kWeb), &beyond);
  CHECK(Verdict(Bundle(), {&leaf, &beyond, &last}) == "unknown_ca");

  const Minted tight_root = Mint(end);
  const auto tight = mint::Roots(kDomain, {&tight_root});
  const Minted below_tight = Mint(mint::Leaf(kWeb), &tight_root);
  CHECK(Verdict(*tight, {&below_tight}) == "none");
  const Minted intermediate = Mint(mint::Ca("Intermediate"), &tight_root);
  const Minted too_deep = Mint(mint::Leaf(kWeb), &intermediate);
  CHECK(Verdict(*tight, {&too_deep, &intermediate}) == "unknown_ca");
}

TEST_CASE("judge: URI name constraints are kept, of intermediates and of roots") {
  Recipe ours = mint::Ca("Constrained to us");
  ours.permitted_uri = kDomain;
  Recipe others = mint::Ca("Constrained to others");
  others.permitted_uri = "other.consul";
  const Minted good = Mint(ours, &Root());
  const Minted bad = Mint(others, &Root());
  const Minted admitted = Mint(mint::Leaf(kWeb), &good);
  const Minted refused = Mint(mint::Leaf(kWeb), &bad);
  CHECK(Verdict(Bundle(), {&admitted, &good}) == "none");
  CHECK(Verdict(Bundle(), {&refused, &bad}) == "unknown_ca");

  const Minted good_root = Mint(ours);
  const Minted bad_root = Mint(others);
  const Minted below_good = Mint(mint::Leaf(kWeb), &good_root);
  const Minted below_bad = Mint(mint::Leaf(kWeb), &bad_root);
  CHECK(Verdict(*mint::Roots(kDomain, {&good_root}), {&below_good}) == "none");
  CHECK(Verdict(*mint::Roots(kDomain, {&bad_root}), {&below_bad}) == "unknown_ca");
}

TEST_CASE("judge: what a root says of purposes and as critical is kept as from any other") {
  Recipe for_clients = mint::Ca("Clients only");
  for_clients.extended = {NID_client_auth};
  const Minted root = Mint(for_clients);
  const Minted leaf = Mint(mint::Leaf(kWeb), &root);
  const auto roots = mint::Roots(kDomain, {&root});
  CHECK(mint::Judge(*roots, {&leaf}, Purpose::kPeerIsClient).refusal == Refusal::kNone);
  CHECK(mint::Judge(*roots, {&leaf}, Purpose::kPeerIsServer).refusal == Refusal::kUnknownCa);

  Recipe strange = mint::Ca("Strange");
  strange.unknown_critical = true;
  const Minted strange_root = Mint(strange);
  const Minted below = Mint(mint::Leaf(kWeb), &strange_root);
  CHECK(Verdict(*mint::Roots(kDomain, {&strange_root}), {&below}) == "unknown_ca");
  // It costs its own chains, and no other root's.
  const auto both = mint::Roots(kDomain, {&strange_root, &Root()});
  const Minted good = Mint(mint::Leaf(kWeb), &Root());
  CHECK(Verdict(*both, {&good}) == "none");
}

TEST_CASE("judge: no extension stands there twice, whether it is known or not") {
  CHECK(Verdict(With([](Recipe& r) { r.unknown_twice = true; })) == "leaf_rules");
  Recipe twice = mint::Ca("Twice");
  twice.unknown_twice = true;
  const Minted intermediate = Mint(twice, &Root());
  const Minted leaf = Mint(mint::Leaf(kWeb), &intermediate);
  CHECK(Verdict(Bundle(), {&leaf, &intermediate}) == "unknown_ca");
}

// What BoringSSL notes of it would be taken for the reason of the next failure on this thread,
// whichever that is: whoever judges off a handshake (new roots, our own leaf) does not look.
TEST_CASE("judge: a damaged extension anywhere leaves nothing in the queue of errors") {
  const Minted intermediate = WithDamage(Mint(mint::Ca("Damaged"), &Root()));
  const Minted below = Mint(mint::Leaf(kWeb), &intermediate);
  const Minted leaf = WithDamage(Mint(mint::Leaf(kWeb), &Root()));
  for (const auto& chain : {std::vector<const Minted*>{&below, &intermediate}, {&leaf}}) {
    ERR_clear_error();
    CHECK(Verdict(Bundle(), chain) != "none");
    CHECK(ERR_peek_error() == 0);
  }
}

TEST_CASE("judge: a date with an offset is none") {
  CHECK(Verdict(With([](Recipe& r) { r.ends_with_offset = true; })) == "certificate_malformed");
}

TEST_CASE("judge: a weak key or hash anywhere in the path is refused") {
  Recipe weak = mint::Ca("Weak CA");
  weak.key = KeyKind::kRsa1024;
  const Minted weak_intermediate = Mint(weak, &Root());
  const Minted below = Mint(mint::Leaf(kWeb), &weak_intermediate);
  CHECK(Verdict(Bundle(), {&below, &weak_intermediate}) == "unknown_ca");
  const Minted weak_root = Mint(weak);
  const Minted below_root = Mint(mint::Leaf(kWeb), &weak_root);
  CHECK(Verdict(*mint::Roots(kDomain, {&weak_root}), {&below_root}) == "unknown_ca");
  const std::string sha1 = Verdict(With([](Recipe& r) { r.sha1 = true; }));
  CHECK((sha1 == "leaf_rules" || sha1 == "unknown_ca"));
}

TEST_CASE("judge: roots of one name with different keys, as rotation makes them") {
  for (const bool key_ids : {true, false}) {
    CAPTURE(key_ids);
    Recipe ca = mint::Ca("Consul CA");
    ca.key_ids = key_ids;
    Recipe recipe = mint::Leaf(kWeb);
    recipe.key_ids = key_ids;
    std::vector<Minted> roots;
    std::vector<const Minted*> list;
    for (int i = 0; i < 4; ++i) roots.push_back(Mint(ca));
    for (const Minted& root : roots) list.push_back(&root);
    const auto bundle = mint::Roots(kDomain, list);
    CHECK(bundle->size() == 4);
    for (const Minted& root : roots) {
      const Minted leaf = Mint(recipe, &root);
      CHECK(Verdict(*bundle, {&leaf}) == "none");
      const Minted intermediate = Mint(mint::Ca("Intermediate"), &root);
      const Minted below = Mint(mint::Leaf(kWeb), &intermediate);
      CHECK(Verdict(*bundle, {&below, &intermediate}) == "none");
      Recipe old = recipe;
      old.from = hours(-2);
      old.until = hours(-1);
      const Minted expired = Mint(old, &root);
      CHECK(Verdict(*bundle, {&expired}) == "cert_expired");
    }
    const Minted stranger = Mint(ca);
    const Minted leaf = Mint(recipe, &stranger);
    CHECK(Verdict(*bundle, {&leaf}) == "unknown_ca");
  }
}

TEST_CASE("judge: a root signed across by the old one serves those who know either") {
  const Minted old_root = Mint(mint::Ca("Old CA"));
  const Minted new_root = Mint(mint::Ca("New CA"));
  const Minted cross = Mint(mint::Ca("New CA"), &old_root, new_root.key.get());
  const Minted leaf = Mint(mint::Leaf(kWeb), &new_root);
  const auto knows_old = mint::Roots(kDomain, {&old_root});
  const auto knows_new = mint::Roots(kDomain, {&new_root});
  const auto knows_both = mint::Roots(kDomain, {&old_root, &new_root});
  CHECK(Verdict(*knows_old, {&leaf}) == "unknown_ca");
  CHECK(Verdict(*knows_old, {&leaf, &cross}) == "none");
  CHECK(Verdict(*knows_new, {&leaf}) == "none");
  CHECK(Verdict(*knows_new, {&leaf, &cross}) == "none");
  CHECK(Verdict(*knows_both, {&leaf, &cross}) == "none");

  // Two certificates for one intermediate, the first of them expired: the second must be tried.
  Recipe stale = mint::Ca("Intermediate");
  stale.from = hours(-2);
  stale.until = hours(-1);
  const Minted stale_one = Mint(stale, &old_root);
  const Minted fresh_one = Mint(mint::Ca("Intermediate"), &old_root, stale_one.key.get());
  const Minted below = Mint(mint::Leaf(kWeb), &fresh_one);
  CHECK(Verdict(*knows_old, {&below, &stale_one, &fresh_one}) == "none");
  CHECK(Verdict(*knows_old, {&below, &stale_one}) == "cert_expired");
}

TEST_CASE("judge: a listed root need not be self-signed, nor bear a SPIFFE ID") {
  const Minted company = Mint(mint::Ca("Company CA"));
  const Minted mesh = Mint(mint::Ca("Mesh CA"), &company);
  const Minted leaf = Mint(mint::Leaf(kWeb), &mesh);
  const auto roots = mint::Roots(kDomain, {&mesh});
  CHECK(Verdict(*roots, {&leaf}) == "none");
  CHECK(Verdict(*roots, {&leaf, &mesh, &company}) == "none");
  const Minted sibling = Mint(mint::Ca("Sibling CA"), &company);
  const Minted cousin = Mint(mint::Leaf(kWeb), &sibling);
  CHECK(Verdict(*roots, {&cousin, &sibling, &company}) == "unknown_ca");
}

TEST_CASE("judge: certificates that all seem to issue each other do not cost time without end") {
  Recipe knot = mint::Ca("Knot");
  knot.key_ids = false;
  const Minted first = Mint(knot);
  std::vector<Minted> tied;
  for (int i = 0; i < 9; ++i) tied.push_back(Mint(knot, &first));
  Recipe recipe = mint::Leaf(kWeb);
  recipe.key_ids = false;
  const Minted leaf = Mint(recipe, &tied.front());
  const auto start = std::chrono::steady_clock::now();
  CHECK(Verdict(Bundle(), Chain(leaf, tied)) == "unknown_ca");
  // The same with a root of that name: now every walk ends in a path worth judging.
  Recipe anchor = mint::Ca("Knot");
  anchor.key_ids = false;
  const Minted root = Mint(anchor);
  CHECK(Verdict(*mint::Roots(kDomain, {&root}), Chain(leaf, tied)) == "unknown_ca");
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(5));
}

}  // namespace mooring::tls
