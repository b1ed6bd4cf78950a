#include "proxy/config/duration.h"

#include <array>
#include <cstdint>
#include <string>

#include "authz/text.h"

namespace mooring::config {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t nanoseconds;
};

// The units of Go's time.ParseDuration, both spellings of micro included.
constexpr std::array<Unit, 8> kUnits{{{"ns", 1},
                                      {"us", 1'000},
                                      {"\u00b5s", 1'000},
                                      {"\u03bcs", 1'000},
                                      {"ms", 1'000'000},
                                      {"s", 1'000'000'000},
                                      {"m", 60'000'000'000},
                                      {"h", 3'600'000'000'000}}};
constexpr std::uint64_t kMaxNanoseconds = 8760 * std::uint64_t{3'600'000'000'000};
// Six decimals of an hour still fit 64 bits as nanoseconds.
constexpr int kMaxDecimals = 6;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

Error NotADuration(std::string_view text, const std::string& why) {
  return Invalid('"' + authz::Shortened(text) + "\" is not a duration: " + why);
}

const Unit* FindUnit(std::string_view name) {
  for (const Unit& unit : kUnits) {
    if (unit.name == name) return &unit;
  }
  return nullptr;
}

}  // namespace

Result<std::chrono::milliseconds> ParseDuration(std::string_view text) {
  if (text == "0") return std::chrono::milliseconds{0};
  if (text.empty()) return Invalid("the duration is empty; write for example 5s or 500ms");
  if (text.front() == '-') return NotADuration(text, "it must not be negative");

  std::string_view rest = text.front() == '+' ? text.substr(1) : text;
  std::uint64_t total = 0;
  do {
    std::uint64_t whole = 0;
    std::uint64_t decimals = 0;
    std::uint64_t scale = 1;
    int decimal_count = 0;
    bool any_digit = false;
    for (; !rest.empty() && IsDigit(rest.front()); rest.remove_prefix(1)) {
      whole = whole * 10 + static_cast<std::uint64_t>(rest.front() - '0');
      any_digit = true;
      if (whole > kMaxNanoseconds) return NotADuration(text, "it is longer than 8760h");
    }
    if (rest.starts_with('.')) {
      rest.remove_prefix(1);
      for (; !rest.empty() && IsDigit(rest.front()); rest.remove_prefix(1)) {
        if (++decimal_count > kMaxDecimals) return NotADuration(text, "it has too many decimals");
        decimals = decimals * 10 + static_cast<std::uint64_t>(rest.front() - '0');
        scale *= 10;
        any_digit = true;
      }
    }
    if (!any_digit) return NotADuration(text, "write for example 5s, 500ms or 1m30s");

    std::size_t letters = 0;
    while (letters < rest.size() && !IsDigit(rest[letters]) && rest[letters] != '.') ++letters;
    const std::string_view name = rest.substr(0, letters);
    if (name.empty()) {
      const std::string number = authz::Shortened(text);
      return NotADuration(text, "it has no unit; write " + number + "s for seconds or " + number +
                                    "ms for milliseconds");
    }
    const Unit* unit = FindUnit(name);
    if (unit == nullptr) {
      return NotADuration(
          text, "unit \"" + authz::Shortened(name) + "\" is unknown; the units are ms, s, m and h");
    }
    rest.remove_prefix(letters);

    if (whole > kMaxNanoseconds / unit->nanoseconds) {
      return NotADuration(text, "it is longer than 8760h");
    }
    const std::uint64_t scaled = decimals * unit->nanoseconds;
    if (scaled % scale != 0) return NotADuration(text, "it is finer than a millisecond");
    total += whole * unit->nanoseconds + scaled / scale;
    if (total > kMaxNanoseconds) return NotADuration(text, "it is longer than 8760h");
  } while (!rest.empty());

  if (total % 1'000'000 != 0) return NotADuration(text, "it is finer than a millisecond");
  return std::chrono::milliseconds{static_cast<std::int64_t>(total / 1'000'000)};
}

std::string DurationText(const std::chrono::milliseconds& duration) {
  if (duration.count() == 0) return "0";
  std::string text;
  auto rest = static_cast<std::uint64_t>(duration.count()) * 1'000'000;
  for (const std::string_view name : {"h", "m", "s", "ms"}) {
    const Unit* unit = FindUnit(name);
    if (const std::uint64_t count = rest / unit->nanoseconds; count > 0) {
      text += std::to_string(count) + std::string(name);
    }
    rest %= unit->nanoseconds;
  }
  return text;
}

}  // namespace mooring::config
