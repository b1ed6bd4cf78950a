// What the process is held to: tried in children, for none of it can be undone.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "authz/sanitizer.h"
#include "proxy/confine/landlock.h"
#include "proxy/confine/privileges.h"
#include "proxy/confine/seccomp.h"
#include "proxy/confine/trial.h"
#include "proxy/sidecar/confinement.h"

namespace mooring {
namespace {

using confine::AllowedBy;
using confine::Grant;
using confine::HandledBy;
using confine::LandlockCalls;
using confine::May;

// A sanitizer makes system calls, and reads files, that are refused here.
constexpr bool kSanitized = MOORING_ADDRESS_SANITIZER != 0;

// InChild runs `body` in a child, which says what it has found by its exit code: 0, or the line of
// the first Want that was not met. Less than 0: it was ended by that signal.
int InChild(const std::function<int()>& body) {
  std::fflush(nullptr);
  const pid_t pid = fork();
  if (pid == 0) _exit(body());
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

// An exit code has eight bits.
#define WANT(condition) \
  if (!(condition)) return __LINE__ % 250 + 1

// Refused: a call that returned -1, with that error.
bool Refused(long result, int error) { return result == -1 && errno == error; }

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "confine-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string Of(const std::string& name) const { return path_ + "/" + name; }
  std::string Make(const std::string& name) const {
    std::filesystem::create_directories(Of(name));
    return Of(name);
  }
  std::string Write(const std::string& name) const {
    std::ofstream(Of(name)) << "text";
    return Of(name);
  }

 private:
  std::string path_;
};

bool Opens(const std::string& path, int flags) {
  const int fd = open(path.c_str(), flags, 0600);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

bool Listens(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::copy(path.begin(), path.end(), address.sun_path);
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  const bool bound = bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  close(fd);
  return bound;
}

int Execute() {
  char name[] = "true";
  char* words[] = {name, nullptr};
  return execve("/bin/true", words, words + 1);
}

TEST_CASE("confine: a call that no sidecar makes fails, is counted, and is named once") {
  if (kSanitized) return;
  CHECK(InChild([] {
          WANT(confine::ForbidNewPrivileges().holds);
          WANT(confine::FilterCalls(confine::Refusal::kFail).holds);
          WANT(confine::RefusedCalls() == 0);
          WANT(confine::NewlyRefused().empty());
          WANT(Refused(Execute(), ENOSYS));
          WANT(confine::RefusedCalls() == 1);
          WANT(confine::NewlyRefused() == std::vector<std::string>{"execve"});
          WANT(Refused(Execute(), ENOSYS));
          WANT(Refused(syscall(SYS_ptrace, 0, 0, 0, 0), ENOSYS));
          WANT(confine::RefusedCalls() == 3);
          WANT(confine::NewlyRefused() == std::vector<std::string>{"ptrace"});
          WANT(confine::NewlyRefused().empty());
          return 0;
        }) == 0);
}

TEST_CASE("confine: a call that no sidecar makes ends the process where that is wanted") {
  if (kSanitized) return;
  const int ended = InChild([] {
    WANT(confine::ForbidNewPrivileges().holds);
    WANT(confine::FilterCalls(confine::Refusal::kKill).holds);
    (void)close(STDERR_FILENO);
    (void)Execute();
    return 0;
  });
  CHECK(ended == -SIGSYS);
}

TEST_CASE("confine: of some calls it is the arguments that are refused") {
  if (kSanitized) return;
  CHECK(InChild([] {
          WANT(confine::ForbidNewPrivileges().holds);
          WANT(confine::FilterCalls(confine::Refusal::kFail).holds);
          // memory
          constexpr std::size_t kPage = 4096;
          constexpr int kPrivate = MAP_PRIVATE | MAP_ANONYMOUS;
          void* const page = mmap(nullptr, kPage, PROT_READ | PROT_WRITE, kPrivate, -1, 0);
          WANT(page != MAP_FAILED);
          WANT(Refused(mprotect(page, kPage, PROT_READ | PROT_EXEC), ENOSYS));
          WANT(mprotect(page, kPage, PROT_READ) == 0);
          WANT(mmap(nullptr, kPage, PROT_WRITE | PROT_EXEC, kPrivate, -1, 0) == MAP_FAILED);
          // sockets
          WANT(Refused(socket(AF_PACKET, SOCK_RAW, 0), ENOSYS));
          for (const int family : {AF_UNIX, AF_INET, AF_INET6})
            WANT(socket(family, SOCK_STREAM, 0) >= 0 || errno == EAFNOSUPPORT);
          // signals to others, processes, namespaces
          WANT(Refused(kill(getppid(), 0), ENOSYS));
          WANT(Refused(syscall(SYS_tgkill, getppid(), getppid(), 0), ENOSYS));
          WANT(Refused(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0), ENOSYS));
          WANT(Refused(syscall(SYS_unshare, 0), ENOSYS));
          WANT(Refused(syscall(SYS_prlimit64, getppid(), 0, 0, 0), ENOSYS));
          // a debugger's way to leave a call out
          const auto refused = confine::RefusedCalls();
          WANT(Refused(syscall(-1), ENOSYS));
          WANT(confine::RefusedCalls() == refused);
          // threads are made as ever: the C library's first try is answered without a word
          bool ran = false;
          std::thread([&ran] { ran = true; }).join();
          WANT(ran);
          WANT(confine::RefusedCalls() == refused);
          return 0;
        }) == 0);
}

TEST_CASE("confine: the filter holds for threads that are there already") {
  if (kSanitized) return;
  CHECK(InChild([] {
          int go[2], done[2];
          WANT(pipe(go) == 0);
          WANT(pipe(done) == 0);
          bool refused = false;
          std::thread other([&] {
            char byte = 0;
            refused = read(go[0], &byte, 1) == 1 && Refused(Execute(), ENOSYS);
          });
          WANT(confine::ForbidNewPrivileges().holds);
          WANT(confine::FilterCalls(confine::Refusal::kFail).holds);
          WANT(write(go[1], "x", 1) == 1);
          other.join();
          WANT(refused);
          return 0;
        }) == 0);
}

TEST_CASE("confine: files are reached where a grant says so, and for what it says") {
  if (kSanitized || confine::KernelLandlock().version() <= 0) {
    MESSAGE("skipped: no Landlock here");
    return;
  }
  const Folder folder;
  const std::string read = folder.Make("read"), append = folder.Make("append");
  const std::string listen = folder.Make("listen"), keep = folder.Make("keep");
  (void)folder.Make("outside");
  const std::string inside = folder.Write("read/a"), outside = folder.Write("outside/a");
  (void)folder.Write("keep/a");
  std::filesystem::create_symlink(outside, read + "/link");
  std::filesystem::copy_file("/bin/true", keep + "/true");
  const std::vector<Grant> grants{{read, May::kRead},
                                  {append, May::kAppend},
                                  {listen, May::kListen},
                                  {keep, May::kKeep},
                                  {folder.Of("nowhere"), May::kKeep}};
  CHECK(InChild([&] {
          WANT(confine::ForbidNewPrivileges().holds);
          const confine::Landlocked done = confine::RestrictFiles(grants);
          WANT(done.outcome.holds);
          WANT(done.abi > 0);
          WANT(Opens(inside, O_RDONLY));
          WANT(!Opens(inside, O_WRONLY) && errno == EACCES);
          WANT(!Opens(outside, O_RDONLY) && errno == EACCES);
          WANT(!Opens(read + "/link", O_RDONLY) && errno == EACCES);
          WANT(!Opens(read + "/new", O_WRONLY | O_CREAT) && errno == EACCES);
          WANT(Opens(append + "/log", O_WRONLY | O_APPEND | O_CREAT));
          WANT(unlink((append + "/log").c_str()) != 0);
          WANT(Listens(listen + "/socket"));
          WANT(unlink((listen + "/socket").c_str()) == 0);
          WANT(!Opens(listen + "/file", O_WRONLY | O_CREAT));
          WANT(!Listens(read + "/socket"));
          WANT(Opens(keep + "/b", O_RDWR | O_CREAT | O_TRUNC));
          WANT(mkdir((keep + "/folder").c_str(), 0700) == 0);
          WANT(rename((keep + "/a").c_str(), (keep + "/b").c_str()) == 0);
          WANT(rename((keep + "/b").c_str(), (append + "/b").c_str()) != 0);
          WANT(symlink("a", (keep + "/link").c_str()) != 0);
          WANT(Listens(keep + "/socket"));
          const std::string program = keep + "/true";
          WANT(Refused(execl(program.c_str(), "true", nullptr), EACCES));
          // and so in threads that begin later
          bool refused = false;
          std::thread([&] { refused = !Opens(outside, O_RDONLY); }).join();
          WANT(refused);
          return 0;
        }) == 0);
}

TEST_CASE("confine: all that a kernel's Landlock knows of files is refused, and no more") {
  constexpr std::uint64_t kFirst = (1U << 13) - 1;
  CHECK(HandledBy(1) == kFirst);
  CHECK(HandledBy(2) == (kFirst | 1U << 13));
  CHECK(HandledBy(3) == (kFirst | 3U << 13));
  CHECK(HandledBy(4) == (kFirst | 3U << 13));
  CHECK(HandledBy(5) == (kFirst | 7U << 13));
  CHECK(HandledBy(99) == HandledBy(5));
  for (const May may : {May::kRead, May::kAppend, May::kListen, May::kKeep}) {
    for (int abi = 1; abi < 8; ++abi) {
      // A rule that allows what is not handled is an error of the kernel's.
      CHECK((AllowedBy(may, abi, true) & ~HandledBy(abi)) == 0);
      CHECK((AllowedBy(may, abi, false) & ~AllowedBy(may, abi, true)) == 0);
      CHECK((AllowedBy(may, abi, true) & 1U) == 0);  // nothing is ever run
    }
  }
  CHECK(AllowedBy(May::kKeep, 3, true) != AllowedBy(May::kKeep, 2, true));
  CHECK(AllowedBy(May::kListen, 7, false) == 0);
}

TEST_CASE("confine: a kernel without Landlock, or one that forbids it, is told as that") {
  LandlockCalls calls{[] { return -ENOSYS; }, [](std::uint64_t) { return -EINVAL; },
                      [](int, std::uint64_t, int) { return -EINVAL; }, [](int) { return -EINVAL; }};
  const auto why = [&calls] {
    const confine::Landlocked done = confine::RestrictFiles({{"/", May::kRead}}, calls);
    CHECK_FALSE(done.outcome.holds);
    return done.outcome.why;
  };
  CHECK(why() == "this kernel has no Landlock");
  calls.version = [] { return -EOPNOTSUPP; };
  CHECK(why() == "Landlock is switched off in this kernel");
  calls.version = [] { return -EPERM; };  // a container's filter
  CHECK(why() == "Landlock: Operation not permitted");
  calls.version = [] { return 4; };
  CHECK(why() == "Landlock: Invalid argument");
  calls.create = [](std::uint64_t handled) {
    return handled == HandledBy(4) ? open("/dev/null", O_RDONLY) : -EINVAL;
  };
  CHECK(why() == "Landlock: /: Invalid argument");
  calls.add = [](int, std::uint64_t allowed, int) {
    return allowed == AllowedBy(May::kRead, 4, true) ? 0 : -EINVAL;
  };
  CHECK(why() == "Landlock: Invalid argument");
  calls.restrict_self = [](int) { return 0; };
  const confine::Landlocked done = confine::RestrictFiles({{"/", May::kRead}}, calls);
  CHECK(done.outcome.holds);
  CHECK(done.abi == 4);
}

TEST_CASE("confine: what would end the process is left out, and the filter around it is named") {
  if (kSanitized) return;
  const auto tried = [](const std::function<confine::Outcome()>& apply) {
    return InChild([&apply] {
      const confine::Outcome outcome = confine::TriedFirst(apply, apply);
      WANT(!outcome.holds);
      WANT(outcome.why.find("SystemCallFilter=") != std::string::npos);
      return 0;
    });
  };
  CHECK(tried([] {
          (void)raise(SIGSYS);  // as the kernel would
          return confine::Outcome::Holds();
        }) == 0);
  const auto holds = [] { return confine::Outcome::Holds(); };
  CHECK(confine::TriedFirst(holds, holds).holds);
  CHECK(confine::TriedFirst(holds, [] { return confine::Outcome::Not("why"); }).why == "why");
}

TEST_CASE("confine: no capability is left but the one for low ports") {
  CHECK(InChild([] {
          const std::vector<std::string> before = confine::Capabilities();
          const bool binds =
              std::find(before.begin(), before.end(), "net_bind_service") != before.end();
          WANT(confine::DropCapabilities().holds);
          WANT(confine::Capabilities().size() == (binds ? 1 : 0));
          WANT(confine::DropCapabilities().holds);  // once more changes nothing
          WANT(confine::Capabilities().size() == (binds ? 1 : 0));
          return 0;
        }) == 0);
}

TEST_CASE("confine: what a grant reaches is told by the names, links followed") {
  const Folder folder;
  const std::string keep = folder.Make("keep"), read = folder.Make("read");
  std::filesystem::create_directory_symlink(read, keep + "/there");
  const std::vector<Grant> grants{{keep, May::kKeep}, {read, May::kRead}};
  CHECK(Reaches(grants, keep, May::kKeep));
  CHECK(Reaches(grants, keep + "/a/b", May::kListen));
  CHECK(Reaches(grants, read + "/a", May::kRead));
  CHECK_FALSE(Reaches(grants, read + "/a", May::kAppend));
  CHECK_FALSE(Reaches(grants, keep + "-not", May::kRead));
  CHECK_FALSE(Reaches(grants, keep + "/../other", May::kRead));
  CHECK(Reaches(grants, keep + "/there/a", May::kRead));
  CHECK_FALSE(Reaches(grants, keep + "/there/a", May::kKeep));
  CHECK_FALSE(Reaches({}, "/etc", May::kRead));
  CHECK(Reaches({{"/", May::kRead}}, "/etc", May::kRead));
}

TEST_CASE("confine: the folders are those that the settings name, each for its use") {
  const Folder folder;
  const std::string secrets = folder.Make("secrets"), real = folder.Make("real");
  const std::string logs = folder.Make("logs"), sockets = folder.Make("sockets");
  const std::string state = folder.Make("state"), more = folder.Make("more");
  (void)folder.Write("real/token");
  std::filesystem::create_symlink(real + "/token", secrets + "/token");
  config::Settings settings;
  settings.agent.token_file = secrets + "/token";
  settings.agent.tls.ca_file = "/nowhere/deep/ca.pem";  // the folder above it that is there is all
  settings.access_log.to = logs + "/deep/access.log";   // its folder is made later
  settings.state_dir = state;
  settings.confine.folders = {more};
  config::ServiceSettings service;
  service.service = "web";
  service.public_listen = *net::ParseAddress("unix:" + sockets + "/public.sock", std::nullopt);
  settings.services = {service};
  const std::vector<Grant> grants = sidecar::Confinement::GrantsFor(settings);
  const auto has = [&grants](const std::string& path, May may) {
    return std::find(grants.begin(), grants.end(), Grant{path, may}) != grants.end();
  };
  CHECK(has(secrets, May::kRead));
  CHECK(has(real, May::kRead));
  CHECK(has(logs, May::kAppend));
  CHECK(has(sockets, May::kListen));
  CHECK(has(state, May::kKeep));
  CHECK(has(more, May::kKeep));
  CHECK(has("/etc", May::kRead));
  CHECK_FALSE(has("/run", May::kListen));
  CHECK_FALSE(Reaches(grants, folder.Of("else"), May::kRead));
  CHECK(has("/nowhere/deep/ca.pem", May::kRead));
  for (const Grant& grant : grants) {
    INFO(grant.path);
    CHECK(grant.path != "/");
  }
  settings.services[0].public_listen.reset();
  settings.services[0].service.clear();
  settings.services[0].sidecar_for = "web-1";
  const std::vector<Grant> held = sidecar::Confinement::GrantsFor(settings);
  CHECK(std::find(held.begin(), held.end(), Grant{"/run", May::kListen}) != held.end());
}

}  // namespace
}  // namespace mooring
