#include "proxy/config/size.h"

#include <charconv>
#include <string>

namespace mooring::config {
namespace {
constexpr std::size_t kLeast = std::size_t{1} << 10;
constexpr std::size_t kMost = std::size_t{1} << 30;
}  // namespace

Result<std::size_t> ParseSize(std::string_view text) {
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  const bool known = unit.empty() || unit == "KiB" || unit == "MiB";
  if (error != std::errc{} || !known) {
    return Invalid("write a number of bytes, or of KiB or MiB, such as 64MiB");
  }
  const std::size_t factor = unit == "MiB" ? std::size_t{1} << 20 : unit == "KiB" ? 1024 : 1;
  if (number > kMost / factor || number * factor < kLeast) {
    return Invalid("it must be from 1KiB to 1024MiB");
  }
  return number * factor;
}

}  // namespace mooring::config
