#include "proxy/admin/admin.h"

#include <utility>

#include "proxy/log/escape.h"

namespace mooring::admin {
namespace {
constexpr std::size_t kConnections = 16;  // data/limits.cc keeps descriptors for them
}

Admin::Admin(net::Loop& loop, net::UniqueFd listening, Port port, const std::string& host,
             Sources sources)
    : port_(port),
      sources_(std::move(sources)),
      address_(net::SocketAddress::LocalOf(listening.get()).Text()),
      server_(
          loop, std::move(listening),
          http::ServerLimits{.connections = kConnections,
                             .own_name = port == Port::kAdmin ? std::optional(host) : std::nullopt,
                             .body = 4096},
          [this](const http::ServerRequest& request, http::Server::Reply reply) {
            reply(Answer(request));
          }) {}

http::ServerResponse Admin::Answer(const http::ServerRequest& request) const {
  http::ServerResponse response;
  const std::string* asked = request.Query("service");
  const std::string service = asked != nullptr ? *asked : std::string();
  if (request.method != "GET" && request.method != "HEAD") {
    response.status = 405;
    response.headers["allow"] = "GET, HEAD";
    response.body = "only GET is served here\n";
  } else if (request.path == "/live") {
    response.body = "live\n";
  } else if (asked != nullptr && !sources_.knows(service)) {
    response.status = 404;
    response.body = "no such service here; there are:\n";
    for (const std::string& name : sources_.names()) response.body += log::Plain(name) + "\n";
  } else if (request.path == "/ready") {
    AnswerReady(service, &response);
  } else if (request.path == "/status" && port_ == Port::kAdmin) {
    response.content_type = "application/json";
    response.body = sources_.status_json(service) + "\n";
  } else if (request.path == "/metrics") {
    const auto accept = request.headers.find("accept");
    Document document =
        sources_.metrics(service, accept == request.headers.end() ? "" : accept->second);
    response.content_type = std::move(document.content_type);
    response.body = std::move(document.body);
  } else {
    response.status = 404;
    response.body = port_ == Port::kAdmin ? "there are /ready, /live, /status and /metrics\n"
                                          : "there are /ready, /live and /metrics\n";
  }
  return response;
}

void Admin::AnswerReady(const std::string& service, http::ServerResponse* response) const {
  const std::vector<std::string> reasons = sources_.not_ready(service);
  if (!reasons.empty()) response->status = 503;
  if (port_ == Port::kMetrics) {
    response->body = reasons.empty() ? "ready\n" : "unready\n";
  } else if (reasons.empty()) {
    response->body = "ready\n";
    for (const std::string& what : sources_.degraded(service))
      response->body += "degraded: " + log::Plain(what) + "\n";
  } else {
    for (const std::string& reason : reasons) response->body += log::Plain(reason) + "\n";
  }
}

}  // namespace mooring::admin
