#include "proxy/sidecar/confinement.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include "authz/sanitizer.h"
#include "proxy/confine/privileges.h"
#include "proxy/confine/seccomp.h"
#include "proxy/confine/trial.h"
#include "proxy/net/port_holder.h"
#include "proxy/net/socket.h"
#include "proxy/sidecar/memory_limit.h"

namespace mooring::sidecar {
namespace {

using confine::Grant;
using confine::May;
using confine::Outcome;

// What a sidecar reads of the system: names and how they are looked up, by modules of the C
// library's too; roots; time zones; limits of control groups; of /proc what is its own, and who
// holds a port.
constexpr const char* kSystem[] = {"/etc",
                                   "/lib",
                                   "/lib32",
                                   "/lib64",
                                   "/usr/lib",
                                   "/usr/lib32",
                                   "/usr/lib64",
                                   "/usr/local/lib",
                                   "/usr/share/zoneinfo",
                                   "/usr/share/ca-certificates",
                                   "/usr/local/share/ca-certificates",
                                   "/nix/store",
                                   "/run/systemd/resolve",
                                   "/run/systemd/userdb",
                                   "/run/resolvconf",
                                   "/run/NetworkManager",
                                   "/run/nscd",
                                   "/var/lib/sss",
                                   "/var/db",
                                   "/proc",
                                   "/sys/devices/system/cpu",
                                   "/dev/urandom",
                                   "/dev/random"};
// Files that may be links to elsewhere.
constexpr const char* kLinked[] = {"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf",
                                   "/etc/localtime", "/etc/ssl/certs/ca-certificates.crt"};
// Where a registration's unix sockets usually are, which is not known before the agent has
// answered.
constexpr char kSockets[] = "/run";

constexpr mode_t kFolderMode = 0700;

constexpr char kSanitized[] = "a build with a sanitizer needs more than a sidecar does";

bool Sanitized() {
#if defined(__SANITIZE_THREAD__)
  return true;
#else
  return MOORING_ADDRESS_SANITIZER != 0;
#endif
}

May MayOf(config::PathUse use) {
  switch (use) {
    case config::PathUse::kRead: return May::kRead;
    case config::PathUse::kAppend: return May::kAppend;
    case config::PathUse::kListen: return May::kListen;
    case config::PathUse::kKeep: return May::kKeep;
  }
  return May::kRead;
}

std::string Above(const std::string& path) {
  const std::string above = std::filesystem::path(path).parent_path().string();
  return above.empty() ? "." : above;
}

// There is the path, or the nearest above it that exists.
std::string There(std::string path) {
  std::error_code error;
  while (path.size() > 1 && !std::filesystem::exists(path, error)) path = Above(path);
  return path;
}

bool IsFolder(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error);
}

std::string Absolute(const std::string& path) {
  std::error_code error;
  const auto absolute = std::filesystem::absolute(path, error);
  return error ? path : absolute.string();
}

// IsTaken: another socket listens there; true as well of a host name, which is not looked up here.
bool IsTaken(const net::Address& address) {
  const auto where = net::SocketAddress::FromLiteral(address);
  if (!where) return true;
  const net::UniqueFd fd(socket(where->raw()->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  (void)setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  return bind(fd.get(), where->raw(), where->length()) != 0 && errno == EADDRINUSE;
}

// TakenPorts are those that the settings have us listen at and that somebody else has. To look who
// it is costs milliseconds, a try costs none. A successor is given its predecessor's.
std::set<std::uint16_t> TakenPorts(const config::Settings& settings) {
  std::set<std::uint16_t> ports;
  if (settings.take_over) return ports;
  const auto add = [&ports](const std::optional<net::Address>& address) {
    if (address && address->kind == net::Address::Kind::kTcp && address->port != 0 &&
        IsTaken(*address))
      ports.insert(address->port);
  };
  add(settings.admin);
  add(settings.metrics);
  for (const config::ServiceSettings& service : settings.services) {
    add(service.public_listen);
    for (const config::UpstreamSettings& upstream : service.upstreams) add(upstream.listen);
  }
  return ports;
}

class Grants final {
 public:
  void Add(std::string path, May may) {
    Grant grant{confine::Resolved(path), may};
    if (std::find(all_.begin(), all_.end(), grant) == all_.end()) all_.push_back(std::move(grant));
  }

  // AddFile adds the folder: a file is replaced by another one of its name. Where it is a link, so
  // is what it leads to.
  void AddFile(const std::string& file, May may) {
    const std::string path = Absolute(file);
    if (IsFolder(path)) {
      Add(path, may);
      return;
    }
    AddFolderOf(path, may);
    AddFolderOf(confine::Resolved(path), may);
  }

  std::vector<Grant> Take() { return std::move(all_); }

 private:
  // To read one file of the top folder all files need not be read.
  void AddFolderOf(const std::string& path, May may) {
    const std::string folder = There(Above(path));
    Add(folder == "/" && may == May::kRead ? path : folder, may);
  }

  std::vector<Grant> all_;
};

}  // namespace

Confinement::Confinement() = default;

std::vector<Grant> Confinement::GrantsFor(const config::Settings& settings) {
  Grants grants;
  for (const config::NamedPath& named : config::NamedPaths(settings)) {
    if (named.use == config::PathUse::kKeep) {
      grants.Add(Absolute(named.path), May::kKeep);
    } else {
      grants.AddFile(named.path, MayOf(named.use));
    }
  }
  for (const std::string& folder : settings.confine.folders) grants.Add(folder, May::kKeep);
  const bool held =
      std::any_of(settings.services.begin(), settings.services.end(),
                  [](const config::ServiceSettings& each) { return each.HeldByAgent(); });
  if (held) grants.Add(kSockets, May::kListen);
  for (const char* folder : kSystem) {
    if (const std::string there = confine::Resolved(folder); There(there) == there)
      grants.Add(there, May::kRead);
  }
  for (const std::string& folder : ControlGroupMounts()) grants.Add(folder, May::kRead);
  for (const char* file : kLinked) {
    if (There(file) == file) grants.AddFile(file, May::kRead);
  }
  grants.Add("/dev/null", May::kKeep);
  return grants.Take();
}

Confinement Confinement::Begin(const config::Settings& settings) {
  const config::ConfineSettings& wanted = settings.confine;
  Confinement all;
  std::vector<Grant> grants;
  if (wanted.landlock && !Sanitized()) {
    // Landlock hides what other processes have open.
    net::NotePortHolders(TakenPorts(settings));
    // Made later it would be nobody's: no folder above it may be written to.
    if (!settings.state_dir.empty()) (void)mkdir(settings.state_dir.c_str(), kFolderMode);
    grants = GrantsFor(settings);
  }
  const auto landlock = [&all, &grants] {
    confine::Landlocked done = confine::RestrictFiles(grants);
    all.abi_ = done.abi;
    if (done.outcome.holds) all.grants_ = grants;
    return done.outcome;
  };
  const auto seccomp = [&] {
    return confine::FilterCalls(wanted.seccomp == config::Seccomp::kKill ? confine::Refusal::kKill
                                                                         : confine::Refusal::kFail);
  };
  struct Step {
    const char* name;
    bool wanted;
    std::function<Outcome()> apply;
  };
  // Landlock and the filter take no_new_privs, or else a capability, which root has until it drops
  // them. The filter comes last, since it refuses what the others do.
  const std::array<Step, 4> steps{{
      {"no_new_privileges", wanted.no_new_privileges, confine::ForbidNewPrivileges},
      {"landlock", wanted.landlock, landlock},
      {"drop_capabilities", wanted.drop_capabilities, confine::DropCapabilities},
      {"seccomp", wanted.seccomp != config::Seccomp::kOff, seccomp},
  }};
  // One child tries all of it; where it does not live, one each finds out what it was.
  const auto everything = [&steps] {
    for (const Step& step : steps) {
      if (step.wanted) (void)step.apply();
    }
    return Outcome::Holds();
  };
  const bool lives =
      Sanitized() || confine::TriedFirst(everything, [] { return Outcome::Holds(); }).holds;
  for (const Step& step : steps) {
    Outcome outcome = !step.wanted  ? Outcome::Not("switched off in the settings")
                      : Sanitized() ? Outcome::Not(kSanitized)
                      : lives       ? step.apply()
                                    : confine::TriedFirst(step.apply, step.apply);
    all.parts_.push_back({step.name, step.wanted && !Sanitized(), std::move(outcome)});
  }
  if (all.parts_.back().outcome.holds) all.seccomp_ = wanted.seccomp;
  return all;
}

bool Confinement::Reaches(const config::NamedPath& path) const {
  if (grants_.empty()) return true;
  const bool folder = path.use == config::PathUse::kKeep || IsFolder(path.path);
  const std::string at = Absolute(path.path);
  const May may = MayOf(path.use);
  return confine::Reaches(grants_, folder ? at : Above(at), may) &&
         (folder || confine::Reaches(grants_, Above(confine::Resolved(at)), may));
}

void Confinement::SayStart(log::Log& log) const {
  for (const Part& part : parts_) {
    if (part.wanted && !part.outcome.holds) {
      log.Warn("sidecar", "not confined in one way",
               {{"confine", part.name}, {"why", part.outcome.why}});
    }
  }
  if (!confine::SuperfluousRoot()) return;
  log.Warn(
      "sidecar",
      "running as root, which a sidecar does not need: whoever takes it over is root; give it a "
      "user of its own (User= in the unit), and AmbientCapabilities=CAP_NET_BIND_SERVICE for "
      "ports below 1024");
}

void Confinement::SayRefused(log::Log& log) const {
  if (seccomp_ == config::Seccomp::kOff) return;
  for (const std::string& call : confine::NewlyRefused()) {
    log.Err(
        "sidecar",
        "a system call was refused, as each further one of this name will be: it is none that a "
        "sidecar makes; if a library of this machine's needs it, confine.seccomp: off",
        {{"call", call}});
  }
}

nlohmann::json Confinement::Describe() const {
  nlohmann::json out = nlohmann::json::object();
  for (const Part& part : parts_)
    out[part.name] = {{"holds", part.outcome.holds}, {"why", part.outcome.why}};
  if (parts_.empty()) return out;
  out["user"] = geteuid();
  out["drop_capabilities"]["left"] = confine::Capabilities();
  out["seccomp"]["refused"] = confine::RefusedCalls();
  out["landlock"]["abi"] = abi_;
  nlohmann::json& folders = out["landlock"]["folders"] = nlohmann::json::array();
  static constexpr const char* kMay[] = {"read", "append", "listen", "keep"};
  for (const Grant& grant : grants_)
    folders.push_back({{"path", grant.path}, {"may", kMay[static_cast<std::size_t>(grant.may)]}});
  return out;
}

}  // namespace mooring::sidecar
