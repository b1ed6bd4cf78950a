// Resolver: host names to IP addresses without blocking the loop (getaddrinfo on libuv's thread pool).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "authz/result.h"
#include "proxy/net/loop.h"
#include "proxy/net/socket.h"

namespace mooring::net {

// ResolveNow is for the start of the process, before the loop serves anybody: it blocks.
Result<std::vector<SocketAddress>> ResolveNow(const Address& address);

// At is `wanted` with the host that it was resolved to in place of its name.
Address At(const Address& wanted, const SocketAddress& where);

// ListenNow is Listen for an address that may be a host name: at the first of its IPs that can be bound. It blocks, too.
Result<UniqueFd> ListenNow(const Address& address);

class Resolver final {
 public:
  using Callback = std::function<void(Result<std::vector<SocketAddress>>)>;

  explicit Resolver(Loop& loop);
  ~Resolver();  // answers still under way are dropped; their callbacks never run
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // Resolve calls back on the loop's thread, never from inside Resolve; IP literals and unix paths too.
  // The order is getaddrinfo's (RFC 6724). Never an empty list.
  void Resolve(const Address& address, Callback callback);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace mooring::net
