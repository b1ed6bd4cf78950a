#include "proxy/dev/dev.h"

#include <signal.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <memory>
#include <string_view>
#include <utility>

#include "authz/spiffe.h"
#include "proxy/config/flag_syntax.h"
#include "proxy/config/log_level.h"
#include "proxy/dev/agent.h"
#include "proxy/http/server.h"
#include "proxy/log/escape.h"
#include "proxy/log/log.h"
#include "proxy/log/output.h"
#include "proxy/net/address.h"
#include "proxy/net/loop.h"
#include "proxy/net/socket.h"

namespace mooring::dev {
namespace {

constexpr std::size_t kMaxConnections = 1024;
// Consul's limits.http_max_conns_per_client.
constexpr std::size_t kMaxConnectionsPerClient = 200;
// As Consul 1.21 sends it, byte by byte.
constexpr const char* kTooMany =
    "HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain\r\nContent-Length: 81\r\n"
    "Connection: close\r\n\r\n"
    "Your IP is issuing too many concurrent connections, please rate limit your calls\n";

struct Options {
  net::Address address;
  AgentOptions agent;
  config::LogLevel log_level = config::LogLevel::kInfo;
  std::size_t connections_per_client = kMaxConnectionsPerClient;  // 0: no limit of its own
  bool help = false;
};

Result<authz::DefaultPolicy> ParsePolicy(const std::string& name, const std::string& value) {
  if (value == "allow") return authz::DefaultPolicy::kAllow;
  if (value == "deny") return authz::DefaultPolicy::kDeny;
  return Invalid("-" + name + " \"" + value + "\": must be allow or deny");
}

Status SetOption(Options& options, const std::string& name, const std::string& value) {
  if (name == "addr") {
    auto address = net::ParseAddress(value, "127.0.0.1");
    if (!address) return Invalid("-addr: " + address.error().message);
    if (!address->IsLoopback()) {
      return Invalid("-addr " + value +
                     ": mooring dev listens on loopback only, as an IP address; it hands keys to "
                     "whoever asks. Use 127.0.0.1:" +
                     std::to_string(address->port) + ", or a real Consul agent for other machines");
    }
    options.address = *std::move(address);
  } else if (name == "datacenter") {
    if (!authz::IsPathSegment(value)) {
      return Invalid("-datacenter \"" + value + "\": use letters, digits, '.', '-' and '_'");
    }
    options.agent.datacenter = value;
  } else if (name == "like") {
    if (value != "1.21" && value != "1.8") {
      return Invalid("-like \"" + value + "\": must be 1.21 or 1.8");
    }
    options.agent.like = value == "1.8" ? Like::kOld : Like::kCurrent;
  } else if (name == "default-policy" || name == "default-intention-policy") {
    const auto policy = ParsePolicy(name, value);
    if (!policy) return policy.error();
    (name == "default-policy" ? options.agent.default_policy
                              : options.agent.default_intention_policy) = *policy;
  } else if (name == "http-max-conns-per-client") {
    std::size_t most = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), most);
    if (error != std::errc{} || end != value.data() + value.size()) {
      return Invalid("-http-max-conns-per-client \"" + value +
                     "\": must be a number of connections, 0 for no limit");
    }
    options.connections_per_client = most;
  } else {
    const auto level = config::ParseLogLevel(value);
    if (!level) return level.error();
    options.log_level = *level;
  }
  return Ok();
}

const std::vector<config::FlagSpec>& Flags() {
  static const std::vector<config::FlagSpec> kFlags{
      {"addr", "address",
       "Loopback address to listen on; port 0 takes a free one. Default: 127.0.0.1:8500."},
      {"datacenter", "name", "Name of the datacenter. Default: dc1."},
      {"default-policy", "policy",
       "allow or deny: for callers that no intention covers. Default: allow."},
      {"default-intention-policy", "policy",
       "allow or deny: the same, before -default-policy, which then is no more than what answers "
       "say of it."},
      {"http-max-conns-per-client", "number",
       "Connections of one IP address; beyond it: 429. 0: no limit. Default: 200."},
      {"like", "version", "Whose answers it gives: those of Consul 1.21, or 1.8. Default: 1.21."},
      {"log-level", "level", "TRACE, DEBUG, INFO, WARN or ERR. Default: INFO."},
  };
  return kFlags;
}

Result<Options> ParseOptions(const std::vector<std::string>& arguments) {
  Options options;
  options.address.host = "127.0.0.1";
  options.address.port = 8500;
  const Result<config::CommandLine> line = config::ScanFlags(arguments, Flags());
  if (!line) return Invalid(line.error().message + " (see mooring dev -help)");
  options.help = line->help;
  if (options.help) return options;
  if (Status status = config::CheckNoOperands(*line, Flags(), "dev"); !status)
    return status.error();
  for (const config::GivenFlag& flag : line->flags) {
    if (const Status set = SetOption(options, std::string(flag.name), flag.value); !set)
      return set.error();
  }
  if (options.agent.like == Like::kOld &&
      options.agent.default_intention_policy != authz::DefaultPolicy::kUnknown) {
    return Invalid(
        "-default-intention-policy: Consul 1.8 has no such setting; leave -like 1.8 out, or use "
        "-default-policy");
  }
  return options;
}

int Fail(const std::string& message) {
  std::fprintf(stderr, "==> %s\n", log::Plain(message).c_str());
  return 1;
}

}  // namespace

std::string DevUsage() {
  return "Usage: mooring dev [options]\n\n"
         "  A stand-in for one Consul agent, in memory, to try Mooring and to test with.\n"
         "  Not for production: it hands certificates and keys to whoever asks.\n\n" +
         config::UsageOf(Flags());
}

int RunDev(const std::vector<std::string>& arguments) {
  Result<Options> options = ParseOptions(arguments);
  if (!options) return Fail(options.error().message);
  if (options->help) {
    std::fputs(DevUsage().c_str(), stdout);
    return 0;
  }
  signal(SIGPIPE, SIG_IGN);
  log::Log log(options->log_level, false);
  (void)net::RaiseFileLimit();

  net::Loop loop;
  Result<net::UniqueFd> listening = net::Listen(options->address);
  if (!listening) return Fail(listening.error().message);
  const std::string where = net::SocketAddress::LocalOf(listening->get()).Text();
  auto agent = Agent::Make(loop, std::move(options->agent), log);
  if (!agent) return Fail(agent.error().message);
  const http::Server server(
      loop, *std::move(listening),
      {.connections = kMaxConnections,
       .per_client = options->connections_per_client,
       // 1.8 says nothing.
       .too_many = options->agent.like == Like::kOld ? "" : kTooMany,
       .own_name = ""},
      [raw = agent->get()](const http::ServerRequest& request, http::Server::Reply reply) {
        raw->Handle(request, std::move(reply));
      });
  const net::Signals interrupt(loop, SIGINT, [&] { loop.Stop(); });
  const net::Signals terminate(loop, SIGTERM, [&] { loop.Stop(); });
  const bool unix_socket = options->address.kind == net::Address::Kind::kUnix;
  (void)log::WriteWithin(STDOUT_FILENO,
                         "Mooring dev agent on " + std::string(unix_socket ? "" : "http://") +
                             log::Plain(where) + " (not for production)\n",
                         net::milliseconds(1'000));
  log.Info("dev", "started", {{"address", where}, {"trust_domain", (*agent)->trust_domain()}});
  loop.Run();
  log.Info("dev", "stopped");
  return 0;
}

}  // namespace mooring::dev
