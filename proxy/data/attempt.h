// Attempt: one try at one endpoint of an upstream: connect, TLS handshake, proof of identity.
//
// A peer that trips over a ticket gets its full handshake within the same attempt. Nothing of an
// app's is sent: it never sees one. How long it may take is its owner's matter. Owned by a Search
// or a Probe; its loop's thread.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "proxy/data/attempt_failure.h"
#include "proxy/data/dialer.h"
#include "proxy/data/host.h"
#include "proxy/data/upstream.h"
#include "proxy/net/stream.h"

namespace mooring::data {

class Attempt final : public net::StreamObserver {
 public:
  // Owner hears the result, last of all: each call may destroy the Attempt.
  class Owner {
   public:
    // OnProven: TLS is done on our side, the peer is whom the endpoint has to be, and no byte has
    // passed.
    virtual void OnProven(Attempt& attempt) = 0;
    virtual void OnFailed(Attempt& attempt, const AttemptFailure& failure) = 0;

   protected:
    ~Owner() = default;
  };

  // Host, owner and upstream must outlive it.
  Attempt(Host& host, Owner& owner, Upstream& upstream, Lease lease);
  Attempt(const Attempt&) = delete;
  Attempt& operator=(const Attempt&) = delete;

  // Begin connects. The owner may hear the result before it returns. `limit` is when a connect is
  // given up, should the owner not have ended it before.
  void Begin(net::milliseconds limit);
  // Expire ends it, as its time is over. The failure says how far it had not come, and `why` that
  // is no longer awaited. The owner is not called.
  AttemptFailure Expire(std::string_view why);
  // ResetOnClose has a peer in the middle of its handshake see a reset when this is destroyed.
  void ResetOnClose();

  // TakeStream hands over what was proven; its events go to nobody until an observer is set.
  std::unique_ptr<net::Stream> TakeStream() { return std::move(peer_); }
  Lease TakeLease() { return std::move(lease_); }

  const Endpoint& endpoint() const { return lease_.endpoint(); }
  const Lease& lease() const { return lease_; }
  net::MonotonicTime began() const { return began_; }
  // Of one that is proven: when that was, and what TCP and TLS took of the dial that was good.
  net::MonotonicTime proven_at() const { return proven_at_; }
  std::chrono::microseconds connect_took() const { return Between(dialled_at_, connected_at_); }
  std::chrono::microseconds handshake_took() const { return Between(connected_at_, proven_at_); }

 private:
  enum class Stage { kConnect, kHandshake, kOver };

  static std::chrono::microseconds Between(net::MonotonicTime from, net::MonotonicTime to) {
    return std::chrono::duration_cast<std::chrono::microseconds>(to - from);
  }

  void OnReadable(net::Stream& stream) override;
  void OnDrained(net::Stream& stream) override;
  void OnBroken(net::Stream& stream) override;

  void Dial();
  void OnConnected(net::UniqueFd fd, int error);
  void ContinueHandshake(bool readable);
  void OnHandshakeFailed();
  void OnHandshakeDone();
  void Fail(AttemptFailure failure);

  Host& host_;
  Owner& owner_;
  Upstream& upstream_;
  Lease lease_;
  Stage stage_ = Stage::kConnect;
  std::shared_ptr<const Identity> identity_;  // that the handshake is made with
  bool try_ticket_ = true;
  net::MonotonicTime began_{};
  net::MonotonicTime give_up_{};
  net::MonotonicTime dialled_at_{};
  net::MonotonicTime connected_at_{};
  net::MonotonicTime proven_at_{};
  std::optional<Dialer> dialer_;
  std::unique_ptr<net::Stream> peer_;  // until it is handed over
};

}  // namespace mooring::data
