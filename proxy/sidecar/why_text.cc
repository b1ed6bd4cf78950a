#include "proxy/sidecar/why_text.h"

#include <nlohmann/json.hpp>

#include "proxy/log/escape.h"

namespace mooring::sidecar {
namespace {

using nlohmann::json;

std::string Text(const json& object, const char* key) {
  const json value = object.value(key, json());
  return value.is_string() ? log::Plain(value.get<std::string>())
         : value.is_null() ? std::string("-")
                           : value.dump();
}

const char* Mark(const std::string& holds) {
  if (holds == "yes") return "  ok   ";
  return holds == "no" ? "  NO   " : "  ?    ";
}

void AppendStep(std::string* out, const json& step) {
  *out += Mark(Text(step, "holds")) + Text(step, "what") + ": " + Text(step, "says") + "\n";
  if (const std::string next = Text(step, "next"); !next.empty() && next != "-")
    *out += "         next: " + next + "\n";
}

std::string ConsulSays(const json& consul) {
  if (!consul.is_object()) return {};
  const json allowed = consul.value("allowed", json());
  const std::string error = Text(consul, "error");
  const std::string said = allowed.is_boolean() ? (allowed.get<bool>() ? "allowed" : "denied")
                                                : "no answer (" + error + ")";
  return "Consul says: " + said + "\n         from " + Text(consul, "note") + "\n";
}

std::string Ends(const json& ends) {
  if (!ends.is_array() || ends.empty()) return {};
  std::string out = "What did happen, the last first:\n";
  for (const json& end : ends) {
    const json times = end.value("times", json());
    out += "  " + Text(end, "ended") + "  " + Text(end, "direction") + ", " + Text(end, "reason") +
           (times == 1 ? "" : ", " + times.dump() + " times") + ": " + Text(end, "means") + "\n";
    if (end.value("perhaps", false))
      out += "         The caller has proven nothing: this may have been somebody else.\n";
    if (const std::string detail = Text(end, "detail"); !detail.empty() && detail != "-")
      out += "         " + detail + "\n";
    if (const std::string next = Text(end, "next"); !next.empty() && next != "-")
      out += "         next: " + next + "\n";
  }
  return out;
}

std::string Elsewhere(const json& document) {
  std::string out =
      "Neither is this proxy's business: it answers for calls to its services and to their "
      "upstreams.\n";
  for (const json& here : document.value("here", json::array())) {
    out += "  service " + Text(here, "service");
    std::string upstreams;
    for (const json& name : here.value("upstreams", json::array()))
      upstreams += (upstreams.empty() ? "" : ", ") + log::Plain(name.get<std::string>());
    out += upstreams.empty() ? ", without upstreams\n" : ", upstreams " + upstreams + "\n";
  }
  return out;
}

}  // namespace

Result<WhyAnswer> WhyText(std::string_view why_json) {
  const json document = json::parse(why_json, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object() || !document.value("answers", json()).is_array())
    return Invalid("that is no answer to `why`");
  WhyAnswer answer;
  const json& answers = document["answers"];
  const std::string pair = Text(document, "source") + " => " + Text(document, "destination");
  if (answers.empty()) {
    answer.text = pair + "\n" + Elsewhere(document);
    return answer;
  }
  answer.works = true;
  std::string body;
  for (const json& one : answers) {
    answer.works = answer.works && one.value("works", false);
    body +=
        std::string(Text(one, "direction")) + ", at the sidecar of " + Text(one, "service") + ":\n";
    for (const json& step : one.value("steps", json::array())) AppendStep(&body, step);
  }
  answer.text = pair + (answer.works ? ": nothing here is in the way\n" : ": it would not work\n") +
                body + ConsulSays(document.value("consul", json())) +
                Ends(document.value("ends", json::array()));
  return answer;
}

}  // namespace mooring::sidecar
