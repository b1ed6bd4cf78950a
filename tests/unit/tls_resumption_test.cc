// Resumed sessions.
#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/tls_ends.h"
#include "tls/peer_memory.h"
#include "tls/session.h"
#include "tls/ticket_rules.h"

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
Pair Redial(const SharedContext& client, const SharedContext& server,
            const std::string& endpoint = kHere, const authz::ServiceId& expected = Service("db")) {
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
Pair Call(const SharedContext& client, const SharedContext& server,
          const std::string& endpoint = kHere) {
  Pair pair = Redial(client, server, endpoint);
  pair.Shake();
  REQUIRE(pair.client.last == Progress::kDone);
  REQUIRE(pair.server.last == Progress::kDone);
  CHECK(pair.client.session->resumed() == pair.server.session->resumed());
  Speak(pair);
  return pair;
}

bool Resumes(const SharedContext& client, const SharedContext& server,
             const std::string& endpoint = kHere) {
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

// OffersTicket: whether a connection to this place would be asked to resume. In TLS 1.3 it uses the
// ticket up.
bool OffersTicket(const SharedContext& client, const std::string& endpoint = kHere,
                  const authz::ServiceId& expected = Service("db")) {
  return Session::Connect(client, expected.Sni(), expected, endpoint)->MayFailOverTicket();
}

// BoringSSL's time, in seconds, for the contexts of Clocked; leaves are judged by the true one.
std::uint64_t boringssl_time = 0;  // NOLINT: its callback carries nothing
void TellTime(const SSL*, timeval* out) { *out = {static_cast<time_t>(boringssl_time), 0}; }
void Clocked(const SharedContext& context) {
  boringssl_time = static_cast<std::uint64_t>(time(nullptr));
  SSL_CTX_set_current_time_cb(context->impl().ssl_ctx.get(), TellTime);
}

// TellPassing has a second pass between two looks at the clock.
void TellPassing(const SSL*, timeval* out) { *out = {static_cast<time_t>(boringssl_time++), 0}; }

// Kept is the number of tickets that a client of ours keeps of a server that states this lifetime.
std::size_t Kept(int version, std::uint32_t seconds, bool slowly = false) {
  const Mesh mesh(version);
  if (slowly) {
    Clocked(mesh.client);
    SSL_CTX_set_current_time_cb(mesh.client->impl().ssl_ctx.get(), TellPassing);
  }
  Raw server(true);
  server.Show(mesh.LeafFor("db"));
  SSL_CTX* ctx = server.ctx.get();
  REQUIRE(SSL_CTX_set_max_proto_version(ctx, static_cast<std::uint16_t>(version)) == 1);
  SSL_CTX_set_custom_verify(ctx, SSL_VERIFY_PEER,
                            [](SSL*, std::uint8_t*) { return ssl_verify_ok; });
  SSL_CTX_set_timeout(ctx, seconds);
  SSL_CTX_set_session_psk_dhe_timeout(ctx, seconds);
  server.Start();
  End client;
  client.session = Session::Connect(mesh.client, Service("db").Sni(), Service("db"), kHere);
  client.Handshake();
  for (int i = 0; i < 3 && client.last == Progress::kWantInput; ++i) server.ShakeWith(client);
  REQUIRE(client.last == Progress::kDone);
  REQUIRE(SSL_do_handshake(server.ssl.get()) == 1);
  SSL_write(server.ssl.get(), "x", 1);
  Bytes chunk(1 << 16);
  const int count =
      BIO_read(SSL_get_wbio(server.ssl.get()), chunk.data(), static_cast<int>(chunk.size()));
  client.in.insert(client.in.end(), chunk.begin(), chunk.begin() + std::max(count, 0));
  std::string text;
  CHECK(client.Read(&text) == Progress::kWantInput);
  CHECK(text == "x");
  return Tickets(mesh.client);
}

void LimitVersion(const SharedContext& context, int version) {
  REQUIRE(SSL_CTX_set_max_proto_version(context->impl().ssl_ctx.get(),
                                        static_cast<std::uint16_t>(version)) == 1);
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

TEST_CASE(
    "resumption: Rejudge of a resumed session judges the chain of the ticket, intermediates "
    "included") {
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
                     short_client ? Mesh::Client(LeafUntil(mesh, "web", seconds(3)), mesh.roots)
                                  : mesh.client,
                     short_client ? mesh.server
                                  : Mesh::Server(LeafUntil(mesh, "db", seconds(3)), mesh.roots)});
      LimitVersion(all.back().client, version);
      Call(all.back().client, all.back().server);
      REQUIRE(Resumes(all.back().client, all.back().server));
    }
  }
  // beyond the last second that is theirs
  std::this_thread::sleep_for(std::chrono::milliseconds(4100));
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

