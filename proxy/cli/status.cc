// `mooring status`: /status of a running proxy as tables.
#include <cstdio>
#include <string>
#include <vector>

#include "authz/text.h"
#include "proxy/cli/commands.h"
#include "proxy/config/flag_syntax.h"
#include "proxy/http/client.h"
#include "proxy/log/escape.h"
#include "proxy/net/address.h"
#include "proxy/net/loop.h"
#include "proxy/sidecar/status_table.h"

namespace mooring::cli {
namespace {

const std::vector<config::FlagSpec>& Flags() {
  static const std::vector<config::FlagSpec> kFlags{
      {"admin-addr", "address", "Its admin port: host:port or unix:/path. Default: 127.0.0.1:19100."},
      {"service", "name", "Of this service alone, where the proxy has several."},
      {"json", "", "The document itself."},
  };
  return kFlags;
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

std::string StatusUsage() {
  return "Usage: mooring status [options]\n\n"
         "  Shows what a running proxy knows, how old it is, where it comes from, and what passes through.\n\n" +
         config::UsageOf(Flags());
}

int ShowStatus(const Invocation& invocation) {
  const auto line = config::ScanFlags(invocation.arguments, Flags());
  if (line && line->help) {
    std::fputs(StatusUsage().c_str(), stdout);
    return 0;
  }
  const Status flags_alone = line ? config::CheckNoOperands(*line, Flags(), "status") : Status(line.error());
  if (!flags_alone) {
    std::fprintf(stderr, "==> %s (see mooring status -help)\n", log::Plain(flags_alone.error().message).c_str());
    return 1;
  }
  const std::string* given = line->Find("admin-addr");
  const std::string asked = given != nullptr ? *given : "127.0.0.1:19100";
  const auto address = net::ParseAddress(asked, "127.0.0.1");
  if (!address) {
    std::fprintf(stderr, "==> -admin-addr: %s\n", log::Plain(address.error().message).c_str());
    return 1;
  }
  const std::string* service = line->Find("service");
  const auto answer = Get(*address, service == nullptr ? "/status" : "/status?service=" + authz::PercentEncoded(*service));
  if (answer && answer->status == 404 && service != nullptr) {
    std::fprintf(stderr, "==> -service %s: %s\n", log::Plain(*service).c_str(), log::Plain(answer->body).c_str());
    return 1;
  }
  if (!answer || answer->status != 200) {
    std::fprintf(stderr, "==> no status from %s: %s\n    Is a proxy running with -admin-addr (admin.address in YAML)?\n",
                 log::Plain(asked).c_str(),
                 log::Plain(answer ? "it answered " + std::to_string(answer->status) : answer.error().message).c_str());
    return 1;
  }
  if (line->On("json")) {
    std::fputs(answer->body.c_str(), stdout);
    return 0;
  }
  const auto table = sidecar::StatusTable(answer->body);
  if (!table) {
    std::fprintf(stderr, "==> %s: %s\n", log::Plain(asked).c_str(), log::Plain(table.error().message).c_str());
    return 1;
  }
  std::fputs(table->c_str(), stdout);
  return 0;
}

}  // namespace mooring::cli
