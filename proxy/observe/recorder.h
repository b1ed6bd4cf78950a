// Recorder: the one thread that takes what connections report. It keeps the recent ones, and has
// the access log written, so that a worker neither makes a line nor waits for one.
//
// It waits for nobody but the workers, and so ends at once.
#pragma once

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "proxy/data/report.h"
#include "proxy/observe/access_log.h"
#include "proxy/observe/recent.h"

namespace mooring::observe {

class Recorder final {
 public:
  // `services` are what the process's are called, in the order of the reports' numbers.
  // `access_log` may be null; it outlives this. Throws std::system_error where there is no thread.
  Recorder(const data::Reports::Wanted& wanted, std::vector<std::string> services,
           AccessLog* access_log);
  ~Recorder();  // Close
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  data::Reports* reports() { return &reports_; }
  const Recent& recent() const { return recent_; }
  // Missing is how many reports there was no room, time or memory for.
  std::uint64_t missing() const { return reports_.dropped(); }

  // Close takes what has been reported. Reports that come later are dropped.
  void Close() noexcept;

 private:
  void Run() noexcept;
  void Take(data::Report&& report, std::chrono::system_clock::time_point time);

  const std::vector<std::string> services_;
  AccessLog* const access_log_;
  data::Reports reports_;
  Recent recent_;
  std::vector<data::Report> batch_ = data::Reports::MakeBatch();
  std::thread thread_;  // last: it uses the others
};

}  // namespace mooring::observe
