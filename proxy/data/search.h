// Search: finds an instance of an upstream that proves who it is, for one connection of the app.
//
// It waits until identity and endpoints are known, then tries one endpoint after the other, all
// within one deadline; but for the time just after the start, which has its own (early_until). The
// next attempt begins when the newest has failed, or when it has not proven itself within
// attempt_delay: then beside it, so that no silent endpoint is waited for (RFC 8305). The first
// proven one wins, and the others are closed. Its result is a proven stream or a reason. Nothing of
// the app's is sent: it never sees the app. Owned by a connection; its loop's thread.
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "proxy/data/attempt.h"
#include "proxy/data/attempts.h"
#include "proxy/data/host.h"
#include "proxy/data/record.h"
#include "proxy/data/upstream.h"
#include "proxy/net/stream.h"

namespace mooring::data {

class Search final : public Attempt::Owner {
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
  // Conclude ends it: what was found is used, and is the connection's from now on. That it has
  // proven itself is reported, unless early_close is set: then what comes of it is the connection's
  // to report.
  struct Found {
    std::shared_ptr<Upstream> upstream;
    Lease lease;
    net::MonotonicTime began;
    net::MonotonicTime proven_at;
  };
  Found Conclude();
  // ResetOnClose has peers in the middle of their handshakes see a reset when this is destroyed.
  void ResetOnClose();

  // Describe notes in `record` what is known of the attempts. It takes no memory.
  void Describe(Record* record) const noexcept;
  // TakeFailure is why the last attempt has failed; empty: it has not.
  std::string TakeFailure() noexcept { return std::move(failure_); }

  net::milliseconds Left() const { return attempts_.Left(host_.loop().now()); }
  // rules are those of the upstream now. Not while it waits for them.
  const UpstreamRules& rules() const { return *upstream_->rules(); }

 private:
  enum class Stage { kWaiting, kTrying, kFound, kOver };

  void OnProven(Attempt& winner) override;
  void OnFailed(Attempt& attempt, const AttemptFailure& failure) override;

  // NextEndpoint is empty if there is no other one, or no time for it.
  std::optional<Lease> NextEndpoint();
  void TryNext();
  void BeginAttempt(Lease lease);
  void OnDelayOver();
  void OnDeadline();
  // ExpireAll: none of those under way is awaited any more.
  void ExpireAll(std::string_view why);
  // NoteFailure notes why this endpoint did not do.
  void NoteFailure(const Attempt& attempt, const AttemptFailure& failure);
  void GiveUp(CloseReason reason);

  Host& host_;
  Owner& owner_;
  const std::string listener_;
  net::Timer deadline_;  // of all of it, but for what comes after OnFound
  net::Timer delay_;     // until the next attempt begins, whatever becomes of the newest
  Attempts attempts_{net::MonotonicTime{}, 0};
  Stage stage_ = Stage::kWaiting;
  bool early_ = false;                  // the wait takes nothing from the time for attempts
  std::shared_ptr<Upstream> upstream_;  // null while waiting
  Choice choice_;
  bool exhausted_ = false;        // every endpoint has been tried, or as many as may be
  bool held_back_ = false;        // the retry budget is used up: the next begins in no other's time
  std::list<Attempt> under_way_;  // in their order; all but the newest have had attempt_delay. Of
                                  // kFound: the winner
  std::string failure_;           // why the last attempt has failed; empty once one is good
};

}  // namespace mooring::data
