// http::Client against a server that turns connections away: it answers before it has read
// anything, or not at all, and resets the connection.
#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <thread>

#include "proxy/net/socket.h"
#include "tests/unit/http_fixture.h"

namespace {

using namespace mooring;
using net::milliseconds;
using test::Get;
using test::Loopback;
using test::RunUntil;
using Trouble = http::Client::Trouble;

// As an agent of Consul 1.21 says it.
constexpr char kTooMany[] =
    "HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain\r\nContent-Length: "
    "81\r\nConnection: close\r\n\r\n"
    "Your IP is issuing too many concurrent connections, please rate limit your calls\n";

// Doorman takes one connection, says its words after a while without reading, and resets it or
// closes it.
class Doorman final {
 public:
  enum class End { kReset, kClose };
  Doorman(std::string words, milliseconds after, End end) {
    auto listening = net::Listen(Loopback());
    REQUIRE(listening);
    listening_ = std::move(*listening);
    port_ = net::SocketAddress::LocalOf(listening_.get()).port();
    thread_ = std::thread([this, words = std::move(words), after, end] {
      int fd = -1;
      while (fd < 0) {  // the listener does not block
        fd = accept(listening_.get(), nullptr, nullptr);
        if (fd < 0) std::this_thread::sleep_for(milliseconds{1});
      }
      std::this_thread::sleep_for(after);
      CHECK(send(fd, words.data(), words.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(words.size()));
      if (end == End::kReset) {
        const linger now{1, 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
      }
      close(fd);
    });
  }
  ~Doorman() { thread_.join(); }
  http::Endpoint endpoint() const {
    return {.address = Loopback(port_), .https = nullptr, .verify_name = {}};
  }

 private:
  net::UniqueFd listening_;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

struct Outcome {
  Result<http::Response> answer;
  Trouble trouble;
};

// Try sends a request with a body of that size. With `slow` the loop is so slow that all is over
// before it looks again.
Outcome Try(Doorman& doorman, std::size_t body, bool slow) {
  net::Loop loop;
  http::Client client(loop, doorman.endpoint());
  http::Request request = Get();
  request.method = "PUT";
  request.body.assign(body, 'x');
  std::optional<Result<http::Response>> got;
  client.Send(std::move(request), [&](Result<http::Response> answer) { got = std::move(answer); });
  std::function<void()> dawdle = [&] {
    std::this_thread::sleep_for(milliseconds{10});
    if (!got) loop.Post(dawdle);
  };
  if (slow) loop.Post(dawdle);
  RunUntil(loop, [&] { return got.has_value(); });
  return {std::move(*got), client.trouble()};
}

}  // namespace

TEST_CASE("http client: a 429 before the request is read is the answer, though a reset follows") {
  for (const auto end : {Doorman::End::kReset, Doorman::End::kClose}) {
    for (const std::size_t body : {std::size_t{0}, std::size_t{8} << 20}) {
      for (const int after : {2, 30}) {
        CAPTURE(body);
        CAPTURE(after);
        Doorman doorman(kTooMany, milliseconds{after}, end);
        const Outcome outcome = Try(doorman, body, after == 2);
        REQUIRE_MESSAGE(outcome.answer.has_value(), outcome.answer.error().message);
        CHECK(outcome.answer->status == 429);
        CHECK(outcome.answer->body.starts_with("Your IP"));
        CHECK(outcome.trouble == Trouble::kTooMany);
      }
    }
  }
}

TEST_CASE(
    "http client: a new connection that is ended without a word is told from other failures") {
  for (const auto end : {Doorman::End::kReset, Doorman::End::kClose}) {
    Doorman doorman("", milliseconds{10}, end);
    const Outcome outcome = Try(doorman, 0, false);
    CHECK_FALSE(outcome.answer.has_value());
    CHECK(outcome.trouble == Trouble::kUnanswered);
  }
  Doorman doorman("HTTP/1.1 2", milliseconds{10}, Doorman::End::kClose);
  const Outcome outcome = Try(doorman, 0, false);
  CHECK_FALSE(outcome.answer.has_value());
  CHECK(outcome.trouble == Trouble::kNone);
}
