#include "proxy/control/answer_headers.h"

#include <charconv>

#include "tls/digest.h"

namespace mooring::control {
namespace {
constexpr std::size_t kVersionDigits = 12;
}  // namespace

std::optional<std::uint64_t> HeaderNumber(const http::Response& response,
                                          const std::string& header) {
  const std::string* text = response.Header(header);
  if (text == nullptr) return std::nullopt;
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc{} || end != text->data() + text->size()) return std::nullopt;
  return value;
}

bool HeaderSays(const http::Response& response, const std::string& header, std::string_view value) {
  const std::string* text = response.Header(header);
  return text != nullptr && *text == value;
}

bool HasIndex(const http::Response& response) {
  return HeaderNumber(response, kIndexHeader).value_or(0) != 0;
}

std::map<std::string, std::string> KeptHeaders(const http::Response& response) {
  std::map<std::string, std::string> kept;
  for (const char* name : {"x-consul-translate-addresses", "x-consul-default-acl-policy",
                           kFilteredHeader, kIndexHeader}) {
    if (const std::string* value = response.Header(name)) kept[name] = *value;
  }
  return kept;
}

std::string ContentVersion(const http::Response& response) {
  return tls::Sha256Hex(response.body).substr(0, kVersionDigits);
}

}  // namespace mooring::control
