// Who is let in, who may stay, and how long: the judging of callers, with real chains and with time
// as an argument.
#include "proxy/data/judge.h"

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/tls_ends.h"

namespace {

using namespace mooring;
using data::CloseReason;
using data::Grace;
using data::Judge;
using data::LivePolicy;
using data::Moment;
using data::Objection;
using net::milliseconds;

std::shared_ptr<const authz::IntentionSet> Web(authz::Action action) {
  authz::Intention intention;
  intention.source_name = "web";
  intention.destination_name = "db";
  intention.action = action;
  return std::make_shared<const authz::IntentionSet>(std::vector<authz::Intention>{intention});
}

// Callers is the session of one caller, web, and a snapshot under which it is let in.
struct Callers {
  Callers() {
    auto identity = std::make_shared<data::Identity>();
    identity->leaf = mint::Own(mesh.LeafFor("db"));
    identity->roots = mesh.roots;
    now.identity = std::move(identity);
    now.inbound = std::make_shared<const data::InboundRules>();
    now.intentions = Web(authz::Action::kAllow);
    now.fallback = authz::DefaultPolicy::kDeny;
    before = now;
  }
  const tls::Session& caller() const { return *pair.server.session; }
  std::optional<Objection> Of(Moment moment) const {
    return Judge(&before, now).OfCaller(caller(), moment);
  }
  void TrustOnly(const mint::Minted& root) {
    auto identity = std::make_shared<data::Identity>(*now.identity);
    identity->roots = mint::Roots(tls::ends::kDomain, {&root});
    now.identity = std::move(identity);
  }

  tls::ends::Mesh mesh;
  tls::ends::Pair pair = tls::ends::Connected(mesh);
  data::Snapshot before;
  data::Snapshot now;
};

constexpr net::MonotonicTime kStart{std::chrono::hours(1)};

}  // namespace

TEST_CASE("judge: a caller who is allowed is let in, and what allows it is said") {
  const Callers callers;
  std::string by;
  CHECK_FALSE(
      Judge(&callers.before, callers.now).OfCaller(callers.caller(), Moment::kEntering, &by));
  CHECK(by.find("web") != std::string::npos);
}

TEST_CASE("judge: one cause has one reason, at the end of a handshake and on a change") {
  Callers callers;
  struct Row {
    const char* what;
    CloseReason entering;
    CloseReason live;
    tls::Alert alert;
  } row{};
  SUBCASE("forbidden") {
    row = {"deny", CloseReason::kDenied, CloseReason::kRevoked, tls::Alert::kAccessDenied};
    callers.now.intentions = Web(authz::Action::kDeny);
  }
  SUBCASE("covered by nothing, and the default is not known") {
    row = {"default", CloseReason::kDenied, CloseReason::kRevoked, tls::Alert::kAccessDenied};
    callers.now.intentions = std::make_shared<const authz::IntentionSet>();
    callers.now.fallback = authz::DefaultPolicy::kUnknown;
  }
  SUBCASE("intentions are not known") {
    row = {"not known", CloseReason::kNotReady, CloseReason::kNotReady, tls::Alert::kAccessDenied};
    callers.now.intentions = nullptr;
  }
  SUBCASE("its root is gone") {
    row = {"no path", CloseReason::kUnknownCa, CloseReason::kRootRemoved, tls::Alert::kUnknownCa};
    callers.TrustOnly(mint::Mint(mint::Ca("Another CA")));
  }
  REQUIRE(row.what != nullptr);
  const auto entering = callers.Of(Moment::kEntering);
  const auto live = callers.Of(Moment::kLive);
  REQUIRE(entering);
  REQUIRE(live);
  CHECK(entering->reason == row.entering);
  CHECK(live->reason == row.live);
  CHECK(entering->alert == row.alert);
  CHECK(live->alert == row.alert);
  CHECK_FALSE(entering->detail.empty());
  CHECK_FALSE(live->detail.empty());
  CHECK(callers.Of(Moment::kInGrace)->reason == row.live);
}

TEST_CASE("judge: what is old admits nobody, and ends nobody") {
  Callers callers;
  SUBCASE("roots") { callers.now.roots_stale = true; }
  SUBCASE("intentions") { callers.now.intentions_stale = true; }
  CHECK(callers.Of(Moment::kEntering)->reason == CloseReason::kStale);
  CHECK_FALSE(callers.Of(Moment::kLive));
  CHECK_FALSE(callers.Of(Moment::kInGrace));
}

TEST_CASE("judge: an identity that was withdrawn admits nobody, and ends nobody") {
  Callers callers;
  callers.now.identity = nullptr;
  CHECK(callers.Of(Moment::kEntering)->reason == CloseReason::kNotReady);
  CHECK_FALSE(callers.Of(Moment::kLive));
}

TEST_CASE("judge: a root that is added takes nothing away") {
  Callers callers;
  const mint::Minted another = mint::Mint(mint::Ca("Another CA"));
  auto identity = std::make_shared<data::Identity>(*callers.now.identity);
  identity->roots = mint::Roots(tls::ends::kDomain, {&callers.mesh.root, &another});
  callers.now.identity = std::move(identity);
  CHECK_FALSE(callers.Of(Moment::kEntering));
  CHECK_FALSE(callers.Of(Moment::kLive));
}

