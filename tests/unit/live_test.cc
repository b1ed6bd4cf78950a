// The live part of a connection: what its record holds, when the counters hear of it, and how an
// objection ends it.
#include "proxy/data/live.h"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "tests/unit/fake_host.h"
#include "tests/unit/relay_fixture.h"

namespace {

using namespace mooring;
using data::CloseReason;
using data::Moment;
using data::Objection;

// Served is a live part between two plaintext legs, with the test for a connection around it.
class Served final : public data::Live::Owner {
 public:
  explicit Served(data::ListenerKind kind) {
    test::Sockets app;
    test::Sockets mesh;
    app_end = std::move(app.far);
    mesh_end = std::move(mesh.far);
    record.kind = kind;
    app_leg.emplace(host.loop(), std::move(app.leg), nullptr);
    mesh_leg.emplace(host.loop(), std::move(mesh.leg), nullptr);
    host.Know(data::LivePolicy{});
    live.emplace(host, *this, record, *app_leg, *mesh_leg, net::milliseconds{0}, host.loop().now());
    live->Start();
  }
  bool IsSettled() noexcept override { return settled; }
  void OnObjection(const Objection& objection) override {
    objected = objection.detail;
    live->Cut(objection.reason);
  }
  void OnLiveOver(CloseReason reason) noexcept override { ended = reason; }

  void Say(int from, int to, std::string_view text) {
    REQUIRE(send(from, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
    std::string got(text.size(), '\0');
    std::size_t have = 0;
    while (have < got.size()) {
      test::Turn(host.loop());
      const ssize_t more = recv(to, got.data() + have, got.size() - have, MSG_DONTWAIT);
      if (more > 0) have += static_cast<std::size_t>(more);
    }
    CHECK(got == text);
  }
  data::DirectionStats& counters() { return host.counters(record.kind); }

  test::FakeHost host;
  data::Record record;
  net::UniqueFd app_end, mesh_end;
  std::optional<net::Stream> app_leg, mesh_leg;
  std::optional<data::Live> live;
  bool settled = true;
  std::string objected;
  std::optional<CloseReason> ended;
};

data::LivePolicy WithGrace(int milliseconds) {
  data::LivePolicy policy;
  policy.revoke_grace = net::milliseconds(milliseconds);
  return policy;
}

Objection Denied() {
  return {CloseReason::kRevoked, tls::Alert::kAccessDenied, "deny", log::Level::kInfo};
}

}  // namespace

TEST_CASE(
    "live: the record has the bytes of the client both ways, and the counters have each once") {
  for (const auto kind : {data::ListenerKind::kPublic, data::ListenerKind::kUpstream}) {
    Served served(kind);
    const bool inbound = kind == data::ListenerKind::kPublic;
    const int client = inbound ? served.mesh_end.get() : served.app_end.get();
    const int server = inbound ? served.app_end.get() : served.mesh_end.get();
    served.live->Sweep();
    CHECK_FALSE(served.record.first_byte);
    served.Say(client, server, "question");
    served.Say(server, client, "ok");
    CHECK(served.counters().bytes_in.value() == 0);  // the hot path tells nobody
    served.live->Sweep();
    CHECK(served.record.first_byte);
    CHECK(served.record.bytes_in == 8);
    CHECK(served.record.bytes_out == 2);
    CHECK(served.counters().bytes_in.value() == 8);
    CHECK(served.counters().bytes_out.value() == 2);
    served.Say(server, client, "more");
    served.live->Sweep();
    served.live->Sweep();
    CHECK(served.counters().bytes_in.value() == 8);
    CHECK(served.counters().bytes_out.value() == 6);
    served.Say(client, server, "last");
    served.live->Cut(CloseReason::kDrainTimeout);
    CHECK(served.ended == CloseReason::kDrainTimeout);
    CHECK(served.record.bytes_in == 12);
    served.record.Feed(served.counters());  // as who retires it does
    CHECK(served.counters().bytes_in.value() == 12);
    CHECK(served.counters().bytes_out.value() == 6);
  }
}

TEST_CASE("live: an objection ends it at once, or when its grace is over") {
  Served served(data::ListenerKind::kPublic);
  Moment asked = Moment::kEntering;
  const auto objects = [&](Moment moment) {
    asked = moment;
    return std::optional<Objection>(Denied());
  };
  const auto allows = [&](Moment moment) {
    asked = moment;
    return std::optional<Objection>();
  };
  const net::MonotonicTime now = served.host.loop().now();
  SUBCASE("without a grace") {
    served.live->OnSnapshot(objects, now);
    CHECK(asked == Moment::kLive);
    CHECK(served.objected == "deny");
    CHECK(served.ended == CloseReason::kRevoked);
  }
  SUBCASE("with one") {
    served.host.Know(WithGrace(30));
    served.live->OnSnapshot(objects, now);
    CHECK(served.objected.empty());
    test::RunUntil(served.host.loop(), [&] { return served.ended.has_value(); });
    CHECK(served.objected == "deny");
  }
  SUBCASE("the grace counts from the change, however late it is judged") {
    served.host.Know(WithGrace(600'000));
    served.live->OnSnapshot(objects, now - std::chrono::minutes(11));
    test::RunUntil(served.host.loop(), [&] { return served.ended.has_value(); });
    CHECK(served.objected == "deny");
  }
  SUBCASE("allowed again within it") {
    served.host.Know(WithGrace(600'000));
    served.live->OnSnapshot(objects, now);
    served.live->OnSnapshot(allows, now);
    CHECK(asked == Moment::kInGrace);
    CHECK_FALSE(served.ended);
  }
  SUBCASE("not looked at where live connections are kept") {
    data::LivePolicy keep;
    keep.cut_revoked = false;
    served.host.Know(keep);
    served.live->OnSnapshot(objects, now);
    CHECK(asked == Moment::kEntering);
    CHECK_FALSE(served.ended);
  }
  SUBCASE("a snapshot that has not been looked at comes before the end of the grace") {
    served.host.Know(WithGrace(1));
    served.live->OnSnapshot(objects, now);
    served.settled = false;  // the connection was over by it
    bool late = false;
    net::Timer after(served.host.loop(), [&] { late = true; });
    after.Start(net::milliseconds(50));
    test::RunUntil(served.host.loop(), [&] { return late; });
    CHECK(served.objected.empty());
  }
}

TEST_CASE("live: it ends at its largest age") {
  Served served(data::ListenerKind::kPublic);
  data::LivePolicy policy;
  policy.max_age = net::milliseconds(1);
  served.host.Know(policy);
  test::RunUntil(served.host.loop(), [&] {
    served.live->Sweep();
    return served.ended.has_value();
  });
  CHECK(served.ended == CloseReason::kMaxConnectionAge);
}
