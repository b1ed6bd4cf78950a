#include "proxy/sidecar/listen_once.h"

#include <utility>
#include <vector>

namespace mooring::sidecar {

void ListenOnce(net::Resolver& resolver, const net::Address& address,
                std::function<void(Result<net::UniqueFd>)> done) {
  const auto listen =
      [address, done = std::move(done)](const Result<std::vector<net::SocketAddress>>& found) {
        if (found) {
          done(net::ListenAny(address, *found));
        } else {
          done(Error{found.error().code,
                     "cannot listen on " + address.Text() + ": " + found.error().message});
        }
      };
  if (const auto literal = net::SocketAddress::FromLiteral(address)) {
    listen(std::vector<net::SocketAddress>{*literal});
  } else {
    resolver.Resolve(address, listen);
  }
}

}  // namespace mooring::sidecar
