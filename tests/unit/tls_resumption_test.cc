// Resumed sessions, and the memories behind them: PeerMemory and Verdicts.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/unit/tls_ends.h"
#include "tls/peer_memory.h"
#include "tls/session.h"
#include "tls/verdicts.h"

namespace mooring::tls {

using namespace ends;  // NOLINT: the words that these tests are written in
using mint::Mint;
using mint::Minted;
using std::chrono::hours;
using std::chrono::seconds;

namespace {

using SharedContext = std::shared_ptr<const Context>;

constexpr char kHere[] = "127.0.0.1:8443";
constexpr char kThere[] = "127.0.0.1:8444";
constexpr int kCertificateExpired = 45;  // TLS alert description

// Redial dials by a ticket, if there is one; the handshake is the next step.
Pair Redial(const SharedContext& client, const SharedContext& server, const std::string& endpoint = kHere,
            const authz::ServiceId& expected = Service("db")) {
  Pair pair;
  pair.client.session = Session::Connect(client, expected.Sni(), expected, endpoint);
  pair.server.session = Session::Accept(server);
  return pair;
}

// Speak has the server say something, with which a TLS 1.3 ticket comes, and the client answer.
void Speak(Pair& pair) {
  std::string text;
  CHECK(pair.server.Write("greeting"));
  pair.client.TakeFrom(pair.server);
  CHECK(pair.client.Read(&text) == Progress::kWantInput);
  CHECK(pair.client.Write(" answer"));
  pair.server.TakeFrom(pair.client);
  CHECK(pair.server.Read(&text) == Progress::kWantInput);
  CHECK(text == "greeting answer");
}

// Call is a whole connection.
Pair Call(const SharedContext& client, const SharedContext& server, const std::string& endpoint = kHere) {
  Pair pair = Redial(client, server, endpoint);
  pair.Shake();
  REQUIRE(pair.client.last == Progress::kDone);
  REQUIRE(pair.server.last == Progress::kDone);
  CHECK(pair.client.session->resumed() == pair.server.session->resumed());
  Speak(pair);
  return pair;
}

bool Resumes(const SharedContext& client, const SharedContext& server, const std::string& endpoint = kHere) {
  return Call(client, server, endpoint).client.session->resumed();
}

std::size_t Tickets(const SharedContext& client) { return client->impl().memory->tickets(); }

// Given is how many tickets one connection gives.
std::size_t Given([[maybe_unused]] int version) {
#if BORINGSSL_API_VERSION >= 20
  return 1;
#else
  return version == TLS1_2_VERSION ? 1 : 2;  // Debian's old copy cannot be told
#endif
}

// OffersTicket: whether a connection to this place would be asked to resume. In TLS 1.3 it uses the ticket up.
bool OffersTicket(const SharedContext& client, const std::string& endpoint = kHere,
                  const authz::ServiceId& expected = Service("db")) {
  return Session::Connect(client, expected.Sni(), expected, endpoint)->MayFailOverTicket();
}

void LimitVersion(const SharedContext& context, int version) {
  REQUIRE(SSL_CTX_set_max_proto_version(context->impl().ssl_ctx.get(), static_cast<std::uint16_t>(version)) == 1);
}

Minted LeafUntil(const Mesh& mesh, const std::string& name, seconds until) {
  mint::Recipe recipe = mint::Leaf(Service(name).Uri());
  recipe.until = until;
  return Mint(recipe, &mesh.root);
}

}  // namespace

TEST_CASE("resumption: the second session resumes, with the identities of the first") {
  for (const int version : kVersions) {
    CAPTURE(version);
    const Mesh mesh(version);
    CHECK(!Resumes(mesh.client, mesh.server));
    for (int i = 0; i < 3; ++i) {
      Pair pair = Call(mesh.client, mesh.server);
      CHECK(pair.client.session->resumed());
      CHECK(pair.client.session->judgement().id == Service("db"));
      CHECK(pair.server.session->judgement().id == Service("web"));
      CHECK(pair.client.session->judgement().refusal == Refusal::kNone);
      CHECK(pair.server.session->judgement().refusal == Refusal::kNone);
      CHECK(!pair.client.session->MayFailOverTicket());
    }
  }
}

TEST_CASE("resumption: Rejudge of a resumed session judges the chain of the ticket, intermediates included") {
  for (const int version : kVersions) {
    CAPTURE(version);
    const Mesh mesh(version);
    const Mesh other(version);
    const Minted intermediate = Mint(mint::Ca("Intermediate"), &mesh.root);
    const Minted leaf = Mint(mint::Leaf(Service("web").Uri()), &intermediate);
    auto client = Context::MeshClient(mint::Own(leaf, {&intermediate}), mesh.roots);
    REQUIRE(client);
    LimitVersion(*client, version);
    Call(*client, mesh.server);
    const Pair pair = Call(*client, mesh.server);
    REQUIRE(pair.server.session->resumed());
    for (const End* end : {&pair.client, &pair.server}) {
      CHECK(end->session->Rejudge(*mesh.roots).refusal == Refusal::kNone);
      CHECK(end->session->Rejudge(*other.roots).refusal == Refusal::kUnknownCa);
    }
  }
}

TEST_CASE("resumption: without the name of an endpoint nothing is kept or resumed") {
  for (const int version : kVersions) {
    CAPTURE(version);
    const Mesh mesh(version);
    for (int i = 0; i < 2; ++i) {
      Pair pair = Connected(mesh);
      CHECK(!pair.client.session->resumed());
      Speak(pair);
      CHECK(Tickets(mesh.client) == 0);
    }
  }
}

TEST_CASE("resumption: tickets belong to one context, not to a leaf") {
  for (const int version : kVersions) {
    CAPTURE(version);
    const Mesh mesh(version);
    const Minted db = mesh.LeafFor("db");
    const Minted web = mesh.LeafFor("web");
    const SharedContext server = Mesh::Server(db, mesh.roots);
    const SharedContext client = Mesh::Client(web, mesh.roots);
    LimitVersion(client, version);
    Call(client, server);
    CHECK(!Resumes(client, Mesh::Server(db, mesh.roots)));  // a full handshake serves it
    const SharedContext twin = Mesh::Client(web, mesh.roots);
    LimitVersion(twin, version);
    CHECK(!OffersTicket(twin));
    CHECK(!Resumes(twin, server));
  }
}

TEST_CASE("resumption: a ticket is offered at its own place and to its own identity only") {
  for (const int version : kVersions) {
    CAPTURE(version);
    const Mesh mesh(version);
    Call(mesh.client, mesh.server);
    CHECK(!OffersTicket(mesh.client, kThere));
    CHECK(!OffersTicket(mesh.client, kHere, Service("cache")));
    CHECK(!OffersTicket(mesh.client, ""));
    CHECK(OffersTicket(mesh.client));
  }
}

TEST_CASE("resumption: a TLS 1.3 ticket is used once, a TLS 1.2 one again") {
  for (const int version : kVersions) {
    CAPTURE(version);
    const bool again = version == TLS1_2_VERSION;
    const Mesh mesh(version);
    Call(mesh.client, mesh.server);
    REQUIRE(Tickets(mesh.client) == Given(version));
    while (Tickets(mesh.client) > 1) Redial(mesh.client, mesh.server);
    Pair first = Redial(mesh.client, mesh.server);
    Pair second = Redial(mesh.client, mesh.server);
    CHECK(Tickets(mesh.client) == (again ? 1 : 0));
    first.Shake();
    second.Shake();
    CHECK(first.client.session->resumed());
    CHECK(second.client.session->resumed() == again);
    // Each TLS 1.3 connection gives back one ticket, with the first bytes after its handshake.
    Speak(first);
    Speak(second);
    CHECK(Tickets(mesh.client) == (again ? 1 : 2 * Given(version)));
  }
}

TEST_CASE("resumption: a chain that has expired since the ticket is refused, on both sides") {
  struct Held {
    int version;
    bool short_client;
    SharedContext client;
    SharedContext server;
  };
  std::vector<Held> all;
  for (const int version : kVersions) {
    const Mesh mesh(version);
    for (const bool short_client : {true, false}) {
      all.push_back({version, short_client,
                     short_client ? Mesh::Client(LeafUntil(mesh, "web", seconds(3)), mesh.roots) : mesh.client,
                     short_client ? mesh.server : Mesh::Server(LeafUntil(mesh, "db", seconds(3)), mesh.roots)});
      LimitVersion(all.back().client, version);
      Call(all.back().client, all.back().server);
      REQUIRE(Resumes(all.back().client, all.back().server));
    }
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(3100));
  for (const Held& held : all) {
    CAPTURE(held.version);
    CAPTURE(held.short_client);
    Pair pair = Redial(held.client, held.server);
    CHECK(pair.client.session->MayFailOverTicket());
    pair.Shake();
    End& judge = held.short_client ? pair.server : pair.client;
    End& judged = held.short_client ? pair.client : pair.server;
    CHECK(judge.last == Progress::kFailed);
    CHECK(!judge.session->handshake_done());
    CHECK(!judge.session->resumed());
    CHECK(judge.session->failure() == Failure::kCertificate);
    CHECK(judge.session->judgement().refusal == Refusal::kExpired);
    CHECK(!judge.session->MayFailOverTicket());
    CHECK(!judge.Write("never"));
    std::string text;
    judged.TakeFrom(judge);
    // The dialling side is done before the accepting one judges it, and learns of it by reading.
    if (held.short_client) {
      CHECK(judged.last == Progress::kDone);
      CHECK(judged.Read(&text) == Progress::kFailed);
    } else {
      if (judged.last == Progress::kWantInput) judged.Handshake();
      CHECK(judged.last == Progress::kFailed);
    }
    CHECK(text.empty());
    CHECK(judged.session->failure() == Failure::kAlert);
    CHECK(judged.session->alert() == kCertificateExpired);
  }
}

TEST_CASE("resumption: an end before the peer has shown who it is may be the ticket's fault, a later one not") {
  const std::array<Bytes, 2> answers = {Bytes{21, 3, 3, 0, 2, 2, 40}, Bytes{'H', 'T', 'T', 'P', '/', '1', '.', '1'}};
  for (const int version : kVersions) {
    CAPTURE(version);
    for (const Bytes& answer : answers) {
      const Mesh mesh(version);
      Pair without = Redial(mesh.client, mesh.server);
      without.client.Handshake();
      CHECK(!without.client.session->MayFailOverTicket());

      Call(mesh.client, mesh.server);
      Pair pair = Redial(mesh.client, mesh.server);
      pair.client.Handshake();
      pair.client.in = answer;
      CHECK(pair.client.Handshake() == Progress::kFailed);
      CHECK(pair.client.session->MayFailOverTicket());
      pair.client.session->TicketFailed();
      CHECK(Tickets(mesh.client) == 0);
      CHECK(!Resumes(mesh.client, mesh.server));
      CHECK(Tickets(mesh.client) == Given(version));
      if (&answer == &answers[0]) {  // it is asked again, and served, which forgives the failure
        CHECK(Resumes(mesh.client, mesh.server));
        Redial(mesh.client, mesh.server).client.session->TicketFailed();
        CHECK(!Resumes(mesh.client, mesh.server));
        CHECK(Tickets(mesh.client) == Given(version));
      }
      Redial(mesh.client, mesh.server).client.session->TicketFailed();
      CHECK(!Resumes(mesh.client, mesh.server));
      CHECK(Tickets(mesh.client) == 0);  // none is kept any more
      CHECK(!OffersTicket(mesh.client));
      CHECK(!Resumes(mesh.client, mesh.server, kThere));
      CHECK(Resumes(mesh.client, mesh.server, kThere));  // another place is asked as before
    }
    // A full handshake of a server that is not the one expected: a second one would end the same.
    const Mesh mesh(version);
    Call(mesh.client, mesh.server);
    Pair pair = Redial(mesh.client, Mesh::Server(mesh.LeafFor("cache"), mesh.roots));
    pair.Shake();
    CHECK(pair.client.session->failure() == Failure::kCertificate);
    CHECK(pair.client.session->judgement().refusal == Refusal::kWrongIdentity);
    CHECK(!pair.client.session->MayFailOverTicket());
  }
}

TEST_CASE("resumption: a server that goes to another version serves by a full handshake") {
  for (const int version : kVersions) {
    CAPTURE(version);
    const Mesh mesh;
    LimitVersion(mesh.server, version);
    Call(mesh.client, mesh.server);
    LimitVersion(mesh.server, version == TLS1_2_VERSION ? TLS1_3_VERSION : TLS1_2_VERSION);
    CHECK(!Resumes(mesh.client, mesh.server));
    CHECK(Resumes(mesh.client, mesh.server));
  }
}

#if BORINGSSL_API_VERSION >= 20
TEST_CASE("resumption: a server that no longer takes the remembered group asks for another and still resumes") {
  const Mesh mesh;
  CHECK(Call(mesh.client, mesh.server).client.session->group() == kGroups.front());
  CHECK(Call(mesh.client, mesh.server).client.session->group() == kGroups.front());
  REQUIRE(SSL_CTX_set1_groups_list(mesh.server->impl().ssl_ctx.get(), "P-256") == 1);
  for (int i = 0; i < 2; ++i) {
    const Pair pair = Call(mesh.client, mesh.server);
    CHECK(pair.client.session->group() == "P-256");
    CHECK(pair.client.session->resumed());
  }
}
#endif

namespace {

// Tickets without a session behind them, each known by its address.
class Stubs {
 public:
  bssl::UniquePtr<SSL_SESSION> New(std::uint16_t version = TLS1_3_VERSION) {
    bssl::UniquePtr<SSL_SESSION> made(SSL_SESSION_new(ctx_.get()));
    REQUIRE(SSL_SESSION_set_protocol_version(made.get(), version) == 1);
    return made;
  }

