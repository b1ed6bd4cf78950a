// Desk: a scripted agent on loopback, for what a real one cannot be made to say, and for counting its connections.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <regex>
#include <string>
#include <utility>
#include <vector>

#include "proxy/config/settings.h"
#include "proxy/net/listener.h"
#include "proxy/net/stream.h"
#include "tests/unit/http_fixture.h"

namespace mooring::test {

// Desk answers requests by their target: `answer` gives the whole answer, or nothing for never.
class Desk final {
 public:
  using Answer = std::function<std::string(const std::string& target)>;
  Desk(net::Loop& loop, Answer answer) : loop_(loop), answer_(std::move(answer)) {
    auto listening = net::Listen(Loopback());
    REQUIRE(listening);
    port_ = net::SocketAddress::LocalOf(listening->get()).port();
    acceptor_.emplace(loop, std::move(*listening),
                      net::Acceptor::Callbacks{.on_accept =
                                                   [this](net::UniqueFd fd, const net::SocketAddress&) {
                                                     ++accepted;
                                                     lines_.push_back(std::make_unique<Line>(*this, std::move(fd)));
                                                     most = std::max(most, Open());
                                                   },
                                               .on_pause = [](int) {}});
  }
  std::size_t Open() const {
    return static_cast<std::size_t>(
        std::count_if(lines_.begin(), lines_.end(), [](const auto& line) { return line->stream.has_value(); }));
  }
  // Say answers everybody who waits for a target that begins so.
  void Say(const std::string& prefix, const std::string& answer) {
    for (auto& line : lines_) {
      if (line->stream && line->waiting.starts_with(prefix)) line->Say(answer);
    }
  }
  config::AgentSettings settings() const {
    config::AgentSettings settings;
    settings.address = net::Address::Tcp("127.0.0.1", port_);
    return settings;
  }
  std::size_t Asked(const std::string& part) const {
    return static_cast<std::size_t>(std::count_if(asked.begin(), asked.end(), [&](const std::string& target) {
      return target.find(part) != std::string::npos;
    }));
  }

  std::size_t accepted = 0, most = 0;
  std::vector<std::string> asked;   // the targets
  std::vector<std::string> tokens;  // that they came with

 private:
  struct Line final : net::StreamObserver {
    Line(Desk& owner, net::UniqueFd fd)
        : desk(owner), stream(std::in_place, desk.loop_, std::move(fd), static_cast<net::StreamObserver*>(this)) {
      stream->WantRead(true);
    }
    void OnReadable(net::Stream&) override {
      const auto read = stream->Read();
      if (read.status == net::Stream::ReadStatus::kAgain) return;
      if (read.status != net::Stream::ReadStatus::kData) {
        stream.reset();
        return;
      }
      seen.append(reinterpret_cast<const char*>(read.bytes.data()), read.bytes.size());
      if (seen.find("\r\n\r\n") == std::string::npos) return;
      const std::size_t from = seen.find(' ') + 1;
      waiting = seen.substr(from, seen.find(' ', from) - from);
      desk.asked.push_back(waiting);
      desk.tokens.push_back(TokenOf(seen));
      seen.clear();
      const std::string answer = desk.answer_(waiting);
      if (!answer.empty()) Say(answer);
    }
    static std::string TokenOf(const std::string& head) {
      std::smatch found;
      const std::regex header("x-consul-token: ([^\r]*)", std::regex::icase);
      return std::regex_search(head, found, header) ? found[1].str() : std::string();
    }
    void Say(const std::string& text) {
      waiting.clear();
      (void)stream->Write({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
      if (text.find("Connection: close") != std::string::npos) stream.reset();
    }
    void OnDrained(net::Stream&) override {}
    void OnBroken(net::Stream&) override { stream.reset(); }

    Desk& desk;
    std::string seen, waiting;
    std::optional<net::Stream> stream;
  };

  net::Loop& loop_;
  const Answer answer_;
  std::uint16_t port_ = 0;
  std::list<std::unique_ptr<Line>> lines_;
  std::optional<net::Acceptor> acceptor_;
};

inline std::string Ok(const std::string& body, const std::string& headers = {}) {
  return "HTTP/1.1 200 OK\r\n" + headers + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}
inline std::string Index(int index) { return "X-Consul-Index: " + std::to_string(index) + "\r\n"; }

inline constexpr char kTooMany[] = "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

inline bool Blocks(const std::string& target) { return target.find("index=") != std::string::npos; }

}  // namespace mooring::test
