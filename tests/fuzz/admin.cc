// admin: the admin port and the metrics port, over real sockets: requests of choices and of any
// bytes, in pieces, by clients that end when they like, and sources that answer late or never.
//
// Each answer is HTTP, and answers a request that was one; what changes something is done for those
// alone who may ask for it; and whoever comes by another's name is not let in.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/admin/admin.h"
#include "proxy/http/host_check.h"
#include "proxy/http/parser.h"
#include "proxy/http/target.h"
#include "tests/fuzz/fixtures.h"
#include "tests/fuzz/targets.h"
#include "tests/unit/http_fixture.h"
#include "tests/unit/test_clock.h"

namespace mooring::fuzz {
namespace {

using admin::Admin;
using http::Message;
using http::Parser;
using net::UniqueFd;

const UniqueFd& Door() {
  static const UniqueFd& door = *new UniqueFd([] {
    auto opened = net::Listen(test::Loopback());
    FUZZ_REQUIRE(opened.has_value(), opened ? "" : opened.error().message);
    return std::move(*opened);
  }());
  return door;
}

struct Client {
  UniqueFd fd;
  std::string sent, got;
};

bool Has(const Message& message, const char* name, std::string_view value) {
  const auto found = message.headers.find(name);
  return found != message.headers.end() && found->second == value;
}

// All whole messages of a stream, in their order.
std::vector<Message> Requests(const std::string& bytes) {
  std::vector<Message> messages;
  Parser parser(Parser::Kind::kRequest, {});
  for (Input rest = BytesOf(bytes); !rest.empty();) {
    if (parser.Feed(rest) != Parser::Progress::kDone) break;
    messages.push_back(parser.message());
    parser.Reset();
  }
  return messages;
}

class World final {
 public:
  World(Script script, Admin::Port port) : script_(script), port_(port) {
    UniqueFd door(fcntl(Door().get(), F_DUPFD_CLOEXEC, 0));
    admin_.emplace(loop_, std::move(door), port, "mine.example", Sources());
  }

  void Run() {
    for (int left = 100; left > 0 && !script_.AtEnd(); --left) Act();
    for (auto& done : std::exchange(waiting_, {})) done();
    for (int left = 8; left > 0; --left) Turn();
    std::size_t drains = 0;
    std::size_t diffs = 0;
    for (Client& client : clients_) {
      Take(client);
      const std::vector<Message> requests = Requests(client.sent);
      for (const Message& request : requests) {
        const auto target = http::ParseTarget(request.target);
        if (!target || request.method != "POST" || !IsWelcome(request)) continue;
        if (target->path == "/drain" && Has(request, "x-mooring", "drain") &&
            request.headers.count("origin") == 0)
          ++drains;
        if (target->path == "/diff" && Has(request, "content-type", "application/yaml")) ++diffs;
      }
      CheckAnswers(client, requests);
    }
    FUZZ_REQUIRE(drained_ <= drains, "a drain is for who may ask for it");
    FUZZ_REQUIRE(compared_ <= diffs, "a difference is for who may ask for it");
    clients_.clear();
    admin_.reset();
    waiting_.clear();
    Turn();
  }

 private:
  // What a source answers, at once, later, or never.
  template <typename Done, typename Answer>
  void Later(Done done, Answer answer) {
    switch (late_) {
      case 0: return done(std::move(answer));
      case 1: return waiting_.push_back([done, answer] { done(answer); });
      default: return;
    }
  }

