// Output: bytes to a descriptor that may be anything: a file, a pipe, a terminal, a socket,
// non-blocking or not, gone or full.
//
// Never raises a signal: SIGPIPE (nobody reads any more) and SIGTTOU (a terminal that wants
// background processes to be silent) are the calling thread's to block; WriteWithin does that
// itself.
#pragma once

#include <chrono>
#include <cstddef>
#include <string_view>

namespace mooring::log {

class Output final {
 public:
  // It keeps a duplicate: whoever closes `fd` and opens something else in its place gets no log
  // lines into that.
  explicit Output(int fd);
  ~Output();
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  struct Result {
    std::size_t written = 0;
    int error = 0;  // an errno value; the rest is not written
  };
  // MoveTo goes on at what `fd` leads to now, between two writes to the kernel. Any thread.
  void MoveTo(int fd) noexcept;
  // Write waits as long as the reader takes. After a failure in the middle of a line the next Write
  // ends that line first.
  Result Write(std::string_view bytes);

 private:
  int Put(std::string_view bytes, std::size_t* written);

  const int fd_;
  bool torn_ = false;  // the last byte that is out there is no newline
};

// WriteWithin writes to standard output or error of a process that is starting or ending, and waits
// for the reader no longer than `limit`, from any thread. False: some of it is not written.
bool WriteWithin(int fd, std::string_view bytes, std::chrono::milliseconds limit);

}  // namespace mooring::log
