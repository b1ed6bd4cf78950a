#include "authz/consul/json_reader.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <exception>
#include <limits>
#include <system_error>

#include <nlohmann/json.hpp>

#include "authz/text.h"

namespace mooring::authz::json {
namespace {

constexpr std::size_t kNameShown = 64;  // bytes of a foreign key that a message repeats

// Bounds of Flat: joined names repeat their parents', so a small body could grow without them.
constexpr std::size_t kMaxFlatName = 512;  // bytes
constexpr std::size_t kMaxFlatEntries = 4096;

std::string_view KindOf(const Value& value) {
  switch (value.data.index()) {
    case 0: return "null";
    case 1: return "a boolean";
    case 2:
    case 3: return "a number";
    case 4: return "text";
    case 5: return "a list";
    default: return "an object";
  }
}

std::string MustBe(std::string_view wanted, const Value& value) {
  return "must be " + std::string(wanted) + ", not " + std::string(KindOf(value));
}

// Builder turns nlohmann's parse events into Values. nlohmann's parser keeps its own stack on the
// heap, so depth costs no call stack there; returning false stops it at once.
class Builder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Builder(Value& root) : root_(root) {}

  const std::string& fault() const { return fault_; }

  bool null() override { return Place({}) != nullptr; }
  bool boolean(bool value) override { return Place({value}) != nullptr; }
  bool number_integer(std::int64_t value) override { return Place({value}) != nullptr; }
  bool number_unsigned(std::uint64_t value) override {
    if (value <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      return Place({static_cast<std::int64_t>(value)}) != nullptr;
    }
    return Place({static_cast<double>(value)}) != nullptr;
  }
  bool number_float(double value, const std::string& /*text*/) override {
    return Place({value}) != nullptr;
  }
  // Moved, not copied: a copy of a private key would stay in freed memory.
  bool string(std::string& value) override { return Place({std::move(value)}) != nullptr; }
  bool binary(nlohmann::json::binary_t& /*value*/) override { return Stop("holds binary data"); }

  bool start_object(std::size_t /*size*/) override { return Open({Value::Members{}}); }
  bool start_array(std::size_t /*size*/) override { return Open({Value::Array{}}); }
  bool key(std::string& name) override {
    std::get<Value::Members>(open_.back()->data).push_back({std::move(name), {}});
    return true;
  }
  bool end_array() override {
    open_.pop_back();
    return true;
  }
  bool end_object() override {
    auto& members = std::get<Value::Members>(open_.back()->data);
    open_.pop_back();
    std::sort(members.begin(), members.end(),
              [](const Member& a, const Member& b) { return a.name < b.name; });
    const auto twin =
        std::adjacent_find(members.begin(), members.end(),
                           [](const Member& a, const Member& b) { return a.name == b.name; });
    if (twin == members.end()) return true;
    return Stop("has the key \"" + Shortened(twin->name, kNameShown) + "\" twice in one object");
  }

  // The library's message quotes the text it stumbled over, which may be a key: only the place is
  // kept.
  bool parse_error(std::size_t position, const std::string& /*last_token*/,
                   const nlohmann::json::exception& /*error*/) override {
    return Stop("is not valid JSON in UTF-8 (at byte " + std::to_string(position) + ")");
  }

 private:
  bool Stop(std::string fault) {
    if (fault_.empty()) fault_ = std::move(fault);
    return false;
  }

  // Place puts a value where the parser stands. The pointer holds until the open container around
  // the value gets its next entry, by when the value is finished.
  Value* Place(Value value) {
    if (++values_ > kMaxValues) {
      Stop("holds more than " + std::to_string(kMaxValues) + " values");
      return nullptr;
    }
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (auto* list = std::get_if<Value::Array>(&open_.back()->data)) {
      list->push_back(std::move(value));
      return &list->back();
    }
    Value& slot = std::get<Value::Members>(open_.back()->data).back().value;
    slot = std::move(value);
    return &slot;
  }

  bool Open(Value container) {
    if (open_.size() == kMaxDepth) {
      return Stop("is nested deeper than " + std::to_string(kMaxDepth) + " levels");
    }
    Value* placed = Place(std::move(container));
    if (placed == nullptr) return false;
    open_.push_back(placed);
    return true;
  }

