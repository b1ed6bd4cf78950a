#include "tls/session.h"

#include <doctest/doctest.h>

#include <array>
#include <memory>
#include <string>

#include "tests/unit/tls_ends.h"

namespace mooring::tls {

using namespace ends;  // NOLINT: the words that these tests are written in
using mint::KeyKind;
using mint::Mint;
using mint::Minted;

TEST_CASE("session: two sessions shake hands, know each other and pass bytes") {
  for (const int version : kVersions) {
    CAPTURE(version);
    const Mesh mesh(version);
    Pair pair = Connected(mesh);
    const std::string name = version == TLS1_2_VERSION ? "TLSv1.2" : "TLSv1.3";
    for (End* end : {&pair.client, &pair.server}) {
      CHECK(end->session->handshake_done());
      CHECK(end->session->failure() == Failure::kNone);
      CHECK(end->session->version() == name);
      CHECK(end->session->cipher().find("GCM") != std::string::npos);
      CHECK(end->session->group() == (version == TLS1_2_VERSION ? "X25519" : kGroups.front()));
      CHECK(end->session->judgement().refusal == Refusal::kNone);
    }
    CHECK(pair.client.session->judgement().id == Service("db"));
    CHECK(pair.server.session->judgement().id == Service("web"));
    CHECK(pair.server.session->received_sni() == Service("db").Sni());
    CHECK(pair.client.session->received_sni().empty());

    CHECK(pair.client.Write("question"));
    CHECK(pair.server.Write("greeting"));
    pair.server.TakeFrom(pair.client);
    pair.client.TakeFrom(pair.server);
    std::string at_server;
    std::string at_client;
    CHECK(pair.server.Read(&at_server) == Progress::kWantInput);
    CHECK(pair.client.Read(&at_client) == Progress::kWantInput);
    CHECK(at_server == "question");
    CHECK(at_client == "greeting");
  }
}

TEST_CASE("session: a finished handshake leaves bytes that follow it for Read") {
  const Mesh mesh;
  Pair pair = Dial(mesh.client, mesh.server);
  pair.client.Handshake();
  pair.server.TakeFrom(pair.client);
  pair.server.Handshake();
  pair.client.TakeFrom(pair.server);
  REQUIRE(pair.client.Handshake() == Progress::kDone);
  CHECK(pair.client.Write("early"));
  pair.server.TakeFrom(pair.client);
  REQUIRE(pair.server.Handshake() == Progress::kDone);
  CHECK(!pair.server.in.empty());
  CHECK(pair.server.Handshake() == Progress::kDone);
  std::string text;
  CHECK(pair.server.Read(&text) == Progress::kWantInput);
  CHECK(text == "early");
  CHECK(pair.server.in.empty());
}

TEST_CASE("session: no ticket is sent by itself after the handshake") {
  for (const int version : kVersions) {
    CAPTURE(version);
    const Mesh mesh(version);
    Pair pair = Connected(mesh);
    CHECK(!pair.client.session->resumed());
    CHECK(pair.client.in.empty());
    CHECK(pair.server.out.empty());
  }
}

TEST_CASE("session: half-close in either direction, close_notify once") {
  for (const int version : kVersions) {
    CAPTURE(version);
    for (const bool client_first : {true, false}) {
      CAPTURE(client_first);
      const Mesh mesh(version);
      Pair pair = Connected(mesh);
      End& first = client_first ? pair.client : pair.server;
      End& second = client_first ? pair.server : pair.client;
      CHECK(first.Write("last words"));
      first.CloseNotify();
      const std::size_t sent = first.out.size();
      first.CloseNotify();
      CHECK(first.out.size() == sent);
      CHECK(!first.Write("too late"));
      CHECK(first.session->failure() == Failure::kNone);
      second.TakeFrom(first);
      std::string text;
      CHECK(second.Read(&text) == Progress::kClosed);
      CHECK(text == "last words");
      CHECK(second.Read(&text) == Progress::kClosed);

      // The other direction goes on, and at length.
      const std::string answer(300000, 'a');
      CHECK(second.Write(answer));
      second.CloseNotify();
      first.TakeFrom(second);
      std::string received;
      Progress progress = Progress::kDone;
      while (progress == Progress::kDone) progress = first.Read(&received, 20000);
      CHECK(progress == Progress::kClosed);
      CHECK(received == answer);
    }
  }
}

TEST_CASE("session: bytes after close_notify are ignored") {
  const Mesh mesh;
  Pair pair = Connected(mesh);
  pair.client.CloseNotify();
  pair.server.TakeFrom(pair.client);
  pair.server.in.insert(pair.server.in.end(), 100, 'x');
  std::string text;
  CHECK(pair.server.Read(&text) == Progress::kClosed);
  CHECK(text.empty());
  CHECK(pair.server.in.empty());
}

TEST_CASE("session: SendAlert ends the stream as a failure, never as a clean end") {
  for (const int version : kVersions) {
    CAPTURE(version);
    const Mesh mesh(version);
    Pair pair = Connected(mesh);
    const auto send = [&](Wire& wire) {
      pair.server.session->SendAlert(wire, Alert::kAccessDenied);
      return 0;
    };
    CHECK(pair.server.Write("before"));
    pair.server.With(send);
    CHECK(!pair.server.Write("after"));
    const std::size_t sent = pair.server.out.size();
    pair.server.With(send);
    pair.server.CloseNotify();
    CHECK(pair.server.out.size() == sent);
    pair.client.TakeFrom(pair.server);
    std::string text;
    CHECK(pair.client.Read(&text) == Progress::kFailed);
    CHECK(text == "before");
    CHECK(pair.client.session->failure() == Failure::kAlert);
    CHECK(pair.client.session->alert() == 49);
  }
}

TEST_CASE("session: fed a byte at a time it does the same") {
  for (const int version : kVersions) {
    CAPTURE(version);
    const Mesh mesh(version);
    Pair pair = Dial(mesh.client, mesh.server);
    End* sides[] = {&pair.client, &pair.server};
    pair.client.Handshake();
    for (int round = 0; round < 10; ++round) {
      for (int i = 0; i < 2; ++i) {
        End& to = *sides[1 - i];
        WireBytes bytes;
        bytes.swap(sides[i]->out);
        for (const std::uint8_t byte : bytes) {
          to.in.push_back(byte);
          if (to.last == Progress::kWantInput) to.Handshake();
        }
      }
    }
    REQUIRE(pair.client.last == Progress::kDone);
    REQUIRE(pair.server.last == Progress::kDone);

    const std::string sent(40000, 'b');
    CHECK(pair.client.Write(sent));
    pair.client.CloseNotify();
    std::string received;
    Progress progress = Progress::kWantInput;
    for (const std::uint8_t byte : pair.client.out) {
      REQUIRE(progress == Progress::kWantInput);
      pair.server.in.push_back(byte);
      progress = pair.server.Read(&received, 100);
      while (progress == Progress::kDone) progress = pair.server.Read(&received, 100);
    }
    CHECK(progress == Progress::kClosed);
    CHECK(received == sent);
  }
}

TEST_CASE("session: Read stops when its room is full and goes on where it stopped") {
  const Mesh mesh;
  Pair pair = Connected(mesh);
  CHECK(pair.client.Write("0123456789"));
  pair.server.TakeFrom(pair.client);
  std::string text;
  CHECK(pair.server.Read(&text, 4) == Progress::kDone);
  CHECK(text == "0123");
  CHECK(pair.server.Read(&text, 4) == Progress::kDone);
  CHECK(pair.server.Read(&text, 4) == Progress::kWantInput);
  CHECK(text == "0123456789");
  CHECK(pair.server.Write(""));
  CHECK(pair.server.out.empty());
}

TEST_CASE("session: ECDSA, RSA and Ed25519 leaves and roots, TLS 1.2 and 1.3") {
  for (const int version : kVersions) {
    CAPTURE(version);
    for (const KeyKind kind : {KeyKind::kP256, KeyKind::kRsa2048, KeyKind::kEd25519}) {
      const Mesh mesh(version, kind,
                      kind == KeyKind::kRsa2048 ? KeyKind::kRsa2048 : KeyKind::kP256);
      Connected(mesh);
    }
  }
  for (const KeyKind kind : {KeyKind::kP384, KeyKind::kP521}) Connected(Mesh(TLS1_3_VERSION, kind));
}

TEST_CASE("session: each of our groups and TLS 1.2 suites is agreed on with a peer that wants it") {
  const Mesh mesh;
  for (const std::string& group : kGroups) {
    CAPTURE(group);
    Raw peer(false);
    peer.Show(mesh.LeafFor("web"));
    REQUIRE(SSL_CTX_set1_groups_list(peer.ctx.get(), group.c_str()) == 1);
    peer.Start();
    End server = Accepting(mesh);
    CHECK(peer.ShakeWith(server));
    CHECK(server.last == Progress::kDone);
    CHECK(server.session->group() == group);
  }
  for (const char* suite : {"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
                            "ECDHE-ECDSA-CHACHA20-POLY1305"}) {
    CAPTURE(suite);
    Raw peer(false);
    peer.Show(mesh.LeafFor("web"));
    REQUIRE(SSL_CTX_set_max_proto_version(peer.ctx.get(), TLS1_2_VERSION) == 1);
    REQUIRE(SSL_CTX_set_strict_cipher_list(peer.ctx.get(), suite) == 1);
    peer.Start();
    End server = Accepting(mesh);
    CHECK(peer.ShakeWith(server));
    CHECK(server.last == Progress::kDone);
    CHECK(server.session->version() == "TLSv1.2");
  }
}

TEST_CASE("session: ALPN offers are ignored, none is sent, and SNI is not demanded") {
  const Mesh mesh;
  Raw peer(false);
  peer.Show(mesh.LeafFor("web"));
  constexpr std::array<std::uint8_t, 12> kOffer = {2,   'h', '2', 8,   'h', 't',
                                                   't', 'p', '/', '1', '.', '1'};
  REQUIRE(SSL_CTX_set_alpn_protos(peer.ctx.get(), kOffer.data(), kOffer.size()) == 0);
  peer.Start();
  End server = Accepting(mesh);
  CHECK(peer.ShakeWith(server));
  CHECK(server.last == Progress::kDone);
  CHECK(server.session->received_sni().empty());
  const std::uint8_t* chosen = nullptr;
  unsigned length = 0;
  SSL_get0_alpn_selected(peer.ssl.get(), &chosen, &length);
  CHECK(length == 0);

  Raw asking(true);
  asking.Show(mesh.LeafFor("db"));
  static bool asked = false;
  SSL_CTX_set_alpn_select_cb(
      asking.ctx.get(),
      [](SSL*, const std::uint8_t**, std::uint8_t*, const std::uint8_t*, unsigned, void*) {
        asked = true;
        return SSL_TLSEXT_ERR_NOACK;
      },
      nullptr);
  asking.Start();
  End client = Dialling(mesh);
  CHECK(asking.ShakeWith(client));
  CHECK(client.last == Progress::kDone);
  CHECK(!asked);
}

TEST_CASE("session: a client certificate is demanded without naming CAs") {
  const Mesh mesh;
  Raw peer(false);
  static bool asked = false;
  static std::size_t names = 1;
  SSL_CTX_set_cert_cb(
      peer.ctx.get(),
      [](SSL* ssl, void*) {
        asked = true;
        const STACK_OF(CRYPTO_BUFFER)* list = SSL_get0_server_requested_CAs(ssl);
        names = list == nullptr ? 0 : sk_CRYPTO_BUFFER_num(list);
        return 1;
      },
      nullptr);
  peer.Start();
  End server = Accepting(mesh);
  peer.ShakeWith(server);
  CHECK(asked);
  CHECK(names == 0);
}

TEST_CASE("session: one session's failure does not stain another") {
  const Mesh mesh;
  Pair good = Connected(mesh);
  Pair bad = Connected(mesh);
  CHECK(good.client.Write("fine"));
  CHECK(bad.client.Write("bad"));
  bad.client.out.back() ^= 1U;
  bad.server.TakeFrom(bad.client);
  std::string text;
  CHECK(bad.server.Read(&text) == Progress::kFailed);
  CHECK(ERR_peek_error() == 0);
  ERR_put_error(ERR_LIB_SSL, 0, SSL_R_BAD_SIGNATURE, __FILE__,
                __LINE__);  // left by a careless stranger
  good.server.TakeFrom(good.client);
  CHECK(good.server.Read(&text) == Progress::kWantInput);
  CHECK(text == "fine");
}

TEST_CASE("session: Rejudge holds the peer's chain against other roots") {
  for (const int version : kVersions) {
    CAPTURE(version);
    const Mesh mesh(version);
    const Mesh other(version);
    Pair pair = Connected(mesh);
    CHECK(pair.server.session->Rejudge(*mesh.roots).refusal == Refusal::kNone);
    CHECK(pair.server.session->Rejudge(*mesh.roots).id == Service("web"));
    CHECK(pair.server.session->Rejudge(*other.roots).refusal == Refusal::kUnknownCa);
    CHECK(pair.client.session->Rejudge(*other.roots).refusal == Refusal::kUnknownCa);
    const auto both = mint::Roots(kDomain, {&other.root, &mesh.root});
    CHECK(pair.client.session->Rejudge(*both).refusal == Refusal::kNone);
    const auto foreign = mint::Roots("other.consul", {&mesh.root});
    CHECK(pair.client.session->Rejudge(*foreign).refusal == Refusal::kForeignTrustDomain);
    CHECK(pair.server.session->judgement().refusal == Refusal::kNone);
  }
}

TEST_CASE("session: a leaf is shown with its intermediates") {
  const Mesh mesh;
  const Minted intermediate = Mint(mint::Ca("Intermediate"), &mesh.root);
  const Minted leaf = Mint(mint::Leaf(Service("web").Uri()), &intermediate);
  auto client = Context::MeshClient(mint::Own(leaf, {&intermediate}), mesh.roots);
  REQUIRE(client);
  Pair pair = Dial(*client, mesh.server);
  pair.Shake();
  CHECK(pair.server.last == Progress::kDone);
  CHECK(pair.server.session->judgement().id == Service("web"));
}

TEST_CASE("session: sessions outlive the caller's hold on their context") {
  auto mesh = std::make_unique<Mesh>();
  Pair pair = Connected(*mesh);
  mesh.reset();
  CHECK(pair.client.Write("still here"));
  pair.server.TakeFrom(pair.client);
  std::string text;
  CHECK(pair.server.Read(&text) == Progress::kWantInput);
  CHECK(text == "still here");
}

}  // namespace mooring::tls
