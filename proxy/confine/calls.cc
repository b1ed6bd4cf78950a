#include "proxy/confine/calls.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>

namespace mooring::confine {
namespace {

// Whatever their arguments are. Several have two names or numbers, of which one is an
// architecture's.
// clang-format off
constexpr int kWhole[] = {
    // descriptors, files and folders
    SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(pread64), SCMP_SYS(write), SCMP_SYS(writev),
    SCMP_SYS(pwrite64), SCMP_SYS(close), SCMP_SYS(lseek), SCMP_SYS(_llseek), SCMP_SYS(dup),
    SCMP_SYS(dup2), SCMP_SYS(dup3), SCMP_SYS(pipe2), SCMP_SYS(fcntl), SCMP_SYS(fcntl64),
    SCMP_SYS(flock), SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(stat), SCMP_SYS(stat64),
    SCMP_SYS(lstat), SCMP_SYS(lstat64), SCMP_SYS(fstat), SCMP_SYS(fstat64), SCMP_SYS(newfstatat),
    SCMP_SYS(fstatat64), SCMP_SYS(statx), SCMP_SYS(statfs), SCMP_SYS(fstatfs), SCMP_SYS(access),
    SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(readlink), SCMP_SYS(readlinkat),
    SCMP_SYS(getdents), SCMP_SYS(getdents64), SCMP_SYS(getcwd), SCMP_SYS(umask), SCMP_SYS(mkdir),
    SCMP_SYS(mkdirat), SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(rename), SCMP_SYS(renameat),
    SCMP_SYS(renameat2), SCMP_SYS(chmod), SCMP_SYS(fchmod), SCMP_SYS(fchmodat), SCMP_SYS(fsync),
    SCMP_SYS(fdatasync), SCMP_SYS(ftruncate), SCMP_SYS(ftruncate64), SCMP_SYS(memfd_create),
    // sockets and waiting
    SCMP_SYS(bind), SCMP_SYS(listen), SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(connect),
    SCMP_SYS(shutdown), SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt), SCMP_SYS(send), SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(sendmmsg),
    SCMP_SYS(recv), SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(recvmmsg),
    SCMP_SYS(epoll_create), SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait), SCMP_SYS(eventfd2), SCMP_SYS(poll),
    SCMP_SYS(ppoll), SCMP_SYS(select), SCMP_SYS(_newselect), SCMP_SYS(pselect6),
    SCMP_SYS(pidfd_open),
    // memory
    SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise),
    // threads and signals
    SCMP_SYS(futex), SCMP_SYS(futex_time64), SCMP_SYS(set_robust_list), SCMP_SYS(rseq),
    SCMP_SYS(membarrier), SCMP_SYS(gettid), SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity),
    SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigpending), SCMP_SYS(rt_sigtimedwait), SCMP_SYS(sigaltstack),
    SCMP_SYS(sigreturn), SCMP_SYS(restart_syscall), SCMP_SYS(exit), SCMP_SYS(exit_group),
    // who and when we are
    SCMP_SYS(getpid), SCMP_SYS(getppid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid),
    SCMP_SYS(getegid), SCMP_SYS(getgroups), SCMP_SYS(getresuid), SCMP_SYS(getresgid),
    SCMP_SYS(uname), SCMP_SYS(sysinfo), SCMP_SYS(getrusage), SCMP_SYS(getrlimit),
    SCMP_SYS(capget), SCMP_SYS(getrandom), SCMP_SYS(clock_gettime), SCMP_SYS(clock_gettime64),
    SCMP_SYS(clock_getres), SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(nanosleep),
    SCMP_SYS(clock_nanosleep), SCMP_SYS(clock_nanosleep_time64), SCMP_SYS(times),
};
// clang-format on

scmp_arg_cmp Is(unsigned argument, std::uint64_t value) {
  return {.arg = argument, .op = SCMP_CMP_EQ, .datum_a = value, .datum_b = 0};
}

scmp_arg_cmp Of(unsigned argument, std::uint64_t mask, std::uint64_t value) {
  return {.arg = argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};
}

void AddEach(std::vector<Call>* calls, int number, unsigned argument,
             std::initializer_list<std::uint64_t> values) {
  for (const std::uint64_t value : values) calls->push_back({number, {Is(argument, value)}});
}

}  // namespace

std::vector<Call> AllowedCalls() {
  std::vector<Call> calls;
  for (const int number : kWhole) calls.push_back({number});

  // No memory is both written and run, and none that was written is run later. What a library's
  // file holds may be: the C library loads those of the name services.
  for (const int number : {SCMP_SYS(mmap), SCMP_SYS(mmap2)}) {
    for (const int protection : {0, PROT_WRITE, PROT_EXEC})
      calls.push_back(
          {number, {Of(2, PROT_WRITE | PROT_EXEC, static_cast<std::uint64_t>(protection))}});
  }
  calls.push_back({SCMP_SYS(mprotect), {Of(2, PROT_EXEC, 0)}});

  // Threads, and neither processes nor namespaces.
  constexpr std::uint64_t kSpaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
                                    CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
  calls.push_back({SCMP_SYS(clone), {Of(0, CLONE_THREAD | kSpaces, CLONE_THREAD)}});
  // A signal to ourselves: abort.
  calls.push_back({SCMP_SYS(tgkill), {Is(0, static_cast<std::uint64_t>(getpid()))}});

  AddEach(&calls, SCMP_SYS(socket), 0, {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK});
  AddEach(&calls, SCMP_SYS(socketpair), 0, {AF_UNIX});
  AddEach(&calls, SCMP_SYS(ioctl), 1,
          {FIONBIO, FIONREAD, FIOCLEX, FIONCLEX, TCGETS, TIOCGWINSZ, SIOCOUTQ, SIOCGIFNAME,
           SIOCGIFINDEX});
  constexpr std::uint64_t kNameMemory = 0x53564d41;  // PR_SET_VMA, not in older headers
  AddEach(&calls, SCMP_SYS(prctl), 0, {PR_SET_NAME, PR_GET_NAME, kNameMemory});
  AddEach(&calls, SCMP_SYS(prlimit64), 0, {0, static_cast<std::uint64_t>(getpid())});
  calls.push_back({SCMP_SYS(setrlimit)});
  return calls;
}

// clone3's flags are in memory, where a filter cannot look; the C library then takes clone.
std::vector<int> QuietlyMissing() { return {SCMP_SYS(clone3)}; }

}  // namespace mooring::confine
