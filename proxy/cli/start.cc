#include "proxy/cli/start.h"

#include <sys/resource.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <system_error>
#include <utility>

#include "proxy/cli/memory_guard.h"
#include "proxy/log/log.h"
#include "proxy/net/inherited.h"
#include "proxy/net/loop.h"
#include "proxy/sidecar/sidecar.h"
#include "proxy/version.h"

namespace mooring::cli {
namespace {

// The kernel lets this thread's stack grow as it is used, and ends the process where the limit on
// address space (RLIMIT_AS) leaves it no room: so it takes what it will need before others can.
// Only the far end is touched, which costs one page.
constexpr std::size_t kStack = std::size_t{1} << 20U;

void GrowStack() {
  rlimit limit{};
  if (getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur < 4 * kStack) return;
  const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  *reinterpret_cast<volatile char*>(here - kStack) = 0;
}

void BlockEnd() {
  sigset_t end;
  sigemptyset(&end);
  sigaddset(&end, SIGTERM);
  sigaddset(&end, SIGINT);
  sigaddset(&end, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &end, nullptr);
}

// OriginOf is what the process begins with: sockets of the service manager's, or a predecessor's.
Result<sidecar::Sidecar::Origin> OriginOf(config::Settings* settings) {
  sidecar::Sidecar::Origin origin;
  if (settings->take_over && settings->handover_dir.empty()) {
    return Invalid(
        "-take-over needs a hand-over directory: -handover-dir, handover_dir in YAML, or "
        "RuntimeDirectory= in the unit; the one that serves now has to have the same");
  }
  if (!settings->handover_dir.empty()) {
    auto place = handover::Place::Open(settings->handover_dir);
    if (place) {
      origin.place = std::move(*place);
    } else if (settings->take_over || !settings->handover_dir_from_environment) {
      return place.error();
    } else {
      settings->warnings.push_back("no successor can take over from this process: " +
                                   place.error().message);
    }
  }
  if (!settings->take_over) {
    origin.inherited.AddFromManager();
    return origin;
  }
  auto offered = handover::AskForPlace(*origin.place, kVersion);
  if (!offered) return Invalid("cannot take over: " + offered.error().message);
  for (handover::Offer::Socket& socket : offered->offer.sockets)
    origin.inherited.Add(std::move(socket.fd), std::move(socket.name));
  origin.predecessor = std::move(*offered);
  return origin;
}

int Run(config::Settings settings) {
  auto origin = OriginOf(&settings);
  if (!origin) {
    CannotStart(settings.log_json, origin.error().message);
    return 1;
  }
  const bool guarded = settings.allow_core || GuardMemory();
  const std::string refused = guarded ? std::string() : std::strerror(errno);
  // Before there is another thread, and before any file is read that the settings name.
  origin->confinement = sidecar::Confinement::Begin(settings);
  log::Log log(settings.log_level, settings.log_json);
  if (log.failure() != 0) {
    CannotStart(settings.log_json, std::string("no thread to write the log: ") +
                                       std::strerror(log.failure()) + "; " +
                                       net::CureOf(log.failure()));
    return 1;
  }
  if (settings.allow_core)
    log.Warn("sidecar", "allow_core: a core file of this process holds the private key");
  if (!guarded) log.Warn("sidecar", "core files cannot be forbidden", {{"error", refused}});
  int code = 0;
  {
    net::Loop loop;
    {
      sidecar::Sidecar sidecar(loop, log, std::move(settings), std::move(*origin));
      code = sidecar.Run();
      // From where the sidecar ends they are handled no more, and would end the process by
      // themselves. No other thread that outlives its handlers takes a signal.
      BlockEnd();
    }
    // All that is left is the rest of the log, which takes a second at most.
  }
  return code;
}

}  // namespace

std::vector<std::string> CommandLine(const Invocation& invocation) {
  std::vector<std::string> line = invocation.words;
  for (const std::string& argument : invocation.arguments) {
    if (argument.substr(0, argument.find('=')) != "-take-over" &&
        argument.substr(0, argument.find('=')) != "--take-over")
      line.push_back(argument);
  }
  return line;
}

void CannotStart(bool json, std::string_view text, const std::vector<std::string>& more) {
  const log::Format format = json ? log::Format::kJson : log::Format::kText;
  std::fputs(log::Complaint(format, text, more).c_str(), stderr);
}

int Start(config::Settings settings) {
  const bool json = settings.log_json;
  std::string message;
  try {
    GrowStack();
    return Run(std::move(settings));
  } catch (const std::bad_alloc&) {
    message = std::string("no memory to start with; ") + net::CureOf(ENOMEM);
  } catch (const std::system_error& error) {
    message = net::Explain(error);
  } catch (const std::exception& error) {
    message = error.what();
  }
  try {
    CannotStart(json, message);
  } catch (const std::bad_alloc&) {  // as it stands
    std::fprintf(stderr, "==> %s\n", message.c_str());
  }
  return 1;
}

}  // namespace mooring::cli
