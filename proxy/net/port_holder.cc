#include "proxy/net/port_holder.h"

#include <dirent.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string_view>
#include <utility>

namespace mooring::net {
namespace {

// What is looked at, at most: a machine may have a great many processes and descriptors.
constexpr std::size_t kMaxLinks = 10'000;
constexpr std::chrono::minutes kLookAgain{1};

constexpr std::string_view kCure = "; choose another port, or stop what has it";

constexpr char kListening[] = "0A";  // in /proc/net/tcp, the state

using Sockets = std::set<std::string>;

// Inodes are the sockets that listen on each of the ports, at whatever address.
std::map<std::uint16_t, Sockets> Inodes(const std::set<std::uint16_t>& ports) {
  std::map<std::uint16_t, Sockets> inodes;
  for (const char* table : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    std::ifstream file(table);
    std::string line;
    std::getline(file, line);  // the head
    while (std::getline(file, line)) {
      std::istringstream fields(line);
      std::string number, local, remote, state, queues, timer, retries, user, timeout, inode;
      fields >> number >> local >> remote >> state >> queues >> timer >> retries >> user >>
          timeout >> inode;
      const std::size_t colon = local.rfind(':');
      if (state != kListening || colon == std::string::npos) continue;
      const auto port =
          static_cast<std::uint16_t>(std::strtoul(local.c_str() + colon + 1, nullptr, 16));
      if (ports.contains(port)) inodes[port].insert("socket:[" + inode + "]");
    }
  }
  return inodes;
}

using Folder = std::unique_ptr<DIR, int (*)(DIR*)>;

// Has: one of the descriptors of a process is one of the sockets. Counts what it has looked at.
bool Has(const std::string& process, const Sockets& inodes, std::size_t* looked_at) {
  const std::string path = "/proc/" + process + "/fd";
  const Folder folder(opendir(path.c_str()), closedir);
  if (!folder) return false;
  while (const dirent* entry = readdir(folder.get())) {
    if (++*looked_at > kMaxLinks) return false;
    std::array<char, 64> target{};
    const ssize_t length =
        readlink((path + "/" + entry->d_name).c_str(), target.data(), target.size() - 1);
    if (length > 0 && inodes.contains(std::string(target.data(), static_cast<std::size_t>(length))))
      return true;
  }
  return false;
}

std::string NameOf(const std::string& process) {
  std::string name;
  std::ifstream comm("/proc/" + process + "/comm");
  std::getline(comm, name);
  return "PID " + process + (name.empty() ? "" : " (" + name + ")");
}

struct Holder {
  Sockets inodes;
  std::string says;
};

std::map<std::uint16_t, Holder>& Noted() {
  static std::map<std::uint16_t, Holder> noted;
  return noted;
}

std::string Look(std::uint16_t port, const Sockets& inodes) {
  const std::string another = "another process has it" + std::string(kCure);
  if (inodes.empty()) return another;
  std::size_t looked_at = 0;
  if (Has("self", inodes, &looked_at))
    return "this process has it itself; give one of its listeners another port";
  const Folder processes(opendir("/proc"), closedir);
  while (const dirent* entry = processes ? readdir(processes.get()) : nullptr) {
    const std::string process = entry->d_name;
    if (process.find_first_not_of("0123456789") != std::string::npos ||
        !Has(process, inodes, &looked_at))
      continue;
    return NameOf(process) + " has it" + std::string(kCure);
  }
  const auto noted = Noted().find(port);
  return noted != Noted().end() && noted->second.inodes == inodes ? noted->second.says : another;
}

}  // namespace

void NotePortHolders(const std::set<std::uint16_t>& ports) {
  if (ports.empty()) return;
  for (auto& [port, inodes] : Inodes(ports)) {
    std::string says = Look(port, inodes);
    Noted()[port] = {std::move(inodes), std::move(says)};
  }
}

std::string PortHolder(std::uint16_t port) {
  struct Seen {
    std::string holder;
    std::chrono::steady_clock::time_point at;
  };
  thread_local std::map<std::uint16_t, Seen> seen;
  const auto now = std::chrono::steady_clock::now();
  const auto known = seen.find(port);
  if (known != seen.end() && now - known->second.at < kLookAgain) return known->second.holder;
  return (seen[port] = {Look(port, Inodes({port})[port]), now}).holder;
}

std::string SocketHolder(pid_t process) {
  if (process == getpid())
    return "this process serves it itself; give one of its listeners another path";
  // 0: of another PID namespace
  return (process > 0 ? NameOf(std::to_string(process)) : std::string("another process")) +
         " serves it; choose another path, or stop what serves it";
}

}  // namespace mooring::net