 private:
  bssl::UniquePtr<SSL_CTX> ctx_{SSL_CTX_new(TLS_method())};
};

std::string Numbered(std::size_t number) { return "place " + std::to_string(number); }

// Fill keeps tickets for places [from, to), each with as many as fit.
void Fill(PeerMemory& memory, Stubs& stubs, std::size_t from, std::size_t to) {
  for (std::size_t place = from; place < to; ++place) {
    for (std::size_t i = 0; i < PeerMemory::kMostPerPlace; ++i) memory.Keep(Numbered(place), stubs.New());
  }
}

}  // namespace

TEST_CASE("peer memory: the newest ticket first, and of each place only so many") {
  Stubs stubs;
  PeerMemory memory;
  std::vector<const SSL_SESSION*> kept;
  for (std::size_t i = 0; i < PeerMemory::kMostPerPlace + 4; ++i) {
    auto ticket = stubs.New();
    kept.push_back(ticket.get());
    memory.Keep("a", std::move(ticket));
  }
  memory.Keep("b", stubs.New());
  CHECK(memory.tickets() == PeerMemory::kMostPerPlace + 1);
  for (std::size_t i = 0; i < PeerMemory::kMostPerPlace; ++i) {
    const auto ticket = memory.Use("a").ticket;
    CHECK(ticket.get() == kept.back());
    kept.pop_back();
  }
  CHECK(!memory.Use("a").ticket);
  CHECK(memory.tickets() == 1);
  CHECK(!memory.Use("c").ticket);
}

TEST_CASE("peer memory: a TLS 1.2 ticket stays until a newer one comes") {
  Stubs stubs;
  PeerMemory memory;
  auto older = stubs.New(TLS1_2_VERSION);
  const SSL_SESSION* first = older.get();
  memory.Keep("a", std::move(older));
  CHECK(memory.Use("a").ticket.get() == first);
  CHECK(memory.Use("a").ticket.get() == first);
  auto newer = stubs.New(TLS1_2_VERSION);
  const SSL_SESSION* second = newer.get();
  memory.Keep("a", std::move(newer));
  CHECK(memory.Use("a").ticket.get() == second);
  CHECK(memory.Use("a").ticket.get() == second);
}

TEST_CASE("peer memory: beyond the total the place that was used longest ago goes") {
  Stubs stubs;
  PeerMemory memory;
  constexpr std::size_t kFull = PeerMemory::kMostTickets / PeerMemory::kMostPerPlace;
  Fill(memory, stubs, 0, kFull);
  CHECK(memory.tickets() == PeerMemory::kMostTickets);
  CHECK(memory.Use(Numbered(0)).ticket);  // no longer the oldest
  memory.Keep(Numbered(0), stubs.New());
  memory.Keep("one more", stubs.New());
  CHECK(memory.tickets() <= PeerMemory::kMostTickets);
  CHECK(memory.Use(Numbered(0)).ticket);
  CHECK(!memory.Use(Numbered(1)).ticket);
  CHECK(memory.Use(Numbered(2)).ticket);
  CHECK(memory.Use("one more").ticket);
}

TEST_CASE("peer memory: the total holds although the oldest places have no tickets") {
  Stubs stubs;
  PeerMemory memory;
  for (std::size_t i = 0; i < 500; ++i) memory.NoteGroup("without " + std::to_string(i), true);
  std::size_t most = 0;
  for (std::size_t place = 0; place < 2 * PeerMemory::kMostTickets / PeerMemory::kMostPerPlace; ++place) {
    Fill(memory, stubs, place, place + 1);
    most = std::max(most, memory.tickets());
  }
  CHECK(most <= PeerMemory::kMostTickets);
}

TEST_CASE("peer memory: beyond so many places the one that was used longest ago goes") {
  PeerMemory memory;
  for (std::size_t i = 0; i < PeerMemory::kMostPlaces; ++i) memory.NoteGroup(Numbered(i), true);
  // Asking for a place that is not known makes none.
  for (std::size_t i = 0; i < PeerMemory::kMostPlaces; ++i) {
    CHECK(!memory.Use("unknown " + std::to_string(i)).takes_first_group);
  }
  CHECK(memory.Use(Numbered(0)).takes_first_group);
  memory.NoteGroup("one more", true);
  CHECK(memory.Use(Numbered(0)).takes_first_group);
  CHECK(!memory.Use(Numbered(1)).takes_first_group);
  CHECK(memory.Use(Numbered(2)).takes_first_group);
  CHECK(memory.Use("one more").takes_first_group);
  memory.NoteGroup("one more", false);
  CHECK(!memory.Use("one more").takes_first_group);
}

TEST_CASE("peer memory: a place whose tickets fail twice in a row gets none any more, and keeps its group") {
  Stubs stubs;
  PeerMemory memory;
  Fill(memory, stubs, 0, 2);
  memory.NoteGroup(Numbered(0), true);
  CHECK(!memory.Use(Numbered(0)).doubtful);
  memory.TicketFailed(Numbered(0));
  CHECK(memory.tickets() == PeerMemory::kMostPerPlace);
  memory.Keep(Numbered(0), stubs.New());
  PeerMemory::Hints hints = memory.Use(Numbered(0));
  CHECK(hints.ticket);
  CHECK(hints.doubtful);
  memory.TicketServed(Numbered(0));
  memory.TicketFailed(Numbered(0));
  memory.Keep(Numbered(0), stubs.New());
  CHECK(memory.Use(Numbered(0)).ticket);
  for (int i = 0; i < 2; ++i) memory.TicketFailed(Numbered(0));
  memory.Keep(Numbered(0), stubs.New());
  hints = memory.Use(Numbered(0));
  CHECK(!hints.ticket);
  CHECK(hints.takes_first_group);
  CHECK(memory.Use(Numbered(1)).ticket);
}

namespace {

// KeyOf takes the certificates as text: a Verdicts does not look into them.
Verdicts::Key KeyOf(const std::vector<std::string>& chain, Purpose purpose = Purpose::kPeerIsClient) {
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
  for (const std::vector<std::string>& other :
       {std::vector<std::string>{"leaf"}, {"leaf", "issuer", ""}, {"leafi", "ssuer"}, {"leafissuer"},
        {"issuer", "leaf"}, {"leaf", "issues"}, {}}) {
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

  verdicts.Remember(key, Service("web"), {kOneHour.until, kOneHour.until + hours(1)});  // the newest word holds
  CHECK(!verdicts.Find(key, kOneHour.from));
  CHECK(verdicts.Find(key, kOneHour.until));
  verdicts.Remember(key, Service("web"), {});  // of no time at all
  CHECK(!verdicts.Find(key, kOneHour.until));
}

TEST_CASE("verdicts: the oldest makes room, and what is told again takes none") {
  constexpr int kMost = 512;
  Verdicts verdicts;
  const auto remember = [&](int number) {
    verdicts.Remember(KeyOf({std::to_string(number)}), Service("s" + std::to_string(number)), kOneHour);
  };
  const auto known = [&](int number) { return verdicts.Find(KeyOf({std::to_string(number)}), kNoon).has_value(); };
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

std::optional<authz::ServiceId> Remembered(const TrustBundle& roots, const std::vector<const Minted*>& chain,
                                           Purpose purpose = Purpose::kPeerIsClient) {
  std::vector<std::span<const std::uint8_t>> spans;
  for (const Minted* one : chain) spans.emplace_back(one->der);
  return roots.impl().verdicts.Find(Verdicts::KeyOf(spans, purpose), std::chrono::system_clock::now());
}

}  // namespace

TEST_CASE("trust bundle: a good chain is remembered for its purpose, and out of its time judged anew") {
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
  CHECK(mint::Judge(*mesh.roots, {&leaf}, Purpose::kPeerIsClient, now + hours(2)).refusal == Refusal::kExpired);
  CHECK(mint::Judge(*mesh.roots, {&leaf}, Purpose::kPeerIsClient, now - hours(2)).refusal == Refusal::kNotYetValid);
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
  const Minted foreign = Mint(mint::Leaf("spiffe://foreign.consul/ns/default/dc/dc1/svc/web"), &mesh.root);
  mint::Recipe wrong = mint::Leaf(Service("web").Uri());
  wrong.ca = true;
  const Minted authority = Mint(wrong, &mesh.root);
  const std::vector<std::pair<const Minted*, Refusal>> refused = {{&stranger, Refusal::kUnknownCa},
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
    CHECK(mint::Judge(*roots, chain, Purpose::kPeerIsClient, now + hours(1) - seconds(10)).refusal == Refusal::kNone);
    CHECK(mint::Judge(*roots, chain, Purpose::kPeerIsClient, now + hours(1) + seconds(10)).refusal ==
          Refusal::kExpired);
    // Without its intermediate the same leaf is another chain.
    CHECK(mint::Judge(*roots, {&leaf}, Purpose::kPeerIsClient).refusal == Refusal::kUnknownCa);
  }
}

}  // namespace mooring::tls
