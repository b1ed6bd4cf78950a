#include "proxy/control/endpoint_names.h"

#include <utility>

namespace mooring::control {
namespace {

constexpr std::size_t kSaid = 8;

}  // namespace

EndpointNames::EndpointNames(net::Names& names, net::NameKind kind, Defer defer, OnChange on_change,
                             OnFailed on_failed)
    : all_(names),
      kind_(kind),
      defer_(std::move(defer)),
      on_change_(std::move(on_change)),
      on_failed_(std::move(on_failed)) {}

void EndpointNames::Set(const std::vector<net::Address>& addresses) {
  std::vector<Wanted> wanted;
  for (const net::Address& address : addresses) wanted.push_back({address, {}});
  Set(std::move(wanted));
}

void EndpointNames::Set(std::vector<Wanted> wanted) {
  std::map<std::string, Name> before = std::exchange(names_, {});
  places_.clear();
  failing_ = 0;
  unanswered_ = 0;
  for (auto& [address, endpoint] : wanted) {
    if (const auto literal = net::SocketAddress::FromLiteral(address)) {
      endpoint.address = *literal;
      places_.push_back({std::move(endpoint), nullptr, 0});
      continue;
    }
    const std::string& host = address.host;
    auto kept = before.extract(host);
    const bool news = !kept && !names_.contains(host);
    if (kept) names_.insert(std::move(kept));
    Name& name = names_[host];
    if (news) {
      name.interest = all_.Follow(
          host, kind_, [this, host](const net::Names::Found& found) { Answered(host, found); });
    }
    // a map's elements stay where they are
    places_.push_back({std::move(endpoint), &name, address.port});
  }
  for (const auto& [host, name] : names_) {
    if (!name.error.empty()) ++failing_;
    if (!name.answered) ++unanswered_;
  }
  Update();
}

void EndpointNames::Answered(const std::string& host, const net::Names::Found& found) {
  Name& name = names_.at(host);  // else its interest would have ended
  const bool first = !std::exchange(name.answered, true);
  if (first) --unanswered_;
  if (found) {
    if (!std::exchange(name.error, {}).empty() && --failing_ == 0) said_ = 0;
    if (!first && name.found == *found) return;
    name.found = *found;
  } else {
    const std::string& error = found.error().message;
    if (name.error.empty()) ++failing_;
    if (std::exchange(name.error, error) != error && said_ <= kSaid) {
      on_failed_(said_ < kSaid ? error : error + "; and further names, which /status lists");
      ++said_;
    }
    // It has taken nothing from the list. That the whole list has failed is news.
    if (!first || unanswered_ > 0) return;
  }
  if (std::exchange(update_due_, true)) return;
  defer_([this, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) Update();
  });
}

void EndpointNames::Update() {
  update_due_ = false;
  std::vector<data::Endpoint> endpoints;
  for (const Place& place : places_) {
    if (place.name == nullptr) {
      endpoints.push_back(place.endpoint);
    } else if (const auto* found = place.name->interest.Known(); found != nullptr) {
      for (const net::SocketAddress& each : *found) {
        endpoints.push_back(place.endpoint);
        endpoints.back().address = each.WithPort(place.port);
      }
    }
  }
  if (endpoints.empty() && unanswered_ > 0) return;
  if (known_ && endpoints == endpoints_) return;
  known_ = true;
  endpoints_ = std::move(endpoints);
  on_change_();
}

std::vector<std::string> EndpointNames::Errors() const {
  std::vector<std::string> errors;
  for (const auto& [host, name] : names_) {
    if (!name.error.empty()) errors.push_back(name.error);
  }
  return errors;
}

}  // namespace mooring::control
