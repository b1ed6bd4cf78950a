// When a relay is between exchanges, and which instances count as others: what a drain goes by.
#include <doctest/doctest.h>
#include <sys/socket.h>

#include <chrono>
#include <string>
#include <string_view>

#include "proxy/control/departure.h"
#include "tests/unit/relay_fixture.h"

namespace {

using namespace mooring;

constexpr net::milliseconds kNone{0};

// Say sends from `app`, and lets the loop relay until the other end has it.
void Say(net::Loop& loop, int app, int other, std::string_view text) {
  REQUIRE(send(app, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
  std::string got;
  while (got.size() < text.size()) {
    test::Turn(loop);
    char room[64];
    const ssize_t count = recv(other, room, sizeof room, MSG_DONTWAIT);
    if (count > 0) got.append(room, static_cast<std::size_t>(count));
  }
  CHECK(got == text);
}

// Rests waits for `relay` to be between exchanges: the kernel acknowledges what was sent in its own
// time.
bool Rests(net::Loop& loop, const data::Relay& relay, const net::Stream& client) {
  const auto limit = std::chrono::steady_clock::now() + test::kGiveUp;
  while (!relay.BetweenExchanges(client, kNone)) {
    if (std::chrono::steady_clock::now() > limit) return false;
    test::Turn(loop);
  }
  return true;
}

authz::Instance Instance(const std::string& id, const std::string& node, bool critical = false) {
  authz::Instance instance;
  instance.id = id;
  instance.node = node;
  instance.critical = critical;
  return instance;
}

}  // namespace

TEST_CASE("relay: between exchanges is where the server spoke last, or nobody has") {
  net::Loop loop;
  const tls::ends::Mesh mesh;
  test::Path path(loop, mesh);
  data::Relay& relay = path.outbound.relay;
  const net::Stream& client = path.outbound.app_leg;
  CHECK(Rests(loop, relay, client));
  Say(loop, path.outbound.app.get(), path.app.get(), "question");
  CHECK_FALSE(relay.BetweenExchanges(client, kNone));
  Say(loop, path.app.get(), path.outbound.app.get(), "answer");
  CHECK(Rests(loop, relay, client));
  CHECK_FALSE(relay.BetweenExchanges(client, net::milliseconds{60'000}));  // not silent for so long
  SUBCASE("a question that waits in the kernel is one") {
    REQUIRE(send(path.outbound.app.get(), "x", 1, 0) == 1);
    CHECK_FALSE(relay.BetweenExchanges(client, kNone));
  }
  SUBCASE("a client that has ended its direction waits for an answer") {
    shutdown(path.outbound.app.get(), SHUT_WR);
    while (!client.read_ended()) test::Turn(loop);
    CHECK_FALSE(relay.BetweenExchanges(client, kNone));
  }
  SUBCASE("the end is clean on both legs") {
    relay.End(data::CloseReason::kDrained);
    char byte = 0;
    for (const int end : {path.outbound.app.get(), path.app.get()}) {
      ssize_t got = -1;
      while ((got = recv(end, &byte, 1, MSG_DONTWAIT)) < 0 && errno == EAGAIN) test::Turn(loop);
      CHECK(got == 0);
    }
    CHECK(relay.ended());
    relay.Cut(data::CloseReason::kDrainTimeout);  // no reset after the fact
    CHECK(recv(path.outbound.app.get(), &byte, 1, MSG_DONTWAIT) == 0);
  }
}

TEST_CASE("departure: other instances are those with another ID, or on another node") {
  const std::vector<authz::Instance> instances{Instance("pay", "n1"), Instance("pay", "n2"),
                                               Instance("pay2", "n1"),
                                               Instance("pay3", "n1", true)};
  CHECK(control::OtherInstances(instances, "pay", "n1") == 2);
  CHECK(control::OtherInstances(instances, "pay", "n3") == 3);
  CHECK(control::OtherInstances(instances, "pay", "") == 2);  // one of that ID is ours, whichever
  CHECK(control::OtherInstances({Instance("pay", "n2")}, "pay", "") == 0);
  CHECK(control::OtherInstances({}, "pay", "n1") == 0);
}
