#include "proxy/net/address.h"

#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <utility>

#include "authz/ip_literal.h"
#include "authz/text.h"

namespace mooring::net {
namespace {

constexpr std::string_view kUnixPrefix = "unix:";
constexpr std::string_view kForms = "write host:port, [v6]:port or unix:/path";
constexpr std::size_t kMaxUnixPath = sizeof(sockaddr_un::sun_path) - 1;  // the final NUL takes one
constexpr std::size_t kMaxHostBytes = 253;                               // RFC 1035 2.3.4, as text
constexpr std::size_t kMaxLabelBytes = 63;

std::string Quoted(std::string_view text) { return '"' + authz::Shortened(text) + '"'; }

Error NotAnAddress(std::string_view text, const std::string& why) {
  return Invalid(Quoted(text) + " is not an address: " + why);
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool IsNameByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || IsDigit(c) || c == '-' || c == '_';
}

// LooksNumeric: the last label is a number, decimal or 0x. Resolvers built on inet_aton read such a
// host as an IPv4 address in a spelling of their own.
bool LooksNumeric(std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);
  const std::size_t dot = host.rfind('.');
  const std::string_view last = dot == std::string_view::npos ? host : host.substr(dot + 1);
  if (last.starts_with("0x") || last.starts_with("0X")) return true;
  return !last.empty() && std::all_of(last.begin(), last.end(), IsDigit);
}

// HostFault is what is wrong with a host name; empty if nothing is.
std::string HostFault(std::string_view host) {
  if (host.empty()) return "the host is empty";
  if (host.size() > kMaxHostBytes) return "the host is longer than 253 bytes";
  if (LooksNumeric(host)) return Quoted(host) + " is not an IPv4 address of four decimal numbers";
  std::string_view rest = host.ends_with('.') ? host.substr(0, host.size() - 1) : host;
  while (true) {
    const std::size_t dot = rest.find('.');
    const std::string_view label = rest.substr(0, dot);
    if (label.empty()) return "the host " + Quoted(host) + " has an empty part between dots";
    if (label.size() > kMaxLabelBytes) return "a part of the host is longer than 63 bytes";
    if (!std::all_of(label.begin(), label.end(), IsNameByte)) {
      return "the host " + Quoted(host) + " holds a character that no host name has";
    }
    if (dot == std::string_view::npos) return {};
    rest.remove_prefix(dot + 1);
  }
}

Result<Address> ParseUnix(std::string_view text, std::string_view base_dir) {
  std::string_view path = text.substr(kUnixPrefix.size());
  if (path.empty()) return NotAnAddress(text, "the path is empty; write unix:/path");
  if (path.find('\0') != std::string_view::npos) return NotAnAddress(text, "the path holds a NUL");
  // An abstract socket has no permission bits, so its mode could not be kept.
  if (path.front() == '@') {
    return NotAnAddress(text, "abstract sockets are not supported; write unix:/path");
  }
  if (path.starts_with("//")) {
    // unix:///path is the URL form of unix:/path; in unix://path the first part would be a host.
    if (!path.starts_with("///")) {
      return NotAnAddress(text, "a path after unix:// begins with a third slash; write unix:/path");
    }
    path.remove_prefix(2);
  }
  if (path.ends_with('/')) return NotAnAddress(text, "the path names a folder, not a socket");

  Address address;
  address.kind = Address::Kind::kUnix;
  if (path.front() != '/' && !base_dir.empty()) {
    address.path = std::string(base_dir);
    if (!base_dir.ends_with('/')) address.path += '/';
  }
  address.path += path;
  if (address.path.size() > kMaxUnixPath) {
    return NotAnAddress(text, "the path is " + std::to_string(address.path.size()) +
                                  " bytes long and the kernel takes " +
                                  std::to_string(kMaxUnixPath) + "; use a shorter one");
  }
  return address;
}

}  // namespace

Result<std::string> ParseHost(std::string_view text) {
  std::string host(text);
  if (std::optional<std::string> literal = authz::CanonicalIp(host)) return std::move(*literal);
  if (host.find('%') != std::string::npos && host.find(':') != std::string::npos) {
    return Invalid(Quoted(text) + " is not a host: IPv6 zones are not supported");
  }
  std::string fault = HostFault(host);
  if (!fault.empty()) return Invalid(Quoted(text) + " is not a host: " + fault);
  return host;
}

Result<Address> ParseAddress(std::string_view text, std::optional<std::string_view> default_host,
                             std::string_view base_dir) {
  if (text.empty()) return Invalid("the address is empty; " + std::string(kForms));
  if (text.starts_with(kUnixPrefix)) return ParseUnix(text, base_dir);

  std::string_view host;
  std::string_view port;
  const bool bracketed = text.front() == '[';
  if (bracketed) {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) return NotAnAddress(text, "the bracket is not closed");
    host = text.substr(1, close - 1);
    port = text.substr(close + 1);
    if (!port.starts_with(':')) {
      return NotAnAddress(text, "it has no port; " + std::string(kForms));
    }
    port.remove_prefix(1);
  } else {
    const std::size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) {
      return NotAnAddress(text, "it has no port; " + std::string(kForms));
    }
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
    if (host.find("//") != std::string_view::npos) {
      return NotAnAddress(text, "it takes no scheme; " + std::string(kForms));
    }
    if (host.find(':') != std::string_view::npos) {
      return NotAnAddress(text, "an IPv6 host goes into brackets; write [v6]:port");
    }
  }

  Address address;
  if (host.empty() && !bracketed) {
    if (!default_host) {
      return NotAnAddress(text, "the host is missing; write 127.0.0.1:" + authz::Shortened(port) +
                                    " for this machine alone, or 0.0.0.0:" +
                                    authz::Shortened(port) + " for every interface");
    }
    host = *default_host;
  }
  Result<std::string> parsed_host = ParseHost(host);
  if (!parsed_host) return NotAnAddress(text, parsed_host.error().message);
  if (bracketed && parsed_host->find(':') == std::string::npos) {
    return NotAnAddress(text, "brackets hold an IPv6 address only; write host:port");
  }
  address.host = *std::move(parsed_host);

  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  const bool leading_zero = port.size() > 1 && port.front() == '0';
  if (error != std::errc{} || end != port.data() + port.size() || leading_zero) {
    return NotAnAddress(text, "port " + Quoted(port) + " is not a number from 0 to 65535");
  }
  return address;
}

std::string Address::Text() const {
  if (kind == Kind::kUnix) return std::string(kUnixPrefix) + path;
  const std::string shown = host.find(':') == std::string::npos ? host : '[' + host + ']';
  return shown + ':' + std::to_string(port);
}

bool Address::IsIpLiteral() const { return kind == Kind::kTcp && authz::IsIpLiteral(host); }

bool Address::IsLoopback() const {
  if (kind == Kind::kUnix) return true;
  const std::optional<std::string> literal = authz::CanonicalIp(host);
  return literal && (*literal == "::1" || literal->starts_with("127."));
}

bool Address::IsWildcard() const {
  if (kind == Kind::kUnix) return false;
  const std::optional<std::string> literal = authz::CanonicalIp(host);
  return literal && (*literal == "::" || *literal == "0.0.0.0");
}

}  // namespace mooring::net
