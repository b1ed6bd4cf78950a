// Verdicts: the good chains that a trust bundle remembers.
#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tests/unit/tls_ends.h"
#include "tls/trust_bundle_impl.h"
#include "tls/verdicts.h"

namespace mooring::tls {

using namespace ends;  // NOLINT: the words that these tests are written in
using mint::Mint;
using mint::Minted;
using std::chrono::hours;
using std::chrono::seconds;

namespace {

// KeyOf takes the certificates as text: a Verdicts does not look into them.
Verdicts::Key KeyOf(const std::vector<std::string>& chain,
                    Purpose purpose = Purpose::kPeerIsClient) {
  std::vector<std::span<const std::uint8_t>> spans;
  for (const std::string& text : chain) {
    spans.emplace_back(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
  }
  return Verdicts::KeyOf(spans, purpose);
}

const WallTime kNoon{hours(500000)};
const TimeSpan kOneHour{kNoon, kNoon + hours(1)};

}  // namespace

TEST_CASE("verdicts: the key is of the purpose, the bytes, and where each certificate ends") {
  const Verdicts::Key key = KeyOf({"leaf", "issuer"});
  CHECK(KeyOf({"leaf", "issuer"}) == key);
  CHECK(KeyOf({"leaf", "issuer"}, Purpose::kPeerIsServer) != key);
  for (const std::vector<std::string>& other : {std::vector<std::string>{"leaf"},
                                                {"leaf", "issuer", ""},
                                                {"leafi", "ssuer"},
                                                {"leafissuer"},
                                                {"issuer", "leaf"},
                                                {"leaf", "issues"},
                                                {}}) {
    CHECK(KeyOf(other) != key);
  }
}

TEST_CASE("verdicts: remembered within the span only") {
  Verdicts verdicts;
  const Verdicts::Key key = KeyOf({"leaf"});
  CHECK(!verdicts.Find(key, kNoon));
  verdicts.Remember(key, Service("web"), kOneHour);
  CHECK(!verdicts.Find(key, kOneHour.from - seconds(1)));
  CHECK(verdicts.Find(key, kOneHour.from) == Service("web"));
  CHECK(verdicts.Find(key, kOneHour.until - seconds(1)) == Service("web"));
  CHECK(!verdicts.Find(key, kOneHour.until));
  CHECK(!verdicts.Find(KeyOf({"leaf"}, Purpose::kPeerIsServer), kNoon));
  CHECK(!verdicts.Find(KeyOf({"other"}), kNoon));

  // the newest word holds
  verdicts.Remember(key, Service("web"), {kOneHour.until, kOneHour.until + hours(1)});
  CHECK(!verdicts.Find(key, kOneHour.from));
  CHECK(verdicts.Find(key, kOneHour.until));
  verdicts.Remember(key, Service("web"), {});  // of no time at all
  CHECK(!verdicts.Find(key, kOneHour.until));
}

TEST_CASE("verdicts: the oldest makes room, and what is told again takes none") {
  constexpr int kMost = 512;
  Verdicts verdicts;
  const auto remember = [&](int number) {
    verdicts.Remember(KeyOf({std::to_string(number)}), Service("s" + std::to_string(number)),
                      kOneHour);
  };
  const auto known = [&](int number) {
    return verdicts.Find(KeyOf({std::to_string(number)}), kNoon).has_value();
  };
  for (int i = 0; i < kMost; ++i) remember(i);
  for (int i = 0; i < 10; ++i) remember(kMost - 1);
  CHECK(known(0));
  remember(kMost);
  CHECK(!known(0));
  CHECK(known(1));
  CHECK(known(kMost));
  for (int i = 0; i < 3 * kMost; ++i) remember(1000 + i);
  int left = 0;
  for (int i = 0; i < 1000 + 3 * kMost; ++i) left += known(i) ? 1 : 0;
  CHECK(left == kMost);
  CHECK(known(1000 + 3 * kMost - 1));
  CHECK(!known(kMost));
}

namespace {

std::optional<authz::ServiceId> Remembered(const TrustBundle& roots,
                                           const std::vector<const Minted*>& chain,
                                           Purpose purpose = Purpose::kPeerIsClient) {
  std::vector<std::span<const std::uint8_t>> spans;
  for (const Minted* one : chain) spans.emplace_back(one->der);
  return roots.impl().verdicts.Find(Verdicts::KeyOf(spans, purpose),
                                    std::chrono::system_clock::now());
}

}  // namespace

TEST_CASE(
    "trust bundle: a good chain is remembered for its purpose, and out of its time judged anew") {
  const Mesh mesh;
  const Minted leaf = mesh.LeafFor("web");
  const WallTime now = std::chrono::system_clock::now();
  CHECK(!Remembered(*mesh.roots, {&leaf}));
  CHECK(mint::Judge(*mesh.roots, {&leaf}, Purpose::kPeerIsClient).refusal == Refusal::kNone);
  CHECK(Remembered(*mesh.roots, {&leaf}) == Service("web"));
  CHECK(!Remembered(*mesh.roots, {&leaf}, Purpose::kPeerIsServer));
  const Judgement again = mint::Judge(*mesh.roots, {&leaf}, Purpose::kPeerIsClient);
  CHECK(again.refusal == Refusal::kNone);
  CHECK(again.id == Service("web"));
  CHECK(mint::Judge(*mesh.roots, {&leaf}, Purpose::kPeerIsClient, now + hours(2)).refusal ==
        Refusal::kExpired);
  CHECK(mint::Judge(*mesh.roots, {&leaf}, Purpose::kPeerIsClient, now - hours(2)).refusal ==
        Refusal::kNotYetValid);
  CHECK(mint::Judge(*mesh.roots, {&leaf}, Purpose::kPeerIsClient).refusal == Refusal::kNone);
  // Another bundle has heard nothing of it.
  const Mesh other;
  CHECK(mint::Judge(*other.roots, {&leaf}, Purpose::kPeerIsClient).refusal == Refusal::kUnknownCa);
}

TEST_CASE("trust bundle: a chain good in one role is not good in the other for it") {
  const Mesh mesh;
  mint::Recipe recipe = mint::Leaf(Service("web").Uri());
  recipe.extended = {NID_client_auth};
  const Minted leaf = Mint(recipe, &mesh.root);
  CHECK(mint::Judge(*mesh.roots, {&leaf}, Purpose::kPeerIsClient).refusal == Refusal::kNone);
  CHECK(mint::Judge(*mesh.roots, {&leaf}, Purpose::kPeerIsServer).refusal == Refusal::kLeafRules);
  CHECK(mint::Judge(*mesh.roots, {&leaf}, Purpose::kPeerIsClient).refusal == Refusal::kNone);
}

TEST_CASE("trust bundle: refusals are not remembered") {
  const Mesh mesh;
  const Mesh other;
  const Minted stranger = other.LeafFor("web");
  const Minted expired = LeafUntil(mesh, "web", seconds(-10));
  const Minted foreign =
      Mint(mint::Leaf("spiffe://foreign.consul/ns/default/dc/dc1/svc/web"), &mesh.root);
  mint::Recipe wrong = mint::Leaf(Service("web").Uri());
  wrong.ca = true;
  const Minted authority = Mint(wrong, &mesh.root);
  const std::vector<std::pair<const Minted*, Refusal>> refused = {
      {&stranger, Refusal::kUnknownCa},
      {&expired, Refusal::kExpired},
      {&foreign, Refusal::kForeignTrustDomain},
      {&authority, Refusal::kLeafRules}};
  for (int i = 0; i < 2; ++i) {
    for (const auto& [leaf, refusal] : refused) {
      CHECK(mint::Judge(*mesh.roots, {leaf}, Purpose::kPeerIsClient).refusal == refusal);
      CHECK(!Remembered(*mesh.roots, {leaf}));
    }
  }
}

TEST_CASE("trust bundle: a chain is remembered no longer than its shortest certificate lasts") {
  const WallTime now = std::chrono::system_clock::now();
  for (const bool root_ends_first : {true, false}) {
    CAPTURE(root_ends_first);
    mint::Recipe ca = mint::Ca("Root");
    ca.until = root_ends_first ? hours(1) : hours(3);
    const Minted root = Mint(ca);
    mint::Recipe between = mint::Ca("Intermediate");
    between.until = root_ends_first ? hours(3) : hours(1);
    const Minted intermediate = Mint(between, &root);
    mint::Recipe recipe = mint::Leaf(Service("web").Uri());
    recipe.until = hours(3);
    const Minted leaf = Mint(recipe, &intermediate);
    const auto roots = mint::Roots(kDomain, {&root});
    const std::vector<const Minted*> chain = {&leaf, &intermediate};
    CHECK(mint::Judge(*roots, chain, Purpose::kPeerIsClient).refusal == Refusal::kNone);
    CHECK(Remembered(*roots, chain) == Service("web"));
    CHECK(
        mint::Judge(*roots, chain, Purpose::kPeerIsClient, now + hours(1) - seconds(10)).refusal ==
        Refusal::kNone);
    CHECK(
        mint::Judge(*roots, chain, Purpose::kPeerIsClient, now + hours(1) + seconds(10)).refusal ==
        Refusal::kExpired);
    // Without its intermediate the same leaf is another chain.
    CHECK(mint::Judge(*roots, {&leaf}, Purpose::kPeerIsClient).refusal == Refusal::kUnknownCa);
  }
}

}  // namespace mooring::tls
