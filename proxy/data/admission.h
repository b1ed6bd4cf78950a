// Admission: who may still come in. It keeps count of what all connections hold, in memory and in
// descriptors, against Limits and the Shares of the open-file limit.
//
// Shared by all workers: the counts are relaxed atomics, taken and given back by whichever worker
// has the connection, so two workers that ask at once may go over by a connection each; the limits
// leave room for that. A service host that has no room holds its acceptors back and is woken when
// another one gives something back. What an operator has limited by number is exact, and is asked
// by caps.h.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "proxy/data/address_rate.h"
#include "proxy/data/cap.h"
#include "proxy/data/limits.h"
#include "proxy/net/memory_meter.h"

namespace mooring::data {

// Which side a listener is for, and so which kind of connection it accepts: Inbound or Outbound.
enum class ListenerKind { kPublic, kUpstream };

// Room is the answer to a client that wants to come in.
enum class Room {
  kYes,
  kNoDescriptors,  // the direction has used up its share
  kNoMemory,
  kNoHandshakes,  // as many handshakes, or as many bytes of them, are under way as may be
};

class Admission final {
 public:
  Admission(const Limits& limits, unsigned workers);

  // limits are those in force. SetLimits is the control thread's: they hold for who asks from then
  // on, and end nobody. `agent_connections` is a number of connections to the agent, too.
  Limits limits() const;
  void SetLimits(const Limits& limits) noexcept;
  std::size_t handshake_memory() const { return handshake_memory_.load(std::memory_order_relaxed); }
  net::MemoryMeter& buffers() { return buffers_; }
  // all counts the connections of the process; its limit is that of Limits.
  const std::shared_ptr<Cap>& all() const { return all_; }
  AddressRate* address_rate() { return rate_.limited() ? &rate_ : nullptr; }  // null: not limited
  Shares shares() const;                                                      // as of now

  // Ask says whether one more fits. The limit on open files is looked at again before it says no.
  Room Ask(ListenerKind kind);
  // NoteShortage: the kernel has refused a descriptor, so the limit may have changed.
  void NoteShortage() { ReadFileLimit(); }

  // NextId is what the next connection of the process is called by, from 1 on, also one that is
  // turned away.
  std::uint64_t NextId() noexcept { return next_id_.fetch_add(1, std::memory_order_relaxed); }
  // Enter and Leave count a connection; Leave once its descriptors are closed.
  void Enter(ListenerKind kind) { Connections(kind).fetch_add(1, std::memory_order_relaxed); }
  void Leave(ListenerKind kind) { Connections(kind).fetch_sub(1, std::memory_order_relaxed); }
  // Handshakes are counted by number and by what they hold.
  void AddHandshakes(std::int64_t number, std::int64_t bytes);
  bool HandshakesFit() const;
  void AddListeners(ListenerKind kind, std::int64_t number);

  std::int64_t connections(ListenerKind kind) const {
    return connections_[Index(kind)].load(std::memory_order_relaxed);
  }
  std::int64_t handshakes() const { return handshakes_.load(std::memory_order_relaxed); }
  std::int64_t handshake_bytes() const { return handshake_bytes_.load(std::memory_order_relaxed); }

  // Waiting says that the service host `who` holds acceptors back. WakeWaiting calls `wake` of all
  // that do, each once for each time that it said so; from any thread. Forget ends that.
  void Waiting(const void* who, std::function<void()> wake);
  void WakeWaiting();
  void Forget(const void* who);

 private:
  static std::size_t Index(ListenerKind kind) { return static_cast<std::size_t>(kind); }
  std::atomic<std::int64_t>& Connections(ListenerKind kind) { return connections_[Index(kind)]; }
  bool DescriptorsFit(ListenerKind kind) const;
  void ReadFileLimit();

  const std::int64_t workers_;
  std::atomic<std::size_t> memory_{0};
  std::atomic<std::size_t> handshakes_limit_{0};
  std::atomic<std::size_t> handshake_memory_{0};
  std::atomic<std::int64_t> agent_connections_{0};
  net::MemoryMeter buffers_;
  const std::shared_ptr<Cap> all_ = std::make_shared<Cap>();
  AddressRate rate_;
  std::atomic<std::int64_t> file_limit_{0};
  std::atomic<std::uint64_t> next_id_{1};
  std::atomic<std::int64_t> connections_[2]{};
  std::atomic<std::int64_t> listeners_[2]{};
  std::atomic<std::int64_t> handshakes_{0};
  std::atomic<std::int64_t> handshake_bytes_{0};
  std::atomic<bool> any_waiting_{false};  // written under mutex_
  std::mutex mutex_;
  std::map<const void*, std::function<void()>> waiting_;  // guarded by mutex_
};

}  // namespace mooring::data
