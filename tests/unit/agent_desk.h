// Desk: a scripted agent on loopback, for what a real one cannot be made to say, and for counting
// its connections. AtDesk: a client of it.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "proxy/config/settings.h"
#include "proxy/control/agent.h"
#include "proxy/log/log.h"
#include "proxy/net/listener.h"
#include "proxy/net/stream.h"
#include "tests/unit/http_fixture.h"

namespace mooring::test {

// Desk answers requests by their target: `answer` gives the whole answer, nothing for never, or
// kHangUp.
class Desk final {
 public:
  static constexpr char kHangUp[] = "hang up";  // the connection ends without a word
  struct Question {
    std::string method, target, body, token;
    net::MonotonicTime at;
  };
  using Answer = std::function<std::string(const std::string& target)>;
  Desk(net::Loop& loop, Answer answer) : loop_(loop), answer_(std::move(answer)) {
    auto listening = net::Listen(Loopback());
    REQUIRE(listening);
    port_ = net::SocketAddress::LocalOf(listening->get()).port();
    acceptor_.emplace(loop, std::move(*listening),
                      net::Acceptor::Callbacks{
                          .on_accept =
                              [this](net::UniqueFd fd, const net::SocketAddress&) {
                                ++accepted;
                                lines_.push_back(std::make_unique<Line>(*this, std::move(fd)));
                                most = std::max(most, Open());
                              },
                          .on_pause = [](int) {}});
  }
  std::size_t Open() const {
    return static_cast<std::size_t>(std::count_if(
        lines_.begin(), lines_.end(), [](const auto& line) { return line->stream.has_value(); }));
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
  // All are the questions, in order, whose target has `part`.
  std::vector<Question> All(const std::string& part) const {
    std::vector<Question> found;
    std::copy_if(
        questions.begin(), questions.end(), std::back_inserter(found),
        [&](const Question& question) { return question.target.find(part) != std::string::npos; });
    return found;
  }
  std::size_t Asked(const std::string& part) const { return All(part).size(); }

  std::size_t accepted = 0, most = 0;
  std::vector<Question> questions;

 private:
  struct Line final : net::StreamObserver {
    Line(Desk& owner, net::UniqueFd fd)
        : desk(owner),
          stream(std::in_place, desk.loop_, std::move(fd),
                 static_cast<net::StreamObserver*>(this)) {
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
      const std::size_t head = seen.find("\r\n\r\n");
      if (head == std::string::npos) return;
      const std::string length = FieldOf(seen.substr(0, head), "\r\nContent-Length: ");
      if (!length.empty() && seen.size() < head + 4 + std::stoul(length)) return;
      const std::size_t from = seen.find(' ') + 1;
      waiting = seen.substr(from, seen.find(' ', from) - from);
      desk.questions.push_back({seen.substr(0, from - 1), waiting, seen.substr(head + 4),
                                FieldOf(seen.substr(0, head), "\r\nx-consul-token: "),
                                desk.loop_.now()});
      seen.clear();
      const std::string answer = desk.answer_(waiting);
      if (!answer.empty()) Say(answer);
    }
    // FieldOf takes the names as our client writes them.
    static std::string FieldOf(const std::string& head, const std::string& name) {
      const std::size_t at = head.find(name);
      return at == std::string::npos
                 ? std::string()
                 : head.substr(at + name.size(), head.find('\r', at + 2) - at - name.size());
    }
    void Say(const std::string& text) {
      waiting.clear();
      if (text != kHangUp)
        (void)stream->Write({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
      if (text == kHangUp || text.find("Connection: close") != std::string::npos) stream.reset();
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

inline std::string Says(int status, const std::string& body, const std::string& headers = {}) {
  return "HTTP/1.1 " + std::to_string(status) + " Status\r\n" + headers +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}
inline std::string Ok(const std::string& body, const std::string& headers = {}) {
  return Says(200, body, headers);
}
inline std::string Index(int index) { return "X-Consul-Index: " + std::to_string(index) + "\r\n"; }

inline constexpr char kBroken[] = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";
inline constexpr char kTooMany[] =
    "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

inline bool Blocks(const std::string& target) { return target.find("index=") != std::string::npos; }

// AtDesk is one service's access to such an agent, and what that needs. A Clock, if there is one,
// is made before it.
struct AtDesk {
  explicit AtDesk(Desk::Answer answer, log::Level level = log::Level::kError)
      : log(level, false), desk(loop, std::move(answer)) {
    auto made = control::AgentLink::Make(loop, log, desk.settings());
    REQUIRE(made);
    link = std::move(*made);
    agent = *control::Agent::Make(*link, {});
  }

  net::Loop loop;
  log::Log log;
  Desk desk;
  std::unique_ptr<control::AgentLink> link;
  std::unique_ptr<control::Agent> agent;
};

}  // namespace mooring::test
