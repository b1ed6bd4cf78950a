// `mooring why`: what would become of a call from one service to another, and why, from a running
// proxy's own decision.
#include <cstdio>
#include <string>
#include <vector>

#include "authz/text.h"
#include "proxy/cli/ask_admin.h"
#include "proxy/cli/commands.h"
#include "proxy/cli/read_line.h"
#include "proxy/log/escape.h"
#include "proxy/sidecar/why_text.h"

namespace mooring::cli {
namespace {

const std::vector<config::FlagSpec>& Flags() {
  static const std::vector<config::FlagSpec> kFlags{
      AdminFlag(),
      {"json", "", "The document itself."},
  };
  return kFlags;
}

int Failed(const net::Address& address, const std::string& why) {
  std::fprintf(stderr, "==> %s: %s\n", log::Plain(address.Text()).c_str(), log::Plain(why).c_str());
  return 1;
}

}  // namespace

std::string WhyUsage() {
  return "Usage: mooring why [options] SOURCE DESTINATION\n\n"
         "  Says what would become of a call from SOURCE to DESTINATION, step by step, and what "
         "did "
         "become of\n"
         "  the last ones, each with what to look at next. One of the two is a service of a "
         "running "
         "proxy, the\n"
         "  other is a service's name (or SPIFFE ID). The exit code is 0 if nothing that is known "
         "here is in the\n"
         "  way, 2 if something is, 1 if the proxy cannot be asked.\n\n" +
         config::UsageOf(Flags());
}

int Why(const Invocation& invocation) {
  const Line line = ReadLine(invocation, Flags(), "why", WhyUsage());
  if (line.code) return *line.code;
  const auto& names = line.given.operands;
  if (names.size() != 2)
    return Misused(Invalid("it takes two names: who calls, and who is called"), "why");
  const auto address = AdminAddress(line.given);
  if (!address) return Misused(address.error(), "why");
  const auto answer = AskAdmin(*address, "/why?source=" + authz::PercentEncoded(names[0]) +
                                             "&destination=" + authz::PercentEncoded(names[1]));
  if (!answer)
    return Failed(*address, answer.error().message +
                                "; is a proxy running with -admin-addr (admin.address in YAML)?");
  if (answer->status != 200)
    return Failed(*address, "it answered " + std::to_string(answer->status) + ": " + answer->body);
  if (line.given.On("json")) {
    std::fputs(answer->body.c_str(), stdout);
    return 0;
  }
  const auto said = sidecar::WhyText(answer->body);
  if (!said) return Failed(*address, said.error().message);
  std::fputs(said->text.c_str(), stdout);
  return said->works ? 0 : 2;
}

}  // namespace mooring::cli
