#include "proxy/admin/admin.h"

#include <charconv>
#include <utility>

#include "proxy/admin/page_data.h"
#include "proxy/log/escape.h"

namespace mooring::admin {
namespace {

constexpr std::size_t kConnections = 16;  // data/limits.cc keeps descriptors for them

// A file of settings that is compared; nothing else comes with a body. As many of them are held as
// there are connections.
constexpr std::size_t kBody = std::size_t{256} << 10U;
constexpr std::size_t kNoBody = 4096;

// What stands in an answer is of this moment, and is what its type says.
void Harden(http::ServerResponse* response) {
  response->headers["cache-control"] = "no-store";
  response->headers["x-content-type-options"] = "nosniff";
}

bool IsRead(const http::ServerRequest& request) {
  return request.method == "GET" || request.method == "HEAD";
}

}  // namespace

Admin::Admin(net::Loop& loop, net::UniqueFd listening, Port port, const std::string& host,
             Sources sources)
    : port_(port),
      sources_(std::move(sources)),
      address_(net::SocketAddress::LocalOf(listening.get()).Text()),
      server_(
          loop, std::move(listening),
          http::ServerLimits{.connections = kConnections,
                             .own_name = port == Port::kAdmin ? std::optional(host) : std::nullopt,
                             .body = port == Port::kAdmin ? kBody : kNoBody},
          [this](const http::ServerRequest& request, http::Server::Reply reply) {
            Serve(request, reply);
          }) {}

void Admin::Serve(const http::ServerRequest& request, const http::Server::Reply& reply) const {
  const auto& list = request.path == "/connections" ? sources_.connections
                     : request.path == "/traffic"   ? sources_.traffic
                     : request.path == "/recent"    ? sources_.recent
                                                    : nullptr;
  const std::string* service = request.Query("service");
  const bool why = request.path == "/why";
  if (port_ == Port::kAdmin && request.method == "POST" && request.path == "/diff") {
    ServeDiff(request, reply);
    return;
  }
  if (port_ == Port::kAdmin && request.method == "GET" && request.path == "/tap") {
    ServeTap(request, reply);
    return;
  }
  if (port_ == Port::kAdmin && request.path == "/drain") {
    reply(Drain(request));
    return;
  }
  if (port_ != Port::kAdmin || !IsRead(request) || !(list || why) ||
      (service != nullptr && !sources_.knows(*service))) {
    reply(Answer(request));
    return;
  }
  const auto answer = [reply](Result<std::string> json) {
    http::ServerResponse response;
    Harden(&response);
    if (json) {
      response.content_type = "application/json";
      response.body = std::move(*json) + "\n";
    } else {
      response.status = json.error().code == ErrorCode::kInvalid ? 400 : 503;
      response.body = json.error().message + "\n";
    }
    reply(std::move(response));
  };
  if (why) {
    const std::string* source = request.Query("source");
    const std::string* destination = request.Query("destination");
    if (source == nullptr || destination == nullptr || source->empty() || destination->empty()) {
      answer(Invalid("it takes the names of two services: /why?source=NAME&destination=NAME"));
    } else {
      sources_.why(*source, *destination, answer);
    }
    return;
  }
  const auto slice = ReadSlice(request);
  if (!slice) {
    answer(slice.error());
    return;
  }
  list(service != nullptr ? *service : "", *slice, answer);
}

void Admin::ServeDiff(const http::ServerRequest& request, const http::Server::Reply& reply) const {
  http::ServerResponse response;
  Harden(&response);
  const auto type = request.headers.find("content-type");
  const std::string* file = request.Query("file");
  if (type == request.headers.end() || type->second != "application/yaml" || file == nullptr ||
      !file->starts_with('/')) {
    response.status = 400;
    response.body =
        "a file of settings is expected, as application/yaml: POST /diff?file=/its/path\n";
  } else if (auto json = sources_.diff(*file, request.body)) {
    response.content_type = "application/json";
    response.body = std::move(*json) + "\n";
  } else {
    response.status = 400;
    response.body = json.error().message + "\n";
  }
  reply(std::move(response));
}

void Admin::ServeTap(const http::ServerRequest& request, const http::Server::Reply& reply) const {
  TapRequest asked;
  asked.user = request.user;
  asked.gone = [reply] { return reply.gone(); };
  std::optional<std::string> wrong;
  const auto read = [&](const char* name, auto* into) {
    const std::string* text = request.Query(name);
    if (text == nullptr) return;
    const char* const end = text->data() + text->size();
    const auto parsed = std::from_chars(text->data(), end, *into);
    if (parsed.ec != std::errc() || parsed.ptr != end)
      wrong = std::string(name) + ": a number is expected";
  };
  std::int64_t ms = asked.time.count();
  read("id", &asked.id);
  read("ms", &ms);
  read("bytes", &asked.bytes);
  asked.time = net::milliseconds(ms);
  if (asked.id == 0 && !wrong) wrong = "id: which connection? `mooring connections` lists them";
  const auto answer = [reply](Result<Document> document) {
    http::ServerResponse response;
    Harden(&response);
    if (document) {
      response.content_type = std::move(document->content_type);
      response.body = std::move(document->body);
    } else {
      const ErrorCode code = document.error().code;
      response.status = code == ErrorCode::kInvalid ? 400 : code == ErrorCode::kDenied ? 403 : 503;
      response.body = document.error().message + "\n";
    }
    reply(std::move(response));
  };
  if (wrong) {
    answer(Invalid(*wrong));
  } else {
    sources_.tap(std::move(asked), answer);
  }
}

http::ServerResponse Admin::Drain(const http::ServerRequest& request) const {
  http::ServerResponse response;
  Harden(&response);
  const auto refuse = [&response](int status, std::string why) {
    response.status = status;
    response.body = std::move(why) + "\n";
    return response;
  };
  if (request.method != "POST") {
    response.headers["allow"] = "POST";
    return refuse(405, "it takes POST, with the header `X-Mooring: drain`");
  }
  // A page in a browser on this machine can send a POST here, with its cookies and its Origin. It
  // cannot set a header of its own without asking first, which nothing here answers.
  if (request.headers.contains("origin"))
    return refuse(403, "not for web pages: the request has an Origin");
  const auto marked = request.headers.find("x-mooring");
  if (marked == request.headers.end() || marked->second != "drain")
    return refuse(403, "the header `X-Mooring: drain` is missing");
  if (const Status begun = sources_.drain(address_.starts_with("unix:")); !begun)
    return refuse(403, begun.error().message);
  response.status = 202;
  response.body = "draining\n";
  return response;
}

http::ServerResponse Admin::Answer(const http::ServerRequest& request) const {
  http::ServerResponse response;
  const std::string* asked = request.Query("service");
  const std::string service = asked != nullptr ? *asked : std::string();
  if (!IsRead(request)) {
    response.status = 405;
    response.headers["allow"] = "GET, HEAD";
    response.body = "only GET is served here\n";
  } else if (request.path == "/" && port_ == Port::kAdmin) {
    response.content_type = "text/html; charset=utf-8";
    response.headers["content-security-policy"] = kPagePolicy;
    response.headers["referrer-policy"] = "no-referrer";
    response.body = kPage;
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
    const std::string* brief = request.Query("brief");
    if (brief == nullptr || *brief == "0") {
      response.body = sources_.status_json(service) + "\n";
    } else if (const auto slice = ReadSlice(request)) {
      response.body = sources_.brief_json(service, *slice) + "\n";
    } else {
      response.status = 400;
      response.content_type = "text/plain; charset=utf-8";
      response.body = slice.error().message + "\n";
    }
  } else if (request.path == "/metrics") {
    const auto accept = request.headers.find("accept");
    Document document =
        sources_.metrics(service, accept == request.headers.end() ? "" : accept->second);
    response.content_type = std::move(document.content_type);
    response.body = std::move(document.body);
  } else {
    response.status = 404;
    response.body = port_ == Port::kAdmin
                        ? "there are / (a page for people), /ready, /live, /status, /connections, "
                          "/traffic, /recent, /why and /metrics\n"
                        : "there are /ready, /live and /metrics\n";
  }
  Harden(&response);
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
