// A service's end. The steps of its drain are drain.h's.
#include <utility>

#include "proxy/control/departure.h"
#include "proxy/sidecar/service.h"

namespace mooring::sidecar {

void Service::BeginDrain(bool app_first) {
  draining_ = true;
  if (find_proxy_) find_proxy_->Stop();
  if (!begun_) {
    loop_.Post([this] { SayDrained(); });
    return;
  }
  std::unique_ptr<control::Departure> departure;
  if (config_ && (registration_ || maintenance_)) {
    // a drain takes up no new configuration; the agent serves so many connections
    if (config_watch_) config_watch_->Stop();
    departure = std::make_unique<control::Departure>(loop_, log_, *agent_, config_->service,
                                                     registration_.get(),
                                                     registration_ ? nullptr : maintenance_.get());
  }
  drain_.emplace(
      loop_, log_, hosts_, *listeners_, std::move(departure),
      Drain::Limits{process_.drain_delay, process_.drain_time, process_.drain_quiet, app_first},
      [this] { SayDrained(); });
  drain_->Begin();
}

void Service::LetUpstreamsGo() {
  if (drain_) drain_->LetUpstreamsGo();
}

void Service::SayDrained() {
  drained_ = true;
  owner_.OnDrained(*this);
}

std::vector<data::ServiceHost*> Service::TakeHosts() {
  Quit();
  return std::exchange(hosts_, {});
}

void Service::HurryDrain() {
  if (drain_) drain_->Hurry();
}

void Service::Deregister(std::function<void()> done) { registration_->Remove(std::move(done)); }

bool Service::CloseStore() { return !store_ || store_->Close(); }

}  // namespace mooring::sidecar