  Value& root_;
  std::vector<Value*> open_;  // containers around the current place, outermost first
  std::size_t values_ = 0;
  std::string fault_;
};

// Empty text on success.
std::string ParseInto(std::string_view body, Value& root) {
  if (body.empty()) return "is empty";
  // nlohmann takes a NUL for the end of input and would not look at what follows.
  if (body.find('\0') != std::string_view::npos) return "holds a NUL byte";
  Builder builder(root);
  try {
    if (nlohmann::json::sax_parse(body.begin(), body.end(), &builder)) return {};
  } catch (const std::exception&) {
    return "could not be parsed";
  }
  return builder.fault().empty() ? "could not be parsed" : builder.fault();
}

std::optional<std::int64_t> WholeNumber(double number) {
  constexpr double kExact = 9007199254740992.0;  // 2^53: beyond it a double skips integers
  if (!(std::abs(number) <= kExact) || std::trunc(number) != number) return std::nullopt;
  return static_cast<std::int64_t>(number);
}

template <typename Number>
std::optional<Number> FromText(std::string_view text) {
  Number number{};
  const char* end = text.data() + text.size();
  const auto [stop, fault] = std::from_chars(text.data(), end, number);
  if (fault != std::errc{} || stop != end) return std::nullopt;
  return number;
}

std::optional<std::int64_t> ToInteger(const Value& value) {
  if (const auto* whole = std::get_if<std::int64_t>(&value.data)) return *whole;
  if (const auto* number = std::get_if<double>(&value.data)) return WholeNumber(*number);
  if (const auto* text = std::get_if<std::string>(&value.data)) {
    if (const auto whole = FromText<std::int64_t>(*text)) return whole;
    if (const auto number = FromText<double>(*text)) return WholeNumber(*number);
  }
  return std::nullopt;
}

// Go writes large and small floats with an exponent; what is whole is given back as an integer.
std::string NumberText(double number) {
  if (const auto whole = WholeNumber(number)) return std::to_string(*whole);
  std::array<char, 32> buffer{};
  const auto [end, fault] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), number);
  return fault == std::errc{} ? std::string(buffer.data(), end) : std::string();
}

}  // namespace

Document::Document(std::string_view title, std::string_view body) : title_(title) {
  if (std::string fault = ParseInto(body, root_); !fault.empty()) {
    Fail({}, fault);
    root_ = {};
  }
}

void Document::Fail(std::string_view path, std::string_view fault) {
  if (error_) return;
  std::string message = "the agent's " + title_;
  if (!path.empty()) message += ": " + std::string(path);
  error_ = Invalid(message + " " + std::string(fault));
}

Object Document::Root() { return Object(this, &root_, {}); }

std::vector<Object> Document::Entries() { return Object(this, nullptr, {}).EntriesOf(&root_, {}); }

Object::Object(Document* document, Value* value, std::string path)
    : document_(document), path_(std::move(path)) {
  if (value == nullptr || std::holds_alternative<std::monostate>(value->data)) return;
  members_ = std::get_if<Value::Members>(&value->data);
  if (members_ == nullptr) document_->Fail(path_, MustBe("an object", *value));
}

Value::Members::iterator Object::LowerBound(std::string_view key) const {
  return std::lower_bound(
      members_->begin(), members_->end(), key,
      [](const Member& member, std::string_view name) { return member.name < name; });
}

Value* Object::Find(std::string_view key) const {
  if (members_ == nullptr) return nullptr;
  const auto found = LowerBound(key);
  if (found == members_->end() || found->name != key) return nullptr;
  return std::holds_alternative<std::monostate>(found->value.data) ? nullptr : &found->value;
}

std::string Object::PathOf(std::string_view key) const {
  std::string path = path_;
  if (!path.empty()) path += '.';
  return path + Shortened(key, kNameShown);
}

void Object::Fail(std::string_view key, std::string_view fault) const {
  document_->Fail(PathOf(key), fault);
}

bool Object::Has(std::string_view key) const {
  if (members_ == nullptr) return false;
  const auto member = LowerBound(key);
  return member != members_->end() && member->name == key;
}

bool Object::IsSet(std::string_view key) const { return Find(key) != nullptr; }

std::string Object::Text(std::string_view key) const {
  const Value* value = Find(key);
  if (value == nullptr) return {};
  const auto* text = std::get_if<std::string>(&value->data);
  if (text == nullptr) {
    Fail(key, MustBe("text", *value));
    return {};
  }
  // Legal JSON (\u0000), but a C interface would see a shorter, different text.
  if (text->find('\0') != std::string::npos) {
    Fail(key, "holds a NUL character");
    return {};
  }
  return *text;
}

std::string Object::NeededText(std::string_view key) const {
  std::string text = Text(key);
  if (text.empty()) Fail(key, "is missing");
  return text;
}

std::string Object::TakeNeededText(std::string_view key) {
  Value* value = Find(key);
  auto* text = value == nullptr ? nullptr : std::get_if<std::string>(&value->data);
  if (text == nullptr || text->empty() || text->find('\0') != std::string::npos) {
    return NeededText(key);  // notes which of these it is
  }
  return std::move(*text);
}

bool Object::Flag(std::string_view key) const {
  const Value* value = Find(key);
  if (value == nullptr) return false;
  if (const auto* flag = std::get_if<bool>(&value->data)) return *flag;
  Fail(key, MustBe("true or false", *value));
  return false;
}

