#include "proxy/admin/admin.h"

#include <utility>

#include "proxy/net/resolver.h"

namespace mooring::admin {

Result<std::unique_ptr<Admin>> Admin::Make(net::Loop& loop, const net::Address& address, Sources sources) {
  auto fd = net::ListenNow(address);
  if (!fd) return fd.error();
  std::unique_ptr<Admin> admin(new Admin(std::move(sources)));
  admin->address_ = net::SocketAddress::LocalOf(fd->get()).Text();
  admin->server_ = std::make_unique<http::Server>(
      loop, std::move(*fd), http::ServerLimits{},
      [raw = admin.get()](const http::ServerRequest& request, http::Server::Reply reply) {
        reply(raw->Answer(request));
      });
  return admin;
}

http::ServerResponse Admin::Answer(const http::ServerRequest& request) const {
  http::ServerResponse response;
  if (request.method != "GET" && request.method != "HEAD") {
    response.status = 405;
    response.headers["allow"] = "GET, HEAD";
    response.body = "only GET is served here\n";
  } else if (request.path == "/live") {
    response.body = "live\n";
  } else if (request.path == "/ready") {
    const std::vector<std::string> reasons = sources_.not_ready();
    if (reasons.empty()) {
      response.body = "ready\n";
      for (const std::string& what : sources_.degraded()) response.body += "degraded: " + what + "\n";
    } else {
      response.status = 503;
      for (const std::string& reason : reasons) response.body += reason + "\n";
    }
  } else if (request.path == "/status") {
    response.content_type = "application/json";
    response.body = sources_.status_json() + "\n";
  } else {
    response.status = 404;
    response.body = "there are /ready, /live and /status\n";
  }
  return response;
}

}  // namespace mooring::admin
