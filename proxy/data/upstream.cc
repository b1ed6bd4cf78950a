#include "proxy/data/upstream.h"

namespace mooring::data {

std::shared_ptr<const authz::ServiceId> Upstream::IdentityOf(const Lease& lease) const {
  if (lease.list_ == list_) return lease.endpoint().identity;
  for (const Endpoint& now : rules_->endpoints) {
    if (now.history == lease.endpoint().history) return now.identity;
  }
  // it has left the list; the identity of the others is newer than what was its own
  return rules_->identity;
}

}  // namespace mooring::data
