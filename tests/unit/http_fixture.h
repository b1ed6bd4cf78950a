// A loop driven until something holds, and HTTP requests on it: for tests over real sockets on
// loopback.
#pragma once

#include <doctest/doctest.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "proxy/http/client.h"
#include "proxy/net/address.h"
#include "proxy/net/loop.h"

namespace mooring::test {

inline constexpr net::milliseconds kGiveUp{20'000};

inline net::Address Loopback(std::uint16_t port = 0) {
  net::Address address;
  address.host = "127.0.0.1";
  address.port = port;
  return address;
}

// RunUntil serves the loop until `done` holds; a test that hangs fails instead.
inline void RunUntil(net::Loop& loop, const std::function<bool()>& done) {
  bool late = false;
  net::Timer limit(loop, [&] {
    late = true;
    loop.Stop();
  });
  limit.Start(kGiveUp);
  net::Timer poll(loop, [&] { done() ? loop.Stop() : poll.Start(net::milliseconds{1}); });
  poll.Start(net::milliseconds{0});
  if (!done()) loop.Run();
  REQUIRE_FALSE(late);
}

inline http::Request Get(const std::string& target = "/",
                         net::milliseconds deadline = net::milliseconds{5'000}) {
  http::Request request;
  request.target = target;
  request.deadline = deadline;
  return request;
}

// Fetch sends one request and waits for what comes of it.
inline Result<http::Response> Fetch(net::Loop& loop, http::Client& client, http::Request request) {
  std::optional<Result<http::Response>> got;
  client.Send(std::move(request), [&](Result<http::Response> answer) { got = std::move(answer); });
  REQUIRE_FALSE(got);  // never from inside Send
  RunUntil(loop, [&] { return got.has_value(); });
  return *got;
}

}  // namespace mooring::test
