// mooring: chooses the command and nothing else.
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>

#include "proxy/cli/commands.h"
#include "proxy/cli/dev_command.h"
#include "proxy/cli/open_standard.h"
#include "proxy/config/environment.h"
#include "proxy/config/flags.h"
#include "proxy/config/reference.h"
#include "proxy/log/escape.h"
#include "proxy/observe/reference.h"
#include "proxy/version.h"

namespace {

using mooring::cli::Invocation;

struct Command {
  std::string_view words;  // of the command line, one or two
  std::string_view shown;  // with what follows them
  std::string_view says;
  int (*run)(const Invocation& invocation);
  std::string (*usage)();
};

constexpr Command kCommands[] = {
    {"connect proxy", "connect proxy [flags]",
     "run as `consul connect proxy` does, with the same flags", mooring::cli::ConnectProxy,
     mooring::config::ConnectProxyUsage},
    {"proxy", "proxy -config FILE.yaml", "run from a YAML file, with or without a Consul agent",
     mooring::cli::Proxy, mooring::cli::ProxyUsage},
    {"reload", "reload [flags]",
     "have a running proxy read its file again, or start a new binary in its place",
     mooring::cli::Reload, mooring::cli::ReloadUsage},
    {"validate", "validate FILE.yaml", "check such a file and name every mistake in it",
     mooring::cli::Validate, mooring::cli::ValidateUsage},
    {"diff", "diff FILE.yaml", "what a running proxy would change by a reload of that file",
     mooring::cli::Diff, mooring::cli::DiffUsage},
    {"status", "status [flags]", "what a running proxy knows, and how old that is",
     mooring::cli::ShowStatus, mooring::cli::StatusUsage},
    {"connections", "connections [flags]", "the connections that it has now",
     mooring::cli::Connections, mooring::cli::ConnectionsUsage},
    {"top", "top [flags]", "who talks to whom through it, with rates", mooring::cli::Top,
     mooring::cli::TopUsage},
    {"ready", "ready [flags]", "whether it can serve: exit code 0 or 1, at once or after a wait",
     mooring::cli::Ready, mooring::cli::ReadyUsage},
    {"tap", "tap ID", "the plaintext of one connection, where the file allows it",
     mooring::cli::Tap, mooring::cli::TapUsage},
    {"why", "why SOURCE DESTINATION", "what would become of a call, and why", mooring::cli::Why,
     mooring::cli::WhyUsage},
    {"dev", "dev [flags]", "a stand-in for one Consul agent, for trying and testing only",
     mooring::cli::Dev, mooring::cli::DevUsage},
};

std::string Usage() {
  constexpr std::size_t kColumn = 27;
  std::string text = "usage: mooring COMMAND\n\n";
  const auto line = [&text](std::string shown, std::string_view says) {
    shown.resize(kColumn, ' ');
    text += "  " + shown + std::string(says) + '\n';
  };
  for (const Command& command : kCommands) line(std::string(command.shown), command.says);
  line("help COMMAND", "the flags of a command; its -help says the same");
  line("help settings", "every key of the YAML file, with its default");
  line("help metrics", "every metric, and every field of the access log");
  line("version", "print the version");
  return text;
}

// Take is the command that the arguments from `first` on begin with, and how many they are; nullptr
// if they begin with none.
const Command* Take(int argc, char** argv, int first, int* words) {
  for (const Command& command : kCommands) {
    const bool two = command.words.find(' ') != std::string_view::npos;
    std::string given = first < argc ? argv[first] : "";
    if (two) given += first + 1 < argc ? std::string(" ") + argv[first + 1] : "";
    if (given != command.words) continue;
    *words = two ? 2 : 1;
    return &command;
  }
  return nullptr;
}

int Unknown(int argc, char** argv, int first) {
  std::string words;
  for (int i = first; i < argc && i < first + 2; ++i) {
    words += (words.empty() ? "" : " ") + std::string(argv[i]);
    if (std::strcmp(argv[i], "connect") != 0) break;
  }
  std::fprintf(stderr, "==> unknown command \"%s\"\n", mooring::log::Plain(words).c_str());
  std::fputs(Usage().c_str(), stderr);
  return 1;
}

int Help(int argc, char** argv) {
  int words = 0;
  std::string text = Usage();
  if (argc > 2) {
    const Command* command = Take(argc, argv, 2, &words);
    if (command != nullptr) {
      text = command->usage();
    } else if (std::strcmp(argv[2], "settings") == 0) {
      text = mooring::config::ReferenceFile();
    } else if (std::strcmp(argv[2], "metrics") == 0) {
      text = mooring::observe::MetricsReference();
    } else {
      return Unknown(argc, argv, 2);
    }
  }
  std::fputs(text.c_str(), stdout);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  mooring::cli::OpenStandard();
  int words = 0;
  if (const Command* command = Take(argc, argv, 1, &words)) {
    Invocation invocation;
    invocation.environment = mooring::config::OwnEnvironment();
    const int first = 1 + words;
    invocation.words.assign(argv + 1, argv + first);
    for (int i = first; i < argc; ++i) invocation.arguments.emplace_back(argv[i]);
    invocation.argv = argc > first ? argv + first : nullptr;
    return command->run(invocation);
  }
  const std::string_view word = argc > 1 ? argv[1] : "";
  if (word == "version" || word == "-version" || word == "--version") {
    std::printf("mooring %s\n", mooring::kVersion);
    return 0;
  }
  if (word == "help" || word == "-help" || word == "--help" || word == "-h")
    return Help(argc, argv);
  if (!word.empty()) return Unknown(argc, argv, 1);
  std::fputs(Usage().c_str(), stderr);
  return 1;
}
