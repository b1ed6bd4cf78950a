#include "proxy/dev/config_form.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <span>
#include <utility>

#include "proxy/config/duration.h"
#include "proxy/dev/identifier.h"

namespace mooring::dev {
namespace {

// Type is what a field holds.
enum class Type {
  kText,
  kNumber,  // whole
  kFlag,
  kDuration,     // answered as Go's text
  kNanoseconds,  // the same, answered as a number
  kTexts,
  kTextMap,
  kAny,      // as it is
  kObject,   // of `shape`
  kObjects,  // a list of them
  kNamed,    // a map of them by names
  kIgnored,  // the agent computes it
};

struct Field;
using Shape = std::span<const Field>;

struct Field {
  const char* name;
  Type type;
  Shape shape = {};
  bool always = false;  // answered even if it is empty
};

constexpr Field kMeshGateway[] = {{"Mode", Type::kText}};
constexpr Field kPath[] = {{"ListenerPort", Type::kNumber},
                           {"Path", Type::kText},
                           {"LocalPathPort", Type::kNumber},
                           {"Protocol", Type::kText}};
constexpr Field kExpose[] = {{"Checks", Type::kFlag}, {"Paths", Type::kObjects, kPath}};
constexpr Field kTransparent[] = {{"OutboundListenerPort", Type::kNumber},
                                  {"DialedDirectly", Type::kFlag}};
constexpr Field kLimits[] = {{"MaxConnections", Type::kNumber},
                             {"MaxPendingRequests", Type::kNumber},
                             {"MaxConcurrentRequests", Type::kNumber}};
constexpr Field kPassiveCheck[] = {{"Interval", Type::kNanoseconds},
                                   {"MaxFailures", Type::kNumber},
                                   {"EnforcingConsecutive5xx", Type::kNumber},
                                   {"MaxEjectionPercent", Type::kNumber},
                                   {"BaseEjectionTime", Type::kNanoseconds}};
constexpr Field kUpstream[] = {{"Name", Type::kText},
                               {"Peer", Type::kText},
                               {"EnvoyListenerJSON", Type::kText},
                               {"EnvoyClusterJSON", Type::kText},
                               {"Protocol", Type::kText},
                               {"ConnectTimeoutMs", Type::kNumber},
                               {"Limits", Type::kObject, kLimits},
                               {"PassiveHealthCheck", Type::kObject, kPassiveCheck},
                               {"MeshGateway", Type::kObject, kMeshGateway, true},
                               {"BalanceOutboundConnections", Type::kText}};
constexpr Field kUpstreamConfig[] = {{"Overrides", Type::kObjects, kUpstream},
                                     {"Defaults", Type::kObject, kUpstream}};
constexpr Field kExternal[] = {{"Addresses", Type::kTexts}, {"Port", Type::kNumber}};
constexpr Field kAccessLogs[] = {{"Enabled", Type::kFlag},    {"DisableListenerLogs", Type::kFlag},
                                 {"Type", Type::kText},       {"Path", Type::kText},
                                 {"JSONFormat", Type::kText}, {"TextFormat", Type::kText}};
constexpr Field kTlsSide[] = {
    {"TLSMinVersion", Type::kText}, {"TLSMaxVersion", Type::kText}, {"CipherSuites", Type::kTexts}};
constexpr Field kTls[] = {{"Incoming", Type::kObject, kTlsSide},
                          {"Outgoing", Type::kObject, kTlsSide}};
constexpr Field kMeshTransparent[] = {{"MeshDestinationsOnly", Type::kFlag, {}, true}};
constexpr Field kSubset[] = {{"Filter", Type::kText}, {"OnlyPassing", Type::kFlag}};
constexpr Field kRedirect[] = {
    {"Service", Type::kText}, {"ServiceSubset", Type::kText}, {"Datacenter", Type::kText}};
constexpr Field kFailover[] = {{"Service", Type::kText},
                               {"ServiceSubset", Type::kText},
                               {"Datacenters", Type::kTexts},
                               {"Targets", Type::kObjects, kRedirect},
                               {"Policy", Type::kAny}};
constexpr Field kPermission[] = {
    {"Action", Type::kText}, {"HTTP", Type::kAny}, {"JWT", Type::kAny}};
constexpr Field kSource[] = {{"Name", Type::kText},
                             {"Action", Type::kText},
                             {"Permissions", Type::kObjects, kPermission},
                             {"Type", Type::kText},
                             {"Description", Type::kText},
                             {"Peer", Type::kText},
                             {"SamenessGroup", Type::kText},
                             {"LegacyMeta", Type::kTextMap},
                             {"Precedence", Type::kIgnored},
                             {"LegacyID", Type::kIgnored},
                             {"LegacyCreateTime", Type::kIgnored},
                             {"LegacyUpdateTime", Type::kIgnored}};

constexpr Field kServiceDefaultsForm[] = {{"Kind", Type::kText},
                                          {"Name", Type::kText},
                                          {"Protocol", Type::kText},
                                          {"Mode", Type::kText},
                                          {"TransparentProxy", Type::kObject, kTransparent, true},
                                          {"MutualTLSMode", Type::kText},
                                          {"MeshGateway", Type::kObject, kMeshGateway, true},
                                          {"Expose", Type::kObject, kExpose, true},
                                          {"ExternalSNI", Type::kText},
                                          {"UpstreamConfig", Type::kObject, kUpstreamConfig},
                                          {"Destination", Type::kObject, kExternal},
                                          {"MaxInboundConnections", Type::kNumber},
                                          {"LocalConnectTimeoutMs", Type::kNumber},
                                          {"LocalRequestTimeoutMs", Type::kNumber},
                                          {"BalanceInboundConnections", Type::kText},
                                          {"RateLimits", Type::kAny},
                                          {"EnvoyExtensions", Type::kAny},
                                          {"Meta", Type::kTextMap}};
constexpr Field kProxyDefaultsForm[] = {{"Kind", Type::kText},
                                        {"Name", Type::kText},
                                        {"Config", Type::kAny},
                                        {"Mode", Type::kText},
                                        {"TransparentProxy", Type::kObject, kTransparent, true},
                                        {"MutualTLSMode", Type::kText},
                                        {"MeshGateway", Type::kObject, kMeshGateway, true},
                                        {"Expose", Type::kObject, kExpose, true},
                                        {"AccessLogs", Type::kObject, kAccessLogs, true},
                                        {"EnvoyExtensions", Type::kAny},
                                        {"FailoverPolicy", Type::kAny},
                                        {"PrioritizeByLocality", Type::kAny},
                                        {"Meta", Type::kTextMap}};
constexpr Field kMeshForm[] = {{"Kind", Type::kText},
                               {"Name", Type::kIgnored},
                               {"TransparentProxy", Type::kObject, kMeshTransparent, true},
                               {"AllowEnablingPermissiveMutualTLS", Type::kFlag},
                               {"TLS", Type::kObject, kTls},
                               {"HTTP", Type::kAny},
                               {"Peering", Type::kAny},
                               {"ValidateClusters", Type::kFlag},
                               {"Meta", Type::kTextMap}};
constexpr Field kResolverForm[] = {{"Kind", Type::kText},
                                   {"Name", Type::kText},
                                   {"DefaultSubset", Type::kText},
                                   {"Subsets", Type::kNamed, kSubset},
                                   {"Redirect", Type::kObject, kRedirect},
                                   {"Failover", Type::kNamed, kFailover},
                                   {"PrioritizeByLocality", Type::kAny},
                                   {"ConnectTimeout", Type::kDuration},
                                   {"RequestTimeout", Type::kDuration},
                                   {"LoadBalancer", Type::kAny},
                                   {"Meta", Type::kTextMap}};
constexpr Field kIntentionsForm[] = {{"Kind", Type::kText},
                                     {"Name", Type::kText},
                                     {"Sources", Type::kObjects, kSource},
                                     {"JWT", Type::kAny},
                                     {"Meta", Type::kTextMap}};

struct KindForm {
  std::string_view kind;
  Shape shape;      // none: Consul's, but not known here
  bool old = true;  // 1.8 has it too
};
constexpr KindForm kKinds[] = {{"service-defaults", kServiceDefaultsForm},
                               {"proxy-defaults", kProxyDefaultsForm},
                               {"service-resolver", kResolverForm},
                               {"service-intentions", kIntentionsForm, false},
                               {"mesh", kMeshForm, false},
                               {"service-router", {}},
                               {"service-splitter", {}},
                               {"ingress-gateway", {}},
                               {"terminating-gateway", {}},
                               {"exported-services", {}, false},
                               {"sameness-group", {}, false},
                               {"api-gateway", {}, false},
                               {"http-route", {}, false},
                               {"tcp-route", {}, false},
                               {"inline-certificate", {}, false},
                               {"file-system-certificate", {}, false},
                               {"jwt-provider", {}, false},
                               {"control-plane-request-limit", {}, false}};

const KindForm* FindKind(std::string_view kind, Like like) {
  for (const KindForm& form : kKinds) {
    if (form.kind == kind && (form.old || like == Like::kCurrent)) return &form;
  }
  return nullptr;
}

class Former {
 public:
  explicit Former(std::string* fault) : fault_(fault) {}

