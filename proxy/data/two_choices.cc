#include "proxy/data/two_choices.h"

#include <algorithm>
#include <limits>

namespace mooring::data {
namespace {

std::int64_t Weight(const Endpoint& endpoint) { return std::max(endpoint.weight, 1); }

double Cost(const EndpointHistory& history, net::MonotonicTime now) {
  const auto pending = static_cast<double>(std::max<std::int64_t>(history.in_flight(), 0));
  if (const auto time = history.average_connect_time().At(now)) return *time * (pending + 1);
  return pending > 0 ? std::numeric_limits<double>::max() : 0;
}

}  // namespace

const Endpoint* TwoChoices::Choose(Choice& choice, const Among& among, net::MonotonicTime now) {
  const Endpoint* first = lot_.Draw(
      among.count, [&](const Endpoint& endpoint) { return Fits(choice, among, endpoint); });
  if (first == nullptr || among.count == 1) return first;
  const Endpoint* second = lot_.Draw(among.count, [&](const Endpoint& endpoint) {
    return &endpoint != first && Fits(choice, among, endpoint);
  });
  return second != nullptr && IsBetter(*second, *first, now) ? second : first;
}

bool LeastConnections::IsBetter(const Endpoint& one, const Endpoint& other,
                                net::MonotonicTime) const {
  return one.history->in_flight() * Weight(other) < other.history->in_flight() * Weight(one);
}

bool LeastTime::IsBetter(const Endpoint& one, const Endpoint& other, net::MonotonicTime now) const {
  return Cost(*one.history, now) < Cost(*other.history, now);
}

}  // namespace mooring::data
