// Narrow, and contexts that offer less.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/unit/tls_ends.h"
#include "tls/offer.h"
#include "tls/session.h"

namespace mooring::tls {

using namespace ends;  // NOLINT: the words that these tests are written in

namespace {

using Suites = std::vector<std::string>;

constexpr char kAes128[] = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
constexpr char kAes256[] = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384";
constexpr char kChaCha[] = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256";
constexpr char kCbc[] = "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA";

Offer Good(const authz::TlsParameters& wish) {
  const auto narrowed = Narrow({}, wish, "Incoming");
  if (!narrowed) FAIL(narrowed.error().message);
  return *narrowed;
}

std::string Bad(const authz::TlsParameters& wish) {
  const auto narrowed = Narrow({}, wish, "Incoming");
  CHECK(!narrowed);
  return narrowed ? "" : narrowed.error().message;
}

bool Holds(const std::string& text, const std::string& part) {
  INFO(text);
  const bool found = text.find(part) != std::string::npos;
  CHECK(found);
  return found;
}

std::shared_ptr<const Context> Server(const Mesh& mesh, const Offer& offer) {
  auto made = Context::MeshServer(mint::Own(mesh.LeafFor("db")), mesh.roots, offer);
  REQUIRE(made);
  return *made;
}

std::shared_ptr<const Context> Client(const Mesh& mesh, const Offer& offer) {
  auto made = Context::MeshClient(mint::Own(mesh.LeafFor("web")), mesh.roots, offer);
  REQUIRE(made);
  return *made;
}

// Spoken is what two contexts agree on, "TLSv1.3" or "TLSv1.2 SUITE"; empty if on nothing.
std::string Spoken(const std::shared_ptr<const Context>& client,
                   const std::shared_ptr<const Context>& server) {
  Pair pair = Dial(client, server);
  pair.Shake();
  if (pair.client.last != Progress::kDone || pair.server.last != Progress::kDone) return "";
  const std::string version = pair.server.session->version();
  return version == "TLSv1.3" ? version : version + " " + pair.server.session->cipher();
}

}  // namespace

TEST_CASE("offer: a wish narrows, and never widens") {
  const Offer ours;
  CHECK(Good({}) == ours);
  CHECK(Good({"TLS_AUTO", "TLS_AUTO", {}}) == ours);
  CHECK(Good({"TLSv1_0", "TLSv1_3", {}}) == ours);
  CHECK(Good({"TLSv1_2", "", {}}) == ours);
  const Offer newest = Good({"TLSv1_3", "", {}});
  CHECK(newest.least == Version::kTls13);
  CHECK(newest.most == Version::kTls13);
  CHECK(newest.suites.empty());
  const Offer older = Good({"", "TLSv1_2", {kAes256, kCbc, kAes128}});
  CHECK(older.least == Version::kTls12);
  CHECK(older.most == Version::kTls12);
  CHECK(older.suites == Suites{kAes128, kAes256});  // in our order
  // What is narrow already stays narrow, and what has nothing to do with the wish stays.
  Offer narrow = newest;
  narrow.tickets = false;
  const auto again = Narrow(narrow, {"TLSv1_2", "TLSv1_3", {kAes128}}, "Incoming");
  REQUIRE(again);
  CHECK(*again == narrow);
}

TEST_CASE("offer: where no suite of TLS 1.2 is left, TLS 1.3 is") {
  const Offer offer = Good({"TLSv1_2", "", {kCbc}});
  CHECK(offer.least == Version::kTls13);
  CHECK(offer.suites.empty());
}

TEST_CASE("offer: a rest of nothing is an error by name") {
  Holds(Bad({"", "TLSv1_1", {}}), "Incoming: TLSMaxVersion TLSv1_1 leaves nothing");
  Holds(Bad({"TLSv1_0", "TLSv1_0", {}}), "TLSMaxVersion TLSv1_0");
  Holds(Bad({"TLSv1_3", "TLSv1_2", {}}), "TLSMinVersion TLSv1_3 and TLSMaxVersion TLSv1_2");
  Holds(Bad({"", "TLSv1_2", {kCbc}}), kAes128);
  Holds(Bad({"TLSv1.3", "", {}}), "TLSMinVersion is \"TLSv1.3\"");
  Holds(Bad({"", "SSLv3", {}}), "TLSMaxVersion is \"SSLv3\"");
}

TEST_CASE("offer: a context offers what is left, in either role") {
  const Mesh mesh;
  const Offer newest = Good({"TLSv1_3", "", {}});
  const Offer older = Good({"", "TLSv1_2", {}});
  CHECK(Spoken(mesh.client, Server(mesh, newest)) == "TLSv1.3");
  CHECK(Spoken(Client(mesh, newest), mesh.server) == "TLSv1.3");
  CHECK(Spoken(Client(mesh, older), Server(mesh, newest)).empty());
  CHECK(Spoken(Client(mesh, newest), Server(mesh, older)).empty());
  for (const Suites& suites : {Suites{kAes128}, Suites{kAes256}, Suites{kChaCha}}) {
    const Offer one = Good({"", "TLSv1_2", suites});
    CHECK(Spoken(mesh.client, Server(mesh, one)) == "TLSv1.2 " + suites.front());
    CHECK(Spoken(Client(mesh, one), mesh.server) == "TLSv1.2 " + suites.front());
  }
  CHECK(Spoken(Client(mesh, Good({"", "TLSv1_2", {kAes128}})),
               Server(mesh, Good({"", "TLSv1_2", {kAes256}})))
            .empty());
  // TLS 1.3's own suites are not touched.
  CHECK(Spoken(Client(mesh, Good({"", "", {kAes128}})), Server(mesh, Good({"", "", {kAes256}}))) ==
        "TLSv1.3");
}

TEST_CASE("offer: without tickets nothing is resumed") {
  for (const int version : kVersions) {
    CAPTURE(version);
    const Mesh mesh(version);
    Offer none;
    none.tickets = false;
    const auto server = Server(mesh, none);
    for (int i = 0; i < 2; ++i) {
      Pair pair;
      pair.client.session =
          Session::Connect(mesh.client, Service("db").Sni(), Service("db"), "127.0.0.1:1");
      pair.server.session = Session::Accept(server);
      pair.Shake();
      REQUIRE(pair.server.last == Progress::kDone);
      CHECK(!pair.server.session->resumed());
      std::string text;
      CHECK(pair.server.Write("x"));
      pair.client.TakeFrom(pair.server);
      CHECK(pair.client.Read(&text) == Progress::kWantInput);
    }
  }
}

TEST_CASE(
    "offer: groups are read in their order, and what is none is refused with those that are") {
  CHECK(*ParseGroups("P-384,X25519") == std::vector<std::string>{"P-384", "X25519"});
  CHECK(*ParseGroups(GroupsText(KnownGroups())) == KnownGroups());
  CHECK(Offer().groups == OurGroups());
  CHECK(OurGroups() == kGroups);
  for (const char* bad : {"", "P-521", "p-256", "X25519,", ",X25519", "X25519:P-256"}) {
    INFO(bad);
    const auto groups = ParseGroups(bad);
    REQUIRE_FALSE(groups);
    CHECK(Holds(groups.error().message, "X25519, P-256, P-384"));
  }
  CHECK(Holds(ParseGroups("X25519, X25519").error().message, "is there twice"));
}

TEST_CASE(
    "offer: a handshake has the group that both offer, and of several the one that the accepting "
    "side prefers") {
  const Mesh mesh;
  const auto agreed = [&mesh](std::vector<std::string> client, std::vector<std::string> server) {
    Offer dialling;
    Offer accepting;
    dialling.groups = std::move(client);
    accepting.groups = std::move(server);
    Pair pair = Dial(Client(mesh, dialling), Server(mesh, accepting));
    pair.Shake();
    if (pair.client.last != Progress::kDone || pair.server.last != Progress::kDone)
      return std::string();
    CHECK(pair.client.session->group() == pair.server.session->group());
    return pair.server.session->group();
  };
  for (const std::string& group : KnownGroups()) {
    CAPTURE(group);
    CHECK(agreed({group}, {group}) == group);
    CHECK(agreed(KnownGroups(), {group}) == group);
    CHECK(agreed({group}, KnownGroups()) == group);
    CHECK(agreed({group}, {group == "P-256" ? "P-384" : "P-256"}).empty());
  }
  CHECK(agreed({"X25519", "P-384"}, {"P-384", "X25519"}) == "P-384");
  CHECK(agreed({"P-256", "P-384"}, {"P-384", "X25519"}) == "P-384");
}

TEST_CASE("offer: the group that is remembered of a peer is the one that its context prefers") {
  const Mesh mesh;
  Offer offer;
  offer.groups = {"P-384", "X25519"};
  const auto client = Client(mesh, offer);
  for (int i = 0; i < 3; ++i) {
    Pair pair;
    pair.client.session =
        Session::Connect(client, Service("db").Sni(), Service("db"), "127.0.0.1:1");
    pair.server.session = Session::Accept(Server(mesh, offer));
    pair.Shake();
    REQUIRE(pair.server.last == Progress::kDone);
    CHECK(pair.server.session->group() == "P-384");
  }
}

}  // namespace mooring::tls
