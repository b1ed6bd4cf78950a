// EndpointNames: a list of addresses, some of them host names, as the socket addresses that they stand for.
//
// IP literals and unix paths are there at once, host names once they are resolved, and again from time to time: names move
// without anybody telling us. Knows no agent and no upstream. Owned by who has the list; loop thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "proxy/log/log.h"
#include "proxy/net/address.h"
#include "proxy/net/loop.h"
#include "proxy/net/resolver.h"

namespace mooring::control {

class EndpointNames final {
 public:
  using OnChange = std::function<void()>;

  // `upstream` is whose list it is, for the log. `on_change` runs whenever known() or endpoints() have changed, inside Set,
  // too.
  EndpointNames(net::Loop& loop, log::Log& log, std::string upstream, OnChange on_change);
  EndpointNames(const EndpointNames&) = delete;
  EndpointNames& operator=(const EndpointNames&) = delete;

  // Set makes `addresses` the list.
  void Set(std::vector<net::Address> addresses);

  // Known: there has been a list, and an answer for it, even if it was empty.
  bool known() const { return known_; }
  const std::vector<net::SocketAddress>& endpoints() const { return endpoints_; }

 private:
  void Resolved(std::uint64_t round, std::size_t index, Result<std::vector<net::SocketAddress>> found);

  log::Log& log_;
  const std::string upstream_;
  const OnChange on_change_;
  net::Resolver resolver_;
  net::Timer again_;
  std::vector<net::Address> addresses_;
  std::uint64_t round_ = 0;  // of resolving: answers of an earlier one are dropped
  std::size_t outstanding_ = 0;
  std::vector<std::vector<net::SocketAddress>> found_;
  std::string last_error_;
  bool known_ = false;
  std::vector<net::SocketAddress> endpoints_;
};

}  // namespace mooring::control
