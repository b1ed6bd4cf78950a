#include "proxy/dev/identifier.h"

#include <sys/random.h>

#include <array>
#include <cstdint>
#include <cstdlib>

#include "authz/hex.h"

namespace mooring::dev {
namespace {

bool IsDash(std::size_t place) { return place == 8 || place == 13 || place == 18 || place == 23; }

}  // namespace

std::string NewUuid() {
  std::array<std::uint8_t, 16> bytes{};
  // Up to 256 bytes never fail once the kernel's pool is ready (getrandom(2)).
  if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) std::abort();
  bytes[6] = static_cast<std::uint8_t>((bytes[6] & 0x0f) | 0x40);
  bytes[8] = static_cast<std::uint8_t>((bytes[8] & 0x3f) | 0x80);
  std::string text;
  for (const std::uint8_t byte : bytes) {
    if (IsDash(text.size())) text += '-';
    authz::AppendHex(&text, byte);
  }
  return text;
}

bool IsUuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (IsDash(i) ? text[i] != '-' : authz::HexValue(text[i]) < 0) return false;
  }
  return true;
}

std::string GoDuration(std::chrono::milliseconds duration) {
  const auto count = duration.count();
  if (count == 0) return "0s";
  if (count < 1000) return std::to_string(count) + "ms";
  const auto seconds = count / 1000;
  std::string text = std::to_string(seconds % 60);
  if (count % 1000 != 0) {
    const std::string thousands = std::to_string(1000 + count % 1000).substr(1);
    text += '.' + thousands.substr(0, thousands.find_last_not_of('0') + 1);
  }
  text += 's';
  if (seconds >= 60) text = std::to_string(seconds / 60 % 60) + 'm' + text;
  if (seconds >= 3600) text = std::to_string(seconds / 3600) + 'h' + text;
  return text;
}

std::string ContentHash(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : text) hash = (hash ^ static_cast<std::uint8_t>(c)) * 0x100000001b3;
  std::string out;
  for (int shift = 56; shift >= 0; shift -= 8)
    authz::AppendHex(&out, static_cast<std::uint8_t>(hash >> shift));
  return out;
}

}  // namespace mooring::dev
