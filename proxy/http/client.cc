#include "proxy/http/client.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "proxy/http/parser.h"
#include "proxy/net/resolver.h"
#include "proxy/net/scratch.h"
#include "proxy/net/socket.h"
#include "proxy/net/stream.h"
#include "proxy/version.h"
#include "tls/cleanse.h"
#include "tls/session.h"

namespace mooring::http {
namespace {

// One address gets this long for TCP and TLS together, so that a black hole among several does not
// use up a long poll's deadline.
constexpr net::milliseconds kConnectTimeout{5'000};

std::span<const std::uint8_t> BytesOf(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

bool IsTokenByte(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         (c != '\0' && std::strchr("!#$%&'*+-.^_`|~", c) != nullptr);
}

bool IsToken(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsTokenByte);
}

bool IsVisible(char c) { return c > ' ' && c < 0x7f; }
// Bytes above 0x7f are "obs-text" (RFC 9110 5.5): plain char may be signed.
bool IsValueByte(char c) { return c == '\t' || c == ' ' || IsVisible(c) || (c & 0x80) != 0; }

// FaultOf names what would break the framing of the request; empty if nothing does. It repeats no
// value: one of them is a token.
std::string FaultOf(const Request& request) {
  if (!IsToken(request.method)) return "the method is not a token";
  if (request.target.empty() || request.target.front() != '/' ||
      !std::all_of(request.target.begin(), request.target.end(), IsVisible)) {
    return "the target is not a path of printable ASCII";
  }
  for (const auto& [name, value] : request.headers) {
    if (!IsToken(name)) return "a header name is not a token";
    if (!std::all_of(value.begin(), value.end(), IsValueByte)) {
      return "header " + name + " holds a control character";
    }
  }
  return {};
}

std::string HostOf(const net::Address& address) {
  return address.kind == net::Address::Kind::kUnix ? "localhost" : address.Text();
}

std::string WireText(const Request& request, const net::Address& address) {
  std::string text = request.method + ' ' + request.target +
                     " HTTP/1.1\r\nHost: " + HostOf(address) + "\r\nUser-Agent: mooring/" +
                     kVersion + "\r\nAccept-Encoding: identity\r\n";
  if (!request.body.empty() || (request.method != "GET" && request.method != "HEAD")) {
    text += "Content-Length: " + std::to_string(request.body.size()) + "\r\n";
  }
  for (const auto& [name, value] : request.headers) text += name + ": " + value + "\r\n";
  return text + "\r\n" + request.body;
}

// IsTlsRecord: bytes of a handshake or an alert (RFC 8446 5.1), as what speaks TLS answers to who
// does not.
bool IsTlsRecord(std::span<const std::uint8_t> bytes) {
  constexpr std::uint8_t kAlert = 21;
  constexpr std::uint8_t kHandshake = 22;
  constexpr std::uint8_t kMajor = 3;
  return bytes.size() > 1 && (bytes[0] == kAlert || bytes[0] == kHandshake) && bytes[1] == kMajor;
}

// MayRepeat: doing it twice is doing it once (RFC 9110 9.2.2), so it may go out on a connection
// that the other side may just be closing. Anything else gets a fresh one.
bool MayRepeat(const std::string& method) {
  return method == "GET" || method == "HEAD" || method == "PUT" || method == "DELETE" ||
         method == "OPTIONS";
}

}  // namespace

const std::string* Response::Header(const std::string& lower_case_name) const {
  const auto found = headers.find(lower_case_name);
  return found == headers.end() ? nullptr : &found->second;
}

class Client::Impl final : public net::StreamObserver {
 public:
  using Trouble = Client::Trouble;

  Impl(net::Loop& loop, Endpoint endpoint)
      : loop_(loop),
        endpoint_(std::move(endpoint)),
        resolver_(loop),
        deadline_(loop, [this] { Try([this] { OnDeadline(); }); }),
        attempt_(loop, [this] { Try([this] { OnAttemptTimeout(); }); }),
        parser_(Parser::Kind::kResponse, {kMaxHeader, endpoint_.max_body}) {}

  void Send(Request request, Callback callback) {
    Cancel();
    request_ = std::move(request);
    callback_ = std::move(callback);
    retried_ = false;
    trouble_ = Trouble::kNone;
    try {
      Start();
    } catch (...) {  // the callback never runs inside Send
      CloseAll();
      stage_ = Stage::kStarved;
      deadline_.Start(net::milliseconds{0});
    }
  }
  void Cancel() {
    if (!busy()) return;
    CloseAll();
    callback_ = nullptr;
    stage_ = Stage::kIdle;
    deadline_.Stop();
  }

