// StartThread: a thread, or why there is none. Any thread.
#pragma once

#include <functional>
#include <string_view>
#include <thread>

namespace mooring::net {

// StartThread runs `body` on a thread of its own. The kernel shows it by `name` (top -H, ps -L,
// perf), which has 15 bytes at most (pthread_setname_np(3)). Where none is to be had
// (pthread_create(3): EAGAIN) it throws std::system_error, which names `purpose`; Explain
// (socket.h) adds the cure. What escapes from `body` ends the process.
std::thread StartThread(const char* name, std::string_view purpose, std::function<void()> body);
// StartQuietThread: the same, and it never takes a signal (log/signals_blocked.h).
std::thread StartQuietThread(const char* name, std::string_view purpose,
                             std::function<void()> body);

}  // namespace mooring::net
