#include <doctest/doctest.h>
#include <openssl/nid.h>

#include <functional>
#include <string>
#include <vector>

#include "tests/unit/tls_ends.h"
#include "tls/session.h"

namespace mooring::tls {

using namespace ends;  // NOLINT: the words that these tests are written in
using mint::KeyKind;
using mint::Mint;
using mint::Minted;
using mint::Recipe;
using std::chrono::hours;

TEST_CASE("session: the dialling side refuses another service than the one intended") {
  for (const int version : kVersions) {
    CAPTURE(version);
    const Mesh mesh(version);
    Pair pair = Dial(mesh.client, mesh.server, Service("billing"));
    pair.Shake();
    CHECK(pair.client.last == Progress::kFailed);
    CHECK(pair.client.session->failure() == Failure::kCertificate);
    CHECK(pair.client.session->judgement().refusal == Refusal::kWrongIdentity);
    CHECK(pair.client.session->judgement().id == Service("db"));
    CHECK(pair.client.session->failure_text().find("san_mismatch") == 0);
    CHECK(!pair.client.Write("secret"));
    CHECK(pair.server.last == Progress::kFailed);
    CHECK(pair.server.session->failure() == Failure::kAlert);
    CHECK(pair.server.session->alert() == 46);
  }
}

TEST_CASE("session: an accepting side's refusal reaches the peer as the alert that fits") {
  struct Row {
    std::function<void(Recipe&)> change;
    bool foreign_ca;
    Refusal refusal;
    int alert;
  };
  const std::vector<Row> rows = {
      {[](Recipe&) {}, true, Refusal::kUnknownCa, 48},
      {[](Recipe& r) { r.from = hours(-2), r.until = hours(-1); }, false, Refusal::kExpired, 45},
      {[](Recipe& r) { r.from = hours(1), r.until = hours(2); }, false, Refusal::kNotYetValid, 45},
      {[](Recipe& r) { r.ca = true; }, false, Refusal::kLeafRules, 42},
      {[](Recipe& r) { r.sans.clear(); }, false, Refusal::kLeafRules, 42},
      {[](Recipe& r) { r.key_usage.clear(); }, false, Refusal::kLeafRules, 42},
      {[](Recipe& r) { r.extended = {NID_server_auth}; }, false, Refusal::kLeafRules, 42},
      {[](Recipe& r) { r.key = KeyKind::kRsa1024; }, false, Refusal::kLeafRules, 42},
      {[](Recipe& r) {
         r.sans = {{GEN_URI, "http://x/"}};
       },
       false, Refusal::kNotSpiffe, 42},
      {[](Recipe& r) {
         r.sans = {{GEN_URI, "spiffe://o.consul/ns/default/dc/dc1/svc/web"}};
       },
       false, Refusal::kForeignTrustDomain, 46},
  };
  for (const int version : kVersions) {
    CAPTURE(version);
    const Mesh mesh(version);
    const Minted fake = Mint(mint::Ca("Mesh CA"));
    for (const Row& row : rows) {
      CAPTURE(RefusalName(row.refusal));
      Recipe recipe = mint::Leaf(Service("web").Uri());
      row.change(recipe);
      Raw peer(false);
      peer.Show(Mint(recipe, row.foreign_ca ? &fake : &mesh.root));
      peer.Start();
      End server = Accepting(mesh);
      peer.ShakeWith(server);
      CHECK(server.last == Progress::kFailed);
      CHECK(server.session->failure() == Failure::kCertificate);
      CHECK(server.session->judgement().refusal == row.refusal);
      CHECK(!server.session->judgement().detail.empty());
      CHECK(server.session->failure_text().find(RefusalName(row.refusal)) == 0);
      CHECK(!server.session->handshake_done());
      CHECK(peer.Alert() == row.alert);
    }
  }
}

TEST_CASE("session: in TLS 1.3 the dialling side learns of a refusal by Read") {
  const Mesh mesh;
  const Mesh other;
  Pair pair = Dial(Mesh::Client(other.LeafFor("web"), mesh.roots), mesh.server);
  pair.Shake();
  CHECK(pair.client.last == Progress::kDone);
  CHECK(pair.server.last == Progress::kFailed);
  CHECK(pair.server.session->judgement().refusal == Refusal::kUnknownCa);
  std::string text;
  CHECK(pair.client.Read(&text) == Progress::kFailed);
  CHECK(text.empty());
  CHECK(pair.client.session->failure() == Failure::kAlert);
  CHECK(pair.client.session->alert() == 48);
  CHECK(pair.client.session->failure_text() == "the peer sent the alert \"unknown CA\" (48)");
  CHECK(pair.client.Read(&text) == Progress::kFailed);
  CHECK(!pair.client.Write("x"));
}

TEST_CASE("session: in TLS 1.2 the dialling side learns of a refusal in its handshake") {
  const Mesh mesh(TLS1_2_VERSION);
  const Mesh other(TLS1_2_VERSION);
  Pair pair = Dial(Mesh::Client(other.LeafFor("web"), mesh.roots), mesh.server);
  pair.Shake();
  CHECK(pair.server.session->judgement().refusal == Refusal::kUnknownCa);
  CHECK(pair.client.last == Progress::kFailed);
  CHECK(pair.client.session->failure() == Failure::kAlert);
  CHECK(pair.client.session->alert() == 48);
}

TEST_CASE("session: a client without a certificate is refused") {
  for (const int version : kVersions) {
    CAPTURE(version);
    const Mesh mesh(version);
    Raw peer(false);
    peer.Start();
    End server = Accepting(mesh);
    peer.ShakeWith(server);
    CHECK(server.last == Progress::kFailed);
    CHECK(server.session->failure() == Failure::kCertificate);
    CHECK(server.session->judgement().refusal == Refusal::kNoCertificate);
    CHECK(peer.Alert() == (version == TLS1_2_VERSION ? 40 : 116));
  }
}

TEST_CASE("session: certificates by the dozen are refused, whether counted or weighed") {
  for (const int count : {20, 200}) {
    CAPTURE(count);
    const Mesh mesh;
    Raw peer(false);
    peer.Show(mesh.LeafFor("web"));
    for (int i = 0; i < count; ++i) {
      const mint::Minted another =
          count == 20 ? mint::Mint(mint::Ca("Another " + std::to_string(i))) : mint::Minted{};
      X509* const one = count == 20 ? another.certificate.get() : mesh.root.certificate.get();
      REQUIRE(SSL_CTX_add1_chain_cert(peer.ctx.get(), one) == 1);
    }
    peer.Start();
    End server = Accepting(mesh);
    peer.ShakeWith(server);
    CHECK(server.last == Progress::kFailed);
    if (count == 20) {
      CHECK(server.session->judgement().refusal == Refusal::kChainTooLong);
    } else {
      CHECK(server.session->failure() == Failure::kProtocol);
    }
  }
}

TEST_CASE("session: a chain that repeats itself is counted once") {
  const Mesh mesh;
  Raw peer(false);
  peer.Show(mesh.LeafFor("web"));
  for (int i = 0; i < 20; ++i)
    REQUIRE(SSL_CTX_add1_chain_cert(peer.ctx.get(), mesh.root.certificate.get()) == 1);
  peer.Start();
  End server = Accepting(mesh);
  peer.ShakeWith(server);
  CHECK(server.session->judgement().refusal == Refusal::kNone);
}

TEST_CASE("session: a server's leaf that breaks the rules is refused by the dialling side") {
  for (const int version : kVersions) {
    CAPTURE(version);
    const Mesh mesh(version);
    for (const auto& usage : {std::vector<int>{}, std::vector<int>{2}, std::vector<int>{0, 5}}) {
      Recipe recipe = mint::Leaf(Service("db").Uri());
      recipe.key_usage = usage;
      recipe.key = KeyKind::kRsa2048;
      Raw peer(true);
      peer.Show(Mint(recipe, &mesh.root));
      peer.Start();
      End client = Dialling(mesh);
      peer.ShakeWith(client);
      CHECK(client.last == Progress::kFailed);
      CHECK(client.session->failure() == Failure::kCertificate);
      CHECK(client.session->judgement().refusal == Refusal::kLeafRules);
    }
  }
}

TEST_CASE("session: plaintext and garbage are told from TLS, and answered by at most an alert") {
  const Mesh mesh;
  const std::vector<std::string> plain = {
      "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
      "POST / HTTP/1.1\r\n\r\n",
      "CONNECT x:1 HTTP/1.1\r\n\r\n",
      "SSH-2.0-OpenSSH_9.2p1\r\n",
      "\n\n\n\n\n\n\n\n",
      std::string(64, '\0'),
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      std::string(64, 'x'),
      "220 mail.example ESMTP\r\n",
  };
  for (const std::string& text : plain) {
    CAPTURE(text);
    End server = Accepting(mesh);
    server.in.assign(text.begin(), text.end());
    CHECK(server.Handshake() == Progress::kFailed);
    CHECK(server.session->failure() == Failure::kNotTls);
    CHECK(!server.session->failure_text().empty());
    CHECK(server.out.size() <= 7);
    CHECK(server.Handshake() == Progress::kFailed);

    End client = Dialling(mesh);
    client.out.clear();
    client.in.assign(text.begin(), text.end());
    CHECK(client.Handshake() == Progress::kFailed);
    CHECK(client.session->failure() == Failure::kNotTls);
  }
}

TEST_CASE("session: alerts in plain, before any handshake message") {
  const Mesh mesh;
  End client = Dialling(mesh);
  client.in = {21, 3, 3, 0, 2, 2, 40};
  CHECK(client.Handshake() == Progress::kFailed);
  CHECK(client.session->failure() == Failure::kAlert);
  CHECK(client.session->alert() == 40);
  End closed = Dialling(mesh);
  closed.in = {21, 3, 3, 0, 2, 1, 0};
  CHECK(closed.Handshake() == Progress::kFailed);
  CHECK(closed.session->failure() == Failure::kProtocol);
  CHECK(closed.session->failure_text() == "the peer ended the handshake");
  CHECK(closed.session->alert() == -1);
}

TEST_CASE(
    "session: a ClientHello above the limit is refused at its length field, however its records "
    "are cut") {
  const Mesh mesh;
  const Bytes head{22, 3, 1, 0x40, 0, 1};  // a record of 16 KiB with a ClientHello
  for (const std::size_t length :
       {kMostHandshakeMessage, kMostHandshakeMessage + 1, std::size_t{0xffffff}}) {
    CAPTURE(length);
    Bytes bytes = head;
    for (const unsigned shift : {16U, 8U, 0U})
      bytes.push_back(static_cast<std::uint8_t>(length >> shift));
    const bool refused = length > kMostHandshakeMessage;
    for (const bool in_pieces : {false, true}) {
      CAPTURE(in_pieces);
      End server = Accepting(mesh);
      for (const std::uint8_t byte : bytes) {
        server.in.push_back(byte);
        if (in_pieces) server.Handshake();
      }
      server.Handshake();
      CHECK(server.last == (refused ? Progress::kFailed : Progress::kWantInput));
      if (!refused) continue;
      CHECK(server.session->failure() == Failure::kProtocol);
      CHECK(server.session->failure_text() == "EXCESSIVE_MESSAGE_SIZE");
      CHECK(server.out.size() == 7);
    }
  }
}

TEST_CASE("session: random bytes never get through a handshake") {
  const Mesh mesh;
  std::uint32_t state = 12345;
  for (int i = 0; i < 2000; ++i) {
    End server = Accepting(mesh);
    for (int j = 0; j < 200; ++j) {
      state = state * 1664525U + 1013904223U;
      server.in.push_back(static_cast<std::uint8_t>(state >> 24U));
    }
    if (i % 2 == 1) {  // with a record header that could be right
      server.in[0] = 22;
      server.in[1] = 3;
      server.in[3] = 0;
      server.in[4] = 150;
    }
    CHECK(server.Handshake() != Progress::kDone);
    CHECK(!server.session->handshake_done());
  }
}

TEST_CASE("session: an old protocol version is refused, and said to be that") {
  const Mesh mesh;
  Raw peer(false);
  peer.Show(mesh.LeafFor("web"));
  REQUIRE(SSL_CTX_set_min_proto_version(peer.ctx.get(), TLS1_VERSION) == 1);
  REQUIRE(SSL_CTX_set_max_proto_version(peer.ctx.get(), TLS1_1_VERSION) == 1);
  peer.Start();
  End server = Accepting(mesh);
  CHECK(!peer.ShakeWith(server));
  CHECK(server.last == Progress::kFailed);
  CHECK(server.session->failure() == Failure::kVersion);

  Raw old(true);
  old.Show(mesh.LeafFor("db"));
  REQUIRE(SSL_CTX_set_min_proto_version(old.ctx.get(), TLS1_VERSION) == 1);
  REQUIRE(SSL_CTX_set_max_proto_version(old.ctx.get(), TLS1_1_VERSION) == 1);
  old.Start();
  End client = Dialling(mesh);
  old.ShakeWith(client);
  CHECK(client.last == Progress::kFailed);
  CHECK(client.session->failure() == Failure::kAlert);
  CHECK(client.session->alert() == 70);
}

TEST_CASE("session: a peer with no cipher or group of ours is refused, and said to be that") {
  const Mesh mesh;
  Raw cbc(false);
  cbc.Show(mesh.LeafFor("web"));
  REQUIRE(SSL_CTX_set_max_proto_version(cbc.ctx.get(), TLS1_2_VERSION) == 1);
  REQUIRE(SSL_CTX_set_strict_cipher_list(cbc.ctx.get(),
                                         "ECDHE-ECDSA-AES128-SHA:AES128-GCM-SHA256") == 1);
  cbc.Start();
  End server = Accepting(mesh);
  CHECK(!cbc.ShakeWith(server));
  CHECK(server.session->failure() == Failure::kNoCommonCipher);

  for (const int version : kVersions) {
    CAPTURE(version);
    Raw curves(false);
    curves.Show(mesh.LeafFor("web"));
    REQUIRE(SSL_CTX_set_max_proto_version(curves.ctx.get(), static_cast<std::uint16_t>(version)) ==
            1);
    REQUIRE(SSL_CTX_set1_groups_list(curves.ctx.get(), "P-521") == 1);
    curves.Start();
    End second = Accepting(mesh);
    CHECK(!curves.ShakeWith(second));
    CHECK(second.session->failure() == Failure::kNoCommonCipher);
  }
}

TEST_CASE("session: a damaged record fails the stream after delivering what came before") {
  const Mesh mesh;
  Pair pair = Connected(mesh);
  CHECK(pair.client.Write("good"));
  const std::size_t good = pair.client.out.size();
  CHECK(pair.client.Write("damaged"));
  pair.client.out[good + 7] ^= 1U;
  pair.server.TakeFrom(pair.client);
  std::string text;
  CHECK(pair.server.Read(&text) == Progress::kFailed);
  CHECK(text == "good");
  CHECK(pair.server.session->failure() == Failure::kProtocol);
  CHECK(!pair.server.out.empty());  // the alert
  pair.client.TakeFrom(pair.server);
  CHECK(pair.client.Read(&text) == Progress::kFailed);
  CHECK(pair.client.session->failure() == Failure::kAlert);
  CHECK(pair.client.session->alert() == 20);
}

TEST_CASE("session: renegotiation is refused") {
  const Mesh mesh(TLS1_2_VERSION);
  Raw peer(true);
  peer.Show(mesh.LeafFor("db"));
  SSL_CTX_set_custom_verify(peer.ctx.get(), SSL_VERIFY_PEER,
                            [](SSL*, std::uint8_t*) { return ssl_verify_ok; });
  REQUIRE(SSL_CTX_set_max_proto_version(peer.ctx.get(), TLS1_2_VERSION) == 1);
  peer.Start();
  End client = Dialling(mesh);
  REQUIRE(peer.ShakeWith(client));
  REQUIRE(client.last == Progress::kDone);
  // BoringSSL servers never ask for it, so the HelloRequest is unencrypted: refused either way.
  client.in = {22, 3, 3, 0, 4, 0, 0, 0, 0};
  std::string text;
  CHECK(client.Read(&text) == Progress::kFailed);
  CHECK(client.session->failure() == Failure::kProtocol);
}

TEST_CASE("session: calls out of order fail and never pass bytes") {
  const Mesh mesh;
  End client = Dialling(mesh);
  client.out.clear();
  CHECK(!client.Write("too early"));
  CHECK(client.out.empty());
  CHECK(client.session->failure() == Failure::kProtocol);
  CHECK(client.Handshake() == Progress::kFailed);
  End server = Accepting(mesh);
  server.CloseNotify();
  CHECK(server.out.empty());
  std::string text;
  CHECK(server.Read(&text) == Progress::kFailed);
  CHECK(server.session->version().empty());
  CHECK(server.session->cipher().empty());
}

TEST_CASE("session: a context serves only the role that it was made for") {
  const Mesh mesh;
  CHECK(Session::Accept(mesh.client)->failure() == Failure::kProtocol);
  CHECK(Session::Connect(mesh.server, "db", Service("db"))->failure() == Failure::kProtocol);
  CHECK(Session::ConnectHttps(mesh.client, "localhost")->failure() == Failure::kProtocol);
  const auto long_name = Session::Connect(mesh.client, std::string(300, 'x'), Service("db"));
  CHECK(long_name->failure() == Failure::kProtocol);
  WireBytes out;
  Wire wire{{}, out};
  CHECK(long_name->Handshake(wire) == Progress::kFailed);
  CHECK(out.empty());
}

}  // namespace mooring::tls
