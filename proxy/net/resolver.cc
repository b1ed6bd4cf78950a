#include "proxy/net/resolver.h"

#include <netdb.h>
#include <uv.h>

namespace mooring::net {

// State outlives the Resolver while libuv holds a request: then `alive` is false and nobody is called.
struct Resolver::State {
  Loop& loop;
  bool alive = true;
};

namespace {
// Collect makes a getaddrinfo answer ours.
Result<std::vector<SocketAddress>> Collect(const Address& address, const char* error,
                                           const addrinfo* list) {
  std::vector<SocketAddress> found;
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    found.push_back(SocketAddress::FromRaw(entry->ai_addr, entry->ai_addrlen));
  }
  if (error == nullptr && found.empty()) error = "no address";
  if (error != nullptr) {
    return Error{ErrorCode::kUnavailable, "cannot resolve " + address.host + ": " + error};
  }
  return found;
}

addrinfo Hints() {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  return hints;
}

struct Request {
  uv_getaddrinfo_t uv{};
  std::function<void(int, addrinfo*)> done;
};
}  // namespace

Resolver::Resolver(Loop& loop) : state_(std::make_shared<State>(State{loop})) {}

Resolver::~Resolver() { state_->alive = false; }

void Resolver::Resolve(const Address& address, Callback callback) {
  if (address.kind == Address::Kind::kUnix || address.IsIpLiteral()) {
    state_->loop.Post([state = state_, address, callback = std::move(callback)] {
      if (!state->alive) return;
      auto literal = SocketAddress::FromLiteral(address);
      if (!literal) {
        callback(literal.error());
      } else {
        callback(std::vector<SocketAddress>{*literal});
      }
    });
    return;
  }
  auto* request = new Request;
  request->uv.data = request;
  request->done = [state = state_, address, callback = std::move(callback)](int status, addrinfo* list) {
    if (!state->alive) return;
    callback(Collect(address, status != 0 ? uv_strerror(status) : nullptr, list));
  };
  const addrinfo hints = Hints();
  const int rc = uv_getaddrinfo(
      state_->loop.raw(), &request->uv,
      [](uv_getaddrinfo_t* raw, int status, addrinfo* list) {
        const std::unique_ptr<Request> owned(static_cast<Request*>(raw->data));
        owned->done(status, list);
        uv_freeaddrinfo(list);
      },
      address.host.c_str(), std::to_string(address.port).c_str(), &hints);
  if (rc != 0) {
    state_->loop.Post([request, rc] {
      const std::unique_ptr<Request> owned(request);
      owned->done(rc, nullptr);
    });
  }
}

Result<std::vector<SocketAddress>> ResolveNow(const Address& address) {
  if (address.kind == Address::Kind::kUnix || address.IsIpLiteral()) {
    auto literal = SocketAddress::FromLiteral(address);
    if (!literal) return literal.error();
    return std::vector<SocketAddress>{*literal};
  }
  const addrinfo hints = Hints();
  addrinfo* list = nullptr;
  const int rc = getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &list);
  auto found = Collect(address, rc != 0 ? gai_strerror(rc) : nullptr, list);
  if (list != nullptr) freeaddrinfo(list);
  return found;
}

Address At(const Address& wanted, const SocketAddress& where) {
  if (wanted.kind != Address::Kind::kTcp) return wanted;
  const auto literal = ParseAddress(where.Text());
  return literal ? *literal : wanted;
}

Result<UniqueFd> ListenNow(const Address& address) {
  auto found = ResolveNow(address);
  if (!found) {
    return Error{found.error().code, "cannot listen on " + address.Text() + ": " + found.error().message};
  }
  Error last;
  for (const SocketAddress& where : *found) {
    auto fd = Listen(At(address, where));
    if (fd) return fd;
    last = fd.error();
  }
  return last;
}

}  // namespace mooring::net
