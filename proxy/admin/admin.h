// Admin: the admin port, over HTTP, for operators and supervisors. Read-only, but for /drain; loop
// thread only.
//
//   /                        the status page, which asks for what it shows (page/)
//   /live, /ready            for supervisors
//   /status                  what is known, and how old it is; ?brief=1: in short
//   /connections, /traffic   who talks to whom, now and since the start
//   /recent                  the last connections that have ended, refusals by themselves
//   /why                     what would become of a call, ?source=NAME&destination=NAME
//   /diff                    what a reload by the file in the request's body would change; a POST
//   of
//                            application/yaml, which no page of another site can send
//   /tap                     the plaintext of one connection, where the file allows it
//   /metrics                 for Prometheus
//   /drain                   POST, with `X-Mooring: drain`: the process ends as after SIGTERM
//
// The metrics port is one that strangers may reach: it has /live, /ready without reasons, and
// /metrics, and whatever name it is asked by will do.
//
// All but /live are about all services of the process, with `?service=NAME` about one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "proxy/admin/slice.h"
#include "proxy/http/server.h"
#include "proxy/net/loop.h"
#include "proxy/net/socket.h"

namespace mooring::admin {

class Admin final {
 public:
  struct Document {
    std::string content_type;
    std::string body;
  };
  using DocumentDone = std::function<void(Result<Document>)>;
  // TapRequest asks for a copy of what passes through one connection.
  struct TapRequest {
    std::uint64_t id = 0;
    net::milliseconds time{60'000};
    std::size_t bytes = std::size_t{16} << 20U;
    std::optional<unsigned> user;  // who asks, where the port is a unix socket
    std::function<bool()> gone;    // nobody waits for it any more
  };
  struct Sources {
    // An empty name stands for the whole process; any other is one that `knows`.
    std::function<bool(const std::string& service)> knows;
    std::function<std::vector<std::string>()> names;  // of the services
    // reasons; empty: ready
    std::function<std::vector<std::string>(const std::string& service)> not_ready;
    // What works less than it should, and is told beside "ready".
    std::function<std::vector<std::string>(const std::string& service)> degraded;
    std::function<std::string(const std::string& service)> status_json;
    // What a page can show and ask for every two seconds: bounded, whatever there is.
    std::function<std::string(const std::string& service, const Slice& upstreams)> brief_json;
    // The lists answer by `done`, at once or later, each once; an error is the client's or a lack
    // of ours.
    using Done = std::function<void(Result<std::string> json)>;
    std::function<void(const std::string& service, const Slice& slice, Done done)> connections;
    std::function<void(const std::string& service, const Slice& slice, Done done)> traffic;
    std::function<void(const std::string& service, const Slice& slice, Done done)> recent;
    std::function<void(const std::string& source, const std::string& destination, Done done)> why;
    std::function<void(TapRequest request, DocumentDone done)> tap;
    // `file` is what the text's file is called, and where its relative paths count from.
    std::function<Result<std::string>(const std::string& file, const std::string& text)> diff;
    // kDenied: not at this port; it is called for one that is a unix socket, too.
    std::function<Status(bool unix_socket)> drain;
    // `accept` is what the client has said of formats; empty: nothing
    std::function<Document(const std::string& service, const std::string& accept)> metrics;
  };

  enum class Port { kAdmin, kMetrics };

  // `host` is a name that a Host header may have beside IP literals and localhost; empty: none.
  Admin(net::Loop& loop, net::UniqueFd listening, Port port, const std::string& host,
        Sources sources);
  Admin(const Admin&) = delete;
  Admin& operator=(const Admin&) = delete;

  const std::string& address() const { return address_; }  // as bound

 private:
  void Serve(const http::ServerRequest& request, const http::Server::Reply& reply) const;
  void ServeDiff(const http::ServerRequest& request, const http::Server::Reply& reply) const;
  void ServeTap(const http::ServerRequest& request, const http::Server::Reply& reply) const;
  http::ServerResponse Drain(const http::ServerRequest& request) const;
  http::ServerResponse Answer(const http::ServerRequest& request) const;
  void AnswerReady(const std::string& service, http::ServerResponse* response) const;

  const Port port_;
  const Sources sources_;
  const std::string address_;
  http::Server server_;
};

}  // namespace mooring::admin
