// What is looked up in the table, and how its entries are spelt and said.
#include <algorithm>

#include "proxy/config/table.h"

namespace mooring::config {
namespace {

template <typename Fits>
const Setting* Find(const Fits& fits) {
  const auto found = std::find_if(Table().begin(), Table().end(), fits);
  return found == Table().end() ? nullptr : &*found;
}

std::string Spelt(const Setting& setting, Form form) {
  return form == Form::kFlag ? '-' + std::string(setting.flag) : PathOf(setting);
}

// Expand replaces each {flag}.
std::string Expand(std::string_view text, Form form) {
  std::string out;
  while (!text.empty()) {
    const std::size_t open = text.find('{');
    const std::size_t close = open == std::string_view::npos ? open : text.find('}', open);
    if (close == std::string_view::npos) break;
    out += text.substr(0, open);
    const std::string_view name = text.substr(open + 1, close - open - 1);
    const Setting* setting = FindFlag(name);
    out += setting != nullptr ? Spelt(*setting, form) : std::string(name);
    text.remove_prefix(close + 1);
  }
  return out += text;
}

}  // namespace

std::vector<std::string_view> KeysOf(In in) {
  std::vector<std::string_view> keys;
  for (const Setting& setting : Table()) {
    if (setting.in == in && !setting.key.empty()) keys.push_back(setting.key);
  }
  return keys;
}

const Setting* FindKey(In in, std::string_view key) {
  return Find([&](const Setting& setting) {
    return setting.in == in && setting.key == key && !key.empty();
  });
}

const Setting* FindFlag(std::string_view flag) {
  return Find([&](const Setting& setting) { return setting.flag == flag && !flag.empty(); });
}

std::string_view SectionName(In in) {
  switch (in) {
    case In::kFile: break;
    case In::kServices: return "services";
    case In::kIdentity: return "identity";
    case In::kPublicListener: return "public_listener";
    case In::kIntentions: return "intentions";
    case In::kUpstreams: return "upstreams";
    case In::kAgent: return "agent";
    case In::kAdmin: return "admin";
    case In::kMetrics: return "metrics";
    case In::kAccessLog: return "access_log";
    case In::kConfine: return "confine";
    case In::kStopAfter: return "stop_after";
  }
  return {};
}

std::string PathOf(const Setting& setting) {
  const std::string section(SectionName(setting.in));
  return (section.empty() ? "" : section + '.') + std::string(setting.key);
}

std::string DefaultOf(const Setting& setting) {
  Settings process;
  ServiceSettings service;
  UpstreamSettings upstream;
  return ShowValue(setting.value, {process, service, &upstream});
}

std::string Sentence(const Setting& setting, Form form) {
  std::string text = Expand(setting.says, form);
  if (form == Form::kFlag && text.front() >= 'a' && text.front() <= 'z')
    text.front() = static_cast<char>(text.front() - 'a' + 'A');
  if (const std::string range = RangeOf(setting.value); !range.empty()) text += ' ' + range;
  return text;
}

}  // namespace mooring::config
