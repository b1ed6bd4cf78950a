#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "proxy/cli/dev_command.h"

namespace mooring::cli {
namespace {

constexpr const char* kProgram = "mooring-dev";

}  // namespace

int Dev(const Invocation& invocation) {
  std::vector<std::string> words{kProgram};
  words.insert(words.end(), invocation.arguments.begin(), invocation.arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::error_code unknown;
  const std::filesystem::path ours = std::filesystem::read_symlink("/proc/self/exe", unknown);
  if (!unknown) execv((ours.parent_path() / kProgram).c_str(), argv.data());
  execvp(kProgram, argv.data());
  std::fputs(
      "==> the development agent is not part of this program: it is mooring-dev, which is neither "
      "beside it nor on PATH (Debian package mooring-dev-agent, or a build with "
      "-Ddev_agent=inside)\n",
      stderr);
  return 1;
}

std::string DevUsage() {
  return "Usage: mooring dev [options]\n\n"
         "  A stand-in for one Consul agent, in memory, to try Mooring and to test with. It is a\n"
         "  program of its own, mooring-dev: `mooring-dev -help` has its options.\n";
}

}  // namespace mooring::cli
