#include "proxy/sidecar/reload_outcome.h"

#include <nlohmann/json.hpp>
#include <sstream>

namespace mooring::sidecar {
namespace {

using nlohmann::json;

std::vector<std::string> Split(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

json Differences(const std::vector<config::Difference>& differences) {
  const auto value = [](const std::optional<std::string>& text) {
    return text ? json(*text) : json(nullptr);
  };
  json out = json::array();
  for (const config::Difference& each : differences) {
    out.push_back({{"setting", each.setting},
                   {"before", value(each.before)},
                   {"after", value(each.after)},
                   {"secret", each.secret},
                   {"text", each.Text()}});
  }
  return out;
}

const char* NameOf(const ReloadOutcome& outcome) {
  if (!outcome.status) return "refused";
  return outcome.applied.empty() && outcome.needs_upgrade.empty() ? "unchanged" : "applied";
}

constexpr char kNeedsUpgrade[] = " (needs an upgrade)";

}  // namespace

std::vector<std::string> LinesOf(const ReloadOutcome& outcome) {
  if (!outcome.status) return Split(outcome.status.error().message);
  std::vector<std::string> lines;
  for (const config::Difference& each : outcome.applied) lines.push_back(each.Text());
  for (const config::Difference& each : outcome.needs_upgrade)
    lines.push_back(each.Text() + kNeedsUpgrade);
  return lines;
}

json JsonOf(const ReloadOutcome& outcome) {
  return {{"outcome", NameOf(outcome)},
          {"problems", outcome.status ? json::array() : json(LinesOf(outcome))},
          {"applied", Differences(outcome.applied)},
          {"needs_upgrade", Differences(outcome.needs_upgrade)}};
}

Result<ToldOutcome> ReadOutcome(std::string_view text) {
  try {
    const json document = json::parse(text);
    ToldOutcome told;
    told.refused = document.at("outcome") == "refused";
    for (const json& problem : document.at("problems")) told.lines.push_back(problem);
    for (const json& each : document.at("applied")) told.lines.push_back(each.at("text"));
    for (const json& each : document.at("needs_upgrade")) {
      told.needs_upgrade = true;
      told.lines.push_back(each.at("text").get<std::string>() + kNeedsUpgrade);
    }
    return told;
  } catch (const json::exception&) {
    return Invalid("the answer is no outcome of a reload; is that port mooring's admin port?");
  }
}

}  // namespace mooring::sidecar
