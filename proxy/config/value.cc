#include "proxy/config/value.h"

#include <charconv>
#include <optional>
#include <system_error>
#include <utility>

#include "authz/spiffe.h"
#include "authz/text.h"
#include "proxy/config/agent.h"
#include "proxy/config/checks.h"
#include "proxy/config/duration.h"
#include "proxy/config/flag_syntax.h"

namespace mooring::config {
namespace {

// Overloaded makes one visitor of several lambdas.
template <typename... Each>
struct Overloaded : Each... {
  using Each::operator()...;
};
template <typename... Each>
Overloaded(Each...) -> Overloaded<Each...>;

std::string Absolute(std::string_view path, std::string_view base_dir) {
  if (path.empty() || path.front() == '/' || base_dir.empty()) return std::string(path);
  std::string absolute(base_dir);
  if (!absolute.ends_with('/')) absolute += '/';
  return absolute += path;
}

Result<bool> ReadSwitch(std::string_view text) {
  if (const std::optional<bool> on = ParseGoBoolean(text)) return *on;
  return Invalid('"' + authz::Shortened(text) + "\" is neither true nor false");
}

Result<unsigned> ReadNumber(const kind::Number& kind, std::string_view text) {
  unsigned number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc{} || stop != end || number < kind.least || number > kind.most) {
    return Invalid("write a number from " + std::to_string(kind.least) + " to " +
                   std::to_string(kind.most));
  }
  return number;
}

Result<milliseconds> ReadDuration(const kind::Duration& kind, std::string_view text) {
  Result<milliseconds> duration = ParseDuration(text);
  if (!duration) return duration;
  if (duration->count() == 0 && kind.zero == kind::Zero::kRefused)
    return Invalid("must be longer than 0");
  if (kind.check != nullptr) {
    if (const Status status = kind.check(*duration); !status) return status.error();
  }
  return duration;
}

Result<std::string> ReadName(std::string_view text, const Reading& reading) {
  if ((text.empty() && reading.by_flag) || authz::IsPathSegment(text)) return std::string(text);
  return Invalid('"' + authz::Shortened(text) +
                 "\" holds more than letters, digits, '.', '-' and '_'");
}

Result<net::Address> ReadAddress(const kind::Address& kind, std::string_view text,
                                 const Reading& reading) {
  std::optional<std::string_view> host;
  if (reading.by_flag && !kind.flag_host.empty()) host = kind.flag_host;
  Result<net::Address> address = net::ParseAddress(text, host, reading.base_dir);
  if (!address || !kind.dialled) return address;
  if (const Status status = CheckDialled(*address); !status) return status.error();
  return address;
}

template <typename T>
Status Take(const Place<T>& place, const Target& target, Result<T> value) {
  if (!value) return value.error();
  Put<T>(place, target, *std::move(value));
  return Ok();
}

template <typename T, typename Show>
std::string Shown(const Place<T>& place, const Target& target, Show show) {
  const std::optional<T> value = Look<T>(place, target);
  return value ? show(*value) : std::string();
}

}  // namespace

Status ReadValue(const Value& value, std::string_view text, const Reading& reading,
                 const Target& target) {
  return std::visit(
      Overloaded{
          [&](const kind::Switch& kind) { return Take(kind.place, target, ReadSwitch(text)); },
          [&](const kind::Number& kind) {
            return Take(kind.place, target, ReadNumber(kind, text));
          },
          [&](const kind::Duration& kind) {
            return Take(kind.place, target, ReadDuration(kind, text));
          },
          [&](const kind::Size& kind) {
            return Take(kind.place, target, ParseSize(text, kind.range));
          },
          [&](const kind::Text& kind) {
            if (const Status status = kind.check == nullptr ? Ok() : kind.check(text); !status)
              return status;
            return Take(kind.place, target, Result<std::string>(std::string(text)));
          },
          [&](const kind::Name& kind) { return Take(kind.place, target, ReadName(text, reading)); },
          [&](const kind::File& kind) {
            return Take(kind.place, target, Result<std::string>(Absolute(text, reading.base_dir)));
          },
          [&](const kind::Address& kind) {
            return Take(kind.place, target, ReadAddress(kind, text, reading));
          },
          [&](const kind::AgentAddress&) {
            return ParseAgentAddress(std::string(text), &target.process.agent, reading.base_dir);
          },
          [&]<typename T>(const kind::Word<T>& kind) {
            return Take<T>(kind.place, target, kind.parse(text));
          },
          [&](const kind::Words& kind) { return Take(kind.place, target, kind.parse(text)); },
          [&](const auto&) -> Status {
            return Error{ErrorCode::kInternal, "this value has a reader of its own"};
          },
      },
      value);
}

