// Resolver: the addresses of one asker, host names or not, as socket addresses, without blocking
// the loop.
//
// One interface to name_service.h for who asks now and then and waits; who keeps a list of names
// resolved follows them (net/names.h). Owned by the asker; loop thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "authz/result.h"
#include "proxy/net/loop.h"
#include "proxy/net/names.h"
#include "proxy/net/socket.h"

namespace mooring::net {

// ListenAny is Listen at the first of the addresses that `wanted` stands for which can be bound,
// IPv4 before IPv6, as Go's net.Listen has it: a name of both is often dialled by the older of
// them.
Result<UniqueFd> ListenAny(const Address& wanted, const std::vector<SocketAddress>& found);

class Resolver final {
 public:
  using Callback = std::function<void(Result<std::vector<SocketAddress>>)>;

  explicit Resolver(Loop& loop);
  ~Resolver();  // the callbacks of what is under way never run
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // Resolve calls back on the loop's thread, never from inside Resolve; IP literals and unix paths
  // too. Every record of every family, in the order of RFC 6724; never an empty list. How long it
  // takes, and when an address of before is the answer: Names::Ask. The names are our own
  // (net/names.h).
  void Resolve(const Address& address, Callback callback);

 private:
  Loop& loop_;
  std::uint64_t last_id_ = 0;
  std::map<std::uint64_t, Names::Interest> waiting_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace mooring::net
