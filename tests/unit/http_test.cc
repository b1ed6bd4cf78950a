// http::Client against real sockets on loopback: a peer that answers with scripted bytes.
#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "proxy/http/client.h"
#include "proxy/http/server.h"
#include "proxy/http/target.h"
#include "proxy/net/listener.h"
#include "proxy/net/stream.h"
#include "tests/unit/http_fixture.h"

namespace {

using namespace mooring;
using net::milliseconds;
using test::Fetch;
using test::Get;
using test::Loopback;
using test::RunUntil;

// Peer answers each request, recognised by its empty line, with the next bytes of a script.
class Peer final {
 public:
  enum class Then { kKeep, kClose, kReset, kDrip };
  struct Step {
    std::string bytes;
    Then then = Then::kKeep;
  };
  // One script a connection, one step a request; a connection without script is closed at once.
  Peer(net::Loop& loop, std::deque<std::deque<Step>> scripts)
      : loop_(loop), scripts_(std::move(scripts)) {
    auto listening = net::Listen(Loopback());
    REQUIRE(listening);
    port_ = net::SocketAddress::LocalOf(listening->get()).port();
    acceptor_.emplace(
        loop, std::move(*listening),
        net::Acceptor::Callbacks{.on_accept =
                                     [this](net::UniqueFd fd, const net::SocketAddress&) {
                                       ++accepted;
                                       Accept(std::move(fd));
                                     },
                                 .on_pause = [](int) {}});
  }
  http::Endpoint endpoint() const {
    return {.address = Loopback(port_), .https = nullptr, .verify_name = {}};
  }

  int accepted = 0;
  int closed_by_client = 0;
  std::vector<std::string> requests;

