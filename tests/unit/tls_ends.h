// The two ends of a TLS connection for tests: Sessions over byte vectors, and a peer that is not
// ours.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/mint.h"
#include "tls/boringssl.h"
#include "tls/context_impl.h"
#include "tls/session.h"

namespace mooring::tls::ends {

using Bytes = std::vector<std::uint8_t>;

inline const std::string kDomain = "11111111-2222-3333-4444-555555555555.consul";

inline authz::ServiceId Service(const std::string& name) {
  return {kDomain, "", "default", "dc1", name};
}

// Mesh is a CA with the contexts of two services, web (which dials) and db (which accepts).
struct Mesh {
  explicit Mesh(int max_version = TLS1_3_VERSION, mint::KeyKind kind = mint::KeyKind::kP256,
                mint::KeyKind root_kind = mint::KeyKind::kP256) {
    mint::Recipe ca = mint::Ca("Mesh CA");
    ca.key = root_kind;
    root = mint::Mint(ca);
    roots = mint::Roots(kDomain, {&root});
    server = Server(LeafFor("db", kind), roots);
    client = Client(LeafFor("web", kind), roots);
    for (const auto& context : {server, client}) {
      REQUIRE(SSL_CTX_set_max_proto_version(context->impl().ssl_ctx.get(),
                                            static_cast<std::uint16_t>(max_version)) == 1);
    }
  }

  mint::Minted LeafFor(const std::string& name, mint::KeyKind kind = mint::KeyKind::kP256) const {
    mint::Recipe recipe = mint::Leaf(Service(name).Uri());
    recipe.key = kind;
    return mint::Mint(recipe, &root);
  }
  static std::shared_ptr<const Context> Server(const mint::Minted& leaf,
                                               std::shared_ptr<const TrustBundle> roots) {
    auto made = Context::MeshServer(mint::Own(leaf), std::move(roots));
    REQUIRE(made);
    return *made;
  }
  static std::shared_ptr<const Context> Client(const mint::Minted& leaf,
                                               std::shared_ptr<const TrustBundle> roots) {
    auto made = Context::MeshClient(mint::Own(leaf), std::move(roots));
    REQUIRE(made);
    return *made;
  }

  mint::Minted root;
  std::shared_ptr<const TrustBundle> roots;
  std::shared_ptr<const Context> server;
  std::shared_ptr<const Context> client;
};

// LeafUntil is a leaf that ends so long after now.
inline mint::Minted LeafUntil(const Mesh& mesh, const std::string& name,
                              std::chrono::seconds until) {
  mint::Recipe recipe = mint::Leaf(Service(name).Uri());
  recipe.until = until;
  return mint::Mint(recipe, &mesh.root);
}

// End is one side: a Session with the bytes that wait to be taken in and those to be sent.
struct End {
  std::unique_ptr<Session> session;
  Bytes in;
  WireBytes out;
  Progress last = Progress::kWantInput;

  template <typename Call>
  auto With(const Call& call) {
    Wire wire{in, out};
    auto result = call(wire);
    in.erase(in.begin(), in.end() - static_cast<std::ptrdiff_t>(wire.in.size()));
    return result;
  }
  Progress Handshake() {
    return last = With([&](Wire& wire) { return session->Handshake(wire); });
  }
  Progress Read(std::string* text, std::size_t room = 1 << 16) {
    // Kept: to clear so much anew for each read would take longer than the read.
    static thread_local Bytes plain;
    plain.resize(std::max(plain.size(), room));
    std::size_t length = 0;
    const Progress progress = With(
        [&](Wire& wire) { return session->Read(wire, std::span(plain).first(room), &length); });
    text->append(plain.begin(), plain.begin() + static_cast<std::ptrdiff_t>(length));
    return progress;
  }
  bool Write(const std::string& text) {
    const Bytes plain(text.begin(), text.end());
    return With([&](Wire& wire) { return session->Write(wire, plain); });
  }
  void CloseNotify() {
    With([&](Wire& wire) {
      session->CloseNotify(wire);
      return 0;
    });
  }
  void TakeFrom(End& other) {
    in.insert(in.end(), other.out.begin(), other.out.end());
    other.out.clear();
  }
};

struct Pair {
  End client;
  End server;

