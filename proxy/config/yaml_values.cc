#include "proxy/config/yaml_values.h"

#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace mooring::config {
namespace {

// TextOf is the value's text, once it is of the YAML type that its kind demands.
std::optional<std::string> TextOf(const YamlMapping& mapping, const Setting& setting) {
  if (std::holds_alternative<kind::Switch>(setting.value)) {
    const std::optional<bool> on = mapping.Boolean(setting.key);
    if (!on) return std::nullopt;
    return *on ? "true" : "false";
  }
  if (const auto* number = std::get_if<kind::Number>(&setting.value)) {
    const std::optional<unsigned> value = mapping.Number(setting.key, number->least, number->most);
    if (!value) return std::nullopt;
    return std::to_string(*value);
  }
  if (std::holds_alternative<kind::Words>(setting.value)) {
    const std::optional<std::vector<std::string>> words = mapping.Texts(setting.key);
    if (!words) return std::nullopt;
    std::string text;
    for (const std::string& word : *words) text += (text.empty() ? "" : ",") + word;
    return text;
  }
  return mapping.Text(setting.key);
}

bool HasReaderOfItsOwn(const Value& value) {
  return std::holds_alternative<kind::Special>(value) ||
         std::holds_alternative<kind::Section>(value) || std::holds_alternative<kind::List>(value);
}

}  // namespace

bool ReadKey(const YamlMapping& mapping, const Setting& setting, const YamlReading& reading,
             const Target& target) {
  if (!mapping.Has(setting.key)) return true;
  const std::optional<std::string> text = TextOf(mapping, setting);
  if (!text) return false;
  const Status status =
      ReadValue(setting.value, *text, {.by_flag = false, .base_dir = reading.base_dir}, target);
  if (!status) mapping.Report(setting.key, status.error().message);
  if (const auto* file = std::get_if<kind::File>(&setting.value); file != nullptr && !file->made) {
    const Position at = mapping.PositionOf(setting.key);
    reading.files->push_back({at.line, at.column, mapping.PathOf(setting.key),
                              ShowValue(setting.value, target), file->type == "folder"});
  }
  return status.has_value();
}

void ReadKeys(const YamlMapping& mapping, In in, const YamlReading& reading, const Target& target,
              const std::function<bool(const Setting&)>& wanted) {
  for (const Setting& setting : Table()) {
    if (setting.in != in || setting.key.empty() || HasReaderOfItsOwn(setting.value) ||
        !wanted(setting))
      continue;
    (void)ReadKey(mapping, setting, reading, target);
  }
}

}  // namespace mooring::config
