#include "proxy/config/named_paths.h"

#include <variant>

namespace mooring::config {
namespace {

void Add(const Target& target, bool of_process, bool of_upstream, std::vector<NamedPath>* paths) {
  for (const Setting& setting : Table()) {
    if ((setting.of == Of::kProcess) != of_process || (setting.in == In::kUpstreams) != of_upstream)
      continue;
    if (auto path = PathIn(setting, target)) paths->push_back(*std::move(path));
  }
}

}  // namespace

std::optional<NamedPath> PathIn(const Setting& setting, const Target& target) {
  if (setting.key == "socket_mode") {  // it is the address's
    const net::Address* const address = setting.in == In::kUpstreams ? &target.upstream->listen
                                        : target.service.public_listen
                                            ? &*target.service.public_listen
                                            : nullptr;
    if (address == nullptr || address->kind != net::Address::Kind::kUnix) return std::nullopt;
    return NamedPath{address->path, PathUse::kListen};
  }
  if (const auto* file = std::get_if<kind::File>(&setting.value)) {
    std::string path = ShowValue(setting.value, target);
    if (path.empty()) return std::nullopt;
    return NamedPath{std::move(path), file->made ? PathUse::kKeep : PathUse::kRead};
  }
  if (const auto* address = std::get_if<kind::Address>(&setting.value)) {
    const auto where = Look(address->place, target);
    if (address->dialled || !where || where->kind != net::Address::Kind::kUnix) return std::nullopt;
    return NamedPath{where->path, PathUse::kListen};
  }
  if (setting.in == In::kAccessLog && setting.key == "to") {
    std::string path = ShowValue(setting.value, target);
    if (path.starts_with('/')) return NamedPath{std::move(path), PathUse::kAppend};
  }
  return std::nullopt;
}

std::vector<NamedPath> PathsOf(const ServiceSettings& service) {
  std::vector<NamedPath> paths;
  Settings unused;
  ServiceSettings one = service;  // a Target could change it
  Add({unused, one}, false, false, &paths);
  for (UpstreamSettings& upstream : one.upstreams)
    Add({unused, one, &upstream}, false, true, &paths);
  return paths;
}

std::vector<NamedPath> NamedPaths(const Settings& settings) {
  std::vector<NamedPath> paths;
  Settings process = settings;
  ServiceSettings unused;
  Add({process, unused}, true, false, &paths);
  if (!settings.file.empty()) paths.push_back({settings.file, PathUse::kRead});
  for (const ServiceSettings& service : settings.services) {
    for (NamedPath& path : PathsOf(service)) paths.push_back(std::move(path));
  }
  return paths;
}

}  // namespace mooring::config
