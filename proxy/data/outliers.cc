#include "proxy/data/outliers.h"

#include <algorithm>
#include <cstddef>

namespace mooring::data {
namespace {

// Many sidecars have met the same failure: what is added by chance spreads their returns.
constexpr double kJitter = 0.25;

// MostSteps: from here on an ejection does not grow any more. The step does not either, or years of
// quiet would have to make up for a night of failures.
unsigned MostSteps(const EjectionRules& rules) {
  const auto steps = rules.longest / std::max(rules.time, net::milliseconds(1));
  return static_cast<unsigned>(std::clamp<net::milliseconds::rep>(steps, 1, 1'000'000));
}

// StepAfterQuiet is what is left of the last ejection's step.
unsigned StepAfterQuiet(const EjectionRules& rules, const Ejection& ejection,
                        net::MonotonicTime now) {
  if (ejection.step() == 0 || rules.quiet.count() <= 0) return ejection.step();
  const auto quiet = std::max<net::milliseconds::rep>(0, (now - ejection.back_at()) / rules.quiet);
  return quiet >= ejection.step() ? 0 : ejection.step() - static_cast<unsigned>(quiet);
}

// MayGo: somebody is left without it, and no more are out than may be.
bool MayGo(const UpstreamRules& rules, const EndpointHistory& history) {
  std::size_t out = 0;
  for (const Endpoint& endpoint : rules.endpoints) {
    if (endpoint.history.get() == &history || endpoint.history->ejection().out()) ++out;
  }
  return out < rules.endpoints.size() && out * 100 <= rules.endpoints.size() * rules.ejection.share;
}

// IsLate: it began before the endpoint's last ejection, or before it was back, and is no news.
bool IsLate(const Ejection& ejection, const Outliers::Attempt& attempt) {
  return ejection.Covers(attempt.began) || (!ejection.out() && attempt.began <= ejection.back_at());
}

}  // namespace

bool InService(const UpstreamRules& rules, const Endpoint& endpoint) {
  return rules.ejection.after == 0 || !endpoint.history->ejection().out();
}

bool Outliers::Failed(const UpstreamRules& rules, EndpointHistory& history, const Attempt& attempt,
                      Random& random) {
  Ejection& ejection = history.ejection();
  const bool news = !IsLate(ejection, attempt);
  const std::int64_t in_a_row = history.Failed(news, attempt.ended);
  const std::int64_t after = rules.ejection.after;
  if (!news || after == 0 || in_a_row < after || ejection.out()) return false;
  // One that was let pass is let pass until it has failed that often again.
  if (rules.ejection.enforced < 100 &&
      (in_a_row % after != 0 || random.Below(100) >= rules.ejection.enforced))
    return false;
  const std::lock_guard lock(changing_);
  if (ejection.Covers(attempt.began) || ejection.out()) return false;  // another was first
  if (!MayGo(rules, history)) return false;
  Eject(rules.ejection, StepAfterQuiet(rules.ejection, ejection, attempt.ended) + 1, ejection,
        attempt.ended, random);
  return true;
}

bool Outliers::ProbeFailed(const UpstreamRules& rules, EndpointHistory& history,
                           const Attempt& attempt, Random& random) {
  Ejection& ejection = history.ejection();
  ejection.ProbeFailed();
  probes_failed_.fetch_add(1, std::memory_order_relaxed);
  if (!ejection.out()) return !IsLate(ejection, attempt) && Failed(rules, history, attempt, random);
  const std::lock_guard lock(changing_);
  if (!ejection.out() || ejection.Covers(attempt.began)) return false;
  Eject(rules.ejection, ejection.step() + 1, ejection, attempt.ended, random);
  return true;
}

bool Outliers::Proven(EndpointHistory& history, const Attempt& attempt) {
  history.Proven(attempt.Took(), attempt.ended);
  Ejection& ejection = history.ejection();
  if (!ejection.out()) return false;
  const std::lock_guard lock(changing_);
  if (!ejection.out() || ejection.Covers(attempt.began)) return false;
  ejection.End(attempt.ended);
  version_.fetch_add(1, std::memory_order_release);
  return true;
}

void Outliers::Eject(const EjectionRules& rules, unsigned step, Ejection& ejection,
                     net::MonotonicTime now, Random& random) {
  step = std::min(step, MostSteps(rules));
  const net::milliseconds time = std::min(rules.time * step, rules.longest);
  const auto by_chance = static_cast<net::milliseconds::rep>(static_cast<double>(time.count()) *
                                                             kJitter * random.Unit());
  ejection.Begin(step, now, now + time + net::milliseconds(by_chance));
  ejections_.fetch_add(1, std::memory_order_relaxed);
  version_.fetch_add(1, std::memory_order_release);
}

}  // namespace mooring::data
