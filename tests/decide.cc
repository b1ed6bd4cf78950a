// decide: our decoder and our decision on intentions, as a filter, for comparing them with an
// agent's own answers.
//
// A line of standard input is an object {"name", "match", "source_uri", "default"}: the service,
// the body that the agent's match endpoint gave for it, the caller's SPIFFE ID, and "allow" or
// "deny" for callers that no intention covers. A line of standard output answers each: `allow
// REASON`, `deny REASON`, or `error WHY` for what cannot be read. Exits with 0 at the end of its
// input. Knows neither agent nor certificates.
#include <string>

#include <nlohmann/json.hpp>

#include "authz/consul/api.h"
#include "authz/intention.h"
#include "authz/spiffe.h"
#include "proxy/log/escape.h"
#include "tests/filter.h"

namespace {

using mooring::authz::DefaultPolicy;

std::string Answer(const std::string& line) {
  const nlohmann::json question = nlohmann::json::parse(line);
  const auto entries = mooring::authz::ParseIntentionMatch(question.at("match").get<std::string>(),
                                                           question.at("name").get<std::string>());
  if (!entries) return "error " + mooring::log::Plain(entries.error().message);
  const auto source = mooring::authz::ParseServiceId(question.at("source_uri").get<std::string>());
  if (!source) return "error " + mooring::log::Plain(source.error().message);
  const bool open = question.at("default").get<std::string>() == "allow";
  const mooring::authz::Decision decision = mooring::authz::IntentionSet(*entries).Decide(
      *source, open ? DefaultPolicy::kAllow : DefaultPolicy::kDeny);
  return (decision.allowed ? "allow " : "deny ") + decision.reason;
}

}  // namespace

int main() {
  mooring::tests::AnswerEachLine(Answer);
  return 0;
}
