// Service::Use: other settings of the same service, taken up while it runs. Listeners, upstreams
// and what its registration says follow by Apply; here is the rest.
#include <utility>

#include "proxy/sidecar/service.h"

namespace mooring::sidecar {

Status Service::PrepareFor(const config::ServiceSettings& next) {
  if (agent_ || !next.NeedsAgent() || !begun_) return Ok();
  return MakeAgent(next);
}

void Service::Use(const config::ServiceSettings& next) {
  const config::ServiceSettings before = std::exchange(settings_, next);
  if (draining_ || quitting_) return;
  if (agent_) agent_->SetMaxStale(process_.max_stale);
  caps_->each->SetLimit(settings_.max_connections_per_identity);
  if (!begun_) return;  // it begins by them
  if (agent_ && !store_ && !process_.state_dir.empty()) {
    if (const Status opened = OpenStore(); !opened)
      log_.Warn("sidecar", "no state is kept", {{"error", opened.error().message}});
  }
  FollowOffers(before);
  FollowIntentions(before);
  if (document_) {
    Apply(control::FromDocument(*document_, settings_));
  } else if (!settings_.HeldByAgent()) {
    Apply(control::FromSettings(settings_));
  }
  Changed();  // what is the process's, too
}

void Service::FollowOffers(const config::ServiceSettings& before) {
  if (agent_ && !mesh_) OpenMesh();
  if (before.tls_resumption == settings_.tls_resumption &&
      before.tls_groups == settings_.tls_groups)
    return;
  if (mesh_) mesh_->SetWidest(OwnOffers());
  if (identity_) identity_->SetOffers(Offers());
}

void Service::FollowIntentions(const config::ServiceSettings& before) {
  if (before.intentions && !settings_.intentions) {
    // Until the agent has said who may call, those hold who could until now.
    former_intentions_ = static_intentions_;
    former_fallback_ = before.intentions->fallback;
  }
  static_intentions_for_.clear();  // they are made anew, for the namespace in force
  if (settings_.intentions) {
    former_intentions_.reset();
    intentions_.reset();
  }
}

}  // namespace mooring::sidecar
