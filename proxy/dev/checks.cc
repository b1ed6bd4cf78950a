#include "proxy/dev/checks.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "proxy/net/socket.h"

namespace mooring::dev {
namespace {
constexpr net::milliseconds kImpatientInterval{1'000};
constexpr net::milliseconds kTcpTimeout{10'000};
}  // namespace

// Running is one check that is being run. Results go into the State last: that may end this object.
class CheckRunner::Running final {
 public:
  Running(CheckRunner& runner, const Check& check)
      : runner_(runner),
        check_(check),
        clock_(runner.loop_, [this] { OnClock(); }),
        limit_(runner.loop_,
               [this] { Report(kCritical, "dial tcp " + check_.tcp + ": i/o timeout"); }),
        reap_(runner.loop_, [this] { Reap(); }) {
    if (check_.type == "ttl") clock_.Start(check_.ttl);
    if (check_.type == "tcp") clock_.Start(net::milliseconds{0});
    FollowStatus();
  }

  bool Runs(const Check& check) const {
    return check.type == check_.type && check.ttl == check_.ttl && check.tcp == check_.tcp &&
           check.interval == check_.interval && check.timeout == check_.timeout &&
           check.deregister_after == check_.deregister_after &&
           check.service_id == check_.service_id;
  }

  void Follow(const Check& check) {
    if (check_.type == "ttl" && check.heartbeats != check_.heartbeats) clock_.Start(check_.ttl);
    check_ = check;
    FollowStatus();
  }

 private:
  void FollowStatus() {
    if (check_.status != kCritical || check_.deregister_after.count() == 0) {
      reap_.Stop();
    } else if (!reap_.running()) {
      reap_.Start(check_.deregister_after);
    }
  }

  void OnClock() {
    if (check_.type == "tcp") {
      Dial();
      return;
    }
    const std::string expired = "TTL expired";
    Set(kCritical, check_.output.empty() || check_.output.starts_with(expired)
                       ? expired
                       : expired + " (last output before timeout follows): " + check_.output);
  }

  void Dial() {
    limit_.Start(check_.timeout.count() > 0 ? check_.timeout : kTcpTimeout);
    const auto address = net::ParseAddress(check_.tcp, "127.0.0.1");
    if (!address) {
      Report(kCritical, address.error().message);
      return;
    }
    ++dial_;
    runner_.resolver_.Resolve(*address,
                              [this, dial = dial_, alive = std::weak_ptr(alive_)](auto found) {
                                if (alive.expired() || dial != dial_) return;
                                if (!found) {
                                  Report(kCritical, found.error().message);
                                  return;
                                }
                                addresses_ = *std::move(found);
                                ConnectNext();
                              });
  }

  // ConnectNext tries one address after the other; `addresses_` is never empty.
  void ConnectNext() {
    poller_.reset();
    fd_.Reset();
    net::ConnectStart start = net::StartConnect(addresses_.front());
    addresses_.erase(addresses_.begin());
    if (!start.in_progress) {
      Connected(start.error);
      return;
    }
    fd_ = std::move(start.fd);
    poller_.emplace(runner_.loop_, fd_.get(), [this](net::Poller::Ready ready) {
      Connected(ready.refused != 0 ? ready.refused : net::PendingError(fd_.get()));
    });
    poller_->Set(net::Poller::kWrite);
  }

  void Connected(int error) {
    if (error == 0) {
      Report(kPassing, "TCP connect " + check_.tcp + ": Success");
    } else if (!addresses_.empty()) {
      ConnectNext();
    } else {
      std::string why = std::strerror(error);
      if (!why.empty() && why[0] >= 'A' && why[0] <= 'Z') why[0] += 'a' - 'A';  // as Go spells it
      Report(kCritical, "dial tcp " + check_.tcp + ": connect: " + why);
    }
  }

  void Report(const char* status, const std::string& output) {
    ++dial_;
    limit_.Stop();
    poller_.reset();
    fd_.Reset();
    const bool passing = std::strcmp(status, kPassing) == 0;
    clock_.Start(passing ? check_.interval : std::min(check_.interval, kImpatientInterval));
    Set(status, output);
  }

  void Set(const char* status, const std::string& output) {
    State& state = runner_.state_;
    const std::string id = check_.id;
    state.SetCheck(id, status, output);
  }

  void Reap() {
    State& state = runner_.state_;
    const std::string service = check_.service_id;
    runner_.on_reap_(check_);
    (void)state.Deregister(service);
  }

  CheckRunner& runner_;
  Check check_;
  net::Timer clock_;  // ttl: until it expires; tcp: until the next dial
  net::Timer limit_;  // of the dial under way
  net::Timer reap_;
  std::uint64_t dial_ = 0;
  std::vector<net::SocketAddress> addresses_;  // still to be tried
  net::UniqueFd fd_;
  std::optional<net::Poller> poller_;
  std::shared_ptr<const bool> alive_ =
      std::make_shared<const bool>(true);  // for look-ups under way
};

CheckRunner::CheckRunner(net::Loop& loop, State& state, std::function<void(const Check&)> on_reap)
    : loop_(loop), state_(state), on_reap_(std::move(on_reap)), resolver_(loop) {}
CheckRunner::~CheckRunner() = default;

void CheckRunner::Sync() {
  std::erase_if(running_, [this](const auto& entry) {
    const auto found = state_.checks().find(entry.first);
    return found == state_.checks().end() || !entry.second->Runs(found->second);
  });
  for (const auto& [id, check] : state_.checks()) {
    const auto found = running_.find(id);
    if (found == running_.end()) {
      running_.emplace(id, std::make_unique<Running>(*this, check));
    } else {
      found->second->Follow(check);
    }
  }
}

}  // namespace mooring::dev
