// Relays between real sockets on loopback, on the test's own thread, served one turn of the loop at
// a time.
#pragma once

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>

#include <utility>

#include "proxy/data/relay.h"
#include "proxy/net/loop.h"
#include "proxy/net/socket.h"
#include "proxy/net/stream.h"
#include "tests/unit/http_fixture.h"
#include "tests/unit/tls_ends.h"

namespace mooring::test {

// Turn serves once what is ready now.
inline void Turn(net::Loop& loop) {
  loop.Defer([&loop] { loop.Stop(); });
  loop.Run();
}

// Await blocks until the kernel reports `events`; a test that hangs fails instead.
inline void Await(int fd, short events) {
  pollfd look{.fd = fd, .events = events, .revents = 0};
  REQUIRE(poll(&look, 1, static_cast<int>(kGiveUp.count())) == 1);
}

// Sockets is one TCP connection, with the options that the proxy gives to its legs.
struct Sockets {
  Sockets() {
    auto listener = net::Listen(Loopback());
    REQUIRE(listener);
    net::ConnectStart start = net::StartConnect(net::SocketAddress::LocalOf(listener->get()));
    REQUIRE(start.error == 0);
    Await(listener->get(), POLLIN);
    leg = net::UniqueFd(accept4(listener->get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    REQUIRE(leg);
    far = std::move(start.fd);
    Await(far.get(), POLLOUT);
  }

  net::UniqueFd leg;  // for a Stream
  net::UniqueFd far;  // the app's
};

// TlsLegs is one TLS connection between two Streams, which have done the handshake and are idle.
class TlsLegs final : public net::StreamObserver {
 public:
  TlsLegs(net::Loop& client_loop, net::Loop& server_loop, const tls::ends::Mesh& mesh,
          Sockets sockets = {})
      : client(client_loop, std::move(sockets.far), this),
        server(server_loop, std::move(sockets.leg), this) {
    const authz::ServiceId db = tls::ends::Service("db");
    server.StartTls(tls::Session::Accept(mesh.server));
    server.WantRead(true);
    client.StartTls(tls::Session::Connect(mesh.client, db.Sni(), db));
    client.WantRead(true);
    Continue(client, false);
    while (proven_ < 2) {
      Turn(server_loop);
      Turn(client_loop);
    }
  }

  net::Stream client;
  net::Stream server;

 private:
  void OnReadable(net::Stream& stream) override { Continue(stream, true); }
  void OnDrained(net::Stream&) override {}
  void OnBroken(net::Stream& stream) override { FAIL("a leg broke: errno ", stream.error()); }

  void Continue(net::Stream& stream, bool readable) {
    const tls::Progress progress = stream.Handshake(readable);
    if (progress == tls::Progress::kWantInput) return;
    REQUIRE(progress == tls::Progress::kDone);
    stream.WantRead(false);
    ++proven_;
  }

  int proven_ = 0;
};

// Hop is one relay at work, between an app and a TLS leg. The far end of that, `tls.server`, is not
// the relay's.
struct Hop {
  Hop(net::Loop& loop, net::Loop& far_loop, const tls::ends::Mesh& mesh, Sockets sockets = {})
      : app(std::move(sockets.far)),
        app_leg(loop, std::move(sockets.leg), nullptr),
        tls(loop, far_loop, mesh),
        relay(loop, app_leg, tls.client, net::milliseconds{0}, [](data::CloseReason) {}) {
    relay.Start();
  }

  net::UniqueFd app;
  net::Stream app_leg;
  TlsLegs tls;
  data::Relay relay;
};

// Path is a connection's whole way through the mesh on one loop: app, outbound relay, inbound
// relay, app.
struct Path {
  Path(net::Loop& loop, const tls::ends::Mesh& mesh, Sockets sockets = {})
      : outbound(loop, loop, mesh),
        app(std::move(sockets.far)),
        app_leg(loop, std::move(sockets.leg), nullptr),
        inbound(loop, app_leg, outbound.tls.server, net::milliseconds{0},
                [](data::CloseReason) {}) {
    inbound.Start();
  }

  // Kept says that a leg holds bytes that its kernel did not take.
  bool Kept() const {
    return outbound.app_leg.pending() + outbound.tls.client.pending() +
               outbound.tls.server.pending() + app_leg.pending() >
           0;
  }

  Hop outbound;
  net::UniqueFd app;
  net::Stream app_leg;
  data::Relay inbound;
};

}  // namespace mooring::test