  Json Object(const Json& in, Shape shape, const std::string& path) {
    Json out = Json::object();
    const Fields fields(&in, path, fault_);
    for (const auto& [key, value] : in.items()) {
      const bool known = std::any_of(shape.begin(), shape.end(), [&name = key](const Field& field) {
        return SameFieldName(name, field.name);
      });
      if (!known && !IsBeside(key, value)) Fail("invalid config key \"" + Join(path, key) + '"');
    }
    for (const Field& field : shape) Put(out, fields, field, Join(path, field.name));
    return out;
  }

 private:
  static std::string Join(const std::string& path, const std::string& name) {
    return path.empty() ? name : path + '.' + name;
  }
  void Fail(const std::string& text) {
    if (fault_->empty()) *fault_ = text;
  }
  // IsBeside: fields that every entry may have and that say nothing here.
  static bool IsBeside(const std::string& key, const Json& value) {
    for (const char* name : {"CreateIndex", "ModifyIndex", "Hash", "Status"}) {
      if (SameFieldName(key, name)) return true;
    }
    // Without Enterprise there is one namespace and one partition.
    for (const char* name : {"Namespace", "Partition"}) {
      if (SameFieldName(key, name)) return value.is_null() || value == "" || value == "default";
    }
    return false;
  }

  void Put(Json& out, const Fields& fields, const Field& field, const std::string& path) {
    const Json* value = fields.Raw(field.name);
    if (value == nullptr) {
      if (field.always) out[field.name] = field.type == Type::kFlag ? Json(false) : Json::object();
      return;
    }
    Json made = Value(fields, *value, field, path);
    const bool nothing = made.is_null() || made == "" || made == 0 || made == false ||
                         (made.empty() && (made.is_array() || field.type == Type::kNamed ||
                                           field.type == Type::kTextMap));
    if (!nothing || field.always) out[field.name] = std::move(made);
  }

