#include "proxy/dev/intentions.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "proxy/dev/identifier.h"

namespace mooring::dev {
namespace {

constexpr std::string_view kWildcard = "*";

// NameFault is Consul's rule for one end of an intention; empty if it is kept.
std::string NameFault(const std::string& field, const std::string& ns, const std::string& name) {
  if (name.empty()) return field + "Name must be set";
  for (const auto& [suffix, value] : {std::pair{"NS", &ns}, std::pair{"Name", &name}}) {
    if (value->find('*') != std::string::npos && *value != kWildcard) {
      return field + suffix + ": wildcard character '*' cannot be used with partial values";
    }
  }
  if (ns == kWildcard && name != kWildcard)
    return field + "Name: exact value cannot follow wildcard namespace";
  return {};
}

bool Matches(const std::string& pattern, const std::string& value) {
  return pattern == kWildcard || pattern == value;
}

void Sort(std::vector<const StoredIntention*>& list) {
  const auto rank = [](const StoredIntention* entry) {
    const authz::Intention& rule = entry->rule;
    return std::tie(rule.source_ns, rule.source_name, rule.destination_ns, rule.destination_name);
  };
  std::sort(list.begin(), list.end(), [&](const auto* a, const auto* b) {
    if (a->rule.precedence != b->rule.precedence) return a->rule.precedence > b->rule.precedence;
    return rank(a) < rank(b);
  });
}

const char* ActionName(authz::Action action) {
  return action == authz::Action::kAllow ? "allow" : "deny";
}

}  // namespace

Json StoredIntention::Document() const {
  return {{"ID", rule.id},
          {"Description", description},
          {"SourceNS", rule.source_ns},
          {"SourceName", rule.source_name},
          {"DestinationNS", rule.destination_ns},
          {"DestinationName", rule.destination_name},
          {"SourceType", "consul"},
          {"Action", ActionName(rule.action)},
          {"DefaultAddr", ""},
          {"DefaultPort", 0},
          {"Meta", meta},
          {"Precedence", rule.precedence},
          {"CreatedAt", created_at},
          {"UpdatedAt", updated_at},
          {"CreateIndex", create_index},
          {"ModifyIndex", modify_index}};
}

std::string StoredIntention::Text() const {
  return std::string(rule.action == authz::Action::kAllow ? "ALLOW " : "DENY ") + rule.source_ns +
         '/' + rule.source_name + " => " + rule.destination_ns + '/' + rule.destination_name +
         " (ID: " + rule.id + ", Precedence: " + std::to_string(rule.precedence) + ')';
}

Result<StoredIntention> ParseIntention(std::string_view body) {
  const Result<Json> parsed = ParseBody(body);
  if (!parsed) return Invalid("Failed to decode request body: " + parsed.error().message);
  std::string fault;
  const Fields fields(&*parsed, "", &fault);
  StoredIntention out;
  out.rule.id = fields.Text("ID");
  out.description = fields.Text("Description");
  out.rule.source_ns = fields.Text("SourceNS");
  out.rule.source_name = fields.Text("SourceName");
  out.rule.destination_ns = fields.Text("DestinationNS");
  out.rule.destination_name = fields.Text("DestinationName");
  if (out.rule.source_ns.empty()) out.rule.source_ns = "default";
  if (out.rule.destination_ns.empty()) out.rule.destination_ns = "default";
  out.meta = fields.TextMap("Meta");
  const std::string action = fields.Text("Action");
  const std::string type = fields.Text("SourceType");
  if (!fields.Children("Permissions").empty()) {
    return Invalid(
        "mooring dev knows no layer 7 permissions: leave Permissions out, or use a Consul agent");
  }
  if (!fault.empty()) return Invalid("Failed to decode request body: " + fault);
  if (!type.empty() && type != "consul") {
    return Invalid("1 error occurred:\n\t* SourceType must be set to 'consul'\n\n");
  }
  if (action != "allow" && action != "deny") {
    return Invalid("1 error occurred:\n\t* Action must be set to 'allow' or 'deny'\n\n");
  }
  out.rule.action = action == "allow" ? authz::Action::kAllow : authz::Action::kDeny;
  return out;
}

Status CheckRules(const StoredIntention& intention) {
  const authz::Intention& rule = intention.rule;
  for (const std::string& fault :
       {NameFault("Source", rule.source_ns, rule.source_name),
        NameFault("Destination", rule.destination_ns, rule.destination_name)}) {
    if (!fault.empty()) return Invalid("1 error occurred:\n\t* " + fault + "\n\n");
  }
  return Ok();
}

Intentions::Intentions(Index& index, std::function<void()> on_change)
    : index_(index), on_change_(std::move(on_change)), changed_at_(index.value) {}

const StoredIntention* Intentions::Find(const std::string& id) const {
  const auto found = entries_.find(id);
  return found == entries_.end() ? nullptr : &found->second;
}

const StoredIntention* Intentions::FindExact(const std::string& source_ns,
                                             const std::string& source,
                                             const std::string& destination_ns,
                                             const std::string& destination) const {
  for (const auto& [id, entry] : entries_) {
    const authz::Intention& rule = entry.rule;
    if (rule.source_ns == source_ns && rule.source_name == source &&
        rule.destination_ns == destination_ns && rule.destination_name == destination) {
      return &entry;
    }
  }
  return nullptr;
}

const StoredIntention* Intentions::Twin(const StoredIntention& intention) const {
  const authz::Intention& rule = intention.rule;
  return FindExact(rule.source_ns, rule.source_name, rule.destination_ns, rule.destination_name);
}

Result<std::string> Intentions::Create(StoredIntention intention, const std::string& now) {
  if (!intention.rule.id.empty()) return Invalid("ID must be empty when creating a new intention");
  if (Status rules = CheckRules(intention); !rules) return rules.error();
  if (const StoredIntention* twin = Twin(intention)) {
    return Invalid("duplicate intention found: " + twin->Text());
  }
  std::string id = NewUuid();
  intention.rule.id = id;
  intention.rule.precedence = authz::PrecedenceOf(intention.rule);
  intention.created_at = intention.updated_at = now;
  intention.create_index = intention.modify_index = index_.Next();
  entries_.emplace(id, std::move(intention));
  Changed();
  return id;
}

Status Intentions::Update(const std::string& id, StoredIntention intention,
                          const std::string& now) {
  const auto found = entries_.find(id);
  if (found == entries_.end()) {
    return Error{ErrorCode::kNotFound, "Cannot modify non-existent intention: '" + id + "'"};
  }
  if (Status rules = CheckRules(intention); !rules) return rules;
  if (const StoredIntention* twin = Twin(intention); twin != nullptr && twin != &found->second) {
    return Invalid("duplicate intention found: " + twin->Text());
  }
  intention.rule.id = id;
  intention.rule.precedence = authz::PrecedenceOf(intention.rule);
  intention.created_at = found->second.created_at;
  intention.create_index = found->second.create_index;
  intention.updated_at = now;
  intention.modify_index = index_.Next();
  found->second = std::move(intention);
  Changed();
  return Ok();
}

bool Intentions::Delete(const std::string& id) {
  if (entries_.erase(id) == 0) return false;
  index_.Next();
  Changed();
  return true;
}

std::vector<const StoredIntention*> Intentions::Match(By by, const std::string& ns,
                                                      const std::string& name) const {
  std::vector<const StoredIntention*> list;
  for (const auto& [id, entry] : entries_) {
    const bool source = by == By::kSource;
    if (Matches(source ? entry.rule.source_ns : entry.rule.destination_ns, ns) &&
        Matches(source ? entry.rule.source_name : entry.rule.destination_name, name)) {
      list.push_back(&entry);
    }
  }
  Sort(list);
  return list;
}

std::vector<const StoredIntention*> Intentions::All() const {
  std::vector<const StoredIntention*> list;
  for (const auto& [id, entry] : entries_) list.push_back(&entry);
  Sort(list);
  return list;
}

const StoredIntention* Intentions::Decide(const std::string& source_ns, const std::string& source,
                                          const std::string& destination_ns,
                                          const std::string& destination) const {
  for (const StoredIntention* entry : Match(By::kDestination, destination_ns, destination)) {
    if (Matches(entry->rule.source_ns, source_ns) && Matches(entry->rule.source_name, source))
      return entry;
  }
  return nullptr;
}

void Intentions::Changed() {
  changed_at_ = index_.value;
  on_change_();
}

}  // namespace mooring::dev
