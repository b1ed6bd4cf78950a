#include "proxy/dev/state.h"

#include <algorithm>
#include <utility>

namespace mooring::dev {
namespace {

// The ports that Consul hands out to sidecars (agent configuration ports.sidecar_min_port,
// _max_port).
constexpr std::uint16_t kFirstSidecarPort = 21000;
constexpr std::uint16_t kLastSidecarPort = 21255;

std::string MaintenanceId(const std::string& service_id) {
  return "_service_maintenance:" + service_id;
}

}  // namespace

bool Service::SameAs(const Service& other) const {
  return id == other.id && name == other.name && kind == other.kind && address == other.address &&
         port == other.port && tags == other.tags && meta == other.meta &&
         tagged_addresses == other.tagged_addresses && weight_passing == other.weight_passing &&
         weight_warning == other.weight_warning &&
         enable_tag_override == other.enable_tag_override && native == other.native &&
         locality == other.locality && proxy == other.proxy && sidecar_of == other.sidecar_of;
}

State::State(Index& index, std::function<void()> on_change)
    : index_(index), on_change_(std::move(on_change)), first_index_(index.value) {}

const Service* State::FindService(const std::string& id) const {
  const auto found = services_.find(id);
  return found == services_.end() ? nullptr : &found->second;
}

std::vector<const Check*> State::ChecksOf(const std::string& service_id) const {
  std::vector<const Check*> found;
  for (const auto& [id, check] : checks_) {
    if (check.service_id == service_id) found.push_back(&check);
  }
  return found;
}

std::uint64_t State::HealthIndex(const std::string& name) const {
  const auto found = health_index_.find(name);
  return found == health_index_.end() ? first_index_ : found->second;
}

std::uint16_t State::FreePort() const {
  for (std::uint16_t port = kFirstSidecarPort; port <= kLastSidecarPort; ++port) {
    if (std::none_of(services_.begin(), services_.end(),
                     [port](const auto& entry) { return entry.second.port == port; })) {
      return port;
    }
  }
  return 0;
}

void State::Touch(const Service& service) {
  health_index_[service.name] = index_.value;
  if (!service.destination.empty()) health_index_[service.destination] = index_.value;
}

void State::TouchOwner(const Check& check) {
  if (const Service* owner = FindService(check.service_id)) Touch(*owner);
}

void State::Register(Service service, std::vector<Check> checks, bool replace_checks) {
  bool changed = false;
  if (service.kind == "connect-proxy") GiveVirtualAddress(service.destination);
  if (service.native) GiveVirtualAddress(service.name);
  const auto old = services_.find(service.id);
  if (old == services_.end() || !service.SameAs(old->second)) {
    const std::uint64_t index = index_.Next();
    service.modify_index = index;
    service.create_index = old == services_.end() ? index : old->second.create_index;
    if (old != services_.end()) Touch(old->second);  // those who knew it by its old name
    Touch(service);
    services_.insert_or_assign(service.id, service);
    changed = true;
  }
  if (replace_checks) {
    changed |= std::erase_if(checks_, [&](const auto& entry) {
                 const Check& check = entry.second;
                 return check.service_id == service.id && check.type != "maintenance" &&
                        std::none_of(checks.begin(), checks.end(),
                                     [&](const Check& kept) { return kept.id == check.id; });
               }) > 0;
  }
  for (Check& check : checks) {
    check.service_id = service.id;
    const auto known = checks_.find(check.id);
    if (known != checks_.end()) {
      check.status = known->second.status;
      check.output = known->second.output;
      check.create_index = known->second.create_index;
      check.modify_index = known->second.modify_index;
      check.heartbeats = known->second.heartbeats + 1;  // a registration is a sign of life
      known->second = std::move(check);
    } else {
      check.create_index = check.modify_index = index_.Next();
      checks_.emplace(check.id, std::move(check));
    }
    changed = true;
  }
  if (!changed) return;
  if (const Service* kept = FindService(service.id)) Touch(*kept);
  Changed();
}

void State::TouchAll() {
  first_index_ = index_.value;
  for (auto& [name, index] : health_index_) index = index_.value;
}

std::string State::VirtualAddress(const std::string& service) const {
  const auto found = virtual_.find(service);
  if (found == virtual_.end()) return {};
  const std::uint32_t number = found->second;
  return "240." + std::to_string(number >> 16 & 255) + '.' + std::to_string(number >> 8 & 255) +
         '.' + std::to_string(number & 255);
}

void State::GiveVirtualAddress(const std::string& service) {
  virtual_.emplace(service, static_cast<std::uint32_t>(virtual_.size() + 1));
}

bool State::Deregister(const std::string& id) {
  const auto found = services_.find(id);
  if (found == services_.end()) return false;
  std::vector<std::string> sidecars;
  for (const auto& [other, service] : services_) {
    if (service.sidecar_of == id && other != id) sidecars.push_back(other);
  }
  index_.Next();
  Touch(found->second);
  services_.erase(found);
  std::erase_if(checks_, [&](const auto& entry) { return entry.second.service_id == id; });
  for (const std::string& sidecar : sidecars) (void)Deregister(sidecar);
  Changed();
  return true;
}

bool State::Write(Check& check, const std::string& status, const std::string& output) {
  if (check.status == status && check.output == output) return false;
  check.status = status;
  check.output = output;
  check.modify_index = index_.Next();
  TouchOwner(check);
  return true;
}

void State::SetCheck(const std::string& id, const std::string& status, const std::string& output) {
  const auto found = checks_.find(id);
  if (found != checks_.end() && Write(found->second, status, output)) Changed();
}

bool State::Heartbeat(const std::string& id, const std::string& status, const std::string& output) {
  const auto found = checks_.find(id);
  if (found == checks_.end() || found->second.type != "ttl") return false;
  ++found->second.heartbeats;
  (void)Write(found->second, status, output);
  Changed();
  return true;
}

bool State::SetMaintenance(const std::string& service_id, bool on, const std::string& reason) {
  const Service* service = FindService(service_id);
  if (service == nullptr) return false;
  const std::string id = MaintenanceId(service_id);
  const auto found = checks_.find(id);
  if (on == (found != checks_.end())) return true;
  if (on) {
    Check check;
    check.id = id;
    check.name = "Service Maintenance Mode";
    check.type = "maintenance";
    check.service_id = service_id;
    check.notes = !reason.empty()
                      ? reason
                      : "Maintenance mode is enabled for this service, but no reason was "
                        "provided. This is a default message.";
    check.create_index = check.modify_index = index_.Next();
    checks_.emplace(id, std::move(check));
  } else {
    index_.Next();
    checks_.erase(found);
  }
  Touch(*service);
  Changed();
  return true;
}

// SettleAliases gives every alias check the worst status of the service it stands for. Aliases may
// stand for aliased services, so it goes round until nothing moves; in a circle that is at most
// once a check.
void State::SettleAliases() {
  for (std::size_t round = 0; round <= checks_.size(); ++round) {
    bool moved = false;
    for (auto& [id, check] : checks_) {
      if (check.type != "alias") continue;
      const Check* worst = nullptr;
      bool any = false;
      for (const Check* other : ChecksOf(check.alias)) {
        if (other->id == id) continue;
        any = true;
        if (other->status == kCritical || (other->status == kWarning && worst == nullptr))
          worst = other;
        if (other->status == kCritical) break;
      }
      if (worst != nullptr) {
        const bool critical = worst->status == kCritical;
        moved |= Write(check, worst->status,
                       "Aliased check \"" + worst->name + "\" " +
                           (critical ? "failing" : "warning") + ": " + worst->output);
      } else if (FindService(check.alias) == nullptr) {
        moved |=
            Write(check, kCritical, "Service " + check.alias + " could not be found on this agent");
      } else {
        moved |= Write(check, kPassing, any ? "All checks passing." : "No checks found.");
      }
    }
    if (!moved) return;
  }
}

void State::Changed() {
  SettleAliases();
  on_change_();
}

}  // namespace mooring::dev
