// Admin: /ready, /live and /status over HTTP, for operators and supervisors. Read-only; loop thread only.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "proxy/http/server.h"
#include "proxy/net/loop.h"
#include "proxy/net/socket.h"

namespace mooring::admin {

class Admin final {
 public:
  struct Sources {
    std::function<std::vector<std::string>()> not_ready;  // reasons; empty: ready
    std::function<std::vector<std::string>()> degraded;   // what works less than it should, and is told beside "ready"
    std::function<std::string()> status_json;
  };

  Admin(net::Loop& loop, net::UniqueFd listening, Sources sources);
  Admin(const Admin&) = delete;
  Admin& operator=(const Admin&) = delete;

  const std::string& address() const { return address_; }  // as bound

 private:
  http::ServerResponse Answer(const http::ServerRequest& request) const;

  const Sources sources_;
  const std::string address_;
  http::Server server_;
};

}  // namespace mooring::admin
