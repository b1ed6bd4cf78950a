// ListenOnce opens one listening socket, whose address may be a name, or takes the one that was
// inherited. Loop thread only.
#pragma once

#include <functional>

#include "authz/result.h"
#include "proxy/net/address.h"
#include "proxy/net/inherited.h"
#include "proxy/net/resolver.h"

namespace mooring::sidecar {

// `done` has the socket, or an error that names the address: inside the call for a literal, later
// for a name (a DNS server may be silent: neither a signal nor anybody else waits for it), never
// after the resolver's end.
void ListenOnce(net::Resolver& resolver, net::Inherited& inherited, const net::Address& address,
                std::function<void(Result<net::Inherited::Socket>)> done);

}  // namespace mooring::sidecar
