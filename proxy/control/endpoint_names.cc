#include "proxy/control/endpoint_names.h"

#include <utility>

namespace mooring::control {
namespace {

constexpr net::milliseconds kFailedAgain{2'000};
constexpr net::milliseconds kAgain{30'000};

}  // namespace

EndpointNames::EndpointNames(net::Loop& loop, log::Log& log, std::string upstream, OnChange on_change)
    : log_(log),
      upstream_(std::move(upstream)),
      on_change_(std::move(on_change)),
      resolver_(loop),
      again_(loop, [this] { Set(addresses_); }) {}

void EndpointNames::Set(std::vector<net::Address> addresses) {
  addresses_ = std::move(addresses);
  ++round_;
  found_.assign(addresses_.size(), {});
  outstanding_ = 0;
  bool names = false;
  for (std::size_t i = 0; i < addresses_.size(); ++i) {
    if (auto literal = net::SocketAddress::FromLiteral(addresses_[i])) {
      found_[i] = {*literal};
      continue;
    }
    names = true;
    ++outstanding_;
    resolver_.Resolve(addresses_[i], [this, round = round_, i](Result<std::vector<net::SocketAddress>> found) {
      Resolved(round, i, std::move(found));
    });
  }
  if (names) {
    again_.Start(kAgain);
  } else {
    again_.Stop();
  }
  if (outstanding_ == 0) Resolved(round_, addresses_.size(), std::vector<net::SocketAddress>{});
}

void EndpointNames::Resolved(std::uint64_t round, std::size_t index,
                             Result<std::vector<net::SocketAddress>> found) {
  if (round != round_) return;
  if (index < found_.size()) {
    --outstanding_;
    if (found) {
      found_[index] = std::move(*found);
    } else {
      again_.Start(kFailedAgain);
      if (last_error_ != found.error().message) {
        log_.Warn("control", "endpoint not resolved, will retry",
                  {{"upstream", upstream_}, {"error", found.error().message}});
      }
      last_error_ = found.error().message;
    }
  }
  if (outstanding_ > 0) return;
  std::vector<net::SocketAddress> endpoints;
  for (const auto& each : found_) endpoints.insert(endpoints.end(), each.begin(), each.end());
  // Names that fail to resolve for a moment do not take away what they resolved to before.
  if (endpoints.empty() && !addresses_.empty() && known_) return;
  known_ = true;
  endpoints_ = std::move(endpoints);
  on_change_();
}

}  // namespace mooring::control
