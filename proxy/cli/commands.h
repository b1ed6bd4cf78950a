// The commands of the program, each from its arguments to an exit code. Main only chooses among
// them.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace mooring::cli {

struct Invocation {
  std::vector<std::string> words;      // the command's
  std::vector<std::string> arguments;  // those after them
  std::map<std::string, std::string> environment;
  char** argv = nullptr;  // of the arguments, for overwriting secrets
};

int ConnectProxy(const Invocation& invocation);
int Proxy(const Invocation& invocation);
int Reload(const Invocation& invocation);
int Validate(const Invocation& invocation);
int Diff(const Invocation& invocation);
int ShowStatus(const Invocation& invocation);
int Connections(const Invocation& invocation);
int Top(const Invocation& invocation);
int Ready(const Invocation& invocation);
int Tap(const Invocation& invocation);
int Why(const Invocation& invocation);

// The texts of -help.
std::string ProxyUsage();
std::string ReloadUsage();
std::string ValidateUsage();
std::string DiffUsage();
std::string StatusUsage();
std::string ConnectionsUsage();
std::string TopUsage();
std::string ReadyUsage();
std::string TapUsage();
std::string WhyUsage();

}  // namespace mooring::cli
