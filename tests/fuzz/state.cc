// state: the state file, as bytes from a disk, and round: what was put in comes out.
//
// The first byte says how: the bytes as they are; with a right checksum put before them, without
// which nothing behind it is ever looked at; or documents made of choices.
#include "proxy/state/format.h"

#include <set>
#include <string>
#include <vector>

#include "tests/fuzz/targets.h"
#include "tls/digest.h"

namespace mooring::fuzz {
namespace {

using namespace mooring::state;

std::string Whole(const Key& key, const std::vector<Entry>& entries) {
  auto text = Encode(key, entries);
  FUZZ_REQUIRE(text.has_value(), text ? "" : text.error().message);
  for (const Entry& entry : entries) text.value() += entry.body;
  return text.value();
}

bool Same(const Entry& a, const Entry& b) {
  return a.name == b.name && a.headers == b.headers && a.body == b.body &&
         a.confirmed == b.confirmed;
}

void CheckSame(const File& file, const Key& key, const std::vector<Entry>& entries) {
  FUZZ_REQUIRE(
      file.key.id == key.id && file.key.agent == key.agent && file.key.datacenter == key.datacenter,
      file.key.id);
  FUZZ_REQUIRE(file.entries.size() == entries.size(), file.key.id);
  for (std::size_t i = 0; i < entries.size(); ++i)
    FUZZ_REQUIRE(Same(file.entries[i], entries[i]), entries[i].name);
}

// Read decodes; what is taken can be written again, and is the same then.
void Read(std::string_view content) {
  const auto file = Decode(content);
  if (!file) {
    FUZZ_REQUIRE(!file.error().message.empty(), content);
    return;
  }
  // The bodies are the end of the file, one behind the other: no byte of it belongs to nobody.
  const auto& entries = file.value().entries;
  const char* end = content.data() + content.size();
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
    if (entry->body.empty()) continue;
    FUZZ_REQUIRE(entry->body.data() >= content.data(), entry->name);
    FUZZ_REQUIRE(entry->body.data() + entry->body.size() == end, entry->name);
    end = entry->body.data();
  }
  FUZZ_REQUIRE(end > content.data() && end[-1] == '\n', "the head ends where the bodies begin");
  const std::string again = Whole(file.value().key, file.value().entries);
  const auto twice = Decode(again);
  FUZZ_REQUIRE(twice.has_value(), twice ? "" : twice.error().message);
  CheckSame(twice.value(), file.value().key, file.value().entries);
}

// Plain is text that JSON writes as it is.
std::string Plain(Script* script) {
  std::string text = script->Text();
  for (char& c : text) c = static_cast<char>(c & 0x7f);
  return text;
}

void MakeAndRead(Script* script) {
  const Key key{.id = Plain(script), .agent = Plain(script), .datacenter = Plain(script)};
  std::vector<Entry> entries;
  std::vector<std::string> bodies;
  bodies.reserve(8);
  std::set<std::string> names;
  while (!script->AtEnd() && entries.size() < 8) {
    Entry entry;
    entry.name = Plain(script);
    if (entry.name.empty() || !names.insert(entry.name).second) continue;
    for (std::size_t left = script->Below(4); left > 0; --left) {
      const std::string name = Plain(script);
      entry.headers[name] = Plain(script);
    }
    entry.confirmed = WallTime(std::chrono::milliseconds(script->Number16() * 1'000'003));
    bodies.push_back(script->Text());
    entry.body = bodies.back();
    entries.push_back(std::move(entry));
  }
  const std::string content = Whole(key, entries);
  const auto file = Decode(content);
  FUZZ_REQUIRE(file.has_value(), file ? "" : file.error().message);
  CheckSame(file.value(), key, entries);
  // A file that has lost its end, or has one bit of it turned, is not one.
  for (const std::size_t at : {std::size_t{0}, content.size() / 3, content.size() - 1}) {
    FUZZ_REQUIRE(!Decode(std::string_view(content).substr(0, at)), content);
    std::string turned = content;
    turned[at] = static_cast<char>(turned[at] ^ 4);
    FUZZ_REQUIRE(!Decode(turned), content);
  }
}

}  // namespace

void state(Input input) {
  Script script(input);
  switch (script.Below(3)) {
    case 0: return Read(TextOf(script.Rest()));
    case 1: {
      const std::string rest(TextOf(script.Rest()));
      return Read("mooring state 1\nsha256 " + tls::Sha256Hex(rest) + "\n" + rest);
    }
    default: return MakeAndRead(&script);
  }
}

}  // namespace mooring::fuzz
