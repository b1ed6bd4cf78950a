// Service: whether it can serve. Our entry in the catalog depends on the inbound side alone; /ready
// asks for a first answer about every upstream besides, whatever it says, and for an entry that was
// not refused.
#include <algorithm>
#include <chrono>
#include <utility>

#include "proxy/sidecar/service.h"

namespace mooring::sidecar {
namespace {

using control::ListenerSet;
using First = control::Registration::First;

constexpr std::size_t kNamed = 3;  // so many upstreams are named in one reason

}  // namespace

std::vector<std::string> Service::InboundNotReady() const {
  std::vector<std::string> reasons;
  const auto add = [&reasons](std::string reason) {
    if (!reason.empty()) reasons.push_back(std::move(reason));
  };
  if (!begun_) {
    reasons.push_back(unprepared_.empty() ? "not started yet" : unprepared_);
    return reasons;
  }
  if (!config_) {
    const control::Watch* watch = config_watch_ ? config_watch_.get() : find_proxy_.get();
    add("no proxy configuration yet" + (watch != nullptr && !watch->state().last_error.empty()
                                            ? ": " + watch->state().last_error
                                            : std::string()));
    return reasons;
  }
  add(identity_->Missing());
  if (const auto identity = identity_->Current();
      identity && identity->leaf->ExpiredAt(std::chrono::system_clock::now())) {
    add("our leaf certificate has expired");
  }
  if (identity_->RootsTooOld()) add("the roots are older than max_stale");
  if (intentions_ && config_->public_listen) {
    add(intentions_->Missing());
    if (intentions_->TooOld()) add("the intentions are older than max_stale");
  }
  if (config_->public_listen && !listeners_->IsOpen(kPublic)) {
    std::string why = listeners_->ErrorOf(kPublic);
    if (why.empty() && local_app_ && !local_app_->Errors().empty())
      why = local_app_->Errors().front();
    add("the public listener is not open" + (why.empty() ? "" : ": " + why));
  }
  return reasons;
}

std::vector<std::string> Service::NotReady() const {
  std::vector<std::string> reasons;
  if (draining_) reasons.emplace_back("draining");
  for (std::string& reason : InboundNotReady()) reasons.push_back(std::move(reason));
  // Behind a predecessor its entry is there already, and callers know us from it.
  if (registration_ && registration_->first() == First::kAsked && !succeeds_)
    reasons.emplace_back("not registered yet");
  if (registration_ && registration_->first() == First::kRefused) {
    reasons.push_back("not registered, so no caller can find it: " + registration_->Complaint());
  }
  if (!config_) return reasons;
  if (!started_ && !ListenersDone())
    reasons.emplace_back("not every upstream listener is open yet");
  std::size_t waiting = 0;
  std::string names;
  for (const auto& [name, source] : upstreams_) {
    if (source->Answered()) continue;
    if (++waiting > kNamed) continue;
    const std::string& error = source->watch()->state().last_error;
    names += (waiting > 1 ? ", " : "") + source->Rules()->name +
             (error.empty() ? "" : " (" + error + ")");
  }
  if (waiting > kNamed) names += " and " + std::to_string(waiting - kNamed) + " more";
  if (waiting > 0) reasons.push_back("no answer yet about the instances of " + names);
  return reasons;
}

std::vector<std::string> Service::Degraded() const {
  std::vector<std::string> reasons;
  if (registration_ && registration_->first() == First::kTaken) {
    if (!registration_->Complaint().empty())
      reasons.push_back("our registration: " + registration_->Complaint());
  } else if (registration_ && registration_->first() == First::kUnanswered) {
    // An entry of an earlier run may be there, and callers know us from it.
    reasons.push_back("our registration: not taken yet: " + registration_->last_error());
  }
  if (mesh_ && !mesh_->complaint().empty())
    reasons.push_back("the mesh config entry is not in force: " + mesh_->complaint());
  for (const ListenerSet::View& view :
       listeners_ ? listeners_->Views() : std::vector<ListenerSet::View>{}) {
    if (view.name != kPublic && !view.error.empty())
      reasons.push_back("listener " + view.name + ": " + view.error);
  }
  for (const auto& [name, source] : upstreams_) {
    const std::string complaint = source->Complaint();
    if (!complaint.empty())
      reasons.push_back("upstream " + source->Rules()->name + ": " + complaint);
  }
  return reasons;
}

// FollowRegistration keeps the entry that the settings want. One of another ID is taken out; one of
// the same ID is written over.
void Service::FollowRegistration(bool inbound) {
  if (registration_ && !settings_.register_self) Unregister();
  if (!inbound || !settings_.register_self) return;
  control::Registration::Entry entry;
  entry.service = config_->service;
  entry.id = config_->service + "-proxy" +
             (settings_.register_id.empty() ? std::string() : "-" + settings_.register_id);
  entry.port = listeners_->BoundPort(kPublic);
  entry.address = !settings_.advertise.empty()           ? settings_.advertise
                  : config_->public_listen->IsWildcard() ? std::string()
                                                         : config_->public_listen->host;
  if (registration_ && registration_->entry() == entry) return;
  auto next = std::make_unique<control::Registration>(loop_, log_, *agent_, entry);
  if (registration_ && registration_->id() != entry.id) Unregister();
  registration_ = std::move(next);
  registration_->OnChange([this] { CheckReady(); });
  registration_->Start();
}

void Service::Unregister() {
  unregistering_.push_back(std::move(registration_));
  control::Registration* const old = unregistering_.back().get();
  old->OnChange({});
  old->Remove([this, old] {
    loop_.Post([this, old] {
      std::erase_if(unregistering_, [old](const auto& each) { return each.get() == old; });
    });
  });
}

void Service::CheckReady() {
  if (draining_ || quitting_) return;
  const bool inbound = InboundNotReady().empty();
  if (inbound && ListenersDone()) started_ = true;
  FollowRegistration(inbound && !shared_.waits);
  if (inbound && maintenance_ && !shared_.waits) maintenance_->Undo();
  const std::vector<std::string> reasons = NotReady();
  if (std::exchange(ready_, reasons.empty()) == reasons.empty()) return;
  if (ready_) {
    was_ready_ = true;
    log_.Info("sidecar", "ready");
  } else {
    log_.Warn("sidecar", "not ready", {{"reason", reasons.front()}});
  }
  owner_.OnReadiness(*this);
}

}  // namespace mooring::sidecar