  Json Value(const Fields& fields, const Json& value, const Field& field, const std::string& path) {
    switch (field.type) {
      case Type::kText: return fields.Text(field.name);
      case Type::kNumber: return fields.Integer(field.name);
      case Type::kFlag: return fields.Flag(field.name);
      case Type::kDuration: {
        const auto duration = fields.Duration(field.name);
        return duration.count() == 0 ? "" : GoDuration(duration);
      }
      case Type::kNanoseconds: return std::chrono::nanoseconds(fields.Duration(field.name)).count();
      case Type::kTexts: return fields.Texts(field.name);
      case Type::kTextMap: return fields.TextMap(field.name);
      case Type::kAny: return value;
      case Type::kObject: return Object(fields.Object(field.name), field.shape, path);
      case Type::kObjects: return Objects(value, field, path);
      case Type::kNamed: {
        Json out = Json::object();
        const Json named = fields.Object(field.name);
        for (const auto& [name, entry] : named.items()) {
          if (!entry.is_object()) Fail("json: field " + path + ": not an object of objects");
          if (entry.is_object()) out[name] = Object(entry, field.shape, path + '[' + name + ']');
        }
        return out;
      }
      case Type::kIgnored: break;
    }
    return nullptr;
  }

  Json Objects(const Json& value, const Field& field, const std::string& path) {
    Json out = Json::array();
    if (!value.is_array()) {
      Fail("json: field " + path + ": not a list");
      return out;
    }
    for (const Json& entry : value) {
      if (!entry.is_object()) {
        Fail("json: field " + path + ": not a list of objects");
        return out;
      }
      out.push_back(Object(entry, field.shape, path + '[' + std::to_string(out.size()) + ']'));
    }
    return out;
  }

