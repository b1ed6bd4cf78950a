#include "proxy/config/size.h"

#include <array>
#include <charconv>

namespace mooring::config {
namespace {

struct Unit {
  std::string_view name;
  std::size_t bytes;
};
constexpr std::array<Unit, 4> kUnits{{{"GiB", std::size_t{1} << 30},
                                      {"MiB", std::size_t{1} << 20},
                                      {"KiB", std::size_t{1} << 10},
                                      {"", 1}}};

}  // namespace

Result<std::size_t> ParseSize(std::string_view text, SizeRange range) {
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view name(end, static_cast<std::size_t>(text.data() + text.size() - end));
  const Unit* known = nullptr;
  for (const Unit& unit : kUnits) {
    if (unit.name == name) known = &unit;
  }
  if (error != std::errc{} || known == nullptr) {
    return Invalid("write a number of bytes, or of KiB, MiB or GiB, such as 64MiB");
  }
  if (number > range.most / known->bytes || number * known->bytes < range.least) {
    return Invalid("it must be from " + SizeText(range.least) + " to " + SizeText(range.most) +
                   ", such as 64MiB");
  }
  return number * known->bytes;
}

std::string SizeText(const std::size_t& size) {
  for (const Unit& unit : kUnits) {
    if (size >= unit.bytes && size % unit.bytes == 0) {
      return std::to_string(size / unit.bytes) + std::string(unit.name);
    }
  }
  return std::to_string(size);
}

}  // namespace mooring::config
