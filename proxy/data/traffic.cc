#include "proxy/data/traffic.h"

#include <new>
#include <utility>

namespace mooring::data {

std::shared_ptr<Flow> Traffic::Enter(FlowKey key, net::MonotonicTime now) {
  const std::lock_guard lock(mutex_);
  auto found = flows_.find(key);
  if (found == flows_.end()) {
    if (Known(key.kind) >= kMostFlows) ForgetIdle(now);
    const bool full = Known(key.kind) >= kMostFlows;
    if (full) {
      // Whose name it is that there is no room for: the peer's.
      (key.kind == ListenerKind::kPublic ? key.source : key.destination) = kOther;
      key.datacenter.clear();
    }
    auto flow = std::make_shared<Flow>(key);
    const auto [place, is_new] = flows_.try_emplace(std::move(key), std::move(flow));
    if (is_new) {
      place->second->counted_ = !full;
      if (!full) ++Known(place->first.kind);
    }
    found = place;
  }
  found->second->opened.Add();
  found->second->open.Add();
  return found->second;
}

void Traffic::Leave(Flow& flow, CloseReason reason, net::MonotonicTime now) noexcept {
  flow.closed[static_cast<std::size_t>(reason)].Add();
  const std::lock_guard lock(mutex_);
  flow.quiet_since_ = now;
  flow.open.Add(-1);
}

void Traffic::NoteHandshake(ListenerKind kind, bool done, const tls::Facts& facts) noexcept {
  try {
    HandshakeKind what{kind, done, facts.version, facts.group, facts.resumed};
    const std::lock_guard lock(mutex_);
    ++handshakes_[std::move(what)];
  } catch (const std::bad_alloc&) {
    return;  // one count less is no reason to end a connection
  }
}

void Traffic::ForgetIdle(net::MonotonicTime now) noexcept {
  for (auto flow = flows_.begin(); flow != flows_.end();) {
    // Enter counts with this lock, too: what is not open here is nobody's.
    if (flow->second->open.value() > 0 || now - flow->second->quiet_since_ < kIdle) {
      ++flow;
      continue;
    }
    if (flow->second->counted_) --Known(flow->first.kind);
    flow = flows_.erase(flow);
  }
}

std::vector<std::shared_ptr<const Flow>> Traffic::Flows(net::MonotonicTime now) {
  const std::lock_guard lock(mutex_);
  ForgetIdle(now);
  std::vector<std::shared_ptr<const Flow>> all;
  all.reserve(flows_.size());
  for (const auto& [key, flow] : flows_) all.push_back(flow);
  return all;
}

std::map<Traffic::HandshakeKind, std::int64_t> Traffic::Handshakes() const {
  const std::lock_guard lock(mutex_);
  return handshakes_;
}

}  // namespace mooring::data
