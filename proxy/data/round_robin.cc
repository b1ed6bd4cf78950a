#include "proxy/data/round_robin.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace mooring::data {
namespace {

constexpr double kGoldenSection = 0.6180339887498949;

}  // namespace

void RoundRobin::Measure(std::size_t count) {
  weights_.Measure();
  count_ = count;
  circle_ = weights_.Sum(count);
  step_ = std::max<std::uint64_t>(
      1, static_cast<std::uint64_t>(static_cast<double>(circle_) * kGoldenSection));
  while (std::gcd(step_, circle_) != 1) ++step_;
}

std::size_t RoundRobin::At(std::uint64_t turn) const {
  // Weights are below 2^16 and endpoints far fewer than 2^16: the product fits.
  return weights_.At((start_ % circle_ + turn % circle_ * step_) % circle_);
}

const Endpoint* RoundRobin::Choose(Choice& choice, const Among& among, net::MonotonicTime) {
  if (among.count == 0) return nullptr;
  const std::span<const Endpoint> endpoints = weights_.endpoints();
  const bool first = !std::exchange(choice.begun, true);
  // One that goes on among more, or fewer, than take turns now leaves the turns as they are.
  if (count_ == 0 || (first && count_ != among.count)) Measure(among.count);
  for (std::size_t i = 0; count_ == among.count && i < among.count; ++i) {
    choice.turn = first ? next_++ : choice.turn + 1;
    if (const Endpoint& endpoint = endpoints[At(choice.turn)]; Fits(choice, among, endpoint))
      return &endpoint;
  }
  // The turns of light ones are far between: here those that fit take turns among themselves.
  const auto fits = [&](const Endpoint& endpoint) { return Fits(choice, among, endpoint); };
  const auto all = endpoints.first(among.count);
  const auto fitting = static_cast<std::size_t>(std::count_if(all.begin(), all.end(), fits));
  if (fitting == 0) return nullptr;
  std::size_t ahead = looks_++ % fitting;
  return &*std::find_if(all.begin(), all.end(),
                        [&](const Endpoint& endpoint) { return fits(endpoint) && ahead-- == 0; });
}

}  // namespace mooring::data
