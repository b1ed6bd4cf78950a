// SignalsBlocked: while it lives, its thread takes no signal of the process's, and a thread that is
// begun meanwhile never does: it inherits the mask, where blocking them in it later would leave a
// moment in which it takes one.
//
// But for SIGSYS, by which a system call of the thread's own is refused (confine/seccomp.h): where
// it is blocked the kernel ends the process. Made and ended by the same thread.
#pragma once

#include <csignal>

namespace mooring::log {

class SignalsBlocked final {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    sigdelset(&all, SIGSYS);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace mooring::log
