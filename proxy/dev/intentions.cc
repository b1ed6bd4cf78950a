#include "proxy/dev/intentions.h"

#include <algorithm>
#include <iterator>
#include <tuple>
#include <utility>

#include "proxy/dev/config_form.h"
#include "proxy/dev/identifier.h"

namespace mooring::dev {
namespace {

constexpr std::string_view kWildcard = "*";

// NameFault is Consul 1.8's rule for one end of an intention; empty if it is kept.
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

// CheckRules is 1.8's validation of one intention, besides what ParseIntention has looked at.
Status CheckRules(const StoredIntention& intention) {
  const authz::Intention& rule = intention.rule;
  for (const std::string& fault :
       {NameFault("Source", rule.source_ns, rule.source_name),
        NameFault("Destination", rule.destination_ns, rule.destination_name)}) {
    if (!fault.empty()) return Invalid("1 error occurred:\n\t* " + fault + "\n\n");
  }
  return Ok();
}

bool IsPartlyWild(const std::string& name) {
  return name.find('*') != std::string::npos && name != kWildcard;
}

// SourceFault is 1.21's rule for one source of a config entry; empty if it is kept.
std::string SourceFault(const StoredIntention& source, bool by_id) {
  const authz::Intention& rule = source.rule;
  const bool judged = source.permissions.is_null();
  if (rule.source_name.empty()) return ".Name is required";
  if (!rule.source_sameness_group.empty()) {
    return ".SamenessGroup: sameness groups are a Consul Enterprise feature";
  }
  if (IsPartlyWild(rule.source_name))
    return ".Name: wildcard character '*' cannot be used with partial values";
  if (rule.source_peer.find('*') != std::string::npos)
    return ".Peer: cannot use wildcard '*' in peer";
  if (!by_id && !rule.id.empty() && !source.meta.empty()) return ".LegacyMeta must be omitted";
  if ((by_id || judged) && source.action != "allow" && source.action != "deny")
    return ".Action must be set to 'allow' or 'deny'";
  if (judged) return {};
  if (!source.action.empty()) return ".Action must be omitted if Permissions are specified";
  if (rule.destination_name == kWildcard)
    return ".Permissions cannot be specified on intentions with wildcarded destinations";
  for (std::size_t i = 0; i < source.permissions.size(); ++i) {
    const Json& permission = source.permissions[i];
    const std::string place = ".Permissions[" + std::to_string(i) + "]";
    const std::string action = permission.value("Action", "");
    if (action != "allow" && action != "deny")
      return place + ".Action must be set to 'allow' or 'deny'";
    if (!permission.contains("HTTP")) return place + ".HTTP is required";
  }
  return {};
}

bool SameSource(const authz::Intention& a, const authz::Intention& b) {
  return a.source_peer == b.source_peer && a.source_ns == b.source_ns &&
         a.source_name == b.source_name;
}

bool Matches(const std::string& pattern, const std::string& value) {
  return pattern == kWildcard || pattern == value;
}

void Sort(std::vector<const StoredIntention*>& list) {
  const auto rank = [](const StoredIntention* entry) {
    const authz::Intention& rule = entry->rule;
    return std::tie(rule.source_peer, rule.source_ns, rule.source_name, rule.destination_ns,
                    rule.destination_name);
  };
  std::sort(list.begin(), list.end(), [&](const auto* a, const auto* b) {
    if (a->rule.precedence != b->rule.precedence) return a->rule.precedence > b->rule.precedence;
    return rank(a) < rank(b);
  });
}

const char* Shouted(authz::Action action) {
  return action == authz::Action::kAllow ? "ALLOW" : "DENY";
}

// HashOf stands for the hash that clients read as base64; hex digits are of that alphabet, too.
std::string HashOf(const StoredIntention& intention) {
  const std::string text = intention.Text(Like::kCurrent) + intention.updated_at;
  return ContentHash(text) + ContentHash('1' + text) + ContentHash('2' + text);
}

void PutText(Json& out, const char* name, const std::string& text) {
  if (!text.empty()) out[name] = text;
}

Json SourceDocument(const StoredIntention& source) {
  const authz::Intention& rule = source.rule;
  Json out = {{"Name", rule.source_name}, {"Precedence", rule.precedence}, {"Type", "consul"}};
  PutText(out, "Action", source.action);
  if (!source.permissions.is_null()) out["Permissions"] = source.permissions;
  PutText(out, "LegacyID", rule.id);
  PutText(out, "Description", source.description);
  if (!rule.id.empty() && !source.meta.empty()) out["LegacyMeta"] = source.meta;
  PutText(out, "LegacyCreateTime", source.created_at);
  PutText(out, "LegacyUpdateTime", source.updated_at);
  PutText(out, "Peer", rule.source_peer);
  return out;
}

StoredIntention SourceOf(const Json& source) {
  StoredIntention out;
  out.rule.source_name = source.value("Name", "");
  out.rule.source_peer = source.value("Peer", "");
  out.rule.source_sameness_group = source.value("SamenessGroup", "");
  out.action = source.value("Action", "");
  out.rule.action = out.action == "allow" ? authz::Action::kAllow : authz::Action::kDeny;
  out.permissions = source.value("Permissions", Json(nullptr));
  out.description = source.value("Description", "");
  return out;
}

Error NoSuchId(const std::string& id) {
  return Error{ErrorCode::kNotFound, "Cannot modify non-existent intention: '" + id + "'"};
}

}  // namespace

Json StoredIntention::Document(Like like) const {
  Json out = {{"SourceNS", rule.source_ns},
              {"SourceName", rule.source_name},
              {"DestinationNS", rule.destination_ns},
              {"DestinationName", rule.destination_name},
              {"SourceType", "consul"},
              {"Precedence", rule.precedence},
              {"CreateIndex", create_index},
              {"ModifyIndex", modify_index}};
  if (like == Like::kOld) {
    out["ID"] = rule.id;
    out["Description"] = description;
    out["Action"] = action;
    out["DefaultAddr"] = "";
    out["DefaultPort"] = 0;
    out["Meta"] = meta;
    out["CreatedAt"] = created_at;
    out["UpdatedAt"] = updated_at;
    return out;
  }
  PutText(out, "ID", rule.id);
  PutText(out, "Description", description);
  PutText(out, "SourcePeer", rule.source_peer);
  PutText(out, "Action", action);
  if (!permissions.is_null()) out["Permissions"] = permissions;
  if (!jwt.is_null()) out["JWT"] = jwt;
  if (!meta.empty()) out["Meta"] = meta;
  PutText(out, "CreatedAt", created_at);
  PutText(out, "UpdatedAt", updated_at);
  if (!rule.id.empty()) out["Hash"] = HashOf(*this);
  return out;
}

std::string StoredIntention::Text(Like like) const {
  const std::string names = rule.source_ns + '/' + rule.source_name + " => " + rule.destination_ns +
                            '/' + rule.destination_name + " (" +
                            (rule.id.empty() ? "" : "ID: " + rule.id + ", ") +
                            "Precedence: " + std::to_string(rule.precedence);
  if (like == Like::kOld) return std::string(Shouted(rule.action)) + ' ' + names + ')';
  const std::string what = permissions.is_null()
                               ? std::string("Action: ") + Shouted(rule.action)
                               : "Permissions: " + std::to_string(permissions.size());
  return (rule.source_peer.empty() ? "" : "peer(" + rule.source_peer + ")/") + names + ", " + what +
         ')';
}

Result<StoredIntention> ParseIntention(std::string_view body, Like like) {
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
  out.action = fields.Text("Action");
  const std::string type = fields.Text("SourceType");
  const bool layer7 = !fields.Children("Permissions").empty();
  if (layer7 && like == Like::kCurrent) out.permissions = PermissionsForm(*parsed, &fault);
  if (layer7 && like == Like::kOld) {
    return Invalid(
        "mooring dev knows no layer 7 permissions like Consul 1.8: leave Permissions out, or like "
        "1.8 out");
  }
  if (!fault.empty()) return Invalid("Failed to decode request body: " + fault);
  if (like == Like::kCurrent &&
      (out.rule.source_ns != "default" || out.rule.destination_ns != "default")) {
    return Invalid(
        "Namespaces are a Consul Enterprise feature: leave SourceNS and DestinationNS "
        "out");
  }
  if (!type.empty() && type != "consul") {
    return Invalid("1 error occurred:\n\t* SourceType must be set to 'consul'\n\n");
  }
  if (!layer7 && out.action != "allow" && out.action != "deny") {
    return Invalid("1 error occurred:\n\t* Action must be set to 'allow' or 'deny'\n\n");
  }
  out.rule.action = out.action == "allow" ? authz::Action::kAllow : authz::Action::kDeny;
  return out;
}

Intentions::Intentions(Like like, Index& index, std::function<void()> on_change)
    : like_(like), index_(index), on_change_(std::move(on_change)), changed_at_(index.value) {}

Intentions::Key Intentions::KeyOf(const StoredIntention& intention) {
  return {intention.rule.destination_ns, intention.rule.destination_name};
}

Intentions::Destination Intentions::Copy(const Key& key) const {
  const auto found = destinations_.find(key);
  return found == destinations_.end() ? Destination{} : found->second;
}

const StoredIntention* Intentions::Find(const std::string& id) const {
  if (id.empty()) return nullptr;
  for (const auto& [key, destination] : destinations_) {
    for (const StoredIntention& source : destination.sources) {
      if (source.rule.id == id) return &source;
    }
  }
  return nullptr;
}

const StoredIntention* Intentions::FindExact(const std::string& source_ns,
                                             const std::string& source,
                                             const std::string& destination_ns,
                                             const std::string& destination) const {
  const auto found = destinations_.find(Key{destination_ns, destination});
  if (found == destinations_.end()) return nullptr;
  for (const StoredIntention& entry : found->second.sources) {
    const authz::Intention& rule = entry.rule;
    if (rule.source_peer.empty() && rule.source_ns == source_ns && rule.source_name == source)
      return &entry;
  }
  return nullptr;
}

const StoredIntention* Intentions::Twin(const StoredIntention& intention) const {
  const authz::Intention& rule = intention.rule;
  return FindExact(rule.source_ns, rule.source_name, rule.destination_ns, rule.destination_name);
}

Status Intentions::MayChangeById(const Key& key) const {
  const auto found = destinations_.find(key);
  if (like_ == Like::kOld || found == destinations_.end()) return Ok();
  const auto& sources = found->second.sources;
  if (std::none_of(sources.begin(), sources.end(),
                   [](const StoredIntention& source) { return source.rule.id.empty(); })) {
    return Ok();
  }
  return Invalid("cannot use legacy intention API to edit intentions with a destination of \"" +
                 key.second + "\" after editing them via a service-intentions config entry");
}

Status Intentions::Commit(const Key& key, Destination changed, Way way) {
  const bool by_id = way == Way::kById;
  for (StoredIntention& source : changed.sources) {
    source.rule.destination_ns = key.first;
    source.rule.destination_name = key.second;
    source.rule.precedence = authz::PrecedenceOf(source.rule);
    source.jwt = changed.jwt;
  }
  std::stable_sort(changed.sources.begin(), changed.sources.end(),
                   [](const StoredIntention& a, const StoredIntention& b) {
                     return a.rule.precedence > b.rule.precedence;
                   });
  if (like_ == Like::kCurrent && !changed.sources.empty()) {
    if (key.second.empty()) return Invalid("Name is required");
    if (IsPartlyWild(key.second))
      return Invalid("Name: wildcard character '*' cannot be used with partial values");
    for (auto source = changed.sources.begin(); source != changed.sources.end(); ++source) {
      const std::string place =
          "Sources[" + std::to_string(std::distance(changed.sources.begin(), source)) + "]";
      const std::string fault = SourceFault(*source, by_id);
      if (!fault.empty()) return Invalid(place + fault);
      const bool again = std::any_of(
          changed.sources.begin(), source,
          [&](const StoredIntention& other) { return SameSource(other.rule, source->rule); });
      if (!again) continue;
      const std::string& peer = source->rule.source_peer;
      return Invalid(place + " defines " + (peer.empty() ? "" : "peer(\"" + peer + "\") ") + '"' +
                     source->rule.source_name + "\" more than once");
    }
  }
  const std::uint64_t now = index_.Next();
  changed.modify_index = now;
  if (changed.create_index == 0) changed.create_index = now;
  for (StoredIntention& source : changed.sources) {
    if (like_ == Like::kCurrent) {
      source.create_index = changed.create_index;
      source.modify_index = now;
      if (by_id) continue;
      source.rule.id.clear();
      source.created_at.clear();
      source.updated_at.clear();
      source.meta = changed.meta;
    } else if (source.modify_index == 0) {
      source.modify_index = now;
      if (source.create_index == 0) source.create_index = now;
    }
  }
  if (changed.sources.empty()) {
    destinations_.erase(key);
  } else {
    destinations_[key] = std::move(changed);
  }
  changed_at_ = now;
  on_change_();
  return Ok();
}

Result<std::string> Intentions::Create(StoredIntention intention, const std::string& now) {
  if (!intention.rule.id.empty()) return Invalid("ID must be empty when creating a new intention");
  const Key key = KeyOf(intention);
  if (Status allowed = MayChangeById(key); !allowed) return allowed.error();
  if (like_ == Like::kOld) {
    if (Status rules = CheckRules(intention); !rules) return rules.error();
    if (const StoredIntention* twin = Twin(intention)) {
      return Invalid("duplicate intention found: " + twin->Text(like_));
    }
  }
  std::string id = NewUuid();
  intention.rule.id = id;
  intention.created_at = intention.updated_at = now;
  Destination changed = Copy(key);
  changed.sources.push_back(std::move(intention));
  if (Status done = Commit(key, std::move(changed), Way::kById); !done) return done.error();
  return id;
}

Status Intentions::Update(const std::string& id, StoredIntention intention,
                          const std::string& now) {
  const StoredIntention* old = Find(id);
  if (old == nullptr) return NoSuchId(id);
  const Key before = KeyOf(*old);
  const Key key = KeyOf(intention);
  if (Status allowed = MayChangeById(before); !allowed) return allowed;
  if (like_ == Like::kOld) {
    if (Status rules = CheckRules(intention); !rules) return rules;
    if (const StoredIntention* twin = Twin(intention); twin != nullptr && twin != old) {
      return Invalid("duplicate intention found: " + twin->Text(like_));
    }
  } else if (key != before) {
    return Invalid(
        "Cannot modify DestinationNS or DestinationName for an intention once it exists.");
  }
  intention.rule.id = id;
  intention.created_at = old->created_at;
  intention.updated_at = now;
  intention.create_index = old->create_index;
  intention.modify_index = 0;
  const auto place = [&](Destination& destination) {
    return std::find_if(destination.sources.begin(), destination.sources.end(),
                        [&](const StoredIntention& source) { return source.rule.id == id; });
  };
  Destination changed = Copy(key);
  if (key == before) {
    *place(changed) = std::move(intention);
  } else {
    Destination& left = destinations_[before];
    left.sources.erase(place(left));
    if (left.sources.empty()) destinations_.erase(before);
    changed.sources.push_back(std::move(intention));
  }
  return Commit(key, std::move(changed), Way::kById);
}

Status Intentions::Delete(const std::string& id) {
  const StoredIntention* old = Find(id);
  if (old == nullptr) return NoSuchId(id);
  const Key key = KeyOf(*old);
  if (Status allowed = MayChangeById(key); !allowed) return allowed;
  Destination changed = Copy(key);
  std::erase_if(changed.sources, [&](const StoredIntention& s) { return s.rule.id == id; });
  return Commit(key, std::move(changed), Way::kById);
}

Status Intentions::Write(StoredIntention intention, const std::string& now) {
  const StoredIntention* old = Twin(intention);
  if (like_ == Like::kOld) {
    const std::string id = old != nullptr ? old->rule.id : "";
    if (!id.empty()) return Update(id, std::move(intention), now);
    const auto created = Create(std::move(intention), now);
    return created ? Ok() : Status(created.error());
  }
  const Key key = KeyOf(intention);
  intention.meta.clear();  // the whole destination's counts
  Destination changed = Copy(key);
  const auto same = std::find_if(
      changed.sources.begin(), changed.sources.end(),
      [&](const StoredIntention& source) { return SameSource(source.rule, intention.rule); });
  if (same != changed.sources.end()) {
    *same = std::move(intention);
  } else {
    changed.sources.push_back(std::move(intention));
  }
  return Commit(key, std::move(changed), Way::kByNames);
}

Status Intentions::Erase(const std::string& source_ns, const std::string& source,
                         const std::string& destination_ns, const std::string& destination) {
  const StoredIntention* old = FindExact(source_ns, source, destination_ns, destination);
  if (old == nullptr) return Ok();  // what should be gone is gone
  const Key key{destination_ns, destination};
  Destination changed = Copy(key);
  std::erase_if(changed.sources,
                [&](const StoredIntention& s) { return SameSource(s.rule, old->rule); });
  return Commit(key, std::move(changed), Way::kByNames);
}

Status Intentions::WriteEntry(const Json& entry) {
  const Key key{"default", entry.value("Name", "")};
  if (!entry.contains("Sources")) return Invalid("At least one source is required");
  const Destination before = Copy(key);
  Destination changed;
  changed.create_index = before.create_index;
  changed.jwt = entry.value("JWT", Json(nullptr));
  changed.meta = entry.value("Meta", std::map<std::string, std::string>());
  for (const Json& source : entry["Sources"]) {
    if (source.contains("LegacyMeta")) {
      return Invalid("Sources[" + std::to_string(changed.sources.size()) +
                     "].LegacyMeta must be omitted");
    }
    changed.sources.push_back(SourceOf(source));
  }
  return Commit(key, std::move(changed), Way::kByNames);
}

bool Intentions::EraseEntry(const std::string& destination) {
  const Key key{"default", destination};
  if (!destinations_.contains(key)) return false;
  (void)Commit(key, Destination{}, Way::kByNames);
  return true;
}

Json Intentions::EntryDocument(const std::string& destination) const {
  const auto found = destinations_.find(Key{"default", destination});
  if (found == destinations_.end()) return nullptr;
  const Destination& entry = found->second;
  Json sources = Json::array();
  for (const StoredIntention& source : entry.sources) sources.push_back(SourceDocument(source));
  Json out = {{"Kind", kServiceIntentions}, {"Name", destination}, {"Sources", std::move(sources)}};
  if (!entry.jwt.is_null()) out["JWT"] = entry.jwt;
  if (!entry.meta.empty()) out["Meta"] = entry.meta;
  return WithIndexes(std::move(out), entry.create_index, entry.modify_index);
}

std::vector<std::string> Intentions::EntryNames() const {
  std::vector<std::string> names;
  for (const auto& [key, destination] : destinations_) names.push_back(key.second);
  return names;
}

std::uint64_t Intentions::EntryIndex(const std::string& destination) const {
  const auto found = destinations_.find(Key{"default", destination});
  return found == destinations_.end() ? 0 : found->second.modify_index;
}

std::vector<const StoredIntention*> Intentions::Match(By by, const std::string& ns,
                                                      const std::string& name) const {
  std::vector<const StoredIntention*> list;
  for (const StoredIntention* entry : All()) {
    const authz::Intention& rule = entry->rule;
    const bool source = by == By::kSource;
    if (source && !rule.source_peer.empty()) continue;  // not this cluster's service of that name
    if (Matches(source ? rule.source_ns : rule.destination_ns, ns) &&
        Matches(source ? rule.source_name : rule.destination_name, name)) {
      list.push_back(entry);
    }
  }
  return list;
}

std::vector<const StoredIntention*> Intentions::All() const {
  std::vector<const StoredIntention*> list;
  for (const auto& [key, destination] : destinations_) {
    for (const StoredIntention& source : destination.sources) list.push_back(&source);
  }
  Sort(list);
  return list;
}

const StoredIntention* Intentions::Decide(const std::string& source_ns, const std::string& source,
                                          const std::string& destination_ns,
                                          const std::string& destination) const {
  for (const StoredIntention* entry : Match(By::kDestination, destination_ns, destination)) {
    const authz::Intention& rule = entry->rule;
    if (rule.source_peer.empty() && Matches(rule.source_ns, source_ns) &&
        Matches(rule.source_name, source)) {
      return entry;
    }
  }
  return nullptr;
}

}  // namespace mooring::dev
