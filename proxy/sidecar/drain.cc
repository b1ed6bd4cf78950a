// The sidecar's end, in order: tell the agent, stop accepting, await connections, deregister, exit.
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "proxy/sidecar/sidecar.h"

namespace mooring::sidecar {
namespace {

using net::milliseconds;

constexpr milliseconds kDrainPoll{50};

}  // namespace

void Sidecar::OnTerminate() {
  if (state_ == State::kDraining) {
    log_.Warn("sidecar", "second signal: ending at once");
    std::_Exit(0);  // not even a name look-up under way may hold it up
  }
  log_.Info("sidecar", "draining", {{"connections", std::to_string(ActiveConnections())},
                                    {"delay_ms", std::to_string(settings_.drain_delay.count())},
                                    {"limit_ms", std::to_string(settings_.drain_time.count())}});
  state_ = State::kDraining;
  // The delay runs beside the agent's answer: callers need it to hear that we are gone from the catalog.
  if (registration_) {
    registration_->Drain([] {});
  } else if (maintenance_ && config_) {
    told_agent_ = false;
    maintenance_->Enable([this] { told_agent_ = true; });
  }
  drain_delay_.Start(started_ ? settings_.drain_delay : milliseconds(0));
}

void Sidecar::StopAccepting() {
  listeners_->CloseAll([this] {
    if (exiting_) return;
    log_.Info("sidecar", "listeners closed", {{"connections", std::to_string(ActiveConnections())}});
    drain_limit_.Start(settings_.drain_time);
    AwaitConnections();
  });
}

void Sidecar::AwaitConnections() {
  if (left_) return;
  if (ActiveConnections() == 0 && told_agent_) {
    Leave();
    return;
  }
  drain_poll_.Start(kDrainPoll);
}

void Sidecar::Leave() {
  if (std::exchange(left_, true)) return;
  drain_limit_.Stop();
  if (!registration_) {
    Exit(0);
    return;
  }
  registration_->Remove([this] { Exit(0); });
}

void Sidecar::Exit(int code) {
  if (std::exchange(exiting_, true)) return;
  exit_code_ = code;
  log_.Info("sidecar", "stopped");
  loop_.Stop();
}

void Sidecar::Fatal(const std::string& message) {
  if (std::exchange(exiting_, true)) return;
  exit_code_ = 1;
  std::fprintf(stderr, "==> %s\n", message.c_str());
  if (registration_) {
    // It needs the inbound side alone, so an upstream's port that is taken may be found out after it.
    registration_->Remove([this] { loop_.Stop(); });
    return;
  }
  loop_.Stop();
}

}  // namespace mooring::sidecar
