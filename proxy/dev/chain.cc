#include "proxy/dev/chain.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "proxy/dev/central_config.h"

namespace mooring::dev {
namespace {

struct Target {
  std::string service;
  std::string subset;
  std::string datacenter;

  std::string Prefix() const { return subset.empty() ? "" : subset + '.'; }
  std::string Id() const { return Prefix() + service + ".default.default." + datacenter; }
  bool operator==(const Target&) const = default;
};

class Compiler {
 public:
  Compiler(const std::string& trust_domain, const ConfigEntries& entries)
      : trust_domain_(trust_domain), entries_(entries) {}

  Result<Json> Compile(const std::string& service, const std::string& datacenter) {
    const Target asked{.service = service, .subset = "", .datacenter = datacenter};
    auto found = Settle(asked);
    if (!found) return found.error();
    const Target target = *found;
    const Json* resolver = Resolver(target.service);
    Json resolved = {{"ConnectTimeout", Timeout(resolver)}, {"Target", target.Id()}};
    if (resolver == nullptr) resolved["Default"] = true;
    auto others = Failover(target);
    if (!others) return others.error();
    if (!others->empty()) resolved["Failover"] = {{"Targets", *std::move(others)}};
    Add(target);
    const std::string node = "resolver:" + target.Id();
    Json chain = {{"ServiceName", service},
                  {"Namespace", "default"},
                  {"Partition", "default"},
                  {"Datacenter", datacenter},
                  {"Protocol", ProtocolOf(service, entries_)},
                  {"StartNode", node},
                  {"Targets", std::move(targets_)}};
    chain["Nodes"][node] = {
        {"Type", "resolver"}, {"Name", target.Id()}, {"Resolver", std::move(resolved)}};
    if (resolver == nullptr && target == asked) chain["Default"] = true;
    return chain;
  }

 private:
  const Json* Resolver(const std::string& service) const {
    return entries_.Find("service-resolver", service);
  }
  static std::string Timeout(const Json* resolver) {
    return resolver == nullptr ? "5s" : resolver->value("ConnectTimeout", "5s");
  }

  // Settle follows redirects and takes the default subset.
  Result<Target> Settle(Target target) const {
    std::vector<Target> seen{target};
    for (;;) {
      const Json* resolver = Resolver(target.service);
      Target next = target;
      if (resolver != nullptr && resolver->contains("Redirect")) {
        const Json& redirect = (*resolver)["Redirect"];
        next.service = redirect.value("Service", target.service);
        next.subset = redirect.value("ServiceSubset", "");
        next.datacenter = redirect.value("Datacenter", target.datacenter);
      }
      if (next == target) {
        if (resolver != nullptr && target.subset.empty())
          target.subset = resolver->value("DefaultSubset", "");
        if (!target.subset.empty() && Subset(target).is_null()) {
          return Invalid("service \"" + target.service + "\" does not have a subset named \"" +
                         target.subset + '"');
        }
        return target;
      }
      const bool again = std::find(seen.begin(), seen.end(), next) != seen.end();
      seen.push_back(next);
      if (again) return Invalid("detected circular resolver redirect: [" + Names(seen) + ']');
      target = std::move(next);
    }
  }

  static std::string Names(const std::vector<Target>& targets) {
    std::string text;
    for (const Target& target : targets) text += (text.empty() ? "" : " -> ") + target.Id();
    return text;
  }

  Json Subset(const Target& target) const {
    const Json* resolver = Resolver(target.service);
    if (resolver == nullptr) return nullptr;
    const Json subsets = resolver->value("Subsets", Json::object());
    return subsets.value(target.subset, Json(nullptr));
  }

  // Failover adds the targets that stand in for `target`, and gives their IDs in their order.
  Result<Json> Failover(const Target& target) {
    Json ids = Json::array();
    const Json* resolver = Resolver(target.service);
    const Json all =
        resolver == nullptr ? Json::object() : resolver->value("Failover", Json::object());
    const std::string key =
        !target.subset.empty() && all.contains(target.subset) ? target.subset : "*";
    if (!all.contains(key)) return ids;
    const Json& failover = all[key];
    std::vector<Target> others;
    const auto add = [&](const Json& place, const std::string& datacenter) {
      others.push_back({.service = place.value("Service", target.service),
                        .subset = place.value("ServiceSubset", ""),
                        .datacenter = datacenter});
    };
    if (failover.contains("Targets")) {
      for (const Json& place : failover["Targets"])
        add(place, place.value("Datacenter", target.datacenter));
    } else if (failover.contains("Datacenters")) {
      for (const Json& datacenter : failover["Datacenters"]) add(failover, datacenter);
    } else {
      add(failover, target.datacenter);
    }
    for (const Target& other : others) {
      auto settled = Settle(other);
      if (!settled) return settled.error();
      if (*settled == target) continue;  // it stands in for nothing
      Add(*settled);
      ids.push_back(settled->Id());
    }
    return ids;
  }

  void Add(const Target& target) {
    const Json* resolver = Resolver(target.service);
    const std::string sni = target.Prefix() + target.service + ".default." + target.datacenter +
                            ".internal." + trust_domain_;
    Json out = {{"ConnectTimeout", Timeout(resolver)},
                {"ID", target.Id()},
                {"Service", target.service},
                {"Namespace", "default"},
                {"Partition", "default"},
                {"Datacenter", target.datacenter},
                {"MeshGateway", MeshGatewayOf(target.service, entries_)},
                {"Subset", Json::object()},
                {"TransparentProxy", Json::object()},
                {"SNI", sni},
                {"Name", sni}};
    if (!target.subset.empty()) {
      out["ServiceSubset"] = target.subset;
      out["Subset"] = Subset(target);
    }
    targets_[target.Id()] = std::move(out);
  }

  const std::string& trust_domain_;
  const ConfigEntries& entries_;
  Json targets_ = Json::object();
};

}  // namespace

Result<Json> CompileChain(const std::string& service, const std::string& datacenter,
                          const std::string& trust_domain, const ConfigEntries& entries) {
  return Compiler(trust_domain, entries).Compile(service, datacenter);
}

}  // namespace mooring::dev
