#include "proxy/dev/body.h"

#include <algorithm>

#include "proxy/config/duration.h"

namespace mooring::dev {
namespace {

constexpr int kMaxDepth = 64;

bool IsTooDeep(std::string_view text) {
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kMaxDepth) return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

std::string Canonical(std::string_view name) {
  std::string canonical;
  for (const char c : name) {
    if (c != '_') canonical += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return canonical;
}

}  // namespace

Result<Json> ParseBody(std::string_view text) {
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) return Invalid("EOF");
  if (IsTooDeep(text)) return Invalid("json: exceeded max depth");
  Json value = Json::parse(text, nullptr, false);
  if (value.is_discarded()) return Invalid("the body is not valid JSON");
  if (!value.is_object()) return Invalid("json: the body is not an object");
  return value;
}

std::string Dump(const Json& value, bool pretty) {
  return value.dump(pretty ? 4 : -1, ' ', false, Json::error_handler_t::replace);
}

bool SameFieldName(std::string_view a, std::string_view b) { return Canonical(a) == Canonical(b); }

const Json* Fields::Find(std::string_view name) const {
  if (object_ == nullptr || !object_->is_object()) return nullptr;
  const Json* found = nullptr;
  const std::string wanted = Canonical(name);
  for (const auto& [key, value] : object_->items()) {
    if (key == name) return value.is_null() ? nullptr : &value;
    if (Canonical(key) == wanted) found = &value;
  }
  return found == nullptr || found->is_null() ? nullptr : found;
}

std::string Fields::PathOf(std::string_view name) const {
  return path_.empty() ? std::string(name) : path_ + '.' + std::string(name);
}

void Fields::Fail(std::string_view name, std::string_view fault) const {
  if (fault_->empty()) *fault_ = "json: field " + PathOf(name) + ": " + std::string(fault);
}

std::string Fields::Text(std::string_view name) const {
  const Json* value = Find(name);
  if (value == nullptr) return {};
  if (const auto* text = value->get_ptr<const std::string*>()) return *text;
  Fail(name, "not a string");
  return {};
}

std::int64_t Fields::Integer(std::string_view name, std::int64_t absent) const {
  const Json* value = Find(name);
  if (value == nullptr) return absent;
  if (const auto* number = value->get_ptr<const std::uint64_t*>()) {
    if (*number <= std::uint64_t{INT64_MAX}) return static_cast<std::int64_t>(*number);
  } else if (const auto* negative = value->get_ptr<const std::int64_t*>()) {
    return *negative;
  }
  Fail(name, "not a whole number");
  return absent;
}

std::uint16_t Fields::Port(std::string_view name) const {
  const std::int64_t port = Integer(name);
  if (port >= 0 && port <= 65535) return static_cast<std::uint16_t>(port);
  Fail(name, "not a port number from 0 to 65535");
  return 0;
}

bool Fields::Flag(std::string_view name) const {
  const Json* value = Find(name);
  if (value == nullptr) return false;
  if (const auto* flag = value->get_ptr<const bool*>()) return *flag;
  Fail(name, "not true or false");
  return false;
}

std::chrono::milliseconds Fields::Duration(std::string_view name) const {
  const Json* value = Find(name);
  if (value == nullptr) return {};
  if (const auto* text = value->get_ptr<const std::string*>()) {
    if (text->empty()) return {};
    const auto parsed = config::ParseDuration(*text);
    if (parsed) return *parsed;
    Fail(name, parsed.error().message);
    return {};
  }
  const std::int64_t nanoseconds = Integer(name);
  if (nanoseconds < 0) Fail(name, "negative");
  return std::chrono::milliseconds(std::max<std::int64_t>(nanoseconds, 0) / 1'000'000);
}

std::vector<std::string> Fields::Texts(std::string_view name) const {
  const Json* value = Find(name);
  std::vector<std::string> texts;
  if (value == nullptr) return texts;
  if (!value->is_array()) {
    Fail(name, "not a list of strings");
    return texts;
  }
  for (const Json& entry : *value) {
    if (const auto* text = entry.get_ptr<const std::string*>()) {
      texts.push_back(*text);
    } else {
      Fail(name, "not a list of strings");
    }
  }
  return texts;
}

std::map<std::string, std::string> Fields::TextMap(std::string_view name) const {
  const Json* value = Find(name);
  std::map<std::string, std::string> map;
  if (value == nullptr) return map;
  if (!value->is_object()) {
    Fail(name, "not an object of strings");
    return map;
  }
  for (const auto& [key, entry] : value->items()) {
    if (const auto* text = entry.get_ptr<const std::string*>()) {
      map[key] = *text;
    } else {
      Fail(name, "not an object of strings");
    }
  }
  return map;
}

Json Fields::Object(std::string_view name) const {
  const Json* value = Find(name);
  if (value == nullptr) return Json::object();
  if (value->is_object()) return *value;
  Fail(name, "not an object");
  return Json::object();
}

Fields Fields::Child(std::string_view name) const {
  const Json* value = Find(name);
  if (value != nullptr && !value->is_object()) {
    Fail(name, "not an object");
    value = nullptr;
  }
  return {value, PathOf(name), fault_};
}

std::vector<Fields> Fields::Children(std::string_view name) const {
  const Json* value = Find(name);
  std::vector<Fields> children;
  if (value == nullptr) return children;
  if (!value->is_array()) {
    Fail(name, "not a list");
    return children;
  }
  for (const Json& entry : *value) {
    if (entry.is_null()) continue;
    if (!entry.is_object()) {
      Fail(name, "not a list of objects");
      continue;
    }
    children.emplace_back(&entry, PathOf(name) + '[' + std::to_string(children.size()) + ']',
                          fault_);
  }
  return children;
}

}  // namespace mooring::dev
