// The sidecar's end: from the signal to the exit code. The drain in between is drain.h's.
#include <cstdlib>
#include <utility>

#include "proxy/sidecar/sidecar.h"

namespace mooring::sidecar {
namespace {

using net::milliseconds;

// Supervisors signal a process and then its group: what comes so soon is the same signal.
constexpr milliseconds kSameSignal{1'000};

}  // namespace

void Sidecar::OnTerminate() {
  if (state_ == State::kDraining) {
    if (loop_.now() - terminated_at_ < kSameSignal) return;
    if (std::exchange(hurrying_, true) || !drain_) {  // without: there was no memory to begin it with
      log_.Close();
      std::_Exit(0);
    }
    log_.Warn("sidecar", "another signal: ending at once");
    terminated_at_ = loop_.now();
    drain_->Hurry();
    return;
  }
  state_ = State::kDraining;
  terminated_at_ = loop_.now();
  std::unique_ptr<control::Departure> departure;
  if (config_ && (registration_ || maintenance_)) {
    if (config_watch_) config_watch_->Stop();  // a drain takes up no new configuration; the agent serves so many connections
    departure = std::make_unique<control::Departure>(loop_, log_, *agent_, config_->service, registration_.get(),
                                                     registration_ ? nullptr : maintenance_.get());
  }
  drain_.emplace(loop_, log_, workers_, *listeners_, std::move(departure),
                 Drain::Limits{settings_.drain_delay, settings_.drain_time, settings_.drain_quiet}, [this] { Exit(0); });
  drain_->Begin();
}

void Sidecar::Exit(int code) {
  if (std::exchange(exiting_, true)) return;
  exit_code_ = code;
  loop_.Stop();
  log_.Info("sidecar", "stopped");
}

void Sidecar::Fatal(const std::string& message, const std::vector<std::string>& more) {
  if (std::exchange(exiting_, true)) return;
  exit_code_ = 1;
  log_.Complain(message, more);
  if (registration_) {
    // It needs the inbound side alone, so an upstream's port that is taken may be found out after it.
    registration_->Remove([this] { loop_.Stop(); });
    return;
  }
  loop_.Stop();
}

}  // namespace mooring::sidecar
