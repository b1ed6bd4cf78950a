#include "proxy/net/resolver.h"

#include <algorithm>
#include <utility>

#include "proxy/net/name_service.h"

namespace mooring::net {

Result<UniqueFd> ListenAny(const Address& wanted, const std::vector<SocketAddress>& found) {
  std::vector<SocketAddress> ordered = found;
  std::stable_partition(ordered.begin(), ordered.end(),
                        [](const SocketAddress& address) { return address.family() != AF_INET6; });
  Error last{ErrorCode::kInternal, "cannot listen on " + wanted.Text() + ": no address"};
  for (const SocketAddress& where : ordered) {
    // A unix path keeps its mode.
    const auto literal =
        wanted.kind == Address::Kind::kTcp ? ParseAddress(where.Text()) : Result<Address>(wanted);
    if (!literal) continue;
    auto fd = Listen(*literal);
    if (fd) return fd;
    last = fd.error();
  }
  return last;
}

Resolver::Resolver(Loop& loop) : loop_(loop) {}
Resolver::~Resolver() = default;

void Resolver::Resolve(const Address& address, Callback callback) {
  if (address.kind == Address::Kind::kUnix || address.IsIpLiteral()) {
    // Made now: an answer that there is no memory for later would never come.
    auto literal = SocketAddress::FromLiteral(address);
    auto found = literal ? Result<std::vector<SocketAddress>>(std::vector{*literal})
                         : Result<std::vector<SocketAddress>>(literal.error());
    loop_.Defer([alive = std::weak_ptr<bool>(alive_), found = std::move(found),
                 callback = std::move(callback)]() mutable {
      if (!alive.expired()) callback(std::move(found));
    });
    return;
  }
  const std::uint64_t id = ++last_id_;
  waiting_[id] = NameService::Of(loop_).names().Ask(
      address.host, NameKind::kOwn,
      [this, id, port = address.port, callback = std::move(callback)](const Names::Found& found) {
        waiting_.erase(id);
        if (!found) {
          callback(found.error());
          return;
        }
        std::vector<SocketAddress> addresses;
        for (const SocketAddress& each : *found) addresses.push_back(each.WithPort(port));
        callback(std::move(addresses));  // last: it may end this object
      });
}

}  // namespace mooring::net