TEST_CASE("judge: a change that an unfinished judge had to look for is not lost to the next") {
  Callers callers;
  callers.now.intentions = Web(authz::Action::kDeny);
  const Judge first(&callers.before, callers.now);
  // The next snapshot changes nothing that concerns callers, and they are still judged by it.
  const data::Snapshot next = callers.now;
  CHECK_FALSE(Judge(&callers.now, next).OfCaller(callers.caller(), Moment::kLive));
  CHECK(Judge(&callers.now, next, &first).OfCaller(callers.caller(), Moment::kLive)->reason ==
        CloseReason::kRevoked);
}

TEST_CASE("judge: an instance is judged by its chain alone") {
  Callers callers;
  callers.now.intentions = Web(authz::Action::kDeny);
  const tls::Session& instance = *callers.pair.client.session;
  CHECK_FALSE(Judge(&callers.before, callers.now).OfInstance(instance, Moment::kLive));
  callers.TrustOnly(mint::Mint(mint::Ca("Another CA")));
  CHECK(Judge(&callers.before, callers.now).OfInstance(instance, Moment::kLive)->reason ==
        CloseReason::kRootRemoved);
}

TEST_CASE("judge: before a handshake, by what we could prove ourselves") {
  Callers callers;
  const tls::WallTime ends = callers.now.identity->leaf->not_after();
  CHECK_FALSE(data::BeforeHandshake(&callers.now, ends));
  const auto expired = data::BeforeHandshake(&callers.now, ends + std::chrono::seconds(1));
  REQUIRE(expired);
  CHECK(expired->reason == CloseReason::kLeafExpired);
  CHECK(expired->alert == tls::Alert::kCertificateExpired);
  callers.now.roots_stale = true;
  CHECK(data::BeforeHandshake(&callers.now, ends - std::chrono::seconds(1))->reason ==
        CloseReason::kStale);
  callers.now.identity = nullptr;
  CHECK(data::BeforeHandshake(&callers.now, ends)->reason == CloseReason::kNotReady);
  CHECK(data::BeforeHandshake(nullptr, ends)->reason == CloseReason::kNotReady);
}

TEST_CASE("grace: it runs from the first objection to the cut, and ends with the objection") {
  LivePolicy policy;
  policy.revoke_grace = milliseconds(1'000);
  const Objection objection{CloseReason::kRevoked, tls::Alert::kAccessDenied, "deny",
                            log::Level::kInfo};
  Grace grace;
  CHECK(grace.moment() == Moment::kLive);
  CHECK(grace.Note(policy, std::nullopt, kStart) == Grace::Then::kGoesOn);
  CHECK(grace.Note(policy, objection, kStart) == Grace::Then::kWaits);
  CHECK(grace.moment() == Moment::kInGrace);
  CHECK(grace.Left(kStart + milliseconds(400)) == milliseconds(600));
  SUBCASE("a second objection does not begin it anew") {
    CHECK(grace.Note(policy, objection, kStart + milliseconds(900)) == Grace::Then::kWaits);
    CHECK(grace.Left(kStart + milliseconds(900)) == milliseconds(100));
    CHECK(grace.Note(policy, objection, kStart + milliseconds(1'000)) == Grace::Then::kEnds);
    CHECK(grace.Left(kStart + milliseconds(2'000)) == milliseconds(0));
  }
  SUBCASE("allowed again within it, and forbidden later: a grace of its own") {
    CHECK(grace.Note(policy, std::nullopt, kStart + milliseconds(500)) == Grace::Then::kGoesOn);
    CHECK_FALSE(grace.objection());
    CHECK(grace.Note(policy, objection, kStart + milliseconds(5'000)) == Grace::Then::kWaits);
    CHECK(grace.Left(kStart + milliseconds(5'000)) == milliseconds(1'000));
  }
  SUBCASE("quiet: an intention's change waits for a pause, a root that is gone for nothing") {
    policy.revoke_quietly = true;
    const Objection root{CloseReason::kRootRemoved, tls::Alert::kUnknownCa, "gone",
                         log::Level::kInfo};
    CHECK(grace.Note(policy, objection, kStart + milliseconds(100)) == Grace::Then::kQuiets);
    CHECK(grace.Left(kStart + milliseconds(100)) == milliseconds(900));
    CHECK(grace.Note(policy, root, kStart + milliseconds(200)) == Grace::Then::kEnds);
    CHECK(grace.objection()->reason == CloseReason::kRootRemoved);
    Grace another;
    CHECK(another.Note(policy, root, kStart) == Grace::Then::kEnds);
    CHECK(another.Note(policy, objection, kStart + milliseconds(1'000)) == Grace::Then::kEnds);
  }
  SUBCASE("quiet without a grace ends at once") {
    policy.revoke_quietly = true;
    policy.revoke_grace = milliseconds(0);
    CHECK(grace.Note(policy, objection, kStart + milliseconds(1)) == Grace::Then::kEnds);
  }
  SUBCASE("a grace that is taken back ends at once") {
    policy.revoke_grace = milliseconds(0);
    CHECK(grace.Note(policy, objection, kStart + milliseconds(1)) == Grace::Then::kEnds);
    CHECK(grace.objection()->detail == "deny");
  }
}