  Admin::Sources Sources() {
    const auto list = [this](const std::string&, const admin::Slice& slice,
                             const Admin::Sources::Done& done) {
      FUZZ_REQUIRE(slice.limit <= admin::Slice::kMostLimit, "a slice is bounded");
      FUZZ_REQUIRE(slice.offset <= admin::Slice::kMostOffset, "a slice is bounded");
      Later(done, Result<std::string>(std::string("[]")));
    };
    Admin::Sources sources;
    sources.knows = [](const std::string& service) { return service.empty() || service == "web"; };
    sources.names = [] { return std::vector<std::string>{"web", "b\xc3\xa9\x1b"}; };
    sources.not_ready = [this](const std::string&) {
      return late_ == 2 ? std::vector<std::string>{"no\nidentity"} : std::vector<std::string>{};
    };
    sources.degraded = [](const std::string&) { return std::vector<std::string>{"x\r\ny: z"}; };
    sources.status_json = [](const std::string&) { return std::string("{}"); };
    sources.brief_json = [](const std::string&, const admin::Slice&) { return std::string("{}"); };
    sources.connections = sources.traffic = sources.recent = list;
    sources.why = [this](const std::string& source, const std::string& destination,
                         const Admin::Sources::Done& done) {
      FUZZ_REQUIRE(!source.empty() && !destination.empty(), "two names");
      Later(done, Result<std::string>(Invalid("not\r\nknown")));
    };
    sources.tap = [this](const Admin::TapRequest& request, const Admin::DocumentDone& done) {
      FUZZ_REQUIRE(request.id != 0, "a connection");
      (void)request.gone();
      Later(done, Result<Admin::Document>(Admin::Document{"application/octet-stream", "tapped"}));
    };
    sources.diff = [this](const std::string& file, const std::string&) -> Result<std::string> {
      ++compared_;
      FUZZ_REQUIRE(file.starts_with('/'), file);
      return std::string("{}");
    };
    sources.drain = [this](bool unix_socket) {
      ++drained_;
      FUZZ_REQUIRE(!unix_socket && port_ == Admin::Port::kAdmin, "not at this port");
      return Ok();
    };
    sources.metrics = [](const std::string&, const std::string&) {
      return Admin::Document{"text/plain", "mooring 1\n"};
    };
    return sources;
  }

  void Turn() {
    loop_.Defer([this] { loop_.Stop(); });
    loop_.Run();
  }

