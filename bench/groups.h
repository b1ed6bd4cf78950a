// Groups: the processes whose CPU time and memory are measured, under the names that the caller
// gave them.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace mooring::bench {

struct Memory {
  std::uint64_t rss = 0;   // bytes resident
  std::uint64_t anon = 0;  // of these, bytes that no file stands for
};

class Groups final {
 public:
  // Add takes "NAME=PID,PID,..."; throws std::invalid_argument.
  void Add(std::string_view text);

  // Cpu is the time that each group has used so far, in seconds: all threads, those that have ended
  // included. Throws std::runtime_error if a process is gone: a figure without it would be wrong.
  std::map<std::string, double> Cpu() const;
  std::map<std::string, Memory> MemoryNow() const;

 private:
  std::map<std::string, std::vector<pid_t>> groups_;
};

}  // namespace mooring::bench
