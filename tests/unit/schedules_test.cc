// Ten thousand schedules of failures, each at random from a seed: whatever comes in whatever order,
// what must always hold of ejections holds.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <iterator>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "proxy/data/balancing.h"
#include "proxy/data/upstream.h"
#include "proxy/data/upstream_memory.h"

namespace mooring::data {
namespace {

using namespace std::chrono_literals;
using Outcome = LoadBalancer::Outcome;

constexpr int kSchedules = 10'000;
constexpr int kSteps = 80;
constexpr std::size_t kMostEndpoints = 8;

// Schedule is an upstream whose list changes, two workers that search it, and attempts that end in
// any order.
class Schedule {
 public:
  explicit Schedule(std::uint64_t seed) : random_(seed) {
    balance_ = static_cast<Balance>(random_.Below(5));
    NewList();
    for (auto& worker : workers_)
      worker =
          std::make_unique<Upstream>(MakeBalancer(*rules_, random_.Next()), rules_, random_.Next());
  }

  void Step() {
    bool may_be_lost = AllOut();
    switch (random_.Below(8)) {
      case 0: now_ += net::milliseconds(random_.Below(4'000)); break;
      case 1:
        if (random_.Below(4) == 0) {
          NewList();
          for (auto& worker : workers_) worker->Use(rules_);
          may_be_lost = true;  // it may have shrunk to what was out
        }
        break;
      case 2: Probe(); break;
      case 3:
      case 4:
      case 5: Search(); break;
      default: EndOne(); break;
    }
    now_ += 1ms;
    if (!may_be_lost) CHECK_FALSE(AllOut());
    const double seconds = std::chrono::duration<double>(now_ - kBegin).count();
    CHECK(retries_ <= RetryBudget::kMost + 0.2 * connections_ + 3 * seconds + 1);
  }

  // Settle ends what is under way, and has every probe be good: then everybody is back.
  void Settle() {
    while (!pending_.empty()) EndOne();
    for (std::size_t i = 0; i < 2 * kMostEndpoints; ++i) {
      now_ += 40s;
      while (std::optional<Lease> probe = workers_[0]->DueProbe(now_))
        workers_[0]->ReportProbe(*probe, Outcome::kProven, now_, now_);
    }
    for (const Endpoint& endpoint : rules_->endpoints) {
      CHECK(InService(*rules_, endpoint));
      CHECK(endpoint.history->in_flight() == 0);
    }
    CHECK(GivenToOne(/*last_resort=*/false) == rules_->endpoints.size());
  }

  // GivenToOne is how many a search is given that goes on to the end, none of them twice.
  std::size_t GivenToOne(bool last_resort) {
    Choice choice;
    choice.last_resort = last_resort;
    std::vector<const EndpointHistory*> given;
    std::optional<Lease> lease;
    for (workers_[0]->Pick(choice, now_, &lease); lease; workers_[0]->Pick(choice, now_, &lease)) {
      const EndpointHistory* history = lease->endpoint().history.get();
      CHECK(std::find(given.begin(), given.end(), history) == given.end());
      given.push_back(history);
    }
    return given.size();
  }
  std::size_t size() const { return rules_->endpoints.size(); }

 private:
  struct Pending {
    Lease lease;
    std::size_t worker;
    net::MonotonicTime began;
    bool probe;
  };

  void NewList() {
    auto next = std::make_shared<UpstreamRules>();
    next->known = true;
    next->balance = balance_;
    for (std::size_t i = 0; i < kMostEndpoints; ++i) {
      if (random_.Below(2) == 0) continue;
      Endpoint endpoint;
      endpoint.address =
          *net::SocketAddress::FromLiteral(net::Address::Tcp("10.0.0." + std::to_string(i), 1));
      endpoint.nearness = static_cast<Nearness>(random_.Below(kNearnesses));
      endpoint.weight = static_cast<int>(1 + random_.Below(3));
      next->endpoints.push_back(std::move(endpoint));
    }
    std::stable_sort(next->endpoints.begin(), next->endpoints.end(),
                     [](const Endpoint& a, const Endpoint& b) { return a.nearness < b.nearness; });
    memory_.histories.Attach(&next->endpoints);
    next->outliers = memory_.outliers;
    next->kept = memory_.kept;
    rules_ = std::move(next);
  }
  bool AllOut() const {
    return !rules_->endpoints.empty() &&
           std::none_of(rules_->endpoints.begin(), rules_->endpoints.end(),
                        [&](const Endpoint& endpoint) { return InService(*rules_, endpoint); });
  }
  void Search() {
    Choice choice;
    choice.last_resort = random_.Below(4) == 0;
    const std::size_t worker = random_.Below(2);
    memory_.retries->NoteConnection(now_);
    ++connections_;
    const std::uint64_t attempts = 1 + random_.Below(4);
    for (std::uint64_t i = 0; i < attempts; ++i) {
      if (i > 0 && !memory_.retries->Take(now_)) return;
      if (i > 0) ++retries_;
      std::optional<Lease> lease;
      workers_[worker]->Pick(choice, now_, &lease);
      if (!lease) return;
      pending_.push_back({std::move(*lease), worker, now_, false});
    }
  }
  void Probe() {
    const std::size_t worker = random_.Below(2);
    std::optional<Lease> lease = workers_[worker]->DueProbe(now_);
    if (!lease) return;
    const EndpointHistory* history = lease->endpoint().history.get();
    if (const auto last = probed_.find(history); last != probed_.end())
      CHECK(now_ - last->second >= Ejection::kProbeEvery);
    CHECK(now_ >= history->ejection().until());
    probed_[history] = now_;
    kept_alive_.push_back(lease->endpoint().history);
    pending_.push_back({std::move(*lease), worker, now_, true});
  }
  // EndOne ends any attempt that is under way; two of three fail.
  void EndOne() {
    if (pending_.empty()) return;
    const auto place =
        std::next(pending_.begin(), static_cast<std::ptrdiff_t>(random_.Below(pending_.size())));
    const Pending& one = *place;
    const Outcome outcome = random_.Below(3) == 0 ? Outcome::kProven : Outcome::kFailed;
    if (one.probe) {
      workers_[one.worker]->ReportProbe(one.lease, outcome, one.began, now_);
    } else if (random_.Below(8) != 0) {  // the others are given up, and not reported
      workers_[one.worker]->Report(one.lease, outcome, one.began, now_);
    }
    pending_.erase(place);
  }

  Random random_;
  Balance balance_ = Balance::kRandom;
  static constexpr net::MonotonicTime kBegin{1h};

  net::MonotonicTime now_ = kBegin;
  UpstreamMemory memory_;
  std::shared_ptr<const UpstreamRules> rules_;
  std::array<std::unique_ptr<Upstream>, 2> workers_;
  std::list<Pending> pending_;
  int connections_ = 0;
  int retries_ = 0;
  std::map<const EndpointHistory*, net::MonotonicTime> probed_;
  std::vector<std::shared_ptr<const EndpointHistory>> kept_alive_;  // no address comes again
};

TEST_CASE(
    "schedules: of 10,000 at random none has all ejected, loses an endpoint, gives one twice, "
    "probes one twice a second or begins more attempts than the budget has") {
  for (std::uint64_t seed = 0; seed < kSchedules; ++seed) {
    CAPTURE(seed);
    Schedule schedule(seed);
    for (int step = 0; step < kSteps; ++step) schedule.Step();
    CHECK(schedule.GivenToOne(/*last_resort=*/true) == schedule.size());
    schedule.Settle();
  }
}

}  // namespace
}  // namespace mooring::data