  std::string* fault_;
};

// ValueFault looks at values that a proxy would have to guess about.
std::string ValueFault(const Json& value, const std::string& path) {
  if (value.is_array()) {
    for (const Json& entry : value) {
      if (std::string fault = ValueFault(entry, path); !fault.empty()) return fault;
    }
  }
  if (!value.is_object()) return {};
  for (const auto& [key, entry] : value.items()) {
    const std::string place = path.empty() ? key : path + '.' + key;
    const auto among = [&value = entry](std::initializer_list<const char*> known) {
      return value.is_string() && std::none_of(known.begin(), known.end(),
                                               [&](const char* word) { return value == word; });
    };
    if (key == "MeshGateway" && entry.is_object() && entry.contains("Mode")) {
      const Json& mode = entry["Mode"];
      if (mode != "none" && mode != "local" && mode != "remote")
        return "invalid mesh gateway mode in " + place + ": use none, local or remote";
    }
    if ((key == "TLSMinVersion" || key == "TLSMaxVersion") &&
        among({"TLS_AUTO", "TLSv1_0", "TLSv1_1", "TLSv1_2", "TLSv1_3"})) {
      return "unknown TLS version in " + place + ": use TLS_AUTO or TLSv1_0 to TLSv1_3";
    }
    if (key == "MutualTLSMode" && among({"strict", "permissive"}))
      return "invalid value for " + place + ": use strict or permissive";
    if (std::string fault = ValueFault(entry, place); !fault.empty()) return fault;
  }
  return {};
}

}  // namespace

Status CheckKind(std::string_view kind, Like like) {
  if (FindKind(kind, like) != nullptr) return Ok();
  return Invalid("invalid config entry kind: " + std::string(kind));
}

Result<Json> ConfigForm(const Json& body, Like like) {
  std::string fault;
  const std::string kind = Fields(&body, "", &fault).Text("Kind");
  if (!fault.empty()) return Invalid(fault);
  if (kind.empty()) return Invalid("Payload does not contain a kind/Kind key at the top level");
  if (Status known = CheckKind(kind, like); !known) return known.error();
  const KindForm* form = FindKind(kind, like);
  if (form->shape.empty()) {
    return Invalid("mooring dev knows no config entries of the kind " + kind +
                   ": leave it out, or use a Consul agent");
  }
  Json entry = Former(&fault).Object(body, form->shape, "");
  if (fault.empty()) fault = ValueFault(entry, "");
  if (!fault.empty()) return Invalid(fault);
  const std::string name = NameOf(entry);
  if (name.empty()) return Invalid("Name is required");
  if (kind == "proxy-defaults" && name != "global")
    return Invalid("invalid name (\"" + name + "\"), only \"global\" is supported");
  if (const Json config = entry.value("Config", Json::object()); !config.is_object())
    return Invalid("json: field Config: not an object");
  return entry;
}

std::string NameOf(const Json& entry) {
  return entry.value("Kind", "") == "mesh" ? "mesh" : entry.value("Name", "");
}

Json PermissionsForm(const Json& intention, std::string* fault) {
  static constexpr Field kForm[] = {{"Permissions", Type::kObjects, kPermission}};
  const Json* list = Fields(&intention, "", fault).Raw("Permissions");
  if (list == nullptr) return nullptr;
  return Former(fault)
      .Object(Json{{"Permissions", *list}}, kForm, "")
      .value("Permissions", Json(nullptr));
}

Json WithIndexes(Json entry, std::uint64_t create_index, std::uint64_t modify_index) {
  std::uint64_t hash = 0;
  const std::string digits = ContentHash(Dump(entry));
  (void)std::from_chars(digits.data(), digits.data() + digits.size(), hash, 16);
  entry["Hash"] = hash;
  entry["CreateIndex"] = create_index;
  entry["ModifyIndex"] = modify_index;
  return entry;
}

}  // namespace mooring::dev
