// Service: between a predecessor and a successor. What the process does then is succession.cc's.
#include <utility>

#include "proxy/handover/documents.h"
#include "proxy/sidecar/service.h"

namespace mooring::sidecar {

std::vector<const net::Inherited::Socket*> Service::Sockets() const {
  return listeners_ ? listeners_->Sockets() : std::vector<const net::Inherited::Socket*>();
}

std::optional<handover::Offer::Documents> Service::Documents() const {
  if (!store_) return std::nullopt;
  const Result<std::string> content = store_->Documents();
  if (content && content->empty()) return std::nullopt;
  Result<net::UniqueFd> fd = content ? handover::WriteDocuments(*content) : content.error();
  if (fd) return handover::Offer::Documents{StateName(), std::move(*fd)};
  log_.Warn("sidecar", "a successor has to ask the agent for all that this process knows",
            {{"error", fd.error().message}});
  return std::nullopt;
}

void Service::StopAccepting(std::function<void()> done) {
  if (listeners_) {
    listeners_->StopAccepting(std::move(done));
  } else {
    loop_.Post(std::move(done));
  }
}

void Service::StartAccepting() {
  if (listeners_) listeners_->StartAccepting();
  Changed();
}

void Service::Keep() {
  if (store_) store_->Begin();
}

bool Service::Retire() {
  draining_ = true;
  if (listeners_) listeners_->GiveUp();
  if (find_proxy_) find_proxy_->Stop();
  if (config_watch_) config_watch_->Stop();
  registration_.reset();
  maintenance_.reset();
  mesh_.reset();
  defaults_.reset();
  own_place_.reset();
  probe_.reset();
  if (identity_) identity_->Retire();
  return !store_ || store_->Leave();
}

}  // namespace mooring::sidecar
