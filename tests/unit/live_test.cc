// The live part of a connection: what its record holds, when the counters hear of it, and how an
// objection ends it.
#include "proxy/data/live.h"

#include <doctest/doctest.h>

#include <chrono>
#include <optional>
#include <set>

#include "tests/unit/live_fixture.h"
#include "tests/unit/test_clock.h"

namespace {

using namespace mooring;
using data::CloseReason;
using data::Moment;
using data::Objection;
using test::Served;

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

TEST_CASE(
    "live: where it is to end quietly, that is between exchanges, or when its grace is over") {
  using namespace std::chrono_literals;
  test::Clock clock;
  Served served(data::ListenerKind::kPublic);
  data::LivePolicy policy = WithGrace(10'000);
  policy.revoke_quietly = true;
  policy.quiet = 200ms;
  const auto objects = [](Moment) { return std::optional<Objection>(Denied()); };
  const net::MonotonicTime began = served.host.loop().now();
  const auto took = [&] { return served.host.loop().now() - began; };
  const auto await = [&] {
    clock.RunUntil(served.host.loop(), [&] { return served.manner.has_value(); });
  };
  // The client of a public listener is the mesh.
  const auto asks = [&] { served.Say(served.mesh_end.get(), served.app_end.get(), "question"); };
  const auto answers = [&] { served.Say(served.app_end.get(), served.mesh_end.get(), "answer"); };
  SUBCASE("idle: within the second over which a drain spreads them") {
    served.host.Know(policy);
    served.live->OnSnapshot(objects, began);
    await();
    CHECK(served.manner == data::Manner::kBetweenExchanges);
    CHECK(took() < 2s);
  }
  SUBCASE("an answer that is owed is awaited") {
    asks();
    served.host.Know(policy);
    served.live->OnSnapshot(objects, began);
    clock.Skip(served.host.loop(), 5s);
    CHECK_FALSE(served.manner);
    answers();
    await();
    CHECK(served.manner == data::Manner::kBetweenExchanges);
    CHECK(took() >= 5s);
    CHECK(took() < 7s);
  }
  SUBCASE("one that never comes is not, beyond the grace") {
    asks();
    served.host.Know(policy);
    served.live->OnSnapshot(objects, began);
    await();
    CHECK(served.manner == data::Manner::kCut);
    CHECK(served.ended == CloseReason::kRevoked);
    CHECK(took() >= 10s);
    CHECK(took() < 11s);
  }
  SUBCASE("where no silence is one, the grace is all that ends it, cleanly if it may") {
    answers();
    policy.quiet = 0ms;
    served.host.Know(policy);
    served.live->OnSnapshot(objects, began);
    await();
    CHECK(served.manner == data::Manner::kBetweenExchanges);
    CHECK(took() >= 10s);
  }
  SUBCASE("allowed again, it goes on") {
    served.host.Know(policy);
    served.live->OnSnapshot(objects, began);
    served.live->OnSnapshot([](Moment) { return std::optional<Objection>(); }, began);
    clock.Skip(served.host.loop(), 20s);
    test::Turn(served.host.loop());
    CHECK_FALSE(served.manner);
  }
  SUBCASE("a root that is removed cuts at once, whatever waits") {
    served.host.Know(policy);
    served.live->OnSnapshot(objects, began);
    served.live->OnSnapshot(
        [](Moment) {
          Objection gone = Denied();
          gone.reason = CloseReason::kRootRemoved;
          return std::optional<Objection>(gone);
        },
        began);
    CHECK(served.manner == data::Manner::kCut);
    CHECK(served.ended == CloseReason::kRootRemoved);
  }
}

TEST_CASE("live: those that end quietly do so at moments of their own") {
  test::Clock clock;
  std::set<net::milliseconds::rep> moments;
  for (std::uint64_t id = 1; id <= 8; ++id) {
    Served served(data::ListenerKind::kPublic);
    served.record.id = id;
    data::LivePolicy policy = WithGrace(10'000);
    policy.revoke_quietly = true;
    served.host.Know(policy);
    const net::MonotonicTime began = served.host.loop().now();
    served.live->OnSnapshot([](Moment) { return std::optional<Objection>(Denied()); }, began);
    clock.RunUntil(served.host.loop(), [&] { return served.manner.has_value(); });
    const auto took =
        std::chrono::duration_cast<net::milliseconds>(served.host.loop().now() - began);
    moments.insert(took.count() / 100);
  }
  CHECK(moments.size() >= 4);
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
