// Client: HTTP/1.1 requests to one agent, one at a time on a kept-alive connection, over TCP, unix
// socket or https.
//
// Made for blocking queries: each connection to the agent is a Client of its own, so a long poll
// holds up nobody else. Bounded in time (the request's deadline covers resolving, connecting, TLS
// and the whole answer; connecting to one address gets 5 s of it) and in size. Redirects,
// compression and proxies are not spoken. Loop thread only. Source: RFC 9112; parsing by llhttp.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "authz/result.h"
#include "proxy/http/headers.h"
#include "proxy/net/address.h"
#include "proxy/net/loop.h"
#include "tls/context.h"

namespace mooring::http {

struct Request {
  std::string method = "GET";
  std::string target;  // path and query, as sent
  Headers headers;     // besides Host, User-Agent, Content-Length, Accept-Encoding: identity
  std::string body;
  net::milliseconds deadline{10'000};
  // It waits for a change, counted from a state that another agent may never have had: if the
  // connection is lost, the caller must learn of it and ask anew.
  bool blocking = false;
  // Asking twice is asking once, whatever the method: a POST that only asks may go on a kept-alive
  // connection.
  bool repeatable = false;
};

struct Response {
  int status = 0;
  Headers headers;
  std::string body;
  bool from_disk = false;  // no agent said it just now: a saved answer, taken up again
  const std::string* Header(const std::string& lower_case_name) const;
};

struct Endpoint {
  net::Address address;
  std::shared_ptr<const tls::Context> https;  // null: plain
  std::string
      verify_name;  // https: name or IP literal in the agent's certificate; empty: address.host
  std::size_t max_body = kMaxBody;  // of one answer; one that is larger is an error
};

class Client final {
 public:
  using Callback = std::function<void(Result<Response>)>;

  Client(net::Loop& loop, Endpoint endpoint);
  ~Client();  // the callback of a request under way never runs
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Send starts a request; one under way is cancelled without its callback. Where memory runs out
  // on the way, that is an Error (kUnavailable), too. The callback never runs inside Send, and may
  // call Send or destroy the Client. Any status is a Response; an Error (kUnavailable) is no whole
  // answer: refused, cut short, too large, late, not HTTP; the text says which. kInvalid: a method,
  // target or header that would break the request's framing (a token with a line end); nothing was
  // sent. An answer that comes before the request is sent, or while it is, is the answer, even if a
  // reset follows. A request on a kept-alive connection that the agent had meanwhile closed is sent
  // once more on a fresh one, but for a blocking one. What must not happen twice (POST) goes on a
  // fresh connection to begin with (RFC 9110 9.2.2).
  void Send(Request request, Callback callback);
  void Cancel();
  bool busy() const;
  // there is a connection, over which a request is under way or the next one may go
  bool connected() const;
  void CloseIdle();  // lets go of a connection that no request is under way on
  // Trouble is what became of the last request's connection, besides its answer or error.
  enum class Trouble {
    kNone,
    kUnreachable,  // no connection could be made
    kSilent,       // there was one, and no whole answer in time
    kUnanswered,   // a new one was ended by the other side before a byte of an answer
    kNoTls,        // there was one, and TLS was not agreed on
    kNotHttp,      // what came in answer was not HTTP
    kSpeaksTls,    // what came in answer to plain HTTP was TLS
    kTooMany,      // a new one was answered by 429 Too Many Requests (RFC 6585 4) and ended
  };
  Trouble trouble() const;
  // SetEndpoint changes where the next request goes (new TLS files); the idle connection is closed.
  void SetEndpoint(Endpoint endpoint);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mooring::http
