#include "proxy/http/server.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <optional>
#include <unordered_map>
#include <utility>

#include "proxy/http/host_check.h"
#include "proxy/http/parser.h"
#include "proxy/http/target.h"
#include "proxy/net/listener.h"
#include "proxy/net/stream.h"

namespace mooring::http {
namespace {

// How long a closing connection is read and dropped: closing over unread bytes would turn into a
// reset, and the client would lose the answer (RFC 9112 9.6).
constexpr net::milliseconds kLinger{1'000};

const char* ReasonOf(int status) {
  switch (status) {
    case 200: return "OK";
    case 204: return "No Content";
    case 400: return "Bad Request";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 413: return "Content Too Large";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 503: return "Service Unavailable";
    default: return "Status";
  }
}

// DateNow is RFC 9110 5.6.7's form; made by hand because strftime follows the locale.
std::string DateNow() {
  constexpr std::array kDays{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                               "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  if (gmtime_r(&now, &utc) == nullptr) return {};
  const auto two = [](int n) { return std::string(n < 10 ? "0" : "") + std::to_string(n); };
  return std::string(kDays[static_cast<std::size_t>(utc.tm_wday)]) + ", " + two(utc.tm_mday) + ' ' +
         kMonths[static_cast<std::size_t>(utc.tm_mon)] + ' ' + std::to_string(utc.tm_year + 1900) +
         ' ' + two(utc.tm_hour) + ':' + two(utc.tm_min) + ':' + two(utc.tm_sec) + " GMT";
}

std::string WireText(const ServerResponse& response, bool head, bool keep_alive) {
  std::string text = "HTTP/1.1 " + std::to_string(response.status) + ' ' +
                     ReasonOf(response.status) + "\r\nDate: " + DateNow() + "\r\n";
  for (const auto& [name, value] : response.headers) text += name + ": " + value + "\r\n";
  if (!keep_alive) text += "Connection: close\r\n";
  if (response.status != 204) {
    text += "Content-Type: " + response.content_type +
            "\r\nContent-Length: " + std::to_string(response.body.size()) + "\r\n";
  }
  text += "\r\n";
  return head || response.status == 204 ? text : text + response.body;
}

std::span<const std::uint8_t> BytesOf(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

ServerResponse ErrorResponse(int status, std::string text) {
  ServerResponse response;
  response.status = status;
  response.body = std::move(text);
  return response;
}

int StatusOf(Parser::Fault fault) {
  switch (fault) {
    case Parser::Fault::kHeaderTooLarge: return 431;
    case Parser::Fault::kBodyTooLarge: return 413;
    case Parser::Fault::kNone:
    case Parser::Fault::kMalformed:
    case Parser::Fault::kCutShort: break;
  }
  return 400;
}

}  // namespace

const std::string* ServerRequest::Query(const std::string& name) const {
  const auto found = query.find(name);
  return found == query.end() ? nullptr : &found->second;
}

class Server::Impl final {
 public:
  Impl(net::Loop& loop, net::UniqueFd listening, ServerLimits limits, Handler handler)
      : loop_(loop),
        limits_(limits),
        handler_(std::make_shared<const Handler>(std::move(handler))),
        self_(std::make_shared<Impl* const>(this)),
        acceptor_(
            loop, std::move(listening),
            {.on_accept = [this](net::UniqueFd fd,
                                 const net::SocketAddress& peer) { Accept(std::move(fd), peer); },
             .on_pause = [](int) {}}) {}

  // Alive is the server, or null once it is gone. It holds no share: a server that is destroyed
  // further down the stack must look expired.
  static Impl* Alive(const std::weak_ptr<Impl* const>& server) {
    const auto locked = server.lock();
    return locked ? *locked : nullptr;
  }

  bool Waits(std::uint64_t connection, std::uint64_t request) const {
    const auto found = connections_.find(connection);
    return found != connections_.end() && found->second->Waits(request);
  }
  void Answer(std::uint64_t connection, std::uint64_t request, ServerResponse response) {
    const auto found = connections_.find(connection);
    if (found == connections_.end()) return;
    try {
      found->second->Answer(request, std::move(response));
    } catch (...) {
      Forget(connection);
      throw;
    }
  }

 private:
  // Connection is one client. Forget destroys it, so a call of Forget is the last act of what calls
  // it.
  class Connection final : public net::StreamObserver {
   public:
    Connection(Impl& server, std::uint64_t id, net::UniqueFd fd, std::string client)
        : server_(server),
          id_(id),
          client_(std::move(client)),
          parser_(Parser::Kind::kRequest, {.header = kMaxHeader, .body = server.limits_.body}),
          timer_(server.loop_, [this] { Try([this] { OnTimer(); }); }),
          stream_(server.loop_, std::move(fd), this) {
      stream_.WantRead(true);
      timer_.Start(server.limits_.idle_time);
      idle_since_ = server.loop_.now();
    }

    // TurnAway ends the connection with `text`, whatever it was going to ask. False: it is gone.
    bool TurnAway(const std::string& text) {
      keep_alive_ = false;
      if (!stream_.Write(BytesOf(text))) return false;
      Linger();
      return true;
    }

    const std::string& client() const { return client_; }
    // Ending: it will not be asked any more.
    bool ending() const { return stage_ == Stage::kLinger; }
    bool awaits_answer() const { return stage_ == Stage::kAnswer; }
    net::MonotonicTime idle_since() const {
      return idle_since_;
    }  // the last answer, or the beginning
    bool Waits(std::uint64_t request) const {
      return stage_ == Stage::kAnswer && request == request_number_ && !early_answer_;
    }

    void Answer(std::uint64_t request, ServerResponse response) {
      if (!Waits(request)) return;
      if (in_handler_) {  // the handler's caller goes on with it
        early_answer_ = std::move(response);
        return;
      }
      if (!Transmit(response)) {
        server_.Forget(id_);
        return;
      }
      // What a pipelining client sent ahead is served from the loop: answers that wake each other
      // must not pile up on the stack.
      if (stage_ == Stage::kRequest && !ahead_.empty()) {
        server_.loop_.Post([self = std::weak_ptr(server_.self_), id = id_] {
          if (Impl* server = Alive(self)) server->GoOn(id);
        });
      }
    }

    // Serve handles every whole request among the bytes at hand. May destroy this object.
    void Serve(std::span<const std::uint8_t> in) {
      std::vector<std::uint8_t>
          held;  // `in` may lie in the loop's scratch memory, which handlers use
      while (stage_ == Stage::kRequest && !in.empty() && stream_.pending() == 0) {
        if (!parser_.begun()) timer_.Start(server_.limits_.request_time);
        const Parser::Progress progress = parser_.Feed(in);
        if (progress == Parser::Progress::kFailed) {
          Refuse(StatusOf(parser_.fault()), parser_.fault_text());
          return;
        }
        if (progress == Parser::Progress::kMore) {
          if (!InviteBody()) server_.Forget(id_);
          return;
        }
        if (held.empty() && !in.empty()) {
          held.assign(in.begin(), in.end());
          in = held;
        }
        if (!Handle()) return;
      }
      if (in.empty()) return;
      ahead_.assign(in.begin(), in.end());
      stream_.WantRead(false);
    }

    // ServeAhead goes on with what came before the last answer was out.
    void ServeAhead() {
      if (stage_ != Stage::kRequest || stream_.pending() > 0) return;
      const std::vector<std::uint8_t> rest = std::exchange(ahead_, {});
      stream_.WantRead(true);
      Serve(rest);
    }

   private:
    enum class Stage { kRequest, kAnswer, kLinger };

    // Handle passes the parsed request on. False: this object is gone or closing, touch nothing.
    bool Handle() {
      timer_.Stop();
      Message& message = parser_.message();
      keep_alive_ = message.keep_alive && !message.http_1_0;
      head_ = message.method == "HEAD";
      if (!message.http_1_0 && !message.headers.contains("host")) {
        Refuse(400, "a request without a Host header");
        return false;
      }
      const auto host = message.headers.find("host");
      if (server_.limits_.own_name && host != message.headers.end() &&
          !IsOurs(host->second, *server_.limits_.own_name)) {
        Refuse(403,
               "this Host is none of ours: ask by an IP address, as localhost, or by a name that "
               "the settings give");
        return false;
      }
      std::optional<Target> target = ParseTarget(message.target);
      if (!target) {
        Refuse(400, "the request target is malformed");
        return false;
      }
      ServerRequest request;
      if (const auto peer = net::PeerOf(stream_.fd())) request.user = peer->uid;
      request.method = std::move(message.method);
      request.path = std::move(target->path);
      request.query = std::move(target->query);
      request.headers = std::move(message.headers);
      request.body = std::move(message.body);
      parser_.Reset();
      invited_ = false;
      stage_ = Stage::kAnswer;
      ++request_number_;
      in_handler_ = true;
      const std::weak_ptr<Impl* const> alive = server_.self_;
      const std::shared_ptr<const Handler> handler =
          server_.handler_;  // outlives a server that it destroys
      (*handler)(request, Reply(alive, id_, request_number_));
      if (alive.expired()) return false;
      in_handler_ = false;
      if (!early_answer_) return true;
      const ServerResponse response = *std::exchange(early_answer_, std::nullopt);
      if (Transmit(response)) return stage_ == Stage::kRequest;
      server_.Forget(id_);
      return false;
    }

    // Transmit sends an answer. False: the client is gone.
    bool Transmit(const ServerResponse& response) {
      if (!stream_.Write(BytesOf(WireText(response, head_, keep_alive_)))) return false;
      if (!keep_alive_) {
        Linger();
        return true;
      }
      stage_ = Stage::kRequest;
      idle_since_ = server_.loop_.now();
      timer_.Start(stream_.pending() > 0 ? server_.limits_.answer_time : server_.limits_.idle_time);
      // One answer at a time: a client that does not read them must not make them pile up.
      stream_.WantRead(stream_.pending() == 0 && ahead_.empty());
      return true;
    }

    // Refuse answers what cannot be served and closes.
    void Refuse(int status, const std::string& why) {
      keep_alive_ = false;
      if (!Transmit(ErrorResponse(status, why + "\n"))) server_.Forget(id_);
    }

    void Linger() {
      stage_ = Stage::kLinger;
      stream_.EndWrite();
      stream_.WantRead(true);
      timer_.Start(stream_.pending() > 0 ? server_.limits_.answer_time : kLinger);
    }

    // InviteBody answers "Expect: 100-continue". False: the client is gone.
    bool InviteBody() {
      if (!parser_.header_done() || invited_) return true;
      invited_ = true;
      const auto expect = parser_.message().headers.find("expect");
      if (expect == parser_.message().headers.end() || expect->second != "100-continue")
        return true;
      return stream_.Write(BytesOf("HTTP/1.1 100 Continue\r\n\r\n"));
    }

    // Try takes a step. A client for whom memory runs out in the middle is forgotten, if the step
    // has not done that already.
    template <typename Step>
    void Try(const Step& step) {
      const std::weak_ptr<Impl* const> server = server_.self_;
      const std::uint64_t id = id_;
      try {
        step();
      } catch (...) {
        if (Impl* alive = Alive(server)) alive->Forget(id);
        throw;  // to the keeper of the loop, who says so
      }
    }

    void OnReadable(net::Stream&) override {
      Try([this] { GoOn(); });
    }

    void GoOn() {
      if (stage_ == Stage::kLinger) {
        if (stream_.Discard()) server_.Forget(id_);
        return;
      }
      const net::Stream::ReadResult read = stream_.Read();
      switch (read.status) {
        case net::Stream::ReadStatus::kAgain: return;
        case net::Stream::ReadStatus::kData:
          if (stage_ == Stage::kAnswer) {
            ahead_.insert(ahead_.end(), read.bytes.begin(), read.bytes.end());
            stream_.WantRead(false);  // one burst ahead is enough
            return;
          }
          Serve(read.bytes);
          return;
        case net::Stream::ReadStatus::kEnd:
        case net::Stream::ReadStatus::kTruncated:
        case net::Stream::ReadStatus::kFailed:
          // An answer that the client has stopped waiting for is of no use to anyone.
          server_.Forget(id_);
          return;
      }
    }

    void OnDrained(net::Stream&) override {
      Try([this] { GoOnWriting(); });
    }

    void GoOnWriting() {
      if (stage_ == Stage::kLinger) {
        timer_.Start(kLinger);
      } else if (stage_ == Stage::kRequest && !parser_.begun()) {
        timer_.Start(server_.limits_.idle_time);
        idle_since_ = server_.loop_.now();
        ServeAhead();
      }
    }

    void OnBroken(net::Stream&) override { server_.Forget(id_); }

    void OnTimer() {
      if (stage_ == Stage::kRequest && parser_.begun()) {
        Refuse(408, "the request took too long");
        return;
      }
      server_.Forget(id_);
    }

    Impl& server_;
    const std::uint64_t id_;
    const std::string client_;  // its IP address
    Parser parser_;
    net::Timer timer_;
    net::Stream stream_;
    Stage stage_ = Stage::kRequest;
    std::uint64_t request_number_ = 0;
    std::optional<ServerResponse> early_answer_;  // given inside the handler
    std::vector<std::uint8_t> ahead_;             // bytes of later requests; at most a burst or two
    net::MonotonicTime idle_since_;
    bool in_handler_ = false;
    bool keep_alive_ = true;
    bool head_ = false;
    bool invited_ = false;
  };

  void Accept(net::UniqueFd fd, const net::SocketAddress& peer) {
    const std::string client = peer.family() == AF_UNIX ? "" : peer.Host();
    const bool too_many =
        limits_.per_client > 0 && !client.empty() && ConnectionsOf(client) >= limits_.per_client;
    if (connections_.size() >= limits_.connections && !MakeRoom()) return;
    const std::uint64_t id = ++last_id_;
    Connection& made =
        *connections_.emplace(id, std::make_unique<Connection>(*this, id, std::move(fd), client))
             .first->second;
    if (too_many && !made.TurnAway(limits_.too_many)) Forget(id);
  }

  std::size_t ConnectionsOf(const std::string& client) const {
    return static_cast<std::size_t>(
        std::count_if(connections_.begin(), connections_.end(), [&](const auto& entry) {
          return entry.second->client() == client && !entry.second->ending();
        }));
  }

  // MakeRoom ends the connection that has been without a whole request for longest, so that clients
  // who send none cannot keep others out.
  bool MakeRoom() {
    auto oldest = connections_.end();
    for (auto it = connections_.begin(); it != connections_.end(); ++it) {
      if (it->second->awaits_answer()) continue;
      if (oldest == connections_.end() || it->second->idle_since() < oldest->second->idle_since()) {
        oldest = it;
      }
    }
    if (oldest == connections_.end()) return false;
    connections_.erase(oldest);
    return true;
  }

  void Forget(std::uint64_t id) { connections_.erase(id); }

  void GoOn(std::uint64_t id) {
    const auto found = connections_.find(id);
    if (found == connections_.end()) return;
    try {
      found->second->ServeAhead();
    } catch (...) {
      Forget(id);
      throw;
    }
  }

  net::Loop& loop_;
  const ServerLimits limits_;
  std::shared_ptr<const Handler> handler_;
  std::shared_ptr<Impl* const> self_;  // what a Reply looks for
  std::unordered_map<std::uint64_t, std::unique_ptr<Connection>> connections_;
  std::uint64_t last_id_ = 0;
  net::Acceptor acceptor_;
};

void Server::Reply::operator()(ServerResponse response) const {
  if (Impl* server = Impl::Alive(server_))
    server->Answer(connection_, request_, std::move(response));
}

bool Server::Reply::gone() const {
  const Impl* server = Impl::Alive(server_);
  return server == nullptr || !server->Waits(connection_, request_);
}

Server::Server(net::Loop& loop, net::UniqueFd listening, ServerLimits limits, Handler handler)
    : impl_(std::make_unique<Impl>(loop, std::move(listening), limits, std::move(handler))) {}
Server::~Server() = default;

}  // namespace mooring::http
