// Blocker: requests that wait for something to change (Consul's blocking queries).
//
// Loop thread only. Requests whose client has gone are forgotten at the next change or request.
#pragma once

#include <functional>
#include <list>

#include "proxy/http/server.h"
#include "proxy/net/loop.h"

namespace mooring::dev {

class Blocker final {
 public:
  explicit Blocker(net::Loop& loop) : loop_(loop) {}
  Blocker(const Blocker&) = delete;
  Blocker& operator=(const Blocker&) = delete;

  // Park answers with `document` as soon as `ready` holds at a Wake, and after `wait` in any case.
  void Park(http::Server::Reply reply, net::milliseconds wait, std::function<bool()> ready,
            std::function<http::ServerResponse()> document);
  // Wake looks through all that wait. Never from inside `ready` or `document`.
  void Wake();
  std::size_t size() const { return parked_.size(); }

 private:
  struct Parked {
    Parked(net::Loop& loop, http::Server::Reply to)
        : reply(std::move(to)), limit(loop, [this] {
            const auto act = on_limit;  // it ends this object
            act();
          }) {}
    http::Server::Reply reply;
    std::function<bool()> ready;
    std::function<http::ServerResponse()> document;
    std::function<void()> on_limit;
    net::Timer limit;
  };

  net::Loop& loop_;
  std::list<Parked> parked_;
};

}  // namespace mooring::dev
