// The process's end: from the signal to the exit code. The drain in between is each service's own
// (drain.h).
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <utility>

#include "proxy/sidecar/sidecar.h"

namespace mooring::sidecar {
namespace {

using net::milliseconds;

// Supervisors signal a process and then its group: what comes so soon is the same signal.
constexpr milliseconds kSameSignal{1'000};
constexpr milliseconds kLastMoment{2'000};

}  // namespace

void Sidecar::OnTerminate() {
  if (exiting_) return;                           // it ends already, as soon as it has deregistered
  if (role_ == Role::kSuccessor) return Exit(0);  // the predecessor serves on
  if (role_ == Role::kRetired) {
    if (loop_.now() - terminated_at_ < kSameSignal) return;
    terminated_at_ = loop_.now();
    retirement_->Terminate();
    return;
  }
  if (draining_) {
    if (loop_.now() - terminated_at_ < kSameSignal) return;
    bool begun = true;  // not where there was no memory to begin it with
    for (const auto& service : services_) begun = begun && service->DrainBegun();
    for (const auto& service : leaving_) begun = begun && service->DrainBegun();
    if (std::exchange(hurrying_, true) || !begun) {
      CloseAccounts();
      log_.Close();
      std::_Exit(0);
    }
    log_.Warn("sidecar", "another signal: ending at once");
    terminated_at_ = loop_.now();
    generations_.Tell("hurry");
    for (const auto& service : services_) service->HurryDrain();
    for (const auto& service : leaving_) service->HurryDrain();
    return;
  }
  BeginDrain();
}

void Sidecar::BeginDrain() {
  // A retired process ends with its connections, and whoever succeeds it is asked.
  if (draining_ || exiting_ || role_ == Role::kSuccessor || role_ == Role::kRetired) return;
  draining_ = true;
  supervision_.Ends();
  terminated_at_ = loop_.now();
  if (port_) port_->LetGo();
  generations_.Tell("drain");
  const bool app_first = settings_.stop_after.on();
  for (const auto& service : services_) loop_.Attend(this, [&] { service->BeginDrain(app_first); });
  if (!app_first) return;
  app_end_.emplace(loop_, log_, settings_.stop_after);
  app_end_->Begin([this] {
    for (const auto& service : services_) loop_.Attend(this, [&] { service->LetUpstreamsGo(); });
  });
}

void Sidecar::OnDrained(Service& service) {
  if (draining_) {
    if (AllDrained()) EndDrained();
    return;
  }
  if (service.ExpectsHosts()) return;  // OnJoined goes on with it
  loop_.Post([this, &service] { Forget(service); });
}

bool Sidecar::AllDrained() const {
  const auto is_drained = [](const auto& each) { return each->drained(); };
  return std::all_of(services_.begin(), services_.end(), is_drained) &&
         std::all_of(leaving_.begin(), leaving_.end(), is_drained);
}

void Sidecar::EndDrained() {
  if (generations_.empty()) return Exit(0);
  // They end within the time of a drain; one that does not is not waited for.
  if (!end_anyway_.running()) end_anyway_.Start(settings_.drain_time + kLastMoment);
}

bool Sidecar::End(int code) {
  if (std::exchange(exiting_, true)) return false;
  for (const auto& service : services_) service->Quit();
  for (const auto& service : leaving_) service->Quit();
  exit_code_ = code;
  return true;
}

void Sidecar::Exit(int code) {
  if (!End(code)) return;
  loop_.Stop();
  log_.Info("sidecar", "stopped");
}

void Sidecar::Fatal(const std::string& message, const std::vector<std::string>& more, int code) {
  if (!End(code)) return;
  supervision_.Ends();
  supervision_.Tell(false, "cannot start: " + message);
  log_.Complain(message, more);
  // A registration needs the inbound side alone, so an upstream's port that is taken may be found
  // out after it. The last to be gone ends the process: with the last share of this.
  const std::shared_ptr<void> end(nullptr, [&loop = loop_](void*) { loop.Stop(); });
  for (const auto& service : services_) {
    if (service->registered()) service->Deregister([end] {});
  }
}

}  // namespace mooring::sidecar
