#include "proxy/config/difference.h"

#include <algorithm>
#include <utility>

namespace mooring::config {
namespace {

bool IsOfProcess(const Setting& setting) { return setting.of == Of::kProcess; }
bool IsOfUpstream(const Setting& setting) { return setting.in == In::kUpstreams; }
bool IsOfService(const Setting& setting) { return !IsOfProcess(setting) && !IsOfUpstream(setting); }

bool Reached(const std::vector<NamedPath>& paths, const Within& within) {
  return !within.reaches || std::all_of(paths.begin(), paths.end(), within.reaches);
}

// Reached: the service, or the upstream, can be served with what there is.
bool Reached(const ServiceSettings& service, const Within& within) {
  return !within.reaches || Reached(PathsOf(service), within);
}

bool Reached(const UpstreamSettings& upstream, const Within& within) {
  if (!within.reaches) return true;
  ServiceSettings alone;
  alone.upstreams.push_back(upstream);
  return Reached(alone, within);
}

Applies AppliesNow(const Setting& setting, const Target& after, const Within& within) {
  if (within.reaches) {
    const auto path = PathIn(setting, after);
    if (path && !within.reaches(*path)) return Applies::kUpgrade;
  }
  return setting.in == In::kAgent && !within.agent ? Applies::kLive : setting.applies;
}

Applies AppliesIf(bool reached) { return reached ? Applies::kLive : Applies::kUpgrade; }

std::string OrNothing(const std::string& value) { return value.empty() ? "(none)" : value; }

// Compare adds what is different between two of a kind. `where` stands before each path.
template <typename Fits>
void Compare(const Target& before, const Target& after, const std::string& where, const Fits& fits,
             const Within& within, std::vector<Difference>* out) {
  for (const Setting& setting : Table()) {
    // What no file can say is the environment's, or comes with a registration.
    if (!fits(setting) || setting.key.empty()) continue;
    std::string was = ShowValue(setting.value, before);
    std::string is = ShowValue(setting.value, after);
    if (was == is) continue;
    if (setting.secret) was = is = std::string();
    const std::string path = IsOfUpstream(setting) ? std::string(setting.key) : PathOf(setting);
    out->push_back({where + path, std::move(was), std::move(is), setting.secret,
                    AppliesNow(setting, after, within)});
  }
}

const UpstreamSettings* Find(const std::vector<UpstreamSettings>& upstreams,
                             const std::string& name) {
  const auto found = std::find_if(upstreams.begin(), upstreams.end(),
                                  [&](const auto& each) { return each.Name() == name; });
  return found == upstreams.end() ? nullptr : &*found;
}

const ServiceSettings* Find(const std::vector<ServiceSettings>& services,
                            const ServiceSettings& wanted) {
  const auto found = std::find_if(services.begin(), services.end(),
                                  [&](const auto& each) { return Same(each, wanted); });
  return found == services.end() ? nullptr : &*found;
}

// Remaining are the services of `after` that can be served: those that are there, and those of the
// others that name nothing which cannot be reached.
std::vector<ServiceSettings> Remaining(const Settings& before, const Settings& after,
                                       const Within& within) {
  std::vector<ServiceSettings> remaining;
  for (const ServiceSettings& service : after.services) {
    if (Find(before.services, service) != nullptr || Reached(service, within))
      remaining.push_back(service);
  }
  return remaining;
}

void CompareUpstreams(ServiceSettings before, ServiceSettings after, const std::string& where,
                      const Within& within, std::vector<Difference>* out) {
  const auto place = [&](const UpstreamSettings& upstream) {
    return where + "upstreams[" + upstream.Name() + ']';
  };
  Settings unused;
  for (const UpstreamSettings& was : before.upstreams) {
    if (Find(after.upstreams, was.Name()) == nullptr)
      out->push_back({place(was), was.listen.Text(), std::nullopt, false, Applies::kLive});
  }
  for (UpstreamSettings& is : after.upstreams) {
    const UpstreamSettings* found = Find(before.upstreams, is.Name());
    if (found == nullptr) {
      out->push_back(
          {place(is), std::nullopt, is.listen.Text(), false, AppliesIf(Reached(is, within))});
      continue;
    }
    UpstreamSettings was = *found;
    Compare({unused, before, &was}, {unused, after, &is}, place(is) + '.', IsOfUpstream, within,
            out);
  }
}

}  // namespace

bool Same(const ServiceSettings& one, const ServiceSettings& other) {
  return one.service == other.service && one.proxy_id == other.proxy_id &&
         one.sidecar_for == other.sidecar_for;
}

std::string Difference::Text() const {
  if (secret) return setting + ": changed (a secret)";
  if (!before) return setting + ": added" + (after->empty() ? "" : " (" + *after + ')');
  if (!after) return setting + ": removed" + (before->empty() ? "" : " (" + *before + ')');
  return setting + ": " + OrNothing(*before) + " -> " + OrNothing(*after);
}

std::vector<Difference> DifferencesOf(const Settings& before, const Settings& after,
                                      const Within& within) {
  std::vector<Difference> all;
  Settings was = before, is = after;  // a Target could change them
  ServiceSettings unused;
  Compare({was, unused}, {is, unused}, "", IsOfProcess, within, &all);
  // Where there is one service and it stays, a file has its settings at top level.
  const bool one = was.services.size() == 1 && is.services.size() == 1 &&
                   Same(was.services.front(), is.services.front());
  const auto place = [&](const ServiceSettings& service) {
    return one ? std::string() : "services[" + service.Name() + ']';
  };
  const bool some_stay = !Remaining(was, is, within).empty();
  for (const ServiceSettings& service : was.services) {
    if (Find(is.services, service) == nullptr)
      all.push_back({place(service), "", std::nullopt, false, AppliesIf(some_stay)});
  }
  for (ServiceSettings& service : is.services) {
    const ServiceSettings* found = Find(was.services, service);
    if (found == nullptr) {
      all.push_back({place(service), std::nullopt, "", false, AppliesIf(Reached(service, within))});
      continue;
    }
    ServiceSettings old = *found;
    const std::string where = one ? std::string() : place(service) + '.';
    Compare({was, old}, {is, service}, where, IsOfService, within, &all);
    CompareUpstreams(old, service, where, within, &all);
  }
  return all;
}

Settings InForce(const Settings& running, Settings file, const Within& within) {
  Settings was = running;  // a Target could change it
  const auto keep = [&within](const Target& from, const Target& to, const auto& fits) {
    for (const Setting& setting : Table()) {
      if (fits(setting) && AppliesNow(setting, to, within) == Applies::kUpgrade)
        CopyValue(setting.value, from, to);
    }
  };
  ServiceSettings unused;
  keep({was, unused}, {file, unused}, IsOfProcess);
  file.state_dir_from_environment = was.state_dir_from_environment;
  file.handover_dir_from_environment = was.handover_dir_from_environment;
  file.arguments = was.arguments;  // no file says how the process was started
  file.admin_from = was.admin_from;
  file.metrics_from = was.metrics_from;
  file.services = Remaining(was, file, within);
  if (file.services.empty()) file.services = was.services;
  for (ServiceSettings& service : file.services) {
    const ServiceSettings* found = Find(was.services, service);
    if (found == nullptr) continue;
    ServiceSettings old = *found;
    keep({was, old}, {file, service}, IsOfService);
    std::erase_if(service.upstreams, [&](const UpstreamSettings& upstream) {
      return Find(old.upstreams, upstream.Name()) == nullptr && !Reached(upstream, within);
    });
    for (UpstreamSettings& upstream : service.upstreams) {
      const UpstreamSettings* there = Find(old.upstreams, upstream.Name());
      if (there == nullptr) continue;
      UpstreamSettings before = *there;
      keep({was, old, &before}, {file, service, &upstream}, IsOfUpstream);
    }
  }
  return file;
}

}  // namespace mooring::config
