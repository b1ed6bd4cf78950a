// Address: where to listen or to dial, as text from flags, YAML or the agent. No sockets here.
//
// Forms: `host:port`, `[v6]:port`, `:port` (every interface, where the caller allows it), port 0
// (the kernel chooses), `unix:/path`. A host that is not an IP literal stays a name; net/resolver.h
// turns it into IPs off the loop.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "authz/result.h"

namespace mooring::net {

struct Address {
  enum class Kind { kTcp, kUnix };
  Kind kind = Kind::kTcp;
  std::string host{};      // kTcp: IPv4 or IPv6 literal without brackets, or a host name
  std::uint16_t port = 0;  // kTcp
  std::string path{};      // kUnix: absolute after parsing against a base folder
  unsigned mode = 0600;    // kUnix, when listening: permission bits of the socket file

  bool operator==(const Address&) const = default;

  static Address Tcp(std::string host, std::uint16_t port) {
    Address address;
    address.host = std::move(host);
    address.port = port;
    return address;
  }

  // Text is the form that ParseAddress reads: "127.0.0.1:8002", "[::1]:80", "unix:/run/x.sock".
  std::string Text() const;
  bool IsIpLiteral() const;
  bool IsLoopback() const;  // 127.0.0.0/8 or ::1 or unix; host names are not
  bool IsWildcard() const;  // 0.0.0.0 or ::
};

// ParseAddress reads one address. An empty host stands for `default_host`; with no default_host it
// is an error. A relative unix path counts from `base_dir` (empty: the working directory). Errors
// quote the text and say what is wrong and what a good one looks like. Unix paths longer than
// sun_path (107 bytes) are errors.
Result<Address> ParseAddress(std::string_view text,
                             std::optional<std::string_view> default_host = std::nullopt,
                             std::string_view base_dir = {});

// ParseHost reads a host alone: an IPv4 or IPv6 literal without brackets, or a host name. Literals
// come back in canonical spelling, so that equal hosts compare equal. What some resolvers would
// take for an IPv4 address and others for a name (`127.1`, `0x7f.1`, `010.0.0.1`) is an error.
Result<std::string> ParseHost(std::string_view text);

}  // namespace mooring::net
