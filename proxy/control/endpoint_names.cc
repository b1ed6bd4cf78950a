#include "proxy/control/endpoint_names.h"

#include <algorithm>
#include <utility>

namespace mooring::control {
namespace {

constexpr std::size_t kSaid = 8;

}  // namespace

EndpointNames::EndpointNames(net::Names& names, net::NameKind kind, OnChange on_change, OnFailed on_failed)
    : all_(names), kind_(kind), on_change_(std::move(on_change)), on_failed_(std::move(on_failed)) {}

void EndpointNames::Set(std::vector<net::Address> addresses) {
  addresses_ = std::move(addresses);
  std::map<std::string, Name> before = std::exchange(names_, {});
  failing_ = 0;
  for (const net::Address& address : addresses_) {
    if (net::SocketAddress::FromLiteral(address)) continue;
    const std::string& host = address.host;
    if (auto kept = before.extract(host)) {
      if (!kept.mapped().error.empty()) ++failing_;
      names_.insert(std::move(kept));
    } else if (Name& name = names_[host]; !name.interest) {
      name.interest =
          all_.Follow(host, kind_, [this, host](const net::Names::Found& found) { Answered(host, found); });
    }
  }
  Update();
}

void EndpointNames::Answered(const std::string& host, const net::Names::Found& found) {
  Name& name = names_.at(host);  // else its interest would have ended
  const bool first = !std::exchange(name.answered, true);
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
    if (!first) return;
  }
  Update();
}

void EndpointNames::Update() {
  std::vector<net::SocketAddress> endpoints;
  bool waiting = false;
  for (const net::Address& address : addresses_) {
    if (const auto literal = net::SocketAddress::FromLiteral(address)) {
      endpoints.push_back(*literal);
      continue;
    }
    const Name& name = names_.at(address.host);
    if (const auto* found = name.interest.Known(); found != nullptr) {
      for (const net::SocketAddress& each : *found) endpoints.push_back(each.WithPort(address.port));
    } else {
      waiting = waiting || !name.answered;
    }
  }
  if (endpoints.empty() && waiting) return;
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
