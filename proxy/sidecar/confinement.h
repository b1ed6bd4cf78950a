// Confinement: what this process has the kernel hold it to, whatever becomes of its code: no new
// privileges, no capabilities, no system calls that it does not make, no files that its settings do
// not name. What is applied how is proxy/confine's.
//
// It begins before there is a second thread, so that it holds for each of them, and so that a file
// which cannot be reached fails the start and not a rotation weeks later. It is never undone.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "proxy/config/named_paths.h"
#include "proxy/config/settings.h"
#include "proxy/confine/landlock.h"
#include "proxy/confine/outcome.h"
#include "proxy/log/log.h"

namespace mooring::sidecar {

class Confinement final {
 public:
  // Of a process that is not confined, as a test's.
  Confinement();
  // Begin applies what the settings have, part by part; one that this kernel lacks costs that one
  // alone.
  static Confinement Begin(const config::Settings& settings);

  // GrantsFor are the folders that these settings need, and those of the system. What is not there
  // stands for the nearest folder above it that is, but for a file to read in `/`: it stands for
  // itself.
  static std::vector<confine::Grant> GrantsFor(const config::Settings& settings);

  // Reaches: files there can be used so. It is always true where no Landlock holds.
  bool Reaches(const config::NamedPath& path) const;

  // SayStart writes what does not hold, and root. SayRefused writes the calls that have been
  // refused since the last time, each name once.
  void SayStart(log::Log& log) const;
  void SayRefused(log::Log& log) const;

  struct Part {
    const char* name;
    bool wanted = false;
    confine::Outcome outcome;
  };
  const std::vector<Part>& parts() const { return parts_; }
  nlohmann::json Describe() const;

 private:
  std::vector<Part> parts_;
  std::vector<confine::Grant> grants_;  // empty: no Landlock holds
  int abi_ = 0;
  config::Seccomp seccomp_ = config::Seccomp::kOff;
};

}  // namespace mooring::sidecar
