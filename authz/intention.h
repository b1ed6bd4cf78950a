// Intentions: who may talk to this service, decided locally with Consul's precedence.
//
// An IntentionSet is the match list of one destination. Decide walks it in precedence order and the
// first entry that covers the source decides; what this proxy cannot judge (L7 permissions, JWT, a
// sameness group, an unknown action or source type) counts as deny for whom it could cover. An
// entry for a peer's callers covers none of ours. When no entry covers the source, the default
// decides, and an unknown default is a deny. Names are compared byte by byte; `*` is a wildcard
// only as a whole value. Pure, immutable once made.
#pragma once

#include <string>
#include <vector>

#include "authz/spiffe.h"

namespace mooring::authz {

enum class Action { kAllow, kDeny };

// DefaultPolicy is what holds for a source that no intention covers. kUnknown denies.
enum class DefaultPolicy { kUnknown, kAllow, kDeny };
const char* DefaultPolicyName(DefaultPolicy policy);  // "allow", "deny", "unknown"

struct Intention {
  std::string id;                // may be empty: agents of Consul 1.9 and newer can leave it out
  std::string source_partition;  // empty or "default": the default partition
  std::string source_ns = "default";  // or "*"; empty: "default"
  std::string source_name;            // or "*"
  std::string destination_partition;
  std::string destination_ns = "default";
  std::string destination_name;
  int precedence = 0;  // 1..9, Consul's table; 0: IntentionSet fills in PrecedenceOf
  Action action = Action::kDeny;
  // Empty if this entry can be judged at layer 4, else why not ("L7 permissions", "JWT
  // requirement", ...). Such an entry denies whom it covers.
  std::string unjudgeable;
  // Non-empty: means callers of that peer. They come from another trust domain, which our roots do
  // not prove, so that such an entry covers nobody who can be a caller here.
  std::string source_peer;
  // Non-empty: means callers of that group, in whatever partition. The group contains the local
  // partition, but who else is in it is not known here: such an entry never allows, and denies whom
  // its namespace and name fit. An intention that names the local callers themselves is looked at
  // first.
  std::string source_sameness_group;

  // Text names the entry in a log: `api => payment (deny, precedence 9, ID ...)`. Printable ASCII.
  std::string Text() const;
};

// PrecedenceOf is the number Consul gives an intention by how exact its two ends are: 9 (both
// named) to 1 (both `*` in namespace `*`).
int PrecedenceOf(const Intention& intention);

struct Decision {
  bool allowed = false;
  std::string reason;       // names the intention or the default that decided; for logs and /status
  bool by_default = false;  // no intention covered the source
};

class IntentionSet {
 public:
  IntentionSet() = default;  // no entries

  // The list is sorted by precedence, highest first, ties in Consul's order (source namespace,
  // source name, destination namespace, destination name), after that entries of single
  // callers before those of groups, and deny before allow; an agent's order is not relied
  // upon.
  explicit IntentionSet(std::vector<Intention> intentions);

  // Decide judges a caller whose identity has been proven. The datacenter and the trust domain take
  // no part (the certificate check has settled the trust domain); partition, namespace and name do.
  Decision Decide(const ServiceId& source, DefaultPolicy fallback) const;

  // UnmatchedSource is a service name that no entry covers in the partition and namespace of `own`,
  // for asking an agent what its default is: authorize with `own`, its service replaced by this
  // name. Empty when entries cover every source there, then the default decides nothing for them.
  // The namespace matters: asked with another one, the answer could be an intention's and not the
  // default's.
  std::string UnmatchedSource(const ServiceId& own) const;

  const std::vector<Intention>& entries() const { return entries_; }

 private:
  std::vector<Intention> entries_;
};

}  // namespace mooring::authz
