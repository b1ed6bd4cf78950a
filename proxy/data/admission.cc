#include "proxy/data/admission.h"

#include <utility>

#include "proxy/net/socket.h"

namespace mooring::data {

Admission::Admission(const Limits& limits, unsigned workers)
    : workers_(workers), buffers_(limits.buffer_memory) {
  SetLimits(limits);
  ReadFileLimit();
}

void Admission::SetLimits(const Limits& limits) noexcept {
  memory_.store(limits.memory, std::memory_order_relaxed);
  handshakes_limit_.store(limits.handshakes, std::memory_order_relaxed);
  handshake_memory_.store(limits.handshake_memory, std::memory_order_relaxed);
  agent_connections_.store(limits.agent_connections, std::memory_order_relaxed);
  buffers_.SetLimit(limits.buffer_memory);
  all_->SetLimit(limits.connections);
  const unsigned rate = limits.rate_per_address.value_or(0);
  const unsigned burst = limits.burst_per_address.value_or(rate);
  // Whoever is remembered stays so, unless it is another rate.
  if (rate != rate_.rate() || burst != rate_.burst()) rate_.Set(rate, burst);
}

Limits Admission::limits() const {
  Limits limits;
  limits.memory = memory_.load(std::memory_order_relaxed);
  limits.handshakes = handshakes_limit_.load(std::memory_order_relaxed);
  limits.handshake_memory = handshake_memory();
  limits.buffer_memory = static_cast<std::size_t>(buffers_.limit());
  limits.agent_connections =
      static_cast<unsigned>(agent_connections_.load(std::memory_order_relaxed));
  if (const auto most = all_->limit()) limits.connections = static_cast<unsigned>(*most);
  if (rate_.limited()) {
    limits.rate_per_address = rate_.rate();
    limits.burst_per_address = rate_.burst();
  }
  return limits;
}

void Admission::ReadFileLimit() {
  file_limit_.store(static_cast<std::int64_t>(net::FileLimit()), std::memory_order_relaxed);
}

Shares Admission::shares() const {
  return Shares::Of(file_limit_.load(std::memory_order_relaxed), workers_,
                    listeners_[Index(ListenerKind::kPublic)].load(std::memory_order_relaxed),
                    listeners_[Index(ListenerKind::kUpstream)].load(std::memory_order_relaxed),
                    agent_connections_.load(std::memory_order_relaxed));
}

bool Admission::DescriptorsFit(ListenerKind kind) const {
  const Shares now = shares();
  const std::int64_t inbound = connections(ListenerKind::kPublic) * kDescriptorsEach;
  const std::int64_t outbound = connections(ListenerKind::kUpstream) * kDescriptorsEach;
  const std::int64_t share =
      kind == ListenerKind::kPublic ? now.inbound - inbound : now.outbound - outbound;
  const std::int64_t free =
      file_limit_.load(std::memory_order_relaxed) - now.reserved - inbound - outbound;
  return share >= kDescriptorsEach && free >= kDescriptorsEach;
}

Room Admission::Ask(ListenerKind kind) {
  if (!DescriptorsFit(kind)) {
    ReadFileLimit();
    if (!DescriptorsFit(kind)) return Room::kNoDescriptors;
  }
  const std::int64_t all =
      connections(ListenerKind::kPublic) + connections(ListenerKind::kUpstream);
  const std::int64_t held =
      all * static_cast<std::int64_t>(kConnectionCost) + handshake_bytes() + buffers_.kept();
  if (held >= static_cast<std::int64_t>(memory_.load(std::memory_order_relaxed)))
    return Room::kNoMemory;
  if (kind == ListenerKind::kPublic && !HandshakesFit()) return Room::kNoHandshakes;
  return Room::kYes;
}

void Admission::AddHandshakes(std::int64_t number, std::int64_t bytes) {
  handshakes_.fetch_add(number, std::memory_order_relaxed);
  handshake_bytes_.fetch_add(bytes, std::memory_order_relaxed);
}

bool Admission::HandshakesFit() const {
  const auto most = static_cast<std::int64_t>(handshakes_limit_.load(std::memory_order_relaxed));
  return handshakes() < most && handshake_bytes() < static_cast<std::int64_t>(handshake_memory());
}

void Admission::AddListeners(ListenerKind kind, std::int64_t number) {
  listeners_[Index(kind)].fetch_add(number, std::memory_order_relaxed);
}

void Admission::Waiting(const void* who, std::function<void()> wake) {
  const std::lock_guard lock(mutex_);
  waiting_[who] = std::move(wake);
  any_waiting_.store(true, std::memory_order_relaxed);
}

void Admission::WakeWaiting() {
  if (!any_waiting_.load(std::memory_order_relaxed)) return;
  const std::lock_guard lock(mutex_);
  for (auto& [who, wake] : waiting_) wake();
  waiting_.clear();
  any_waiting_.store(false, std::memory_order_relaxed);
}

void Admission::Forget(const void* who) {
  const std::lock_guard lock(mutex_);
  waiting_.erase(who);
}

}  // namespace mooring::data
