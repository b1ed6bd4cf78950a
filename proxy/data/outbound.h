// Outbound: the local app's connection to an upstream. Finds an instance, proves who it is, relays.
//
// Nothing of the app's bytes is even read before an instance has proven its identity. Until a byte has
// gone either way, an instance that fails is replaced by the next, all within one deadline.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "proxy/data/connection.h"
#include "proxy/data/dialer.h"
#include "proxy/data/relay.h"
#include "proxy/data/snapshot.h"
#include "proxy/data/stats.h"
#include "proxy/data/upstream.h"
#include "proxy/net/stream.h"

namespace mooring::data {

class Worker;

// The methods stand in the order of a connection's life.
class Outbound final : public Connection, public net::StreamObserver {
 public:
  // `app` is taken, or nothing of it if this throws.
  Outbound(Worker& worker, std::string upstream, net::UniqueFd&& app);
  ~Outbound() override;

  void Begin() override;
  void Cut(CloseReason reason) noexcept override;
  void OnSnapshot(Judge& judge, net::MonotonicTime changed) override;
  void OnSweep() override;
  bool OwesAnswer() const override { return net::Unread(app_.fd()) > 0; }
  bool IsAwaited() const override { return stage_ != Stage::kOver; }
  bool EndIfQuiet(net::milliseconds quiet) override;
  void OnEscaped() noexcept override;

 private:
  // kProven: TLS is done on our side, no byte has passed. In TLS 1.3 the peer may still refuse our
  // certificate, by an alert that arrives now (RFC 8446 4.4.2.4).
  enum class Stage { kWaiting, kConnect, kHandshake, kProven, kRelay, kOver };

  void OnReadable(net::Stream& stream) override;
  void OnDrained(net::Stream& stream) override;
  void OnBroken(net::Stream& stream) override;

  void Find();  // goes on once identity and endpoints are known
  void TryNext();
  void Dial();
  void OnConnected(net::UniqueFd fd, int error);
  void ContinueHandshake(bool readable);
  void TryWithoutTicket();
  void OnProven();
  void OnFirstAnswer();
  void StartRelay(std::optional<net::Stream::ReadResult> first);
  void CutLive(const Objection& objection);
  void OnDeadline();
  // AttemptFailed notes why this endpoint did not do and goes on with the next.
  void AttemptFailed(CloseReason reason, const std::string& detail);
  // Fail ends it without an instance: the app sees a reset, never a clean end.
  void Fail(CloseReason reason);
  void Over(CloseReason reason) noexcept;

  net::milliseconds Remaining() const;
  void Report(LoadBalancer::Outcome outcome, net::MonotonicTime at);  // of the attempt
  const Endpoint& Tried() const { return lease_->endpoint(); }  // by the attempt under way

  Worker& worker_;
  const std::string upstream_;
  std::shared_ptr<const UpstreamRules> rules_;
  std::shared_ptr<const Identity> identity_;
  // Of the attempt under way, of the whole while waiting, the idle limit once proven; while relaying, the grace
  // of an objection.
  net::Timer deadline_;
  net::Stream app_;
  net::MonotonicTime proven_at_{};
  Grace grace_;  // while relaying
  Stage stage_ = Stage::kWaiting;
  net::MonotonicTime give_up_{};
  std::shared_ptr<Upstream> endpoints_;  // null while waiting
  Choice choice_;
  std::optional<Lease> lease_;  // of the endpoint of the attempt, then of the connection
  net::MonotonicTime attempt_began_{};
  std::size_t attempts_ = 0;  // endpoints tried so far
  bool try_tickets_ = true;
  CloseReason last_failure_ = CloseReason::kNoEndpoint;
  std::optional<Dialer> dialer_;
  std::optional<net::Stream> peer_;
  std::optional<Relay> relay_;
  ByteFeed bytes_;
};

}  // namespace mooring::data
