#include "proxy/data/admission.h"

#include <utility>

#include "proxy/net/socket.h"

namespace mooring::data {

Admission::Admission(const Limits& limits, unsigned workers)
    : limits_(limits), workers_(workers), buffers_(limits.buffer_memory) {
  all_->SetLimit(limits.connections);
  if (limits.rate_per_address) {
    rate_.emplace(*limits.rate_per_address,
                  limits.burst_per_address.value_or(*limits.rate_per_address));
  }
  ReadFileLimit();
}

void Admission::ReadFileLimit() {
  file_limit_.store(static_cast<std::int64_t>(net::FileLimit()), std::memory_order_relaxed);
}

Shares Admission::shares() const {
  return Shares::Of(file_limit_.load(std::memory_order_relaxed), workers_,
                    listeners_[Index(ListenerKind::kPublic)].load(std::memory_order_relaxed),
                    listeners_[Index(ListenerKind::kUpstream)].load(std::memory_order_relaxed),
                    limits_.agent_connections);
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
  if (held >= static_cast<std::int64_t>(limits_.memory)) return Room::kNoMemory;
  if (kind == ListenerKind::kPublic && !HandshakesFit()) return Room::kNoHandshakes;
  return Room::kYes;
}

void Admission::AddHandshakes(std::int64_t number, std::int64_t bytes) {
  handshakes_.fetch_add(number, std::memory_order_relaxed);
  handshake_bytes_.fetch_add(bytes, std::memory_order_relaxed);
}

bool Admission::HandshakesFit() const {
  return handshakes() < static_cast<std::int64_t>(limits_.handshakes) &&
         handshake_bytes() < static_cast<std::int64_t>(limits_.handshake_memory);
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
