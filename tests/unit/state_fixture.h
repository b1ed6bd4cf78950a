// A directory of its own for each test, and what stands in its files.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "proxy/net/socket.h"

namespace mooring::test {

// TempDir is an empty directory with mode 0700 that goes with the object.
class TempDir final {
 public:
  TempDir() {
    const char* base = std::getenv("TMPDIR");
    path_ = std::string(base != nullptr && *base != '\0' ? base : "/tmp") + "/mooring-unit-XXXXXX";
    REQUIRE(mkdtemp(path_.data()) != nullptr);
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// Content is empty for what is not a file: a FIFO would hold us for ever.
inline std::string Content(const std::string& path) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) return {};
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void WriteFile(const std::string& path, const std::string& content, mode_t mode = 0600) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
  REQUIRE(chmod(path.c_str(), mode) == 0);
}

inline mode_t ModeOf(const std::string& path) {
  struct stat info {};
  REQUIRE(lstat(path.c_str(), &info) == 0);
  return info.st_mode & 07777;
}

inline bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

// StandardError catches what is written to standard error, so that log lines can be looked at.
class StandardError final {
 public:
  StandardError() : before_(dup(STDERR_FILENO)) {
    const net::UniqueFd file(
        open((dir_ / "log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    REQUIRE(file);
    std::fflush(stderr);
    REQUIRE(dup2(file.get(), STDERR_FILENO) >= 0);
  }
  ~StandardError() {
    std::fflush(stderr);
    dup2(before_.get(), STDERR_FILENO);
  }
  StandardError(const StandardError&) = delete;
  StandardError& operator=(const StandardError&) = delete;

  std::size_t Count(const std::string& text) const {
    std::fflush(stderr);
    const std::string all = Content(dir_ / "log");
    std::size_t count = 0;
    for (std::size_t at = all.find(text); at != std::string::npos; at = all.find(text, at + 1))
      ++count;
    return count;
  }

 private:
  TempDir dir_;
  net::UniqueFd before_;
};

}  // namespace mooring::test
