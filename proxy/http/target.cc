#include "proxy/http/target.h"

#include <utility>

#include "authz/hex.h"

namespace mooring::http {
namespace {

std::optional<std::string> Decoded(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += plus_is_space && text[i] == '+' ? ' ' : text[i];
      continue;
    }
    if (text.size() - i < 3) return std::nullopt;
    const int high = authz::HexValue(text[i + 1]);
    const int low = authz::HexValue(text[i + 2]);
    if (high < 0 || low < 0 || (high == 0 && low == 0)) return std::nullopt;
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

}  // namespace

std::optional<Target> ParseTarget(std::string_view text) {
  if (const std::size_t scheme = text.find("://");
      scheme != std::string_view::npos && !text.starts_with('/')) {
    const std::size_t slash = text.find('/', scheme + 3);
    text = slash == std::string_view::npos ? "/" : text.substr(slash);
  }
  if (!text.starts_with('/')) return std::nullopt;
  const std::size_t mark = text.find('?');
  std::optional<std::string> path = Decoded(text.substr(0, mark), false);
  if (!path) return std::nullopt;
  Target target{.path = *std::move(path), .query = {}};
  if (mark == std::string_view::npos) return target;
  std::string_view rest = text.substr(mark + 1);
  while (!rest.empty()) {
    const std::size_t end = rest.find('&');
    const std::string_view pair = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
    if (pair.empty()) continue;
    const std::size_t equals = pair.find('=');
    std::optional<std::string> name = Decoded(pair.substr(0, equals), true);
    std::optional<std::string> value =
        equals == std::string_view::npos ? std::string{} : Decoded(pair.substr(equals + 1), true);
    if (!name || !value) return std::nullopt;
    target.query.emplace(*std::move(name), *std::move(value));
  }
  return target;
}

}  // namespace mooring::http
