// fuzz_replay: every input of the corpora once through its target, in an ordinary build, gcc's and
// the sanitized one among them.
//
//   fuzz_replay CORPORA [NAME...]    the targets with one of these in `fuzz.TARGET`, or all
//   fuzz_replay --one TARGET FILE... these inputs, in this process: for a debugger, for coverage
//
// Each target has a process of its own, so that a finding costs no other one. The last line is
// `N passed, M failed`, and counts targets. A finding names its input.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "authz/sanitizer.h"
#include "tests/fuzz/targets.h"

#if MOORING_ADDRESS_SANITIZER
#include <sanitizer/common_interface_defs.h>
#endif

namespace {

using mooring::fuzz::Input;

struct Target {
  const char* name;
  void (*run)(Input);
};

constexpr Target kTargets[] = {
#define FUZZ_ENTRY(name) {#name, mooring::fuzz::name},
    FUZZ_TARGETS(FUZZ_ENTRY)
#undef FUZZ_ENTRY
};

// The input under way, for whoever dies of it.
const char* current = nullptr;

void NameCurrent() {
  if (current == nullptr) return;
  static constexpr char kText[] = "fuzz_replay: FOUND by the input ";
  (void)!write(STDERR_FILENO, kText, sizeof kText - 1);
  (void)!write(STDERR_FILENO, current, std::strlen(current));
  (void)!write(STDERR_FILENO, "\n", 1);
}

extern "C" void OnSignal(int number) {
  NameCurrent();
  (void)std::signal(number, SIG_DFL);
  (void)std::raise(number);
}

std::vector<std::uint8_t> ReadWhole(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    std::fprintf(stderr, "fuzz_replay: error: %s cannot be read\n", path.c_str());
    std::exit(2);
  }
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void Run(const Target& target, const std::vector<std::string>& paths) {
#if MOORING_ADDRESS_SANITIZER
  __sanitizer_set_death_callback(NameCurrent);
#endif
  for (const int number : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGALRM})
    (void)std::signal(number, OnSignal);
  for (const std::string& path : paths) {
    // A copy of just this size: what reads beyond its end is seen by the sanitizer.
    const std::vector<std::uint8_t> input = ReadWhole(path);
    current = path.c_str();
    (void)alarm(60);  // one that hangs is named, too
    target.run(input);
    (void)alarm(0);
    current = nullptr;
  }
}

std::vector<std::string> InputsIn(const std::filesystem::path& folder) {
  std::vector<std::string> paths;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(folder, none))
    if (entry.is_regular_file()) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  return paths;
}

bool Replay(const Target& target, const std::vector<std::string>& paths) {
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    Run(target, paths);
    std::exit(0);  // not _exit: the sanitizer looks for leaks there
  }
  int status = -1;
  return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

int RunOne(int count, char** arguments) {
  const auto* found = std::find_if(std::begin(kTargets), std::end(kTargets), [&](const Target& t) {
    return t.name == std::string(*arguments);
  });
  if (found == std::end(kTargets)) {
    std::fprintf(stderr, "fuzz_replay: error: no target is called %s\n", *arguments);
    return 2;
  }
  std::vector<std::string> paths;
  for (int i = 1; i < count; ++i) {
    if (!std::filesystem::is_directory(arguments[i])) paths.emplace_back(arguments[i]);
    for (std::string& path : InputsIn(arguments[i])) paths.push_back(std::move(path));
  }
  Run(*found, paths);
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  if (count >= 3 && arguments[1] == std::string("--one")) return RunOne(count - 2, arguments + 2);
  if (count < 2) {
    std::fprintf(stderr, "usage: fuzz_replay CORPORA [NAME...] | --one TARGET FILE|FOLDER...\n");
    return 2;
  }
  int passed = 0;
  int failed = 0;
  for (const Target& target : kTargets) {
    const std::string name = std::string("fuzz.") + target.name;
    const bool wanted =
        count == 2 || std::any_of(arguments + 2, arguments + count,
                                  [&](char* word) { return name.find(word) != std::string::npos; });
    if (!wanted) continue;
    const auto paths = InputsIn(std::filesystem::path(arguments[1]) / target.name);
    // A corpus that has got lost is no pass.
    const bool good = !paths.empty() && Replay(target, paths);
    std::printf("%s  %s (%zu inputs)\n", good ? "PASS" : "FAIL", name.c_str(), paths.size());
    good ? ++passed : ++failed;
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