  // Shake runs both handshakes until neither has anything to send.
  void Shake() {
    for (int i = 0; i < 20; ++i) {
      if (client.last == Progress::kWantInput) client.Handshake();
      server.TakeFrom(client);
      if (server.last == Progress::kWantInput) server.Handshake();
      client.TakeFrom(server);
      if (client.in.empty() && client.out.empty() && client.last != Progress::kWantInput) return;
      if (client.last == Progress::kDone && server.last != Progress::kWantInput) return;
      if (client.last == Progress::kFailed && server.last == Progress::kFailed) return;
    }
  }
};

inline Pair Dial(const std::shared_ptr<const Context>& client,
                 const std::shared_ptr<const Context>& server,
                 const authz::ServiceId& expected = Service("db")) {
  Pair pair;
  pair.client.session = Session::Connect(client, expected.Sni(), expected);
  pair.server.session = Session::Accept(server);
  return pair;
}

inline Pair Connected(const Mesh& mesh) {
  Pair pair = Dial(mesh.client, mesh.server);
  pair.Shake();
  REQUIRE(pair.client.last == Progress::kDone);
  REQUIRE(pair.server.last == Progress::kDone);
  return pair;
}

// Raw is a peer that is not ours: plain BoringSSL over memory BIOs, set up as each test likes.
struct Raw {
  explicit Raw(bool server) : ctx(SSL_CTX_new(TLS_method())), is_server(server) {}

  void Show(const mint::Minted& leaf) const {
    REQUIRE(SSL_CTX_use_certificate(ctx.get(), leaf.certificate.get()) == 1);
    REQUIRE(SSL_CTX_use_PrivateKey(ctx.get(), leaf.key.get()) == 1);
  }
  void Start() {
    ssl.reset(SSL_new(ctx.get()));
    BIO* in = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(in, -1);
    SSL_set_bio(ssl.get(), in, BIO_new(BIO_s_mem()));
    if (is_server) {
      SSL_set_accept_state(ssl.get());
    } else {
      SSL_set_connect_state(ssl.get());
    }
  }
  // ShakeWith runs the handshake against an End; true: this side finished.
  bool ShakeWith(End& end) {
    bool done = false;
    for (int i = 0; i < 20; ++i) {
      done = SSL_do_handshake(ssl.get()) == 1;
      ERR_clear_error();
      Bytes chunk(1 << 16);
      const int count =
          BIO_read(SSL_get_wbio(ssl.get()), chunk.data(), static_cast<int>(chunk.size()));
      if (count > 0) end.in.insert(end.in.end(), chunk.begin(), chunk.begin() + count);
      if (end.last == Progress::kWantInput) end.Handshake();
      const bool quiet = end.out.empty() && count <= 0;
      if (!end.out.empty())
        BIO_write(SSL_get_rbio(ssl.get()), end.out.data(), static_cast<int>(end.out.size()));
      end.out.clear();
      if (quiet) break;
    }
    return done;
  }
  // Alert is the number of the alert that Read fails by.
  int Alert() {
    char byte = 0;
    SSL_read(ssl.get(), &byte, 1);
    int alert = -1;
    while (const std::uint32_t packed = ERR_get_error()) {
      const int reason = ERR_GET_REASON(packed);
      if (ERR_GET_LIB(packed) == ERR_LIB_SSL && reason >= 1000) alert = reason - 1000;
    }
    return alert;
  }

  bssl::UniquePtr<SSL_CTX> ctx;
  bool is_server;
  bssl::UniquePtr<SSL> ssl;
};

// Accepting is an End that waits for a Raw client.
inline End Accepting(const Mesh& mesh) {
  End end;
  end.session = Session::Accept(mesh.server);
  return end;
}

inline End Dialling(const Mesh& mesh, const authz::ServiceId& expected = Service("db")) {
  End end;
  end.session = Session::Connect(mesh.client, expected.Sni(), expected);
  end.Handshake();
  return end;
}

// Our groups, the preferred one first.
inline const std::vector<std::string> kGroups = {
#if BORINGSSL_API_VERSION >= 20
    "X25519MLKEM768",
#endif
    "X25519", "P-256"};

inline constexpr std::array kVersions = {TLS1_2_VERSION, TLS1_3_VERSION};

}  // namespace mooring::tls::ends
