// EndpointNames: a list of places, some of them host names, as the endpoints that they stand for.
//
// IP literals and unix paths are there at once, host names as they are resolved, and again from
// time to time: names move without anybody telling us. What else is known of a place goes to each
// of its endpoints. The list is used as far as it is resolved; a name that fails keeps what it had;
// a name that leaves the list is forgotten. Knows no agent and no upstream. Owned by who has the
// list; loop thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "proxy/data/endpoint.h"
#include "proxy/net/address.h"
#include "proxy/net/names.h"
#include "proxy/net/socket.h"

namespace mooring::control {

class EndpointNames final {
 public:
  using OnChange = std::function<void()>;
  using OnFailed = std::function<void(const std::string& error)>;
  using Defer = std::function<void(std::function<void()>)>;
  // Wanted is one place of the list: where it is, and the rest of its endpoints.
  struct Wanted {
    net::Address address;
    data::Endpoint endpoint;  // whose own address is not read
  };

  // `on_change` runs whenever known() or endpoints() have changed, inside Set, too. `on_failed` is
  // for the log: it hears when a name begins to fail, or fails for another reason; of many names in
  // turn, the first few. `defer` runs a task after the event under way: thousands of names may be
  // answered in one.
  EndpointNames(net::Names& names, net::NameKind kind, Defer defer, OnChange on_change,
                OnFailed on_failed);
  EndpointNames(const EndpointNames&) = delete;
  EndpointNames& operator=(const EndpointNames&) = delete;

  // Set makes `wanted` the list. While nothing of a new list is resolved yet, endpoints() are those
  // of the list before.
  void Set(std::vector<Wanted> wanted);
  void Set(const std::vector<net::Address>& addresses);  // of which nothing else is known

  // Known: there has been a list, and an answer for it, even if it was empty.
  bool known() const { return known_; }
  const std::vector<data::Endpoint>& endpoints() const { return endpoints_; }
  // Errors says of each name that fails why, whether it has an address of before or not.
  std::vector<std::string> Errors() const;

 private:
  struct Name {
    net::Names::Interest interest;
    bool answered = false;
    std::vector<net::SocketAddress> found;  // by the last good look-up that was heard of
    std::string error;                      // of the last look-up; empty after a good one
  };
  struct Place {
    data::Endpoint endpoint;     // with its address, where that is no name
    const Name* name = nullptr;  // else
    std::uint16_t port = 0;      // of a name
  };

  void Answered(const std::string& host, const net::Names::Found& found);
  void Update();

  net::Names& all_;
  const net::NameKind kind_;
  const Defer defer_;
  const OnChange on_change_;
  const OnFailed on_failed_;
  std::vector<Place> places_;
  std::map<std::string, Name> names_;  // of the places, by host
  std::size_t unanswered_ = 0;         // names that have not had an answer yet
  std::size_t failing_ = 0;            // names whose last look-up failed
  std::size_t said_ = 0;               // failures that on_failed_ has heard of since all was well
  bool update_due_ = false;
  bool known_ = false;
  std::vector<data::Endpoint> endpoints_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace mooring::control
