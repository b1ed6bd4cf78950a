// Admin: /ready, /live and /status over HTTP, for operators and supervisors. Read-only; loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "authz/result.h"
#include "proxy/http/server.h"
#include "proxy/net/address.h"
#include "proxy/net/loop.h"

namespace mooring::admin {

class Admin final {
 public:
  struct Sources {
    std::function<std::vector<std::string>()> not_ready;  // reasons; empty: ready
    std::function<std::vector<std::string>()> degraded;   // what works less than it should, and is told beside "ready"
    std::function<std::string()> status_json;
  };

  // Make opens the port. The error names it.
  static Result<std::unique_ptr<Admin>> Make(net::Loop& loop, const net::Address& address, Sources sources);
  Admin(const Admin&) = delete;
  Admin& operator=(const Admin&) = delete;

  const std::string& address() const { return address_; }  // as bound

 private:
  explicit Admin(Sources sources) : sources_(std::move(sources)) {}
  http::ServerResponse Answer(const http::ServerRequest& request) const;

  const Sources sources_;
  std::string address_;
  std::unique_ptr<http::Server> server_;
};

}  // namespace mooring::admin
