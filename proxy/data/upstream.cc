#include "proxy/data/upstream.h"

#include "proxy/data/balancing.h"

namespace mooring::data {

void Upstream::Use(std::shared_ptr<const UpstreamRules> rules) noexcept {
  if (rules_ == rules) return;
  balancer_->Use(rules->endpoints);
  rules_ = std::move(rules);
  ++list_;
  seen_.reset();
}

void Upstream::Follow() {
  if (balance_ != rules_->balance) {
    auto balancer = MakeBalancer(*rules_, random_.Next());
    balancer->Use(rules_->endpoints);
    balancer_ = std::move(balancer);
    balance_ = rules_->balance;
  }
  const std::uint64_t version = rules_->outliers ? rules_->outliers->version() : 0;
  if (seen_ == version) return;
  preference_ = Prefer(*rules_);
  out_.clear();
  for (std::size_t i = 0; i < rules_->endpoints.size(); ++i) {
    if (!InService(*rules_, rules_->endpoints[i])) out_.push_back(i);
  }
  seen_ = version;
}

void Upstream::Pick(Choice& choice, net::MonotonicTime now, std::optional<Lease>* lease) {
  lease->reset();
  Follow();
  const std::size_t all = rules_->endpoints.size();
  // By rules that eject nobody, who was ejected before is given like any other.
  const bool ejects = rules_->ejection.after > 0;
  const Endpoint* given = balancer_->Pick(choice, {preference_.near, !ejects}, now);
  if (given == nullptr && preference_.near < all)
    given = balancer_->Pick(choice, {all, !ejects}, now);
  if (given == nullptr && ejects && (preference_.none_left || choice.last_resort))
    given = balancer_->Pick(choice, {all, true}, now);
  if (given != nullptr) lease->emplace(*given, list_);
}

void Upstream::Report(const Lease& lease, LoadBalancer::Outcome outcome, net::MonotonicTime began,
                      net::MonotonicTime now) noexcept {
  EndpointHistory& history = *lease.endpoint().history;
  if (outcome == LoadBalancer::Outcome::kProven) {
    if (!rules_->outliers) {
      history.Proven(std::chrono::duration_cast<std::chrono::microseconds>(now - began), now);
    } else if (rules_->outliers->Proven(history, {began, now})) {
      SayBack(lease);
    }
  } else if (!rules_->outliers) {
    history.Failed(/*news=*/true, now);
  } else if (rules_->outliers->Failed(*rules_, history, {began, now}, random_) &&
             observer_ != nullptr) {
    observer_->OnEjected(*rules_, lease.endpoint());
  }
}

void Upstream::ReportProbe(const Lease& lease, LoadBalancer::Outcome outcome,
                           net::MonotonicTime began, net::MonotonicTime now) noexcept {
  if (!rules_->outliers) return;
  EndpointHistory& history = *lease.endpoint().history;
  if (outcome == LoadBalancer::Outcome::kFailed) {
    const bool again = history.ejection().out();
    if (rules_->outliers->ProbeFailed(*rules_, history, {began, now}, random_) && !again &&
        observer_ != nullptr)
      observer_->OnEjected(*rules_, lease.endpoint());
  } else if (rules_->outliers->ProbeProven(history, {began, now})) {
    SayBack(lease);
  }
}

void Upstream::SayBack(const Lease& lease) noexcept {
  if (observer_ != nullptr) observer_->OnBack(*rules_, lease.endpoint());
}

std::optional<Lease> Upstream::DueProbe(net::MonotonicTime now) {
  Follow();
  for (const std::size_t i : out_) {
    const Endpoint& endpoint = rules_->endpoints[i];
    if (!endpoint.history->ejection().ClaimProbe(now)) continue;
    return std::make_optional<Lease>(endpoint, list_, Lease::For::kProbe);
  }
  return std::nullopt;
}

std::optional<Lease> Upstream::DueRegularly(net::MonotonicTime now) {
  for (const Endpoint& endpoint : rules_->endpoints) {
    if (!endpoint.history->ClaimProbe(now, rules_->probe_interval)) continue;
    return std::make_optional<Lease>(endpoint, list_, Lease::For::kProbe);
  }
  return std::nullopt;
}

Upstream::Proof Upstream::ToProve(const Lease& lease) const {
  const auto of = [](const Endpoint& endpoint) {
    return endpoint.identity ? Proof{endpoint.identity, endpoint.ServerName()} : Proof{};
  };
  if (lease.list_ != list_) {
    for (const Endpoint& now : rules_->endpoints) {
      if (now.history == lease.endpoint().history) return of(now);
    }
  }
  // One that has left the list is still whom it was dialled as: the others may be another service.
  return of(lease.endpoint());
}

}  // namespace mooring::data
