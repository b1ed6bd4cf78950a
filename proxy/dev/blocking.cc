#include "proxy/dev/blocking.h"

#include <iterator>
#include <utility>

namespace mooring::dev {

void Blocker::Park(http::Server::Reply reply, net::milliseconds wait, std::function<bool()> ready,
                   std::function<http::ServerResponse()> document) {
  parked_.remove_if([](const Parked& parked) { return parked.reply.gone(); });
  Parked& parked = parked_.emplace_back(loop_, std::move(reply));
  parked.ready = std::move(ready);
  parked.document = std::move(document);
  parked.on_limit = [this, place = std::prev(parked_.end())] {
    const http::Server::Reply to = place->reply;
    http::ServerResponse response = place->document();
    parked_.erase(place);
    to(std::move(response));
  };
  parked.limit.Start(wait);
}

void Blocker::Wake() {
  for (auto place = parked_.begin(); place != parked_.end();) {
    if (place->reply.gone()) {
      place = parked_.erase(place);
    } else if (place->ready()) {
      const http::Server::Reply to = place->reply;
      http::ServerResponse response = place->document();
      place = parked_.erase(place);
      to(std::move(response));  // runs no handler: the next request comes from the loop
    } else {
      ++place;
    }
  }
}

}  // namespace mooring::dev
