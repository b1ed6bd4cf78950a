// Server: a small HTTP/1.1 server for the admin port and for `mooring dev`. Answers may come later
// (blocking queries).
//
// Bounded: connections, header and body size, time to send a request and to take an answer. A
// client that closes while its answer is awaited is forgotten at once. Plain HTTP only, knows
// nothing of who asks. Loop thread only. Source: RFC 9112; parsing by llhttp.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "authz/result.h"
#include "proxy/http/headers.h"
#include "proxy/net/loop.h"
#include "proxy/net/socket.h"

namespace mooring::http {

struct ServerRequest {
  std::string method;
  std::string path;                               // percent-decoded, without the query
  std::multimap<std::string, std::string> query;  // percent-decoded
  Headers headers;
  std::string body;
  std::optional<unsigned> user = {};  // who asks over a unix socket (SO_PEERCRED); absent over TCP
  const std::string* Query(const std::string& name) const;  // the first value, or null
};

struct ServerResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  Headers headers;
  std::string body;
};

struct ServerLimits {
  // Beyond it, the one longest without a request makes room; if all await answers, the newcomer
  // goes.
  std::size_t connections = 64;
  // Of one client's IP address, 0 for no limit. What is beyond it gets `too_many` as it is, before
  // its request is read, and the end. Unix sockets do not count.
  std::size_t per_client = 0;
  std::string too_many = {};
  // Only requests whose Host header is an IP literal, localhost, or this name are let in
  // (host_check.h). Absent: all are.
  std::optional<std::string> own_name = {};
  std::size_t body = 1u << 20;
  net::milliseconds request_time{10'000};  // from the first byte to the last of one request
  net::milliseconds answer_time{30'000};   // for the client to take an answer
  net::milliseconds idle_time{60'000};     // without a request
};

class Server final {
 public:
  class Impl;

  // Reply answers one request, once, at any later time, on the loop's thread; after the client or
  // the server has gone, and a second time, it does nothing. Copies answer the same request.
  class Reply final {
   public:
    void operator()(ServerResponse response) const;
    bool gone() const;  // nobody waits for this answer any more

   private:
    friend class Impl;
    Reply(std::weak_ptr<Impl* const> server, std::uint64_t connection, std::uint64_t request)
        : server_(std::move(server)), connection_(connection), request_(request) {}
    std::weak_ptr<Impl* const> server_;
    std::uint64_t connection_;
    std::uint64_t request_;
  };
  // Handler may call its Reply at once and may destroy the Server.
  using Handler = std::function<void(const ServerRequest& request, Reply reply)>;

  // `listening` is a listening socket (net::Listen).
  Server(net::Loop& loop, net::UniqueFd listening, ServerLimits limits, Handler handler);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace mooring::http
