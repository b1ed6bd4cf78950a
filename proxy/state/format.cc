#include "proxy/state/format.h"

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "tls/digest.h"

namespace mooring::state {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

constexpr std::string_view kTitle = "mooring state ";
constexpr std::string_view kVersion = "1";
constexpr std::string_view kChecksum = "sha256 ";
constexpr std::size_t kDigestDigits = 64;
constexpr std::size_t kMaxVersion = 16;
// The year 2200; later ones do not fit into the clock's nanoseconds much longer.
constexpr std::int64_t kMaxMilliseconds = 7'258'118'400'000;

// TakeLine cuts a line off the front of *rest; nothing if none ends within `limit` bytes.
std::optional<std::string_view> TakeLine(std::string_view* rest, std::size_t limit) {
  const std::size_t end = rest->substr(0, limit).find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view line = rest->substr(0, end);
  rest->remove_prefix(end + 1);
  return line;
}

// The fields of a JSON object; null or false when one is missing or of another type.
const std::string* TextIn(const json& object, const char* field) {
  const auto found = object.find(field);
  return found == object.end() ? nullptr : found->get_ptr<const std::string*>();
}

bool CountIn(const json& object, const char* field, std::uint64_t limit, std::uint64_t* out) {
  const auto found = object.find(field);
  if (found == object.end() || !found->is_number_unsigned()) return false;
  *out = found->get<std::uint64_t>();
  return *out <= limit;
}

// TakeEntry reads one document's line and cuts its body off the front of *bodies.
std::optional<Entry> TakeEntry(const json& object, std::string_view* bodies) {
  if (!object.is_object()) return std::nullopt;
  Entry entry;
  const std::string* name = TextIn(object, "name");
  const auto headers = object.find("headers");
  std::uint64_t confirmed = 0;
  std::uint64_t length = 0;
  if (name == nullptr || name->empty() || headers == object.end() || !headers->is_object() ||
      !CountIn(object, "confirmed_ms", kMaxMilliseconds, &confirmed) ||
      !CountIn(object, "length", bodies->size(), &length)) {
    return std::nullopt;
  }
  entry.name = *name;
  for (const auto& [header, value] : headers->items()) {
    if (!value.is_string()) return std::nullopt;
    entry.headers[header] = value.get<std::string>();
  }
  entry.confirmed = WallTime(milliseconds(static_cast<std::int64_t>(confirmed)));
  entry.body = bodies->substr(0, static_cast<std::size_t>(length));
  bodies->remove_prefix(entry.body.size());
  return entry;
}

Result<File> ReadHead(std::string_view line, std::string_view bodies) {
  const json head = json::parse(line.begin(), line.end(), nullptr, /*allow_exceptions=*/false);
  const Error damaged = Invalid("its header is damaged");
  if (!head.is_object()) return damaged;
  const std::string* id = TextIn(head, "id");
  const std::string* agent = TextIn(head, "agent");
  const std::string* datacenter = TextIn(head, "datacenter");
  const auto documents = head.find("documents");
  if (id == nullptr || agent == nullptr || datacenter == nullptr || documents == head.end() ||
      !documents->is_array()) {
    return damaged;
  }
  File file{.key = {.id = *id, .agent = *agent, .datacenter = *datacenter}, .entries = {}};
  std::set<std::string_view> names;
  for (const json& document : *documents) {
    std::optional<Entry> entry = TakeEntry(document, &bodies);
    if (!entry) return Invalid("its entry for a document is damaged");
    if (!names.insert(*TextIn(document, "name")).second) {
      return Invalid("it holds a document twice: " + entry->name);
    }
    file.entries.push_back(std::move(*entry));
  }
  if (!bodies.empty()) return Invalid("it has bytes after its last document");
  return file;
}

}  // namespace

Result<std::string> Encode(const Key& key, std::span<const Entry> entries) {
  json documents = json::array();
  std::vector<std::string_view> summed(1);  // the first place is the JSON line's
  for (const Entry& entry : entries) {
    const auto since =
        std::chrono::duration_cast<milliseconds>(entry.confirmed.time_since_epoch()).count();
    documents.push_back({{"name", entry.name},
                         {"confirmed_ms", static_cast<std::uint64_t>(std::clamp<std::int64_t>(
                                              since, 0, kMaxMilliseconds))},
                         {"headers", json(entry.headers)},
                         {"length", entry.body.size()}});
    summed.push_back(entry.body);
  }
  const json head{{"id", key.id},
                  {"agent", key.agent},
                  {"datacenter", key.datacenter},
                  {"documents", std::move(documents)}};
  // Header values may hold any byte; one that is not UTF-8 is of no use to us and becomes U+FFFD.
  std::string line = head.dump(-1, ' ', /*ensure_ascii=*/true, json::error_handler_t::replace);
  line += '\n';
  if (line.size() > kMaxHead) return Invalid("there are too many documents for one file");
  summed[0] = line;

  std::string text(kTitle);
  text += kVersion;
  text += '\n';
  text += kChecksum;
  text += tls::Sha256Hex(summed);
  text += '\n';
  text += line;
  return text;
}

Result<File> Decode(std::string_view content) {
  if (!content.starts_with(kTitle)) return Invalid("it is not a state file");
  std::string_view rest = content.substr(kTitle.size());
  const std::optional<std::string_view> version = TakeLine(&rest, kMaxVersion);
  if (!version) return Invalid("its first line is damaged");
  if (*version != kVersion) {
    return Invalid("it is of version " + std::string(*version) + ", this program knows version " +
                   std::string(kVersion));
  }
  const std::optional<std::string_view> sum = TakeLine(&rest, kChecksum.size() + kDigestDigits + 1);
  if (!sum || !sum->starts_with(kChecksum) ||
      sum->substr(kChecksum.size()) != tls::Sha256Hex(rest)) {
    return Invalid("its checksum is wrong: it is damaged or cut short");
  }
  const std::optional<std::string_view> head = TakeLine(&rest, kMaxHead);
  if (!head) return Invalid("its header does not end");
  return ReadHead(*head, rest);
}

}  // namespace mooring::state
