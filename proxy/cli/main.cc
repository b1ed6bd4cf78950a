// mooring: chooses the command and nothing else.
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/cli/commands.h"
#include "proxy/dev/dev.h"
#include "proxy/log/escape.h"
#include "proxy/sidecar/version.h"

extern char** environ;

namespace {

constexpr char kUsage[] =
    "usage: mooring COMMAND\n"
    "\n"
    "  connect proxy [flags]      run as `consul connect proxy` does, with the same flags (-help lists them)\n"
    "  proxy -config FILE.yaml    run from a YAML file, with or without a Consul agent\n"
    "  validate FILE.yaml         check such a file and name every mistake in it\n"
    "  status [flags]             what a running proxy knows, and how old that is (-help lists the flags)\n"
    "  dev [flags]                a stand-in for one Consul agent, for trying and testing only\n"
    "  version                    print the version\n";

}  // namespace

int main(int argc, char** argv) {
  mooring::cli::Invocation invocation;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (const char* equals = std::strchr(*entry, '='); equals != nullptr) {
      const std::string_view name(*entry, static_cast<std::size_t>(equals - *entry));
      invocation.environment.emplace(name, equals + 1);
    }
  }
  const std::string command = argc > 1 ? argv[1] : "";
  int words = 2;
  if (command == "connect" && argc > 2 && std::strcmp(argv[2], "proxy") == 0) words = 3;
  for (int i = words; i < argc; ++i) invocation.arguments.emplace_back(argv[i]);
  invocation.argv = argc > words ? argv + words : nullptr;

  if (words == 3) return mooring::cli::ConnectProxy(invocation);
  if (command == "proxy") return mooring::cli::Proxy(invocation);
  if (command == "validate") return mooring::cli::Validate(invocation);
  if (command == "status") return mooring::cli::ShowStatus(invocation);
  if (command == "dev") return mooring::dev::RunDev(invocation.arguments);
  if (command == "version" || command == "-version" || command == "--version") {
    std::printf("mooring %s\n", mooring::sidecar::kVersion);
    return 0;
  }
  const bool help = command == "help" || command == "-help" || command == "--help" || command == "-h";
  if (!help && !command.empty()) {
    std::fprintf(stderr, "==> unknown command \"%s%s\"\n", mooring::log::Plain(command).c_str(),
                 command == "connect" && argc > 2 ? mooring::log::Plain(std::string(" ") + argv[2]).c_str() : "");
  }
  std::fputs(kUsage, help ? stdout : stderr);
  return help ? 0 : 1;
}