  bool busy() const { return stage_ != Stage::kIdle; }
  bool connected() const { return stream_ && (stage_ == Stage::kIdle || stage_ == Stage::kAnswer); }
  Trouble trouble() const { return trouble_; }

  void CloseIdle() {
    if (!busy()) CloseAll();
  }

  void SetEndpoint(Endpoint endpoint) {
    endpoint_ = std::move(endpoint);
    if (!busy()) CloseAll();
    // A request under way goes on where it is; its connection is not kept afterwards.
    stale_endpoint_ = busy();
  }

 private:
  enum class Stage { kIdle, kRefused, kStarved, kResolving, kConnecting, kTls, kAnswer };

  // Everything below that ends a request calls the callback last: it may destroy this object.

  // Try takes a step of the request. Where memory runs out in the middle, the request has failed.
  template <typename Step>
  void Try(const Step& step) noexcept {
    try {
      step();
    } catch (...) {
      GiveUp();
    }
  }

  void GiveUp() noexcept {
    CloseAll();
    if (busy()) Tell(Error{ErrorCode::kUnavailable, "out of memory"});  // short enough to need none
  }

  // Tell ends the request. What escapes from the callback is none of this object's business, which
  // may be gone by then.
  void Tell(Result<Response> answer) noexcept {
    stage_ = Stage::kIdle;
    deadline_.Stop();
    const Callback callback = std::exchange(callback_, nullptr);
    loop_.Attend(nullptr, [&] { callback(std::move(answer)); });
  }

  // Start begins with what Send has been given.
  void Start() {
    refusal_ = FaultOf(request_);
    if (!refusal_.empty()) {
      stage_ = Stage::kRefused;
      deadline_.Start(net::milliseconds{0});
      return;
    }
    deadline_.Start(request_.deadline);
    if (!stream_ || !(request_.repeatable || MayRepeat(request_.method))) {
      Open();
      return;
    }
    reused_ = true;
    Await();
    if (!Transmit()) Open();
  }

  void CloseAll() {
    ++generation_;  // a look-up under way answers into the void
    poller_.reset();
    connecting_.Reset();
    stream_.reset();
    attempt_.Stop();
  }

  // Open begins a fresh connection; never calls back from inside.
  void Open() {
    CloseAll();
    reused_ = false;
    stale_endpoint_ = false;
    last_failure_.clear();
    stage_ = Stage::kResolving;
    resolver_.Resolve(endpoint_.address, [this, generation = generation_](auto found) {
      if (generation != generation_) return;
      Try([&] {
        if (!found) {
          trouble_ = Trouble::kUnreachable;
          Fail(found.error().message);
          return;
        }
        addresses_ = *std::move(found);
        next_address_ = 0;
        ConnectNext();
      });
    });
  }

  void ConnectNext() {
    poller_.reset();
    connecting_.Reset();
    stream_.reset();
    attempt_.Stop();
    while (next_address_ < addresses_.size()) {
      const net::SocketAddress& address = addresses_[next_address_++];
      stage_ = Stage::kConnecting;
      net::ConnectStart start = net::StartConnect(address);
      if (start.error != 0) {
        // Made, and reset within the call: the kernel has thrown away what came.
        if (start.error == ECONNRESET) trouble_ = Trouble::kUnanswered;
        NoteFailure(std::strerror(start.error));
        continue;
      }
      attempt_.Start(kConnectTimeout);
      connecting_ = std::move(start.fd);
      if (!start.in_progress) {
        OnConnected();
        return;
      }
      poller_.emplace(loop_, connecting_.get(), [this](net::Poller::Ready ready) {
        const int error = ready.refused != 0 ? ready.refused : net::PendingError(connecting_.get());
        // A connection that was made, and ended before we saw it, may hold an answer.
        const bool ended = error == ECONNRESET || error == EPIPE;
        Try([&] {
          if (!ended && (error != 0 || ready.error)) {
            AttemptFailed(error != 0 ? std::strerror(error) : "connecting failed");
          } else {
            OnConnected();
          }
        });
      });
      poller_->Set(net::Poller::kWrite);
      return;
    }
    if (trouble_ == Trouble::kNone) trouble_ = Trouble::kUnreachable;
    Fail(last_failure_);
  }

  void NoteFailure(const std::string& why) {
    const std::string address = addresses_[next_address_ - 1].Text();
    if (!last_failure_.empty()) last_failure_ += "; ";
    last_failure_ += (address == endpoint_.address.Text() ? "" : address + ": ") + why;
  }

  void AttemptFailed(const std::string& why) {
    NoteFailure(why);
    ConnectNext();
  }

