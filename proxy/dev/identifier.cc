#include "proxy/dev/identifier.h"

#include <sys/random.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace mooring::dev {
namespace {

constexpr char kDigits[] = "0123456789abcdef";

bool IsHex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

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
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

bool IsUuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (IsDash(i) ? text[i] != '-' : !IsHex(text[i])) return false;
  }
  return true;
}

std::string Rfc3339(std::chrono::system_clock::time_point time, bool fraction) {
  const auto whole = std::chrono::floor<std::chrono::seconds>(time);
  const std::time_t seconds = std::chrono::system_clock::to_time_t(whole);
  std::tm utc{};
  if (gmtime_r(&seconds, &utc) == nullptr) return {};
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%04d-%02d-%02dT%02d:%02d:%02d", utc.tm_year + 1900,
                utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec);
  std::string out = text.data();
  if (fraction) {
    const auto nanoseconds =
        std::chrono::duration_cast<std::chrono::nanoseconds>(time - whole).count();
    std::snprintf(text.data(), text.size(), ".%09lld", static_cast<long long>(nanoseconds));
    out += text.data();
  }
  return out + 'Z';
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
  for (int shift = 60; shift >= 0; shift -= 4) out += kDigits[(hash >> shift) & 15];
  return out;
}

}  // namespace mooring::dev
