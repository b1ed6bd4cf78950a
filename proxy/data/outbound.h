// Outbound: the local app's connection to an upstream. A search finds an instance that proves who
// it is, then it relays.
//
// Nothing of the app's bytes is even read before an instance has proven its identity. Until a byte
// has gone either way, an instance that fails is replaced by the next, all within the search's
// deadline.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "proxy/data/connection.h"
#include "proxy/data/farewell.h"
#include "proxy/data/host.h"
#include "proxy/data/live.h"
#include "proxy/data/search.h"
#include "proxy/data/upstream.h"
#include "proxy/net/stream.h"

namespace mooring::data {

// The methods stand in the order of a connection's life.
class Outbound final : public Connection,
                       public Search::Owner,
                       public net::StreamObserver,
                       public Live::Owner {
 public:
  // `app` is taken, or nothing of it if this throws.
  Outbound(Host& host, std::string upstream, net::UniqueFd&& app, const net::SocketAddress& peer);
  ~Outbound() override;

  void Begin() override;
  void Cut(CloseReason reason) noexcept override;
  void OnSnapshot(Judge& judge, net::MonotonicTime changed) override;
  void OnSweep() override;
  bool OwesAnswer() const override { return net::Unread(app_.fd()) > 0; }
  bool IsAwaited() const override { return stage_ != Stage::kOver; }
  bool EndIfQuiet(net::milliseconds quiet) override;
  void OnEscaped() noexcept override;
  void ShowNow(ConnectionView* view) override;
  void Feed() noexcept override {
    if (stage_ == Stage::kRelay) live_->Feed();
  }
  bool Attach(const std::shared_ptr<Tap>& tap) override {
    if (stage_ == Stage::kRelay) live_->Attach(tap);
    return stage_ == Stage::kRelay;
  }

 private:
  // kProven: an instance is found, no byte has passed. It may still refuse us, and then the search
  // goes on.
  enum class Stage { kSearching, kProven, kRelay, kOver };

  void OnReadable(net::Stream& stream) override;
  void OnDrained(net::Stream& stream) override;
  void OnBroken(net::Stream& stream) override;

  void OnFound(std::unique_ptr<net::Stream> proven) override;
  void OnNotFound(CloseReason reason) override;
  void OnFirstAnswer();
  // IsEarly: what ends now without a byte of the instance's is a failure of the instance.
  bool IsEarly() const;
  // TryAnother lets go of the instance that was found, for what it did or what is known of it now.
  void TryAnother(CloseReason reason, const std::string& detail);
  void StartRelay(std::optional<net::Stream::ReadResult> first);
  // ReportFound says, where early_close is set, what came of the instance that was found.
  void ReportFound() noexcept;
  // WhyDeparted is why the instance in use has left, by the newest snapshot; null: it has not.
  const std::string* WhyDeparted() const;
  // FollowDeparture has a live session end for it, or go on if the instance is back.
  void FollowDeparture(net::MonotonicTime changed);

  // Of the live part: an objection ends it with an alert to the instance.
  bool IsSettled() noexcept override { return BeforeEvent(); }
  void OnObjection(const Objection& objection, Manner manner) override;
  void OnLiveOver(CloseReason reason) noexcept override;
  void SayAlert() noexcept;

  void Over(CloseReason reason) noexcept;

  Host& host_;
  const std::string upstream_;
  net::Timer silence_;  // kProven: neither side has sent a byte
  net::Stream app_;
  Stage stage_ = Stage::kSearching;
  net::MonotonicTime proven_at_{};
  std::unique_ptr<Search> search_;      // until it relays
  std::optional<Search::Found> found_;  // from then on
  std::optional<net::Timer> early_;     // until ReportFound; nearly never there
  std::unique_ptr<net::Stream> peer_;   // from kProven on
  std::optional<Live> live_;
  // of an instance that has left; made for that: nearly no connection has one
  std::optional<Farewell> farewell_;
};

}  // namespace mooring::data
