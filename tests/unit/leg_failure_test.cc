// One cause, one reason: what a leg that has failed is called, by how far it had come.
#include "proxy/data/leg_failure.h"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <cerrno>
#include <string_view>
#include <utility>

#include "tests/unit/relay_fixture.h"

namespace {

using namespace mooring;
using data::CloseReason;
using data::DetailOf;
using data::Dialed;
using data::Reached;
using data::ReasonOf;
using data::ReasonOfDial;

// Accepting is one stream in the handshake of a caller, who is the test.
class Accepting final : public net::StreamObserver {
 public:
  Accepting(net::Loop& loop, const tls::ends::Mesh& mesh, test::Sockets sockets = {})
      : caller(std::move(sockets.far)), stream(loop, std::move(sockets.leg), this), loop_(loop) {
    stream.StartTls(tls::Session::Accept(mesh.server));
    stream.WantRead(true);
  }
  void Say(std::string_view text) const {
    REQUIRE(send(caller.get(), text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
  }
  CloseReason Ends() {
    while (!over_) test::Turn(loop_);
    return ReasonOf(stream, Reached::kCallersHandshake);
  }

  net::UniqueFd caller;
  net::Stream stream;

 private:
  void OnReadable(net::Stream&) override {
    over_ = stream.Handshake(true) != tls::Progress::kWantInput;
  }
  void OnDrained(net::Stream&) override {}
  void OnBroken(net::Stream&) override { over_ = true; }

  net::Loop& loop_;
  bool over_ = false;
};

}  // namespace

TEST_CASE("leg failure: a caller that leaves in its handshake") {
  net::Loop loop;
  const tls::ends::Mesh mesh;
  Accepting leg(loop, mesh);
  SUBCASE("without a byte, by a FIN") {
    leg.caller.Reset();
    CHECK(leg.Ends() == CloseReason::kProbe);
  }
  SUBCASE("without a byte, by a reset") {
    net::SetResetOnClose(leg.caller.get());
    leg.caller.Reset();
    CHECK(leg.Ends() == CloseReason::kProbe);
  }
  SUBCASE("after plaintext") {
    leg.Say("GET / HTTP/1.1\r\n\r\n");
    CHECK(leg.Ends() == CloseReason::kNotTls);
    CHECK(DetailOf(leg.stream, Reached::kCallersHandshake) == "HTTP_REQUEST");
  }
  SUBCASE("in the middle of a record, by a FIN") {
    leg.Say(std::string_view("\x16\x03\x01\x00\x40", 5));
    leg.caller.Reset();
    CHECK(leg.Ends() == CloseReason::kHandshakeAborted);
    CHECK(DetailOf(leg.stream, Reached::kCallersHandshake) ==
          "the peer closed during the handshake");
  }
  SUBCASE("in the middle of a record, by a reset") {
    leg.Say(std::string_view("\x16\x03\x01\x00\x40", 5));
    test::Turn(loop);
    net::SetResetOnClose(leg.caller.get());
    leg.caller.Reset();
    CHECK(leg.Ends() == CloseReason::kHandshakeAborted);
    CHECK(DetailOf(leg.stream, Reached::kCallersHandshake) == "Connection reset by peer");
  }
}

TEST_CASE("leg failure: an alert and a reset, before a byte has passed and after") {
  net::Loop loop;
  const tls::ends::Mesh mesh;
  test::TlsLegs legs(loop, loop, mesh);
  const auto read_failed = [&] {
    test::Await(legs.client.fd(), POLLIN);
    net::Stream::ReadStatus status = net::Stream::ReadStatus::kAgain;
    while (status == net::Stream::ReadStatus::kAgain) status = legs.client.Read().status;
    return status == net::Stream::ReadStatus::kFailed;
  };
  SUBCASE("an alert is the peer's word, whenever it comes") {
    legs.server.SendAlert(tls::Alert::kUnknownCa);
    REQUIRE(read_failed());
    for (const Reached reached : {Reached::kCallersHandshake, Reached::kInstancesHandshake,
                                  Reached::kProven, Reached::kLive})
      CHECK(ReasonOf(legs.client, reached) == CloseReason::kPeerAlert);
  }
  SUBCASE("an instance that does not let us in says so by an alert, and is not broken") {
    legs.server.SendAlert(tls::Alert::kAccessDenied);
    REQUIRE(read_failed());
    CHECK(ReasonOf(legs.client, Reached::kInstancesHandshake) == CloseReason::kDenied);
    CHECK(ReasonOf(legs.client, Reached::kProven) == CloseReason::kDenied);
    CHECK(ReasonOf(legs.client, Reached::kLive) == CloseReason::kPeerAlert);
    CHECK(ReasonOf(legs.client, Reached::kCallersHandshake) == CloseReason::kPeerAlert);
    CHECK(DetailOf(legs.client, Reached::kProven) ==
          "the peer sent the alert \"access denied\" (49)");
  }
  SUBCASE("an instance whose fault is its own says so by an alert; a caller has no app") {
    legs.server.SendAlert(tls::Alert::kInternalError);
    REQUIRE(read_failed());
    const std::string said = "the peer sent the alert \"internal error\" (80)";
    const std::string likely =
        ": the instance may not reach its app, or not know now whom to let in";
    CHECK(DetailOf(legs.client, Reached::kInstancesHandshake) == said + likely);
    CHECK(DetailOf(legs.client, Reached::kProven) == said + likely);
    CHECK(DetailOf(legs.client, Reached::kLive) == said + likely);
    CHECK(DetailOf(legs.client, Reached::kCallersHandshake) == said);
  }
  SUBCASE("a reset leaves the next instance to try, or passes on") {
    // The stream keeps the descriptor; to dissolve its connection sends a reset (connect(2)).
    sockaddr nobody{};
    nobody.sa_family = AF_UNSPEC;
    REQUIRE(connect(legs.server.fd(), &nobody, sizeof nobody) == 0);
    REQUIRE(read_failed());
    CHECK(ReasonOf(legs.client, Reached::kProven) == CloseReason::kConnectRefused);
    CHECK(ReasonOf(legs.client, Reached::kLive) == CloseReason::kReset);
    CHECK(DetailOf(legs.client, Reached::kProven) == "Connection reset by peer");
    CHECK(DetailOf(legs.client, Reached::kLive) == "Connection reset by peer");
    CHECK(DetailOf(legs.client, Reached::kInstancesHandshake) ==
          "Connection reset by peer during the handshake: the instance may not reach its app");
  }
}

TEST_CASE("leg failure: a dial that fails") {
  CHECK(ReasonOfDial(ECONNREFUSED, Dialed::kInstance) == CloseReason::kConnectRefused);
  CHECK(ReasonOfDial(EHOSTUNREACH, Dialed::kInstance) == CloseReason::kConnectRefused);
  CHECK(ReasonOfDial(ETIMEDOUT, Dialed::kInstance) == CloseReason::kConnectTimeout);
  for (const int error : {ECONNREFUSED, ETIMEDOUT, ENOENT}) {
    CHECK(ReasonOfDial(error, Dialed::kLocalApp) == CloseReason::kLocalConnectFailed);
  }
  for (const Dialed whom : {Dialed::kInstance, Dialed::kLocalApp}) {
    for (const int error : {EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL})
      CHECK(ReasonOfDial(error, whom) == CloseReason::kOutOfResources);
  }
}
