// `mooring status`: /status of a running proxy as tables.
#include <cstdio>
#include <optional>

#include "proxy/cli/commands.h"
#include "proxy/http/client.h"
#include "proxy/log/escape.h"
#include "proxy/net/address.h"
#include "proxy/net/loop.h"
#include "proxy/sidecar/status_table.h"

namespace mooring::cli {
namespace {

constexpr char kUsage[] =
    "usage: mooring status [-admin-addr ADDRESS] [-json]\n"
    "\n"
    "  Shows what a running proxy knows, how old it is, where it comes from, and what passes through.\n"
    "\n"
    "  -admin-addr ADDRESS  its admin port, 127.0.0.1:19100 by default (host:port or unix:/path)\n"
    "  -json                the document itself\n";

struct Asked {
  std::string address = "127.0.0.1:19100";
  bool json = false;
  bool help = false;
};

std::optional<Asked> Read(const std::vector<std::string>& arguments) {
  Asked asked;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string flag = arguments[i].starts_with("--") ? arguments[i].substr(1) : arguments[i];
    if (flag == "-help" || flag == "-h") {
      asked.help = true;
    } else if (flag == "-json") {
      asked.json = true;
    } else if (flag.starts_with("-admin-addr=")) {
      asked.address = flag.substr(12);
    } else if (flag == "-admin-addr" && i + 1 < arguments.size()) {
      asked.address = arguments[++i];
    } else {
      return std::nullopt;
    }
  }
  return asked;
}

Result<http::Response> Get(const net::Address& address, const std::string& path) {
  net::Loop loop;
  Result<http::Response> answer = Invalid("no answer");
  {
    http::Client client(loop, {address, nullptr, {}});
    http::Request request;
    request.target = path;
    client.Send(std::move(request), [&](Result<http::Response> got) {
      answer = std::move(got);
      loop.Stop();
    });
    loop.Run();
  }
  loop.Post([&loop] { loop.Stop(); });  // lets the client's handles close
  loop.Run();
  return answer;
}

}  // namespace

int ShowStatus(const Invocation& invocation) {
  const std::optional<Asked> asked = Read(invocation.arguments);
  if (!asked || asked->help) {
    std::fputs(kUsage, asked ? stdout : stderr);
    return asked ? 0 : 1;
  }
  const auto address = net::ParseAddress(asked->address, "127.0.0.1");
  if (!address) {
    std::fprintf(stderr, "==> -admin-addr: %s\n", log::Plain(address.error().message).c_str());
    return 1;
  }
  const auto answer = Get(*address, "/status");
  if (!answer || answer->status != 200) {
    std::fprintf(stderr, "==> no status from %s: %s\n    Is a proxy running with -admin-addr (admin.address in YAML)?\n",
                 log::Plain(asked->address).c_str(),
                 log::Plain(answer ? "it answered " + std::to_string(answer->status) : answer.error().message).c_str());
    return 1;
  }
  if (asked->json) {
    std::fputs(answer->body.c_str(), stdout);
    return 0;
  }
  const auto table = sidecar::StatusTable(answer->body);
  if (!table) {
    std::fprintf(stderr, "==> %s: %s\n", log::Plain(asked->address).c_str(), log::Plain(table.error().message).c_str());
    return 1;
  }
  std::fputs(table->c_str(), stdout);
  return 0;
}

}  // namespace mooring::cli