  void Act() {
    const std::uint8_t what = script_.Byte();
    Client* client = nullptr;
    if (!clients_.empty()) {
      auto at = clients_.begin();
      std::advance(at, (what >> 4U) % clients_.size());
      client = &*at;
    }
    late_ = what >> 4U & 3U;
    switch (what % 12) {
      case 0:
        if (clients_.size() < 4) {
          auto start = net::StartConnect(net::SocketAddress::LocalOf(Door().get()));
          FUZZ_REQUIRE(start.error == 0, "loopback takes a connection");
          clients_.push_back({std::move(start.fd), {}, {}});
        }
        break;
      case 1:
      case 2:
      case 3:
        if (client != nullptr) Send(*client, RequestOfChoices());
        break;
      case 4:
        if (client != nullptr) Send(*client, script_.Text());
        break;
      case 5:
        if (client != nullptr && client->fd) (void)shutdown(client->fd.get(), SHUT_WR);
        break;
      case 6:
        if (client != nullptr) {
          Take(*client);
          if ((what & 128U) != 0) net::SetResetOnClose(client->fd.get());
          client->fd.Reset();
        }
        break;
      case 7:
        for (auto& done : std::exchange(waiting_, {})) done();
        break;
      case 8: {
        static constexpr std::array<int, 4> kTimes = {100, 5'000, 30'000, 61'000};
        clock_.Skip(loop_, net::milliseconds(kTimes[what >> 4U & 3U]));
        break;
      }
      default:
        if (client != nullptr) Take(*client);
        break;
    }
    Turn();
  }

  std::string RequestOfChoices() {
    static constexpr std::array<const char*, 5> kMethods = {"GET", "POST", "HEAD", "PUT",
                                                            "OPTIONS"};
    static constexpr std::array<const char*, 16> kPaths = {"/",
                                                           "/live",
                                                           "/ready",
                                                           "/status",
                                                           "/status?brief=1&limit=5",
                                                           "/connections",
                                                           "/traffic",
                                                           "/diff?file=/x",
                                                           "/recent",
                                                           "/metrics",
                                                           "/drain",
                                                           "/tap?id=7&ms=-1&bytes=x",
                                                           "/why?source=a&destination=b",
                                                           "/tap?id=1",
                                                           "/diff",
                                                           "/connections?service=web&limit=501"};
    static constexpr std::array<const char*, 6> kHosts = {"localhost",    "127.0.0.1:80", "[::1]",
                                                          "mine.example", "evil.example", ""};
    std::string request = script_.OneOf(kMethods);
    request += " ";
    request += script_.OneOf(kPaths);
    const std::uint8_t more = script_.Byte();
    if ((more & 1U) != 0) request += "&match=" + script_.Text();
    request += (more & 2U) != 0 ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n";
    request += std::string("Host: ") + script_.OneOf(kHosts) + "\r\n";
    if ((more & 4U) != 0) request += "X-Mooring: drain\r\n";
    if ((more & 8U) != 0) request += "Origin: http://evil.example\r\n";
    if ((more & 16U) != 0) request += "Content-Type: application/yaml\r\n";
    if ((more & 32U) != 0) request += "Content-Length: 3\r\n";
    if ((more & 64U) != 0) request += script_.Text() + "\r\n";
    request += "\r\n";
    if ((more & 32U) != 0) request += "a: 1";
    return request;
  }

  static void Send(Client& client, const std::string& bytes) {
    if (!client.fd) return;
    const ssize_t sent =
        send(client.fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) client.sent.append(bytes, 0, static_cast<std::size_t>(sent));
  }
  static void Take(Client& client) {
    std::array<char, 65536> room;
    ssize_t got = 0;
    while (client.fd && (got = recv(client.fd.get(), room.data(), room.size(), MSG_DONTWAIT)) > 0)
      client.got.append(room.data(), static_cast<std::size_t>(got));
  }

  bool IsWelcome(const Message& request) const {
    if (port_ == Admin::Port::kMetrics) return true;
    const auto host = request.headers.find("host");
    // HTTP/1.0 has none; no page can ask so.
    return host == request.headers.end() || http::IsOurs(host->second, "mine.example");
  }

  // CheckAnswers: each is whole but for the last, and the first answers the first request.
  void CheckAnswers(const Client& client, const std::vector<Message>& requests) const {
    Parser parser(Parser::Kind::kResponse, {});
    std::size_t number = 0;
    // An answer to a HEAD ends with its header. One of a time that is over answers no request: what
    // was sent meanwhile may not have been read.
    const auto has_no_body = [&](Input rest) {
      static constexpr std::string_view kTimeOver = "HTTP/1.1 408 ";
      return number < requests.size() && requests[number].method == "HEAD" &&
             !std::ranges::equal(rest.first(std::min(rest.size(), kTimeOver.size())), kTimeOver);
    };
    parser.Reset(has_no_body(BytesOf(client.got)));
    for (Input rest = BytesOf(client.got); !rest.empty();) {
      const Parser::Progress progress = parser.Feed(rest);
      FUZZ_REQUIRE(progress != Parser::Progress::kFailed, client.got);
      if (progress != Parser::Progress::kDone) break;
      const Message& answer = parser.message();
      // One more than there are: what is no request is told so.
      FUZZ_REQUIRE(number <= requests.size(), client.got);
      if (answer.status < 300) {
        FUZZ_REQUIRE(number < requests.size(), client.got);
        FUZZ_REQUIRE(IsWelcome(requests[number]), client.got);
      }
      FUZZ_REQUIRE(answer.headers.count("x-content-type-options") == 1 || answer.status >= 400,
                   client.got);
      ++number;
      parser.Reset(has_no_body(rest));
    }
  }

  Script script_;
  const Admin::Port port_;
  test::Clock clock_;
  net::Loop loop_;
  std::optional<Admin> admin_;
  std::list<Client> clients_;
  std::vector<std::function<void()>> waiting_;
  unsigned late_ = 0;
  std::size_t drained_ = 0;
  std::size_t compared_ = 0;
};

}  // namespace

void admin(Input input) {
  AllowFixtures();
  Script script(input);
  const bool metrics = script.Flag();
  World(script, metrics ? Admin::Port::kMetrics : Admin::Port::kAdmin).Run();
  // Whoever the kernel has taken meanwhile is no client of the next input.
  for (;;) {
    const UniqueFd fd(accept4(Door().get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) break;
  }
}

}  // namespace mooring::fuzz