  void OnConnected() {
    poller_.reset();
    stream_.emplace(loop_, std::move(connecting_), this);
    if (!endpoint_.https) {
      attempt_.Stop();
      Begin();
      return;
    }
    stage_ = Stage::kTls;
    stream_->StartTls(tls::Session::ConnectHttps(endpoint_.https, endpoint_.verify_name.empty()
                                                                      ? endpoint_.address.host
                                                                      : endpoint_.verify_name));
    stream_->WantRead(true);
    GoOnWithTls(false);
  }

  void GoOnWithTls(bool readable) {
    switch (stream_->Handshake(readable)) {
      case tls::Progress::kWantInput: return;
      case tls::Progress::kDone:
        attempt_.Stop();
        Begin();
        return;
      case tls::Progress::kClosed:
      case tls::Progress::kFailed:
        trouble_ = stream_->session()->failure() == tls::Failure::kNone ? Trouble::kUnanswered
                                                                        : Trouble::kNoTls;
        AttemptFailed("TLS handshake: " + StreamFailure("the connection was closed"));
        return;
    }
  }

  void Begin() {
    trouble_ = Trouble::kNone;  // another address may have been tried before
    Await();
    // Who turns us away says so before it has read anything, and may reset the connection behind
    // it: what is sent then could cost us the answer.
    if (!ReadAnswer() || parser_.begun()) return;
    // Behind a failed write, too, there may be an answer.
    if (!Transmit()) ReadAnswer();
  }

  void Await() {
    stage_ = Stage::kAnswer;
    transmitted_ = false;
    parser_.Reset(request_.method == "HEAD");
    stream_->WantRead(true);
  }

  // Transmit sends the request on the open stream. False: the stream has failed.
  bool Transmit() {
    transmitted_ = true;
    return stream_->Write(BytesOf(WireText(request_, endpoint_.address)));
  }

  // StreamFailure says why the stream ended; `otherwise` if it does not know.
  std::string StreamFailure(const std::string& otherwise) {
    const tls::Session* session = stream_->session();
    if (session != nullptr && session->failure() != tls::Failure::kNone) {
      return session->failure_text().empty() ? tls::FailureName(session->failure())
                                             : session->failure_text();
    }
    return stream_->error() != 0 ? std::strerror(stream_->error()) : otherwise;
  }

  // Broken is that of the connection of a request.
  std::string Broken() {
    const bool reset = stream_->error() == ECONNRESET;
    const std::string why = StreamFailure("the connection broke");
    if (!reset) return why;
    return std::string("the connection was reset ") +
           (parser_.begun() ? "inside the answer (" : "without an answer (") + why + ')';
  }

  void OnReadable(net::Stream&) override {
    Try([this] { GoOn(); });
  }

  void GoOn() {
    switch (stage_) {
      case Stage::kTls: GoOnWithTls(true); return;
      case Stage::kAnswer: ReadAnswer(); return;
      case Stage::kIdle:
      case Stage::kRefused:
      case Stage::kStarved:
      case Stage::kResolving:
      case Stage::kConnecting:
        // The other side closes the idle connection or speaks out of turn; records of TLS itself
        // are kAgain.
        if (stream_->Read().status != net::Stream::ReadStatus::kAgain) stream_.reset();
        return;
    }
  }

  void OnDrained(net::Stream&) override {}

  void OnBroken(net::Stream&) override {
    Try([this] { Break(); });
  }

  void Break() {
    if (stage_ == Stage::kTls) {
      AttemptFailed(StreamFailure("the connection broke"));
    } else if (stage_ == Stage::kAnswer) {
      ReadAnswer();  // what came before it broke
    } else {
      stream_.reset();
    }
  }

  // ReadAnswer takes what is there. False: the request is over, and this object may be gone.
  bool ReadAnswer() {
    do {
      const net::Stream::ReadResult read = stream_->Read();
      switch (read.status) {
        case net::Stream::ReadStatus::kAgain: return true;
        case net::Stream::ReadStatus::kData: {
          std::span<const std::uint8_t> in = read.bytes;
          const bool first = !parser_.begun();
          const bool tls = first && !endpoint_.https && IsTlsRecord(in);
          const Parser::Progress progress = parser_.Feed(in);
          // Memory of the loop that is never freed: a private key would stay in it.
          for (const std::span<std::uint8_t> scratch :
               {loop_.scratch().cipher(), loop_.scratch().plain()}) {
            tls::Cleanse(scratch.first(std::min(read.bytes.size(), scratch.size())));
          }
          if (progress == Parser::Progress::kFailed) {
            if (first && parser_.fault() == Parser::Fault::kMalformed && !parser_.header_done())
              trouble_ = tls ? Trouble::kSpeaksTls : Trouble::kNotHttp;
            Fail(tls ? "TLS came in answer to plain HTTP" : parser_.fault_text());
            return false;
          }
          if (progress == Parser::Progress::kDone) {
            if (!transmitted_ && parser_.message().status < 400) {
              Fail("an answer to nothing: it came before the request");
            } else {
              Done(in.empty());
            }
            return false;
          }
          break;
        }
        case net::Stream::ReadStatus::kEnd:
          if (parser_.End() == Parser::Progress::kDone) {
            Done(false);
          } else {
            Lost(parser_.fault_text());
          }
          return false;
        case net::Stream::ReadStatus::kTruncated:
          Lost(parser_.begun() ? "the TLS connection was cut off inside the answer"
                               : "the TLS connection was cut off without an answer");
          return false;
        case net::Stream::ReadStatus::kFailed: Lost(Broken()); return false;
      }
    } while (stream_->BufferedInput());
    return true;
  }

