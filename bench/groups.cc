#include "bench/groups.h"

#include <charconv>
#include <ctime>
#include <fstream>
#include <stdexcept>

namespace mooring::bench {
namespace {

[[noreturn]] void Gone(const std::string& group, pid_t pid) {
  throw std::runtime_error("process " + std::to_string(pid) + " of group " + group + " is gone");
}

}  // namespace

void Groups::Add(std::string_view text) {
  const std::size_t equals = text.find('=');
  if (equals == 0 || equals == std::string_view::npos) {
    throw std::invalid_argument("not GROUP=PID,PID: " + std::string(text));
  }
  std::vector<pid_t>& pids = groups_[std::string(text.substr(0, equals))];
  for (std::string_view rest = text.substr(equals + 1);;) {
    const std::string_view word = rest.substr(0, rest.find(','));
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), pid);
    if (error != std::errc() || end != word.data() + word.size() || pid <= 0) {
      throw std::invalid_argument("not a process ID: " + std::string(word));
    }
    pids.push_back(pid);
    if (word.size() == rest.size()) return;
    rest.remove_prefix(word.size() + 1);
  }
}

std::map<std::string, double> Groups::Cpu() const {
  std::map<std::string, double> used;
  for (const auto& [name, pids] : groups_) {
    for (const pid_t pid : pids) {
      clockid_t clock{};
      timespec time{};
      if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0)
        Gone(name, pid);
      used[name] += static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
    }
  }
  return used;
}

std::map<std::string, Memory> Groups::MemoryNow() const {
  std::map<std::string, Memory> used;
  for (const auto& [name, pids] : groups_) {
    for (const pid_t pid : pids) {
      std::ifstream file("/proc/" + std::to_string(pid) + "/status");
      if (!file) Gone(name, pid);
      for (std::string word; file >> word;) {
        std::uint64_t kib = 0;
        if (word == "VmRSS:" && file >> kib) used[name].rss += kib * 1024;
        if (word == "RssAnon:" && file >> kib) used[name].anon += kib * 1024;
      }
    }
  }
  return used;
}

}  // namespace mooring::bench