std::string_view TypeOf(const Value& value) {
  return std::visit(Overloaded{
                        [](const kind::Switch&) -> std::string_view { return ""; },
                        [](const kind::Number&) -> std::string_view { return "number"; },
                        [](const kind::Duration&) -> std::string_view { return "duration"; },
                        [](const kind::Size&) -> std::string_view { return "size"; },
                        [](const kind::Text& kind) { return kind.type; },
                        [](const kind::Name&) -> std::string_view { return "name"; },
                        [](const kind::File& kind) { return kind.type; },
                        [](const kind::Address&) -> std::string_view { return "address"; },
                        [](const kind::AgentAddress&) -> std::string_view { return "address"; },
                        []<typename T>(const kind::Word<T>& kind) { return kind.type; },
                        [](const kind::Words& kind) { return kind.type; },
                        [](const kind::Special& kind) { return kind.type; },
                        [](const kind::Section&) -> std::string_view { return "mapping"; },
                        [](const kind::List& kind) { return kind.type; },
                    },
                    value);
}

std::string RangeOf(const Value& value) {
  if (const auto* number = std::get_if<kind::Number>(&value)) {
    return "From " + std::to_string(number->least) + " to " + std::to_string(number->most) + '.';
  }
  if (const auto* size = std::get_if<kind::Size>(&value)) {
    return "From " + SizeText(size->range.least) + " to " + SizeText(size->range.most) + '.';
  }
  return {};
}

std::string ShowValue(const Value& value, const Target& target) {
  const auto as_it_is = [](const std::string& text) { return text; };
  return std::visit(
      Overloaded{
          [&](const kind::Switch& kind) {
            return Shown(kind.place, target,
                         [](bool on) { return std::string(on ? "true" : "false"); });
          },
          [&](const kind::Number& kind) {
            return Shown(kind.place, target,
                         [](unsigned number) { return std::to_string(number); });
          },
          [&](const kind::Duration& kind) { return Shown(kind.place, target, DurationText); },
          [&](const kind::Size& kind) { return Shown(kind.place, target, SizeText); },
          [&](const kind::Text& kind) { return Shown(kind.place, target, as_it_is); },
          [&](const kind::Name& kind) { return Shown(kind.place, target, as_it_is); },
          [&](const kind::File& kind) { return Shown(kind.place, target, as_it_is); },
          [&](const kind::Address& kind) {
            return Shown(kind.place, target,
                         [](const net::Address& address) { return address.Text(); });
          },
          [&](const kind::AgentAddress&) {
            const AgentSettings& agent = target.process.agent;
            return (agent.https ? "https://" : "") + agent.address.Text() + agent.path_prefix;
          },
          [&]<typename T>(const kind::Word<T>& kind) {
            return Shown<T>(kind.place, target, kind.show);
          },
          [&](const kind::Words& kind) { return Shown(kind.place, target, kind.show); },
          [&](const kind::Special& kind) {
            return kind.show == nullptr ? std::string() : kind.show(target);
          },
          [](const auto&) { return std::string(); },
      },
      value);
}

void CopyValue(const Value& value, const Target& from, const Target& to) {
  std::visit(Overloaded{
                 [&](const kind::AgentAddress&) {
                   const AgentSettings& agent = from.process.agent;
                   to.process.agent.address = agent.address;
                   to.process.agent.https = agent.https;
                   to.process.agent.path_prefix = agent.path_prefix;
                 },
                 [](const kind::Special&) {},
                 [](const kind::Section&) {},
                 [](const kind::List&) {},
                 [&](const auto& kind) { Copy(kind.place, from, to); },
             },
             value);
}

}  // namespace mooring::config