TEST_CASE(
    "resumption: an end before the peer has shown who it is may be the ticket's fault, a later one "
    "not") {
  const std::array<Bytes, 2> answers = {Bytes{21, 3, 3, 0, 2, 2, 40},
                                        Bytes{'H', 'T', 'T', 'P', '/', '1', '.', '1'}};
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

TEST_CASE(
    "resumption: one proof is worth two hours from the full handshake, whatever is renewed "
    "between") {
  for (const int version : kVersions) {
    CAPTURE(version);
    // The accepting side alone: the dialling one, whose time is true, would renew for ever.
    const Mesh mesh(version);
    Clocked(mesh.server);
    Call(mesh.client, mesh.server);
    const std::uint64_t begun = boringssl_time;
    for (const std::uint32_t after : {3'000U, 6'000U, kTicketSeconds - 1}) {
      CAPTURE(after);
      boringssl_time = begun + after;
      CHECK(Resumes(mesh.client, mesh.server));
    }
    boringssl_time = begun + kTicketSeconds;
    CHECK(!Resumes(mesh.client, mesh.server));
    boringssl_time += kTicketSeconds - 1;
    CHECK(Resumes(mesh.client, mesh.server));  // by the new proof
  }
}

TEST_CASE("resumption: a ticket says how long it is still good") {
  const Mesh mesh;
  Clocked(mesh.server);
  Call(mesh.client, mesh.server);
  boringssl_time += 7'000;
  REQUIRE(Resumes(mesh.client, mesh.server));
  const PeerMemory::Hints hints = mesh.client->impl().memory->Use(
      std::string(kHere) + ' ' + Service("db").Uri(), std::chrono::system_clock::now());
  REQUIRE(hints.ticket);
  CHECK(SSL_SESSION_get_timeout(hints.ticket.get()) == kTicketSeconds - 7'000);
}

TEST_CASE("resumption: what a server states decides whether its tickets are kept") {
  for (const int version : kVersions) {
    CAPTURE(version);
    CHECK(Kept(version, 7'200) > 0);
    CHECK(Kept(version, kMostStatedSeconds) > 0);
    CHECK(Kept(version, kMostStatedSeconds + 1) == 0);
    CHECK(Kept(version, 604'800) == 0);
    // Nor does the time between the handshake and the ticket make less of what is stated.
    CHECK(Kept(version, 604'800, true) == 0);
    CHECK(Kept(version, kMostStatedSeconds + 1, true) == 0);
    CHECK(Kept(version, kMostStatedSeconds, true) > 0);
  }
}

TEST_CASE(
    "resumption: a caller who is not to get a ticket gets none, the first time or by resuming") {
  for (const int version : kVersions) {
    CAPTURE(version);
    const Mesh mesh(version);
    bool gives = false;
    int asked = 0;
    const auto call = [&](bool resumed) {
      Pair pair = Redial(mesh.client, mesh.server);
      Session* session = nullptr;
      pair.server.session = Session::Accept(mesh.server, [&] {
        ++asked;
        CHECK(session->judgement().id == Service("web"));
        CHECK(session->Rejudge(*mesh.roots).refusal == Refusal::kNone);
        return gives;
      });
      session = pair.server.session.get();
      pair.Shake();
      REQUIRE(pair.server.last == Progress::kDone);
      REQUIRE(pair.client.last == Progress::kDone);
      CHECK(pair.server.session->resumed() == resumed);
      Speak(pair);
    };
    call(false);
    CHECK(asked > 0);
    CHECK(Tickets(mesh.client) == 0);
    gives = true;
    call(false);
    CHECK(Tickets(mesh.client) == Given(version));
    gives = false;
    asked = 0;
    call(true);
    // TLS 1.2: the ticket that resumes goes on serving, and is not renewed.
    CHECK(asked == (version == TLS1_2_VERSION ? 0 : static_cast<int>(Given(version))));
    CHECK(Tickets(mesh.client) == (version == TLS1_2_VERSION ? 1 : Given(version) - 1));
  }
}

TEST_CASE("resumption: a gate that throws costs that connection") {
  for (const int version : kVersions) {
    CAPTURE(version);
    const Mesh mesh(version);
    Pair pair = Redial(mesh.client, mesh.server);
    pair.server.session = Session::Accept(mesh.server, []() -> bool { throw std::bad_alloc(); });
    pair.Shake();
    CHECK(pair.server.last == Progress::kFailed);
    CHECK(pair.server.session->failure() == Failure::kMemory);
    CHECK(Tickets(mesh.client) == 0);
  }
}

#if BORINGSSL_API_VERSION >= 20
TEST_CASE(
    "resumption: a server that no longer takes the remembered group asks for another and still "
    "resumes") {
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

}  // namespace mooring::tls
