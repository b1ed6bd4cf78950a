// `mooring status`: /status of a running proxy as tables.
#include <cstdio>
#include <string>
#include <vector>

#include "authz/text.h"
#include "proxy/cli/ask_admin.h"
#include "proxy/cli/commands.h"
#include "proxy/cli/read_line.h"
#include "proxy/log/escape.h"
#include "proxy/sidecar/status_table.h"

namespace mooring::cli {
namespace {

const std::vector<config::FlagSpec>& Flags() {
  static const std::vector<config::FlagSpec> kFlags{
      AdminFlag(),
      {"service", "name", "Of this service alone, where the proxy has several."},
      {"json", "", "The document itself."},
  };
  return kFlags;
}

}  // namespace

std::string StatusUsage() {
  return "Usage: mooring status [options]\n\n"
         "  Shows what a running proxy knows, how old it is, where it comes from, and what passes "
         "through.\n\n" +
         config::UsageOf(Flags());
}

int ShowStatus(const Invocation& invocation) {
  const Line line = ReadLine(invocation, Flags(), "status", StatusUsage());
  if (line.code) return *line.code;
  if (Status alone = config::CheckNoOperands(line.given, Flags(), "status"); !alone)
    return Misused(alone.error(), "status");
  const auto address = AdminAddress(line.given);
  if (!address) return Misused(address.error(), "status");
  const std::string asked = address->Text();
  const std::string* service = line.given.Find("service");
  const auto answer =
      AskAdmin(*address, service == nullptr ? "/status"
                                            : "/status?service=" + authz::PercentEncoded(*service));
  if (answer && answer->status == 404 && service != nullptr) {
    std::fprintf(stderr, "==> -service %s: %s\n", log::Plain(*service).c_str(),
                 log::Plain(answer->body).c_str());
    return 1;
  }
  if (!answer || answer->status != 200) {
    std::fprintf(stderr,
                 "==> no status from %s: %s\n    Is a proxy running with -admin-addr "
                 "(admin.address in YAML)?\n",
                 log::Plain(asked).c_str(),
                 log::Plain(answer ? "it answered " + std::to_string(answer->status)
                                   : answer.error().message)
                     .c_str());
    return 1;
  }
  if (line.given.On("json")) {
    std::fputs(answer->body.c_str(), stdout);
    return 0;
  }
  const auto table = sidecar::StatusTable(answer->body);
  if (!table) {
    std::fprintf(stderr, "==> %s: %s\n", log::Plain(asked).c_str(),
                 log::Plain(table.error().message).c_str());
    return 1;
  }
  std::fputs(table->c_str(), stdout);
  return 0;
}

}  // namespace mooring::cli
