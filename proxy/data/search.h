// Search: finds an instance of an upstream that proves who it is, for one connection of the app.
//
// It waits until identity and endpoints are known, then tries one endpoint after the other, all
// within one deadline. Its result is a proven stream or a reason. Nothing of the app's is sent: it
// never sees the app. Owned by a connection; its loop's thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "proxy/data/attempts.h"
#include "proxy/data/dialer.h"
#include "proxy/data/host.h"
#include "proxy/data/record.h"
#include "proxy/data/upstream.h"
#include "proxy/net/stream.h"

namespace mooring::data {

class Search final : public net::StreamObserver {
 public:
  // Owner hears the result, last of all: each call may destroy the Search.
  class Owner {
   public:
    // OnFound hands over a stream whose TLS is done on our side and that no byte has passed; its
    // events go to nobody until the owner has set an observer. In TLS 1.3 the peer may still refuse
    // our certificate, by an alert that arrives now (RFC 8446 4.4.2.4): then GoOn.
    virtual void OnFound(std::unique_ptr<net::Stream> proven) = 0;
    virtual void OnNotFound(CloseReason reason) = 0;

   protected:
    ~Owner() = default;
  };

  // Host and owner must outlive it. `listener` is the key in Snapshot::upstreams.
  Search(Host& host, Owner& owner, std::string listener);
  Search(const Search&) = delete;
  Search& operator=(const Search&) = delete;

  void Begin();
  // OnSnapshot: what it waits for may be there now.
  void OnSnapshot();
  // GoOn tries the next endpoint: the one that was found did not do after all. Its stream is gone
  // by now.
  void GoOn(CloseReason reason, const std::string& detail);
  // Conclude ends it: what was found is used. The lease is the connection's from now on.
  Lease Conclude();
  // ResetOnClose has a peer in the middle of its handshake see a reset when this is destroyed.
  void ResetOnClose();

  // Describe notes in `record` what is known of the attempts. It takes no memory.
  void Describe(Record* record) const noexcept;
  // TakeFailure is why the last attempt has failed; empty: it has not.
  std::string TakeFailure() noexcept { return std::move(failure_); }

  net::milliseconds Left() const { return attempts_.Left(host_.loop().now()); }
  // rules are those of the upstream now. Only after OnFound.
  const UpstreamRules& rules() const { return *upstream_->rules(); }

 private:
  enum class Stage { kWaiting, kConnect, kHandshake, kFound, kOver };

  void OnReadable(net::Stream& stream) override;
  void OnDrained(net::Stream& stream) override;
  void OnBroken(net::Stream& stream) override;

  void TryNext();
  void Dial();
  void OnConnected(net::UniqueFd fd, int error);
  void ContinueHandshake(bool readable);
  void TryWithoutTicket();
  void OnProven();
  void OnAttemptOver();
  // AttemptFailed notes why this endpoint did not do and goes on with the next.
  void AttemptFailed(CloseReason reason, const std::string& detail);
  void NoteFailure(CloseReason reason, const std::string& detail);
  void GiveUp(CloseReason reason);

  Host& host_;
  Owner& owner_;
  const std::string listener_;
  net::Timer waiting_;  // for identity and endpoints: as long as the whole search
  net::Timer attempt_;  // to reach one endpoint and have its proof
  Attempts attempts_{net::MonotonicTime{}};
  Stage stage_ = Stage::kWaiting;
  std::shared_ptr<Upstream> upstream_;  // null while waiting
  std::shared_ptr<const Identity> identity_;
  Choice choice_;
  std::optional<Lease> lease_;
  net::MonotonicTime attempt_began_{};
  net::MonotonicTime connected_at_{};
  net::MonotonicTime found_at_{};
  bool try_tickets_ = true;
  std::string failure_;  // why the last attempt has failed; empty once one is good
  std::optional<Dialer> dialer_;
  std::unique_ptr<net::Stream> peer_;  // until it is handed over
};

}  // namespace mooring::data
