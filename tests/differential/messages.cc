// messages: how our HTTP parser reads a message, as a filter, for comparing it with other parsers.
//
// A line of standard input is an object {"kind", "head", "octets", "split"}: "request" or
// "response", whether the latter answers a HEAD, all octets of the connection as hex digits, and
// how many of them are fed at a time (0: all at once). A line of standard output answers each, as
// JSON: {"refused"} with the fault and its text, or {"first", "headers", "body", "keep_alive",
// "rest"}: the status, or method and target; the body as hex digits; the octets left over. Exits
// with 0 at the end of its input.
#include <algorithm>
#include <cstdint>
#include <iostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "authz/hex.h"
#include "proxy/http/parser.h"

namespace {

using mooring::http::Parser;

std::string Hex(std::string_view octets) {
  std::string text;
  for (const char octet : octets)
    mooring::authz::AppendHex(&text, static_cast<std::uint8_t>(octet));
  return text;
}

std::vector<std::uint8_t> Octets(std::string_view hex) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::vector<std::uint8_t> octets;
  octets.reserve(hex.size() / 2);
  for (std::size_t at = 0; at + 1 < hex.size(); at += 2)
    octets.push_back(
        static_cast<std::uint8_t>(kDigits.find(hex[at]) << 4U | kDigits.find(hex[at + 1])));
  return octets;
}

nlohmann::json Read(const nlohmann::json& question) {
  const bool request = question.at("kind").get<std::string>() == "request";
  const std::vector<std::uint8_t> octets =
      Octets(question.at("octets").get_ref<const std::string&>());
  const auto split = question.at("split").get<std::size_t>();
  Parser parser(request ? Parser::Kind::kRequest : Parser::Kind::kResponse, {});
  parser.Reset(question.at("head").get<bool>());

  std::span<const std::uint8_t> in(octets);
  std::size_t rest = in.size();
  auto progress = Parser::Progress::kMore;
  while (progress == Parser::Progress::kMore && rest > 0) {
    auto part = in.last(rest).first(split == 0 ? rest : std::min(split, rest));
    rest -= part.size();
    progress = parser.Feed(part);
    rest += part.size();
  }
  if (progress == Parser::Progress::kMore) progress = parser.End();
  if (progress != Parser::Progress::kDone) return {{"refused", parser.fault_text()}};
  const mooring::http::Message& message = parser.message();
  const std::string first =
      request ? message.method + ' ' + message.target : std::to_string(message.status);
  nlohmann::json headers = nlohmann::json::object();
  for (const auto& [name, value] : message.headers) headers[Hex(name)] = Hex(value);
  return {{"first", Hex(first)},
          {"headers", headers},
          {"body", Hex(message.body)},
          {"keep_alive", message.keep_alive},
          {"rest", rest}};
}

}  // namespace

int main() {
  std::ios::sync_with_stdio(false);
  std::string line;
  while (std::getline(std::cin, line)) std::cout << Read(nlohmann::json::parse(line)) << '\n';
  return 0;
}
