// http::Server against real sockets on loopback: a client that sends raw bytes.
#include "proxy/http/server.h"

#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "proxy/http/client.h"
#include "proxy/http/host_check.h"
#include "proxy/net/stream.h"
#include "tests/unit/http_fixture.h"

namespace {

using namespace mooring;
using net::milliseconds;
using test::Fetch;
using test::Get;
using test::Loopback;
using test::RunUntil;

// RawClient sends bytes and collects what comes back.
class RawClient final : public net::StreamObserver {
 public:
  RawClient(net::Loop& loop, std::uint16_t port) {
    auto start = net::StartConnect(*net::SocketAddress::FromLiteral(Loopback(port)));
    stream_.emplace(loop, std::move(start.fd), this);
    stream_->WantRead(true);
  }
  void Send(const std::string& text) {
    (void)stream_->Write({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  }
  void EndWrite() { stream_->EndWrite(); }
  void OnReadable(net::Stream&) override {
    const auto read = stream_->Read();
    if (read.status == net::Stream::ReadStatus::kData) {
      received.append(reinterpret_cast<const char*>(read.bytes.data()), read.bytes.size());
    } else if (read.status != net::Stream::ReadStatus::kAgain) {
      closed = true;
      reset = read.status == net::Stream::ReadStatus::kFailed;
      stream_.reset();
    }
  }
  void OnDrained(net::Stream&) override {}
  void OnBroken(net::Stream&) override { closed = reset = true; }
  int Answers() const {
    int count = 0;
    for (std::size_t at = 0; (at = received.find("HTTP/1.1 ", at)) != std::string::npos; ++at)
      ++count;
    return count;
  }

  std::string received;
  bool closed = false;
  bool reset = false;

 private:
  std::optional<net::Stream> stream_;
};

struct Fixture {
  explicit Fixture(http::ServerLimits limits = {}) {
    auto listening = net::Listen(Loopback());
    REQUIRE(listening);
    port = net::SocketAddress::LocalOf(listening->get()).port();
    server = std::make_unique<http::Server>(
        loop, std::move(*listening), limits,
        [this](const http::ServerRequest& request, http::Server::Reply reply) {
          handler(request, reply);
        });
  }
  // Say sends bytes on a connection of its own and gives what came until the server closed.
  std::string Say(const std::string& bytes) {
    RawClient client(loop, port);
    client.Send(bytes);
    RunUntil(loop, [&] { return client.closed; });
    CHECK_FALSE(client.reset);
    return client.received;
  }

  net::Loop loop;
  std::uint16_t port = 0;
  std::function<void(const http::ServerRequest&, http::Server::Reply)> handler =
      [](const http::ServerRequest& request, const http::Server::Reply& reply) {
        http::ServerResponse response;
        response.body = request.method + " " + request.path + " " + request.body;
        for (const auto& [name, value] : request.query) response.body += " " + name + "=" + value;
        reply(response);
      };
  std::unique_ptr<http::Server> server;
};

const char* const kClose = " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

}  // namespace

TEST_CASE("http server: requests, one after the other and sent ahead") {
  Fixture fixture;
  const std::string one = fixture.Say("GET /a%20b?x=1&y=%2f+z&flag" + std::string(kClose));
  CHECK(one.starts_with("HTTP/1.1 200 OK\r\nDate: "));
  CHECK(one.ends_with("\r\n\r\nGET /a b  flag= x=1 y=/ z"));
  const std::string get = "GET /1 HTTP/1.1\r\nHost: x\r\n\r\n";
  std::string many;
  for (int i = 0; i < 2000; ++i) many += get;
  RawClient client(fixture.loop, fixture.port);
  client.Send(
      many +
      "PUT /2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n" +
      "4\r\nbody\r\n0\r\n\r\n");
  RunUntil(fixture.loop, [&] { return client.closed; });
  CHECK(client.Answers() == 2001);
  CHECK(client.received.ends_with("PUT /2 body"));
}

TEST_CASE(
    "http server: HEAD gets the header alone, HTTP/1.0 is answered and closed, an upgrade "
    "ignored") {
  Fixture fixture;
  CHECK(fixture.Say("HEAD /" + std::string(kClose)).ends_with("Content-Length: 7\r\n\r\n"));
  CHECK(fixture.Say("GET /old HTTP/1.0\r\n\r\n").ends_with("GET /old "));
  CHECK(fixture.Say("GET http://x/abs" + std::string(kClose)).ends_with("GET /abs "));
  CHECK(fixture
            .Say("GET /up HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n"
                 "GET /two" +
                 std::string(kClose))
            .ends_with("GET /two "));
}

TEST_CASE("http server: what is not a request gets an answer and the end") {
  Fixture fixture({.connections = 4, .body = 100});
  CHECK(fixture.Say("garbage\r\n\r\n").starts_with("HTTP/1.1 400 "));
  CHECK(fixture.Say(std::string("\x16\x03\x01\x02\x00\x01\x00", 7)).starts_with("HTTP/1.1 400 "));
  CHECK(fixture.Say("GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 400 "));
  CHECK(fixture.Say("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").starts_with("HTTP/1.1 400 "));
  CHECK(fixture.Say("GET /%zz" + std::string(kClose)).starts_with("HTTP/1.1 400 "));
  CHECK(fixture.Say("GET /%00" + std::string(kClose)).starts_with("HTTP/1.1 400 "));
  CHECK(fixture.Say("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n").starts_with("HTTP/1.1 400 "));
  CHECK(fixture.Say("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\n\r\n")
            .starts_with("HTTP/1.1 413 "));
  CHECK(fixture.Say("PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n")
            .starts_with("HTTP/1.1 413 "));
  CHECK(fixture.Say("GET / HTTP/1.1\r\nX: " + std::string(100'000, 'a'))
            .starts_with("HTTP/1.1 431 "));
  CHECK(fixture
            .Say("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: "
                 "chunked\r\n\r\n0\r\n\r\n")
            .starts_with("HTTP/1.1 400 "));
}

TEST_CASE("http server: a body is invited when the client waits for that") {
  Fixture fixture;
  RawClient client(fixture.loop, fixture.port);
  client.Send(
      "PUT /x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: "
      "2\r\n\r\n");
  RunUntil(fixture.loop, [&] { return client.received == "HTTP/1.1 100 Continue\r\n\r\n"; });
  client.Send("ok");
  RunUntil(fixture.loop, [&] { return client.closed; });
  CHECK(client.received.ends_with("PUT /x ok"));
}

TEST_CASE("http server: a request that dribbles in is ended in time, an idle connection too") {
  Fixture fixture({.request_time = milliseconds{40}, .idle_time = milliseconds{80}});
  CHECK(fixture.Say("GET / HTT").starts_with("HTTP/1.1 408 "));
  CHECK(fixture.Say("").empty());
}

TEST_CASE("http server: an answer may come later, and the next request waits for it") {
  Fixture fixture;
  std::vector<http::Server::Reply> replies;
  fixture.handler = [&](const http::ServerRequest&, const http::Server::Reply& reply) {
    replies.push_back(reply);
  };
  RawClient client(fixture.loop, fixture.port);
  const std::string get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
  client.Send(get + get);
  RunUntil(fixture.loop, [&] { return replies.size() == 1; });
  client.Send(get);
  CHECK_FALSE(replies[0].gone());
  replies[0]({});
  CHECK(replies[0].gone());
  replies[0]({});
  RunUntil(fixture.loop, [&] { return replies.size() == 2; });
  CHECK(client.Answers() <= 1);
  replies[1]({});
  RunUntil(fixture.loop, [&] { return replies.size() == 3; });
  replies[2]({});
  RunUntil(fixture.loop, [&] { return client.Answers() == 3; });
}

TEST_CASE("http server: a client that leaves is noticed while its answer is awaited") {
  Fixture fixture;
  std::optional<http::Server::Reply> waiting;
  fixture.handler = [&](const http::ServerRequest&, const http::Server::Reply& reply) {
    waiting = reply;
  };
  auto client = std::make_unique<RawClient>(fixture.loop, fixture.port);
  client->Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  RunUntil(fixture.loop, [&] { return waiting.has_value(); });
  CHECK_FALSE(waiting->gone());
  client.reset();
  RunUntil(fixture.loop, [&] { return waiting->gone(); });
  (*waiting)({});
}

TEST_CASE("http server: beyond the limit the connection without a request makes room") {
  Fixture fixture({.connections = 2});
  std::optional<http::Server::Reply> waiting;
  fixture.handler = [&](const http::ServerRequest& request, const http::Server::Reply& reply) {
    if (request.path == "/wait") {
      waiting = reply;
    } else {
      reply({});
    }
  };
  RawClient first(fixture.loop, fixture.port);
  first.Send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
  RunUntil(fixture.loop, [&] { return waiting.has_value(); });
  RawClient idle(fixture.loop, fixture.port);
  idle.Send("GET / HT");
  CHECK(fixture.Say("GET /" + std::string(kClose)).starts_with("HTTP/1.1 200 "));
  RunUntil(fixture.loop, [&] { return idle.closed; });
  (*waiting)({});
  RunUntil(fixture.loop, [&] { return first.Answers() == 1; });
}

TEST_CASE("http server: beyond the limit of one client the newcomer is told so before it asks") {
  const std::string too_many = "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n";
  Fixture fixture({.per_client = 2, .too_many = too_many});
  std::optional<RawClient> first;
  first.emplace(fixture.loop, fixture.port);
  RawClient second(fixture.loop, fixture.port);
  second.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  RunUntil(fixture.loop, [&] { return second.Answers() == 1; });
  RawClient third(fixture.loop, fixture.port);  // says nothing
  RunUntil(fixture.loop, [&] { return third.closed; });
  CHECK(third.received == too_many);
  CHECK_FALSE(third.reset);
  first.reset();
  // Its place is free as soon as the server has seen its end.
  std::optional<RawClient> again;
  RunUntil(fixture.loop, [&] {
    if (!again || again->closed) {
      again.emplace(fixture.loop, fixture.port);
      again->Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    return again->received.starts_with("HTTP/1.1 200 ");
  });
}

TEST_CASE("http server: a handler may destroy the server, a reply may outlive it") {
  Fixture fixture;
  std::optional<http::Server::Reply> kept;
  fixture.handler = [&](const http::ServerRequest&, const http::Server::Reply& reply) {
    kept = reply;
    fixture.server.reset();
    reply({});
  };
  RawClient client(fixture.loop, fixture.port);
  client.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  RunUntil(fixture.loop, [&] { return client.closed; });
  CHECK(kept->gone());
}

TEST_CASE("http server: a large answer to a slow reader arrives whole") {
  Fixture fixture;
  const std::string body(8u << 20, 'b');
  fixture.handler = [&](const http::ServerRequest&, const http::Server::Reply& reply) {
    http::ServerResponse response;
    response.body = body;
    reply(response);
  };
  http::Client client(fixture.loop,
                      {.address = Loopback(fixture.port), .https = nullptr, .verify_name = {}});
  for (int i = 0; i < 3; ++i) CHECK(Fetch(fixture.loop, client, Get())->body == body);
}

TEST_CASE(
    "http server: a Host that is none of ours is refused, and an address, localhost and our own "
    "name are not") {
  for (const auto& [host, name, ours] : {std::tuple{"127.0.0.1:19100", "", true},
                                         {"127.0.0.1", "", true},
                                         {"[::1]:80", "", true},
                                         {"LocalHost:19100", "", true},
                                         {"localhost.", "", true},
                                         {"evil.example:19100", "", false},
                                         {"127.0.0.1.evil.example", "", false},
                                         {"[evil]:80", "", false},
                                         {"", "", false},
                                         {"vm.example:19100", "vm.example", true},
                                         {"VM.example", "vm.example", true},
                                         {"vm.example.evil", "vm.example", false}}) {
    const std::string said = host;
    CAPTURE(said);
    CHECK(http::IsOurs(said, name) == ours);
  }
  Fixture fixture({.own_name = "vm.example"});
  const auto ask = [&](const std::string& host) {
    return fixture.Say("GET / HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")
        .substr(0, 12);
  };
  CHECK(ask("vm.example:1") == "HTTP/1.1 200");
  CHECK(ask("127.0.0.1:1") == "HTTP/1.1 200");
  CHECK(ask("evil.example:1") == "HTTP/1.1 403");
}