 private:
  struct Connection final : net::StreamObserver {
    Connection(Peer& owner, net::UniqueFd fd, std::deque<Step> steps)
        : peer(owner),
          script(std::move(steps)),
          drip(peer.loop_, [this] { Drip(); }),
          stream(std::in_place, peer.loop_, std::move(fd),
                 static_cast<net::StreamObserver*>(this)) {
      stream->WantRead(true);
    }
    void OnReadable(net::Stream&) override {
      const auto read = stream->Read();
      if (read.status == net::Stream::ReadStatus::kAgain) return;
      if (read.status != net::Stream::ReadStatus::kData) {
        ++peer.closed_by_client;
        stream.reset();
        return;
      }
      seen.append(reinterpret_cast<const char*>(read.bytes.data()), read.bytes.size());
      if (seen.find("\r\n\r\n") == std::string::npos) return;
      peer.requests.push_back(std::exchange(seen, {}));
      if (script.empty()) {
        stream.reset();
        return;
      }
      step = script.front();
      script.pop_front();
      if (step.then == Then::kDrip) {
        Drip();
        return;
      }
      Send(step.bytes);
      if (step.then == Then::kReset) stream->ResetOnClose();
      if (step.then != Then::kKeep) stream.reset();
    }
    void Drip() {
      if (!stream || step.bytes.empty()) return;
      Send(step.bytes.substr(0, 1));
      step.bytes.erase(0, 1);
      drip.Start(milliseconds{5});
    }
    void Send(const std::string& text) {
      (void)stream->Write({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
    }
    void OnDrained(net::Stream&) override {}
    void OnBroken(net::Stream&) override { stream.reset(); }

    Peer& peer;
    std::deque<Step> script;
    Step step;
    net::Timer drip;
    std::string seen;
    std::optional<net::Stream> stream;
  };

  void Accept(net::UniqueFd fd) {
    if (scripts_.empty()) return;
    connections_.push_back(
        std::make_unique<Connection>(*this, std::move(fd), std::move(scripts_.front())));
    scripts_.pop_front();
  }

  net::Loop& loop_;
  std::deque<std::deque<Step>> scripts_;
  std::uint16_t port_ = 0;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::optional<net::Acceptor> acceptor_;
};

using Then = Peer::Then;

// Answer is what a fresh client makes of one scripted answer.
Result<http::Response> Answer(const std::string& bytes, Then then = Then::kKeep,
                              milliseconds deadline = milliseconds{5'000}) {
  net::Loop loop;
  std::optional<Peer> peer(std::in_place, loop,
                           std::deque<std::deque<Peer::Step>>{{{bytes, then}}});
  std::optional<http::Client> client(std::in_place, loop, peer->endpoint());
  Result<http::Response> answer = Fetch(loop, *client, Get("/", deadline));
  return answer;
}

std::string Ok(const std::string& body) {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

bool Says(const Result<http::Response>& answer, std::string_view part) {
  if (answer) return false;
  INFO(answer.error().message);
  CHECK(answer.error().code == ErrorCode::kUnavailable);
  return answer.error().message.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("http client: an answer of declared length, headers in any letter case") {
  const auto answer = Answer(
      "HTTP/1.1 200 OK\r\nX-CONSUL-Index: 7\r\nX-Empty:\r\nx-consul-index:  9 \r\n"
      "Content-Length: 5\r\n\r\nhello");
  REQUIRE(answer);
  auto whole = answer;
  CHECK(whole->status == 200);
  CHECK(whole->body == "hello");
  REQUIRE(whole->Header("x-consul-index"));
  CHECK(*whole->Header("x-consul-index") == "9");
  REQUIRE(whole->Header("x-empty"));
  CHECK(whole->Header("x-empty")->empty());
  CHECK(whole->Header("x-none") == nullptr);
}

TEST_CASE("http client: chunks, trailers, interim answers and answers without a body") {
  SUBCASE("chunked") {
    auto answer = Answer(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n"
        "X-Late: 1\r\n\r\n");
    REQUIRE(answer);
    CHECK(answer->body == "abcde");
    CHECK(answer->Header("x-late") == nullptr);
  }
  SUBCASE("interim answers are skipped") {
    auto answer = Answer(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + Ok("yes"));
    REQUIRE(answer);
    CHECK(answer->status == 200);
    CHECK(answer->body == "yes");
    CHECK(answer->Header("link") == nullptr);
  }
  SUBCASE("an answer that ends with the connection") {
    auto answer = Answer("HTTP/1.1 200 OK\r\n\r\nuntil the end", Then::kClose);
    REQUIRE(answer);
    CHECK(answer->body == "until the end");
  }
  SUBCASE("204 has no body even if it declares one") {
    auto answer = Answer("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n");
    REQUIRE(answer);
    CHECK(answer->status == 204);
  }
  SUBCASE("any status is an answer") {
    auto answer = Answer("HTTP/1.1 403 Forbidden\r\nContent-Length: 17\r\n\r\nPermission denied");
    REQUIRE(answer);
    CHECK(answer->status == 403);
  }
}

TEST_CASE("http client: an answer that is no whole HTTP message is an error that says so") {
  CHECK(Says(Answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", Then::kClose),
             "cut short"));
  CHECK(Says(Answer("HTTP/1.1 200 OK\r\nContent-Le", Then::kClose), "cut short"));
  CHECK(Says(Answer("HTTP/1.1 100 Continue\r\n\r\n", Then::kClose), "cut short"));
  CHECK(Says(Answer("", Then::kClose), "without an answer"));
  CHECK(Says(Answer("", Then::kReset), "reset"));
  CHECK(Says(Answer("SSH-2.0-OpenSSH_9.2\r\n"), "not HTTP"));
  CHECK(Says(Answer(std::string("\x15\x03\x01\x00\x02\x02\x28", 7)),
             "TLS came in answer to plain HTTP"));
  CHECK(Says(Answer("HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"), "not HTTP"));
  CHECK(Says(Answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
             "not HTTP"));
  CHECK(Says(
      Answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
      "not HTTP"));
  CHECK(Says(Answer("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), "not HTTP"));
  CHECK(
      Says(Answer("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n"), "not HTTP"));
  CHECK(Says(Answer("HTTP/1.1 200 OK\r\nX: a\r\n b\nY: c\r\n\r\n"), "not HTTP"));
  CHECK(
      Says(Answer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
           "protocol switch"));
  CHECK(Says(Answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
             "transfer coding"));
  CHECK(Says(Answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nxx", Then::kClose),
             "transfer coding"));
  // One list in two lines: its last entry alone says nothing.
  CHECK(Says(Answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n"
                    "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
             "two Transfer-Encoding headers"));
  CHECK(Says(Answer("HTTP/1.1 200 OK\r\n: x\r\nContent-Length: 0\r\n\r\n"), "without a name"));
}

TEST_CASE("http client: chunks that lie are refused") {
  const std::string head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  CHECK(Says(Answer(head + "FFFFFFFFFFFFFFFFF\r\nx"), "not HTTP"));
  CHECK(Says(Answer(head + "-1\r\nx"), "not HTTP"));
  CHECK(Says(Answer(head + "3\r\nabcde\r\n"), "not HTTP"));
  CHECK(Says(Answer(head + "3\r\nab", Then::kClose), "cut short"));
  CHECK(Says(Answer(head + "3\r\nabc\r\n", Then::kClose), "cut short"));
  CHECK(Says(Answer(head + "7FFFFFFF\r\nabc"), "too large"));
}

TEST_CASE("http client: sizes are bounded") {
  CHECK(Says(Answer("HTTP/1.1 200 OK\r\nX: " + std::string(http::kMaxHeader, 'a')),
             "header is too large"));
  std::string many = "HTTP/1.1 200 OK\r\n";
  for (int i = 0; i < 20'000; ++i) many += "a:\r\n";
  CHECK(Says(Answer(many), "header is too large"));
  std::string interim;
  for (int i = 0; i < 20'000; ++i) interim += "HTTP/1.1 100 Continue\r\n\r\n";
  CHECK(Says(Answer(interim), "header is too large"));
  CHECK(Says(Answer("HTTP/1.1 200 OK\r\nContent-Length: 67108865\r\n\r\n"), "body is too large"));
}

TEST_CASE("http client: the deadline covers the whole answer, byte by byte ones too") {
  CHECK(Says(Answer("", Then::kKeep, milliseconds{50}), "no answer within 50 ms"));
  CHECK(Says(Answer(Ok(std::string(10'000, 'x')), Then::kDrip, milliseconds{100}),
             "no whole answer within 100 ms"));
}

TEST_CASE("http client: a dripped answer in time is whole") {
  auto answer = Answer(Ok("slow"), Then::kDrip);
  REQUIRE(answer);
  CHECK(answer->body == "slow");
}

TEST_CASE("http client: requests share one connection while the answers allow it") {
  net::Loop loop;
  Peer peer(loop,
            {{{Ok("1"), Then::kKeep}, {Ok("2"), Then::kKeep}},
             {{"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n4", Then::kKeep}},
             {{Ok("5") + "beyond", Then::kKeep}},
             {{Ok("6"), Then::kKeep}}});
  http::Client client(loop, peer.endpoint());
  CHECK(Fetch(loop, client, Get("/1"))->body == "1");
  CHECK(Fetch(loop, client, Get("/2"))->body == "2");
  CHECK(peer.accepted == 1);
  // The third finds the script at its end: the peer closes without an answer, so it goes out again.
  CHECK(Fetch(loop, client, Get("/4"))->body == "4");
  CHECK(peer.accepted == 2);
  CHECK(Fetch(loop, client, Get("/5"))->body == "5");
  CHECK(peer.accepted == 3);
  // Bytes beyond an answer would be taken for the next one.
  CHECK(Fetch(loop, client, Get("/6"))->body == "6");
  CHECK(peer.accepted == 4);
  REQUIRE(peer.requests.size() == 6);
  CHECK(peer.requests[2].starts_with("GET /4 HTTP/1.1\r\nHost: 127.0.0.1:"));
  CHECK(peer.requests[3].starts_with("GET /4 HTTP/1.1\r\n"));
}

TEST_CASE("http client: a request is repeated once only, and never after a byte of its answer") {
  SUBCASE("the fresh connection fails too") {
    net::Loop loop;
    Peer peer(loop, {{{Ok("1"), Then::kKeep}}, {}});
    http::Client client(loop, peer.endpoint());
    CHECK(Fetch(loop, client, Get()).has_value());
    CHECK(Says(Fetch(loop, client, Get()), "without an answer"));
    CHECK(peer.accepted == 2);
  }
  SUBCASE("the answer had begun") {
    net::Loop loop;
    Peer peer(loop,
              {{{Ok("1"), Then::kKeep}, {"HTTP/1.1 2", Then::kClose}}, {{Ok("2"), Then::kKeep}}});
    http::Client client(loop, peer.endpoint());
    CHECK(Fetch(loop, client, Get()).has_value());
    CHECK(Says(Fetch(loop, client, Get()), "cut short"));
    CHECK(peer.accepted == 1);
  }
}

TEST_CASE("http client: what must not happen twice goes on a fresh connection") {
  net::Loop loop;
  Peer peer(loop, {{{Ok("1"), Then::kKeep}}, {{Ok("2"), Then::kKeep}}});
  http::Client client(loop, peer.endpoint());
  CHECK(Fetch(loop, client, Get()).has_value());
  http::Request post = Get("/create");
  post.method = "POST";
  post.body = "{}";
  post.headers["x-consul-token"] = "secret";
  CHECK(Fetch(loop, client, post)->body == "2");
  CHECK(peer.accepted == 2);
  CHECK(peer.requests.back().find("Content-Length: 2\r\nx-consul-token: secret\r\n\r\n{}") !=
        std::string::npos);
}

TEST_CASE("http client: a POST that only asks goes on the kept-alive connection") {
  net::Loop loop;
  Peer peer(loop, {{{Ok("1"), Then::kKeep}, {Ok("2"), Then::kKeep}}});
  http::Client client(loop, peer.endpoint());
  CHECK(Fetch(loop, client, Get())->body == "1");
  http::Request post = Get("/ask");
  post.method = "POST";
  post.repeatable = true;
  CHECK(Fetch(loop, client, post)->body == "2");
  CHECK(peer.accepted == 1);
  CHECK(client.connected());
  client.CloseIdle();
  CHECK_FALSE(client.connected());
}

TEST_CASE("http client: an idle connection that the other side closes is let go of") {
  net::Loop loop;
  Peer peer(loop, {{{Ok("1"), Then::kClose}}, {{Ok("2"), Then::kKeep}}});
  http::Client client(loop, peer.endpoint());
  CHECK(Fetch(loop, client, Get())->body == "1");
  CHECK(Fetch(loop, client, Get())->body == "2");
  CHECK(peer.accepted == 2);
}

TEST_CASE("http client: nothing that breaks the framing is sent") {
  net::Loop loop;
  Peer peer(loop, {});
  http::Client client(loop, peer.endpoint());
  http::Request request = Get("/a b");
  auto answer = Fetch(loop, client, request);
  REQUIRE_FALSE(answer);
  CHECK(answer.error().code == ErrorCode::kInvalid);
  request = Get();
  request.headers["x-consul-token"] = "abc\r\nX-Evil: 1";
  answer = Fetch(loop, client, request);
  REQUIRE_FALSE(answer);
  CHECK(answer.error().message.find("abc") == std::string::npos);
  CHECK(peer.accepted == 0);
}

TEST_CASE("http client: a refused connection names the address") {
  net::Loop loop;
  std::uint16_t port = 0;
  {
    auto taken = net::Listen(Loopback());
    REQUIRE(taken);
    port = net::SocketAddress::LocalOf(taken->get()).port();
  }
  http::Client client(loop, {.address = Loopback(port), .https = nullptr, .verify_name = {}});
  const auto answer = Fetch(loop, client, Get());
  CHECK(Says(answer, "127.0.0.1:" + std::to_string(port) + ": Connection refused"));
}

TEST_CASE("http client: every address of a name is tried") {
  net::Loop loop;
  Peer peer(loop, {{{Ok("here"), Then::kKeep}}});
  http::Endpoint endpoint = peer.endpoint();
  endpoint.address.host = "localhost";  // ::1 too on most machines, where nobody listens
  http::Client client(loop, endpoint);
  CHECK(Fetch(loop, client, Get())->body == "here");
}

TEST_CASE("http client: a unix socket") {
  net::Loop loop;
  net::Address address{.kind = net::Address::Kind::kUnix,
                       .host = {},
                       .port = 0,
                       .path = "/tmp/mooring-http-test-" + std::to_string(getpid()) + ".sock"};
  auto listening = net::Listen(address);
  REQUIRE(listening);
  http::Server server(loop, std::move(*listening), {},
                      [](const http::ServerRequest& request, http::Server::Reply reply) {
                        http::ServerResponse response;
                        response.body = request.headers.at("host");
                        reply(response);
                      });
  http::Client client(loop, {.address = address, .https = nullptr, .verify_name = {}});
  CHECK(Fetch(loop, client, Get())->body == "localhost");
  unlink(address.path.c_str());
}

TEST_CASE(
    "http client: its callback may send again or destroy it, and a cancelled one never runs") {
  net::Loop loop;
  Peer peer(loop, {{{Ok("1"), Then::kKeep}, {Ok("2"), Then::kKeep}}, {{Ok("3"), Then::kDrip}}});
  auto client = std::make_unique<http::Client>(loop, peer.endpoint());
  bool second = false;
  client->Send(Get(), [&](Result<http::Response>) {
    client->Send(Get(), [&](Result<http::Response> answer) {
      CHECK(answer->body == "2");
      client.reset();
      second = true;
    });
  });
  RunUntil(loop, [&] { return second; });

  client = std::make_unique<http::Client>(loop, peer.endpoint());
  client->Send(Get(), [](Result<http::Response>) { FAIL("cancelled"); });
  CHECK(client->busy());
  RunUntil(loop, [&] { return peer.requests.size() == 3; });
  client->Cancel();
  CHECK_FALSE(client->busy());
  RunUntil(loop, [&] { return peer.closed_by_client == 2; });

  client->Send(Get("/x", milliseconds{20}), [](Result<http::Response>) { FAIL("destroyed"); });
  client.reset();
  bool later = false;
  net::Timer wait(loop, [&] { later = true; });
  wait.Start(milliseconds{40});
  RunUntil(loop, [&] { return later; });
}

TEST_CASE("http target: percent codes are decoded, broken ones refused") {
  const auto target = http::ParseTarget("/v1/a%2Fb?x=%26&x=2&=y&&z");
  REQUIRE(target);
  CHECK(target->path == "/v1/a/b");
  CHECK(target->query.count("x") == 2);
  CHECK(target->query.find("x")->second == "&");
  CHECK(target->query.count("z") == 1);
  for (const char* bad : {"", "*", "a/b", "/%", "/%1", "/%g0", "/?a=%", "/%00"}) {
    CAPTURE(bad);
    CHECK_FALSE(http::ParseTarget(bad));
  }
}
