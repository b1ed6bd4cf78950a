#include "proxy/confine/trial.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <string>

namespace mooring::confine {

Outcome TriedFirst(const std::function<Outcome()>& trial, const std::function<Outcome()>& apply) {
  const pid_t child = fork();
  if (child < 0)
    return Outcome::Not(std::string("no process to try it in: ") + std::strerror(errno));
  if (child == 0) {
    (void)trial();
    _exit(0);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR)
      return Outcome::Not(std::string("the process that tries it: ") + std::strerror(errno));
  }
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) {
    return Outcome::Not(
        "a filter of system calls around this process ends who tries (SystemCallFilter= in the "
        "unit?); it has to allow capset, landlock_create_ruleset, landlock_add_rule, "
        "landlock_restrict_self and seccomp");
  }
  if (!WIFEXITED(status)) return Outcome::Not("who tries it is ended by a signal");
  return apply();
}

}  // namespace mooring::confine
