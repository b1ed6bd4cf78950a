// Recorder: the one thread that takes what connections report. It keeps the recent ones, and has
// the access log written, so that a worker neither makes a line nor waits for one.
//
// It waits for nobody but the workers, and so ends at once.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "proxy/data/report.h"
#include "proxy/observe/access_log.h"
#include "proxy/observe/recent.h"

namespace mooring::observe {

class Recorder final {
 public:
  // `access_log` may be null; it outlives this, or another one takes its place (Use). Throws
  // std::system_error where there is no thread.
  Recorder(const data::Reports::Wanted& wanted, AccessLog* access_log);
  ~Recorder();  // Close
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  // AddService is the number that reports are to call a service by, of that name; no other gets it.
  // Reports of one that has been removed are dropped. Control thread.
  unsigned AddService(const std::string& name);
  void RemoveService(unsigned number);

  // Use has another access log written, or none; the one before is not used any more. `wanted` is
  // what it needs. Control thread.
  void Use(const data::Reports::Wanted& wanted, AccessLog* access_log) noexcept;

  data::Reports* reports() { return &reports_; }
  const Recent& recent() const { return recent_; }
  // Missing is how many reports there was no room, time or memory for.
  std::uint64_t missing() const { return reports_.dropped(); }

  // Close takes what has been reported. Reports that come later are dropped.
  void Close() noexcept;

 private:
  void Run() noexcept;
  void Take(data::Report&& report, std::chrono::system_clock::time_point time);

  std::mutex mutex_;                          // of what follows
  std::map<unsigned, std::string> services_;  // their names, by number
  unsigned next_ = 0;
  AccessLog* access_log_;

  data::Reports reports_;
  Recent recent_;
  std::vector<data::Report> batch_ = data::Reports::MakeBatch();
  std::thread thread_;  // last: it uses the others
};

}  // namespace mooring::observe
