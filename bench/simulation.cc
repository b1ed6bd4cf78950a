#include "bench/simulation.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <utility>

#include "proxy/data/balancing.h"
#include "proxy/data/upstream.h"
#include "proxy/data/upstream_memory.h"

namespace mooring::bench {
namespace {

using namespace std::chrono_literals;
using data::Lease;
using Outcomes = data::LoadBalancer::Outcome;
using Time = net::MonotonicTime;
using std::chrono::microseconds;

constexpr net::milliseconds kConnectTimeout{5'000};
constexpr net::milliseconds kAttemptDelay{250};
constexpr std::size_t kMostAttempts = 10;
constexpr std::size_t kShares = 3;  // of the deadline, in turn

constexpr microseconds kRefuses{1'000};
constexpr double kConnects = 3'000, kConnectsSlowly = 100'000;  // mean, in microseconds
constexpr double kSession = 200'000, kSlowSession = 1'000'000;  // mean
constexpr double kCrowded = 20;  // open connections at which an instance takes twice as long

// Run is one simulation. Its events are functions, in the order of their times.
class Run {
 public:
  Run(const World& world, const Method& method, std::uint64_t seed)
      : world_(world), method_(method), random_(seed) {
    outcome_.served.resize(world.instances);
    outcome_.most_open.resize(world.instances);
    open_.resize(world.instances);
    auto rules = std::make_shared<data::UpstreamRules>();
    rules->known = true;
    rules->balance = method.balance;
    if (!method.ejects) rules->ejection.after = 0;
    for (std::size_t i = 0; i < world.instances; ++i) {
      data::Endpoint endpoint;
      endpoint.address =
          *net::SocketAddress::FromLiteral(net::Address::Tcp("10.0.0." + std::to_string(i), 1));
      rules->endpoints.push_back(std::move(endpoint));
    }
    memory_.histories.Attach(&rules->endpoints);
    rules->outliers = memory_.outliers;
    rules->kept = memory_.kept;
    rules_ = rules;
    for (auto& worker : workers_)
      worker = std::make_unique<data::Upstream>(data::MakeBalancer(*rules, random_.Next()), rules_,
                                                random_.Next());
  }

  Outcome Go() {
    const Time end = now_ + world_.length;
    At(now_, [this, end] { Arrive(end); });
    while (!events_.empty()) {
      Event event = events_.top();
      events_.pop();
      now_ = event.at;
      event.what();
    }
    std::sort(outcome_.took.begin(), outcome_.took.end());
    outcome_.ejections = memory_.outliers->ejections();
    return std::move(outcome_);
  }

 private:
  struct Attempt {
    Lease lease;
    std::size_t instance;
    Time began;
    bool over = false;
  };
  // Search is one connection's.
  struct Search {
    std::size_t worker = 0;
    Time began;
    data::Choice choice;
    std::vector<std::shared_ptr<Attempt>> attempts;
    bool over = false;
  };
  struct Event {
    Time at;
    std::uint64_t number;  // of two at one time the one that was planned first
    std::function<void()> what;
    bool operator<(const Event& other) const {
      return at != other.at ? at > other.at : number > other.number;
    }
  };

  void At(Time time, std::function<void()> what) {
    events_.push({time, planned_++, std::move(what)});
  }
  microseconds ByChance(double mean) {
    return microseconds(static_cast<microseconds::rep>(-mean * std::log(1 - random_.Unit())));
  }
  bool IsSlow(std::size_t instance) const { return instance < world_.slow; }
  bool Fails(std::size_t instance) const {
    const auto since = now_ - kBegin;
    return !IsSlow(instance) && instance < world_.slow + world_.failing &&
           since >= world_.fails_from && since < world_.fails_until;
  }
  bool Refuses(std::size_t instance) const { return (instance - world_.slow) % 2 == 1; }
  // Answer is how long an instance takes to prove itself; absent: it never does.
  std::optional<microseconds> Answer(std::size_t instance) {
    if (Fails(instance)) return std::nullopt;
    const double mean = IsSlow(instance) ? kConnectsSlowly : kConnects;
    const double crowd = 1 + static_cast<double>(open_[instance]) / kCrowded;
    return microseconds(static_cast<microseconds::rep>(crowd * mean / 2)) +
           ByChance(crowd * mean / 2);
  }
  std::size_t IndexOf(const Lease& lease) const {
    for (std::size_t i = 0; i < rules_->endpoints.size(); ++i) {
      if (rules_->endpoints[i].history == lease.endpoint().history) return i;
    }
    return 0;
  }

  void Arrive(Time end) {
    auto search = std::make_shared<Search>();
    search->worker = outcome_.connections++ % workers_.size();
    search->began = now_;
    At(now_ + kConnectTimeout, [this, search] { GiveUp(search); });
    Probe(search->worker);
    TryNext(search);
    const Time next = now_ + ByChance(1e6 / world_.rate);
    if (next < end) At(next, [this, end] { Arrive(end); });
  }

  void Probe(std::size_t worker) {
    std::optional<Lease> due = workers_[worker]->DueProbe(now_);
    if (!due) return;
    ++outcome_.dials;
    const auto probe = std::make_shared<Lease>(std::move(*due));
    const std::size_t instance = IndexOf(*probe);
    const std::optional<microseconds> answer = Answer(instance);
    const microseconds takes = answer              ? *answer
                               : Refuses(instance) ? kRefuses
                                                   : microseconds(kConnectTimeout);
    At(now_ + takes, [this, worker, probe, began = now_, good = answer.has_value()] {
      workers_[worker]->ReportProbe(*probe, good ? Outcomes::kProven : Outcomes::kFailed, began,
                                    now_);
    });
  }

  void TryNext(const std::shared_ptr<Search>& search) {
    const bool idle = std::all_of(search->attempts.begin(), search->attempts.end(),
                                  [](const auto& attempt) { return attempt->over; });
    search->choice.last_resort = idle && method_.search != Method::Search::kOnce;
    std::optional<Lease> lease;
    const bool may =
        search->attempts.size() < (method_.search == Method::Search::kOnce ? 1 : kMostAttempts);
    if (may) workers_[search->worker]->Pick(search->choice, now_, &lease);
    if (!lease) {
      if (idle) GiveUp(search);
      return;
    }
    ++outcome_.dials;
    const std::size_t instance = IndexOf(*lease);
    if (search->attempts.empty() && Fails(instance)) ++outcome_.first_failing;
    auto attempt = std::make_shared<Attempt>(Attempt{std::move(*lease), instance, now_});
    search->attempts.push_back(attempt);
    if (const auto answer = Answer(instance)) {
      At(now_ + *answer, [this, search, attempt] { OnProven(search, attempt); });
    } else if (Refuses(instance)) {
      At(now_ + kRefuses, [this, search, attempt] { OnFailed(search, attempt); });
    }
    if (method_.search == Method::Search::kOverlapping) {
      At(now_ + kAttemptDelay, [this, search, attempt] {
        if (!search->over && !attempt->over && attempt == search->attempts.back()) TryNext(search);
      });
    } else if (method_.search == Method::Search::kInTurn) {
      const std::size_t ahead = world_.instances + 1 - search->attempts.size();
      const auto left = search->began + kConnectTimeout - now_;
      At(now_ + left / static_cast<int>(std::min(ahead, kShares)),
         [this, search, attempt] { OnFailed(search, attempt); });
    }
  }

  void OnFailed(const std::shared_ptr<Search>& search, const std::shared_ptr<Attempt>& attempt) {
    if (search->over || attempt->over) return;
    Blame(*search, *attempt);
    if (attempt == search->attempts.back()) TryNext(search);
  }

  void OnProven(const std::shared_ptr<Search>& search, const std::shared_ptr<Attempt>& winner) {
    if (search->over || winner->over) return;
    search->over = true;
    workers_[search->worker]->Report(winner->lease, Outcomes::kProven, winner->began, now_);
    // One that was overtaken is to blame, unless the winner took as long itself.
    for (const auto& attempt : search->attempts) {
      if (attempt == winner || attempt->over) continue;
      const bool overtaken =
          attempt->began < winner->began && now_ - attempt->began >= kAttemptDelay;
      if (overtaken && now_ - winner->began <= kAttemptDelay) {
        Blame(*search, *attempt);
      } else {
        attempt->over = true;
      }
    }
    outcome_.took.push_back(std::chrono::duration_cast<microseconds>(now_ - search->began));
    const std::size_t instance = winner->instance;
    ++outcome_.served[instance];
    outcome_.most_open[instance] = std::max(outcome_.most_open[instance], ++open_[instance]);
    std::erase_if(search->attempts, [&](const auto& attempt) { return attempt != winner; });
    // The lease lasts as long as the session.
    At(now_ + ByChance(IsSlow(instance) ? kSlowSession : kSession),
       [this, search, winner, instance] {
         --open_[instance];
         search->attempts.clear();
       });
  }

  void Blame(Search& search, Attempt& attempt) {
    attempt.over = true;
    workers_[search.worker]->Report(attempt.lease, Outcomes::kFailed, attempt.began, now_);
  }

  void GiveUp(const std::shared_ptr<Search>& search) {
    if (search->over) return;
    search->over = true;
    for (const auto& attempt : search->attempts) {
      if (!attempt->over) Blame(*search, *attempt);
    }
    search->attempts.clear();
    ++outcome_.errors;
  }

  static constexpr Time kBegin{1h};

  const World world_;
  const Method method_;
  data::Random random_;
  data::UpstreamMemory memory_;
  std::shared_ptr<const data::UpstreamRules> rules_;
  std::array<std::unique_ptr<data::Upstream>, 2> workers_;
  std::priority_queue<Event> events_;
  std::uint64_t planned_ = 0;
  Time now_ = kBegin;
  std::vector<std::size_t> open_;  // sessions, by instance
  Outcome outcome_;
};

}  // namespace

microseconds Outcome::At(double part) const {
  if (took.empty()) return microseconds(0);
  const auto place = static_cast<std::size_t>(part * static_cast<double>(took.size()));
  return took[std::min(place, took.size() - 1)];
}

Outcome Simulate(const World& world, const Method& method, std::uint64_t seed) {
  return Run(world, method, seed).Go();
}

}  // namespace mooring::bench
