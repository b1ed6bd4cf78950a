#include "proxy/log/escape.h"

#include <algorithm>
#include <cstdint>

#include "authz/hex.h"

namespace mooring::log {
namespace {

bool Continues(std::string_view text, std::size_t at, unsigned char from = 0x80,
               unsigned char to = 0xbf) {
  if (at >= text.size()) return false;
  const auto byte = static_cast<unsigned char>(text[at]);
  return byte >= from && byte <= to;
}

// SequenceLength is the length of the valid UTF-8 sequence that text begins with, 0 if there is
// none (Unicode 15, table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF).
std::size_t SequenceLength(std::string_view text) {
  const auto first = static_cast<unsigned char>(text.front());
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return Continues(text, 1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const unsigned char from = first == 0xe0 ? 0xa0 : 0x80;
    const unsigned char to = first == 0xed ? 0x9f : 0xbf;
    return Continues(text, 1, from, to) && Continues(text, 2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const unsigned char from = first == 0xf0 ? 0x90 : 0x80;
    const unsigned char to = first == 0xf4 ? 0x8f : 0xbf;
    return Continues(text, 1, from, to) && Continues(text, 2) && Continues(text, 3) ? 4 : 0;
  }
  return 0;
}

// Unit is one character of output that may not be cut: 4 bytes of \xNN each at most.
struct Unit {
  char text[16];
  std::size_t size = 0;
  void Add(char c) { text[size++] = c; }
  void Add(std::string_view more) {
    for (const char c : more) Add(c);
  }
  void AddHex(std::string_view introduction, unsigned char byte) {
    Add(introduction);
    Add(authz::kLowerHex[byte >> 4U]);
    Add(authz::kLowerHex[byte & 0xfU]);
  }
};

template <typename Encode>
void Append(std::string* out, std::string_view text, std::size_t limit, Encode encode) {
  std::size_t used = 0;
  while (!text.empty()) {
    const std::size_t valid = SequenceLength(text);
    const std::string_view sequence = text.substr(0, valid == 0 ? 1 : valid);
    Unit unit;
    encode(sequence, valid != 0, &unit);
    if (used + unit.size > limit) {
      *out += "...(+" + std::to_string(text.size()) + " bytes)";
      return;
    }
    out->append(unit.text, unit.size);
    used += unit.size;
    text.remove_prefix(sequence.size());
  }
}

void EncodeAscii(std::string_view sequence, bool quoted, Unit* unit) {
  for (const char c : sequence) {
    if (c >= ' ' && c <= '~') {
      if (quoted && (c == '"' || c == '\\')) unit->Add('\\');
      unit->Add(c);
    } else {
      unit->AddHex("\\x", static_cast<unsigned char>(c));
    }
  }
}

}  // namespace

void AppendQuotable(std::string* out, std::string_view text, std::size_t limit) {
  Append(out, text, limit,
         [](std::string_view sequence, bool, Unit* unit) { EncodeAscii(sequence, true, unit); });
}

void AppendPlain(std::string* out, std::string_view text, std::size_t limit) {
  Append(out, text, limit,
         [](std::string_view sequence, bool, Unit* unit) { EncodeAscii(sequence, false, unit); });
}

void AppendJson(std::string* out, std::string_view text, std::size_t limit) {
  Append(out, text, limit, [](std::string_view sequence, bool valid, Unit* unit) {
    if (!valid) {
      unit->Add("\xef\xbf\xbd");
      return;
    }
    const auto first = static_cast<unsigned char>(sequence.front());
    const bool c1 =
        sequence.size() == 2 && first == 0xc2 && static_cast<unsigned char>(sequence[1]) < 0xa0;
    if (first < 0x20 || first == 0x7f) {
      unit->AddHex("\\u00", first);
    } else if (c1) {  // U+0080 to U+009F: some terminals take U+009B for the beginning of a command
      unit->AddHex("\\u00", static_cast<unsigned char>(sequence[1]));
    } else {
      if (first == '"' || first == '\\') unit->Add('\\');
      unit->Add(sequence);
    }
  });
}

void AppendValue(std::string* out, std::string_view text, std::size_t limit) {
  const bool needs_quotes =
      text.empty() || text.size() > limit || std::any_of(text.begin(), text.end(), [](char c) {
        return c <= ' ' || c > '~' || c == '"' || c == '=' || c == '\\';
      });
  if (!needs_quotes) {
    *out += text;
    return;
  }
  *out += '"';
  AppendQuotable(out, text, limit);
  *out += '"';
}

std::string Plain(std::string_view text, std::size_t limit) {
  std::string out;
  AppendPlain(&out, text, limit);
  return out;
}

}  // namespace mooring::log