bool Object::NeededFlag(std::string_view key) const {
  if (!IsSet(key)) Fail(key, "is missing");
  return Flag(key);
}

std::int64_t Object::Integer(std::string_view key, std::int64_t absent) const {
  const Value* value = Find(key);
  if (value == nullptr) return absent;
  if (const auto* text = std::get_if<std::string>(&value->data); text != nullptr && text->empty()) {
    return absent;
  }
  if (const auto whole = ToInteger(*value)) return *whole;
  Fail(key, "must be a whole number");
  return absent;
}

std::uint16_t Object::Port(std::string_view key) const {
  const std::int64_t port = Integer(key, 0);
  if (port < 0 || port > std::numeric_limits<std::uint16_t>::max()) {
    Fail(key, "must be a port, 0 to 65535");
    return 0;
  }
  return static_cast<std::uint16_t>(port);
}

Object Object::Child(std::string_view key) const {
  return Object(document_, Find(key), PathOf(key));
}

std::vector<Object> Object::Objects(std::string_view key) const {
  return EntriesOf(Find(key), PathOf(key));
}

std::vector<std::string> Object::Texts(std::string_view key) const {
  std::vector<std::string> texts;
  const Value* list = Find(key);
  if (list == nullptr || std::holds_alternative<std::monostate>(list->data)) return texts;
  const auto* values = std::get_if<Value::Array>(&list->data);
  if (values == nullptr) {
    Fail(key, MustBe("a list", *list));
    return texts;
  }
  for (const Value& value : *values) {
    const auto* text = std::get_if<std::string>(&value.data);
    if (text == nullptr) Fail(key, "holds " + std::string(KindOf(value)) + " among its text");
    if (text != nullptr && text->find('\0') != std::string::npos)
      Fail(key, "holds a NUL character");
    if (text != nullptr) texts.push_back(*text);
  }
  return texts;
}

std::vector<Object> Object::EntriesOf(Value* list, const std::string& path) const {
  std::vector<Object> entries;
  if (list == nullptr || std::holds_alternative<std::monostate>(list->data)) return entries;
  auto* values = std::get_if<Value::Array>(&list->data);
  if (values == nullptr) {
    document_->Fail(path, MustBe("a list", *list));
    return entries;
  }
  entries.reserve(values->size());
  for (std::size_t i = 0; i < values->size(); ++i) {
    Value& value = (*values)[i];
    std::string place = path + "[" + std::to_string(i) + "]";
    if (std::holds_alternative<std::monostate>(value.data)) {
      document_->Fail(place, MustBe("an object", value));
    }
    entries.push_back(Object(document_, &value, std::move(place)));
  }
  return entries;
}

std::vector<std::pair<std::string, Object>> Object::MembersAsObjects() const {
  std::vector<std::pair<std::string, Object>> all;
  if (members_ == nullptr) return all;
  all.reserve(members_->size());
  for (Member& member : *members_) {
    all.emplace_back(member.name, Object(document_, &member.value, PathOf(member.name)));
  }
  return all;
}

std::map<std::string, std::string> Object::Flat(std::string_view key) const {
  const Object child = Child(key);
  std::map<std::string, std::string> flat;
  if (child.members_ == nullptr) return flat;
  for (const Member& member : *child.members_) child.FlattenInto(member.value, member.name, flat);
  return flat;
}

void Object::FlattenInto(const Value& value, const std::string& name,
                         std::map<std::string, std::string>& flat) const {
  if (name.size() > kMaxFlatName) return Fail(name, "has too long a name");
  if (flat.size() > kMaxFlatEntries) return Fail(name, "is one setting too many");
  if (const auto* members = std::get_if<Value::Members>(&value.data)) {
    for (const Member& member : *members) FlattenInto(member.value, name + "." + member.name, flat);
    return;
  }
  if (const auto* list = std::get_if<Value::Array>(&value.data)) {
    for (std::size_t i = 0; i < list->size(); ++i) {
      FlattenInto((*list)[i], name + "." + std::to_string(i), flat);
    }
    return;
  }
  if (std::holds_alternative<std::monostate>(value.data)) return;
  std::string text;
  if (const auto* flag = std::get_if<bool>(&value.data)) text = *flag ? "true" : "false";
  if (const auto* whole = std::get_if<std::int64_t>(&value.data)) text = std::to_string(*whole);
  if (const auto* number = std::get_if<double>(&value.data)) text = NumberText(*number);
  if (const auto* plain = std::get_if<std::string>(&value.data)) text = *plain;
  if (name.find('\0') != std::string::npos || text.find('\0') != std::string::npos) {
    Fail(name, "holds a NUL character");
  }
  if (!flat.emplace(name, std::move(text)).second) Fail(name, "is given twice");
}

}  // namespace mooring::authz::json
