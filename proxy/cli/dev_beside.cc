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

// Become starts it in our place, and returns if it is not there.
void Become(const std::vector<std::string>& arguments) {
  std::vector<std::string> words{kProgram};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::error_code unknown;
  const std::filesystem::path ours = std::filesystem::read_symlink("/proc/self/exe", unknown);
  if (!unknown) execv((ours.parent_path() / kProgram).c_str(), argv.data());
  execvp(kProgram, argv.data());
}

}  // namespace

int Dev(const Invocation& invocation) {
  Become(invocation.arguments);
  std::fputs(
      "==> the development agent is not part of this program: it is mooring-dev, which is neither "
      "beside it nor on PATH (Debian package mooring-dev-agent, or a build with "
      "-Ddev_agent=inside)\n",
      stderr);
  return 1;
}

std::string DevUsage() {
  Become({"-help"});
  return "Usage: mooring dev [options]\n\n"
         "  A stand-in for one Consul agent, in memory, to try Mooring and to test with. It is a\n"
         "  program of its own, mooring-dev, which is neither beside this one nor on PATH (Debian\n"
         "  package mooring-dev-agent). Where it is installed, this is its text.\n";
}

}  // namespace mooring::cli
