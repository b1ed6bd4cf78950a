#include "authz/intention.h"

#include <algorithm>
#include <string_view>
#include <tuple>
#include <utility>

#include "authz/text.h"

namespace mooring::authz {
namespace {

constexpr std::string_view kWildcard = "*";
constexpr std::string_view kDefault = "default";

// The default partition and namespace are written by name or left out, depending on the agent.
std::string_view OrDefault(std::string_view name) { return name.empty() ? kDefault : name; }

bool IsGroup(const Intention& entry) { return !entry.source_sameness_group.empty(); }

bool CoversPartition(const Intention& entry, const ServiceId& source) {
  return IsGroup(entry) || entry.source_partition == kWildcard ||
         OrDefault(entry.source_partition) == OrDefault(source.partition);
}

bool CoversNamespace(const Intention& entry, const ServiceId& source) {
  return entry.source_ns == kWildcard || OrDefault(entry.source_ns) == OrDefault(source.ns);
}

// A peer's entry covers nobody: whoever asks here was proven by our own roots, and a peer's callers
// are not.
bool Covers(const Intention& entry, const ServiceId& source) {
  return entry.source_peer.empty() && CoversPartition(entry, source) &&
         CoversNamespace(entry, source) &&
         (entry.source_name == kWildcard || entry.source_name == source.service);
}

// WhyUnjudgeable looks at the fields too and not only at what a decoder noted: an entry made
// elsewhere must not allow because a note was forgotten.
std::string WhyUnjudgeable(const Intention& entry) {
  if (!entry.unjudgeable.empty()) return entry.unjudgeable;
  if (!entry.source_sameness_group.empty()) return "sameness group source";
  if (entry.source_partition == kWildcard) return "wildcard partition";
  return {};
}

// Exactness counts the named parts of one end, as Consul does: a name below a wildcard namespace is
// none.
int Exactness(std::string_view ns, std::string_view name) {
  if (ns == kWildcard) return 0;
  return name == kWildcard ? 1 : 2;
}

bool Allows(const Intention& entry) {
  return entry.action == Action::kAllow && WhyUnjudgeable(entry).empty();
}

// True if `a` is looked at before `b`. Of two that nothing else tells apart, who denies goes first,
// be it for what cannot be judged.
bool Before(const Intention& a, const Intention& b) {
  if (a.precedence != b.precedence) return a.precedence > b.precedence;
  const auto rank = [](const Intention& entry) {
    return std::make_tuple(OrDefault(entry.source_ns), std::string_view(entry.source_name),
                           OrDefault(entry.destination_ns),
                           std::string_view(entry.destination_name), IsGroup(entry), Allows(entry));
  };
  return rank(a) < rank(b);
}

std::string EndText(std::string_view partition, std::string_view ns, std::string_view name) {
  std::string text;
  if (OrDefault(partition) != kDefault) text += Shortened(partition) + "/";
  if (!text.empty() || OrDefault(ns) != kDefault) text += Shortened(OrDefault(ns)) + "/";
  return text + Shortened(name);
}

std::string_view ActionText(Action action) {
  switch (action) {
    case Action::kAllow: return "allow";
    case Action::kDeny: return "deny";
  }
  return "deny";
}

}  // namespace

std::string Intention::Text() const {
  std::string text = EndText(source_partition, source_ns, source_name);
  if (!source_peer.empty()) text += " of peer " + Shortened(source_peer);
  if (!source_sameness_group.empty())
    text += " of sameness group " + Shortened(source_sameness_group);
  text += " => " + EndText(destination_partition, destination_ns, destination_name);
  text += " (" + std::string(ActionText(action)) + ", precedence " + std::to_string(precedence);
  if (!id.empty()) text += ", ID " + Shortened(id);
  return text + ")";
}

int PrecedenceOf(const Intention& intention) {
  return 1 + 3 * Exactness(intention.destination_ns, intention.destination_name) +
         Exactness(intention.source_ns, intention.source_name);
}

IntentionSet::IntentionSet(std::vector<Intention> intentions) : entries_(std::move(intentions)) {
  for (Intention& entry : entries_) {
    if (entry.precedence == 0) entry.precedence = PrecedenceOf(entry);
  }
  std::stable_sort(entries_.begin(), entries_.end(), Before);
}

Decision IntentionSet::Decide(const ServiceId& source, DefaultPolicy fallback) const {
  for (const Intention& entry : entries_) {
    if (!Covers(entry, source)) continue;
    const std::string unjudgeable = WhyUnjudgeable(entry);
    Decision decision;
    decision.allowed = Allows(entry);
    decision.reason = "intention " + entry.Text();
    if (!unjudgeable.empty()) {
      decision.reason += " cannot be judged here and counts as deny: " + Shortened(unjudgeable);
    }
    return decision;
  }

  Decision decision;
  decision.by_default = true;
  decision.reason = "no intention covers " + EndText(source.partition, source.ns, source.service);
  switch (fallback) {
    case DefaultPolicy::kAllow:
      decision.allowed = true;
      decision.reason += ", the default is allow";
      break;
    case DefaultPolicy::kDeny: decision.reason += ", the default is deny"; break;
    case DefaultPolicy::kUnknown:
      decision.reason += ", the default is unknown and counts as deny";
      break;
  }
  return decision;
}

std::string IntentionSet::UnmatchedSource(const ServiceId& own) const {
  ServiceId probe = own;
  const auto covers_probe = [&probe](const Intention& entry) { return Covers(entry, probe); };
  const auto covers_all = [&probe](const Intention& entry) {
    return entry.source_name == kWildcard && Covers(entry, probe);
  };
  if (std::any_of(entries_.begin(), entries_.end(), covers_all)) return {};

  // Without a wildcard an entry covers one name at most, so one of size + 1 names is free.
  probe.service = "mooring-unmatched";
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (std::none_of(entries_.begin(), entries_.end(), covers_probe)) break;
    probe.service = "mooring-unmatched-" + std::to_string(i);
  }
  return probe.service;
}

const char* DefaultPolicyName(DefaultPolicy policy) {
  switch (policy) {
    case DefaultPolicy::kUnknown: return "unknown";
    case DefaultPolicy::kAllow: return "allow";
    case DefaultPolicy::kDeny: return "deny";
  }
  return "unknown";
}

}  // namespace mooring::authz
