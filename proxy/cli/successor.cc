#include "proxy/cli/successor.h"

#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <thread>
#include <utility>

#include "proxy/handover/ask.h"

namespace mooring::cli {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr milliseconds kAnswer{10'000};
constexpr milliseconds kLook{50};

std::string ReadProc(pid_t pid, const char* name) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/" + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// ForSuccessor leaves out what the manager said to one process, or to one start: the successor
// hears of it from its predecessor.
std::vector<std::string> ForSuccessor(const config::Environment& theirs) {
  constexpr char kUnit[] = "INVOCATION_ID";
  const config::Environment ours = config::OwnEnvironment();
  const std::string unit = config::EnvironmentValue(theirs, kUnit);
  config::Environment environment =
      !unit.empty() && config::EnvironmentValue(ours, kUnit) == unit ? ours : theirs;
  for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS",
                           "LISTEN_PID", "LISTEN_FDNAMES", "MAINPID"})
    environment.erase(name);
  std::vector<std::string> entries;
  for (const auto& [name, value] : environment) entries.push_back(name + '=' + value);
  return entries;
}

std::vector<char*> Pointers(std::vector<std::string>* strings) {
  std::vector<char*> pointers;
  for (std::string& one : *strings) pointers.push_back(one.data());
  pointers.push_back(nullptr);
  return pointers;
}

Result<pid_t> Spawn(const Running& running) {
  std::vector<std::string> words = running.arguments;
  words.insert(words.begin(), running.file);
  words.emplace_back("-take-over");
  std::vector<std::string> environment = ForSuccessor(running.environment);
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_t actions;
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  posix_spawn_file_actions_addchdir_np(&actions, running.folder.c_str());
  pid_t pid = 0;
  const int error = posix_spawn(&pid, running.file.c_str(), &actions, &attributes,
                                Pointers(&words).data(), Pointers(&environment).data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) return Invalid("cannot start " + running.file + ": " + std::strerror(error));
  return pid;
}

std::string HowItEnded(int status) {
  return WIFEXITED(status) ? "ended with exit code " + std::to_string(WEXITSTATUS(status))
                           : "was ended by signal " + std::to_string(WTERMSIG(status));
}

}  // namespace

Result<Running> FindRunning(const handover::Place& place) {
  const auto answer = handover::Ask(place, {"about"}, kAnswer);
  if (!answer) return answer.error();
  Running running;
  running.pid = static_cast<pid_t>(answer->Number("pid"));
  running.version = answer->Text("version");
  running.generation = answer->Number("generation");
  running.file = answer->Text("file");
  running.managed = answer->Flag("managed");
  running.arguments = answer->Texts("arguments");
  for (const std::string& entry : answer->Texts("environment")) {
    if (const std::size_t equals = entry.find('='); equals != std::string::npos)
      running.environment.emplace(entry.substr(0, equals), entry.substr(equals + 1));
  }
  running.folder = answer->Text("folder");
  struct stat file {};
  running.replaced = stat(running.file.c_str(), &file) == 0 &&
                     (static_cast<std::int64_t>(file.st_dev) != answer->Number("device") ||
                      static_cast<std::int64_t>(file.st_ino) != answer->Number("inode") ||
                      file.st_size != answer->Number("size"));
  return running;
}

Result<Running> StartSuccessor(const handover::Place& place, const Running& running,
                               milliseconds within) {
  if (running.managed && ReadProc(running.pid, "cgroup") != ReadProc(getpid(), "cgroup")) {
    return Invalid(
        "process " + std::to_string(running.pid) +
        " belongs to a unit, and its successor has to be started there: systemctl reload UNIT, "
        "with ExecReload=" +
        running.file + " reload in it");
  }
  const auto pid = Spawn(running);
  if (!pid) return pid.error();
  const auto end = Clock::now() + within;
  while (Clock::now() < end) {
    int status = 0;
    if (waitpid(*pid, &status, WNOHANG) == *pid)
      return Invalid("the new process " + HowItEnded(status) + " and says above why");
    if (auto now = FindRunning(place); now && now->pid == *pid) return now;
    std::this_thread::sleep_for(kLook);
  }
  (void)kill(*pid, SIGKILL);
  (void)waitpid(*pid, nullptr, 0);
  return Invalid("the new process has not begun to serve within " +
                 std::to_string(std::chrono::duration_cast<std::chrono::seconds>(within).count()) +
                 " s, and was ended");
}

}  // namespace mooring::cli
