#include "proxy/sidecar/listen_once.h"

#include <utility>
#include <vector>

#include "proxy/net/refusing_port.h"

namespace mooring::sidecar {

void ListenOnce(net::Resolver& resolver, net::Inherited& inherited, const net::Address& address,
                std::function<void(Result<net::Inherited::Socket>)> done) {
  const auto listen = [&inherited, address, done = std::move(done)](
                          const Result<std::vector<net::SocketAddress>>& found) {
    if (!found) {
      done(Error{found.error().code,
                 "cannot listen on " + address.Text() + ": " + found.error().message});
      return;
    }
    auto socket = inherited.Open(address, *found);
    if (socket && !net::Listens(socket->fd.get())) {
      if (const Status again = net::ListenAgain(socket->fd.get()); !again) socket = again.error();
    }
    done(std::move(socket));
  };
  if (const auto literal = net::SocketAddress::FromLiteral(address)) {
    listen(std::vector<net::SocketAddress>{*literal});
  } else {
    resolver.Resolve(address, listen);
  }
}

}  // namespace mooring::sidecar