  // Lost ends the connection under a request. On a kept-alive one that has not answered a byte, the
  // other side had closed it before the request came: that is no answer, and the request goes out
  // once more. A blocking query has failed instead.
  void Lost(const std::string& why) {
    if (reused_ && !retried_ && !parser_.begun() && !request_.blocking) {
      retried_ = true;
      Open();
      return;
    }
    if (!reused_ && !parser_.begun()) trouble_ = Trouble::kUnanswered;
    Fail(why);
  }

  void Done(bool in_step) {
    Response response;
    response.status = parser_.message().status;
    response.headers = std::move(parser_.message().headers);
    response.body = std::move(parser_.message().body);
    // A request that is not out yet, or bytes beyond the answer: the next answer could be a wrong
    // one.
    if (!reused_ && response.status == 429 && !parser_.message().keep_alive)
      trouble_ = Trouble::kTooMany;
    const bool keep = in_step && transmitted_ && parser_.message().keep_alive &&
                      stream_->pending() == 0 && !stream_->BufferedInput() &&
                      !stream_->read_ended() && !stale_endpoint_;
    if (!keep) CloseAll();
    Tell(std::move(response));
  }

  void Fail(const std::string& why) {
    Error error{ErrorCode::kUnavailable, endpoint_.address.Text() + ": " + why};
    CloseAll();
    Tell(std::move(error));
  }

  void OnAttemptTimeout() {
    AttemptFailed(stage_ == Stage::kTls ? "the TLS handshake took too long"
                                        : "connecting took too long");
  }

  void OnDeadline() {
    const std::string limit = " within " + std::to_string(request_.deadline.count()) + " ms";
    switch (stage_) {
      case Stage::kIdle: return;
      case Stage::kRefused: Tell(Invalid("request not sent: " + refusal_)); return;
      case Stage::kStarved: GiveUp(); return;
      case Stage::kResolving:
        trouble_ = Trouble::kUnreachable;
        Fail("the name was not resolved" + limit);
        return;
      case Stage::kConnecting:
        trouble_ = Trouble::kUnreachable;
        Fail("no connection" + limit);
        return;
      case Stage::kTls:
        trouble_ = Trouble::kSilent;
        Fail("no TLS connection" + limit);
        return;
      case Stage::kAnswer:
        trouble_ = Trouble::kSilent;
        Fail((parser_.begun() ? "no whole answer" : "no answer") + limit);
        return;
    }
  }

  net::Loop& loop_;
  Endpoint endpoint_;
  net::Resolver resolver_;
  net::Timer deadline_;
  net::Timer attempt_;
  Parser parser_;
  Stage stage_ = Stage::kIdle;
  Request request_;
  Callback callback_;
  std::string refusal_;
  std::uint64_t generation_ = 0;
  std::vector<net::SocketAddress> addresses_;
  std::size_t next_address_ = 0;
  std::string last_failure_;
  net::UniqueFd connecting_;           // until connected; after that inside the stream
  std::optional<net::Poller> poller_;  // of connecting_, so destroyed before it
  std::optional<net::Stream> stream_;
  bool reused_ = false;       // the stream had carried another request before
  bool retried_ = false;      // this request has been sent twice
  bool transmitted_ = false;  // the request is on its way, or with the stream
  bool stale_endpoint_ = false;
  Trouble trouble_ = Trouble::kNone;
};

Client::Client(net::Loop& loop, Endpoint endpoint)
    : impl_(std::make_unique<Impl>(loop, std::move(endpoint))) {}
Client::~Client() = default;
void Client::Send(Request request, Callback callback) {
  impl_->Send(std::move(request), std::move(callback));
}
void Client::Cancel() { impl_->Cancel(); }
bool Client::busy() const { return impl_->busy(); }
bool Client::connected() const { return impl_->connected(); }
void Client::CloseIdle() { impl_->CloseIdle(); }
Client::Trouble Client::trouble() const { return impl_->trouble(); }
void Client::SetEndpoint(Endpoint endpoint) { impl_->SetEndpoint(std::move(endpoint)); }

}  // namespace mooring::http
