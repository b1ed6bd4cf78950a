// Probe: one attempt at an endpoint that no client waits for. Its result is whether the endpoint
// proves who it is.
//
// What was proven is ended cleanly and without a byte: at once, or where early_close is set after
// that time, for who ends it before has failed. The sidecar there sees a caller who comes and goes,
// and so does its app. Owned by Probes; its loop's thread.
#pragma once

#include <memory>

#include "proxy/data/attempt.h"
#include "proxy/data/host.h"
#include "proxy/data/upstream.h"
#include "proxy/net/stream.h"

namespace mooring::data {

class Probe final : public Attempt::Owner, public net::StreamObserver {
 public:
  class Owner {
   public:
    // OnOver comes once, as the last thing that the probe does, and may destroy it.
    virtual void OnOver(Probe& probe) = 0;

   protected:
    ~Owner() = default;
  };

  // Host and owner must outlive it.
  Probe(Host& host, Owner& owner, std::shared_ptr<Upstream> upstream, Lease lease);
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;

  void Begin();

 private:
  void OnProven(Attempt& attempt) override;
  void OnFailed(Attempt& attempt, const AttemptFailure& failure) override;

  void OnReadable(net::Stream& stream) override;
  void OnDrained(net::Stream& stream) override;
  void OnBroken(net::Stream& stream) override;

  void OnTimeOver();
  void ReportProven() noexcept;
  // Succeed reports the proof, and ends what was proven.
  void Succeed();
  // OnBrokenOff: what was proven has failed, before its time was over.
  void OnBrokenOff(net::Stream& stream);

  Host& host_;
  Owner& owner_;
  const std::shared_ptr<Upstream> upstream_;
  enum class Stage { kTrying, kProven, kClosing };
  Stage stage_ = Stage::kTrying;
  net::Timer time_;  // of the stage: for the proof, early_close, for the peer's own close
  Attempt attempt_;
  std::unique_ptr<net::Stream> proven_;  // from kProven on
};

}  // namespace mooring::data
