#include "proxy/http/parser.h"

#include <utility>

namespace mooring::http {
namespace {

// What a header line costs beyond its letters, so that many empty ones are not free.
constexpr std::size_t kLineCost = 4;

std::string TooLarge(std::size_t limit) {
  return "the body is too large: the limit is " + std::to_string(limit) + " bytes";
}

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string Lowered(std::string_view text) {
  std::string lowered(text);
  for (char& c : lowered) c = Lower(c);
  return lowered;
}

}  // namespace

// Hooks are llhttp's callbacks; an answer of -1 or HPE_USER ends the parsing.
struct Parser::Hooks {
  static Parser& Of(llhttp_t* raw) { return *static_cast<Parser*>(raw->data); }

  static int OnUrl(llhttp_t* raw, const char* at, std::size_t length) {
    Parser& self = Of(raw);
    self.message_.target.append(at, length);
    return self.CountHeader(length) ? 0 : HPE_USER;
  }
  static int OnStatus(llhttp_t* raw, const char*, std::size_t length) {
    return Of(raw).CountHeader(length) ? 0 : HPE_USER;
  }
  static int OnName(llhttp_t* raw, const char* at, std::size_t length) {
    Parser& self = Of(raw);
    self.name_.append(at, length);
    return self.CountHeader(length) ? 0 : HPE_USER;
  }
  static int OnValue(llhttp_t* raw, const char* at, std::size_t length) {
    Parser& self = Of(raw);
    self.value_.append(at, length);
    return self.CountHeader(length) ? 0 : HPE_USER;
  }
  static int OnLineEnd(llhttp_t* raw) { return Of(raw).EndHeaderLine() ? 0 : -1; }
  static int OnHeaderEnd(llhttp_t* raw) { return Of(raw).EndHeader(); }
  static int OnBody(llhttp_t* raw, const char* at, std::size_t length) {
    Parser& self = Of(raw);
    if (length > self.limits_.body - self.message_.body.size()) {
      (void)self.Fail(Fault::kBodyTooLarge, TooLarge(self.limits_.body));
      return HPE_USER;
    }
    self.message_.body.append(at, length);
    return 0;
  }
  // The length of a chunk is known here: one that will not fit is refused before its bytes come.
  static int OnChunk(llhttp_t* raw) {
    Parser& self = Of(raw);
    if (raw->content_length <= self.limits_.body - self.message_.body.size()) return 0;
    (void)self.Fail(Fault::kBodyTooLarge, TooLarge(self.limits_.body));
    return -1;
  }
  static int OnEnd(llhttp_t* raw) {
    Parser& self = Of(raw);
    if (self.interim_) {
      self.interim_ = false;
      self.header_done_ = false;
      self.message_ = Message{};
      return 0;
    }
    self.message_.keep_alive = llhttp_should_keep_alive(raw) != 0;
    self.done_ = true;
    return HPE_PAUSED;
  }
};

Parser::Parser(Kind kind, Limits limits) : kind_(kind), limits_(limits) {
  llhttp_settings_init(&settings_);
  settings_.on_url = Hooks::OnUrl;
  settings_.on_status = Hooks::OnStatus;
  settings_.on_header_field = Hooks::OnName;
  settings_.on_header_value = Hooks::OnValue;
  settings_.on_header_value_complete = Hooks::OnLineEnd;
  settings_.on_headers_complete = Hooks::OnHeaderEnd;
  settings_.on_chunk_header = Hooks::OnChunk;
  settings_.on_body = Hooks::OnBody;
  settings_.on_message_complete = Hooks::OnEnd;
  Reset();
}

void Parser::Reset(bool answer_to_head) {
  llhttp_init(&parser_, kind_ == Kind::kRequest ? HTTP_REQUEST : HTTP_RESPONSE, &settings_);
  parser_.data = this;
  message_ = Message{};
  name_.clear();
  value_.clear();
  header_bytes_ = 0;
  begun_ = header_done_ = interim_ = done_ = false;
  answer_to_head_ = answer_to_head;
  fault_ = Fault::kNone;
  fault_text_.clear();
}

bool Parser::Fail(Fault fault, std::string text) {
  if (fault_ == Fault::kNone) {
    fault_ = fault;
    fault_text_ = std::move(text);
  }
  return false;
}

bool Parser::CountHeader(std::size_t bytes) {
  header_bytes_ += bytes;
  if (header_bytes_ <= limits_.header) return true;
  return Fail(Fault::kHeaderTooLarge, "the header is too large");
}

bool Parser::EndHeaderLine() {
  if (!CountHeader(kLineCost)) return false;
  // Trailers come after the header; they are counted and dropped (RFC 9112 7.1.2).
  if (!header_done_) {
    if (name_.empty()) return Fail(Fault::kMalformed, "a header without a name");
    // Blanks around a value are no part of it (RFC 9110 5.5); llhttp takes off the leading ones.
    value_.erase(value_.find_last_not_of(" \t") + 1);
    const auto [place, fresh] = message_.headers.insert_or_assign(Lowered(name_), value_);
    if (!fresh && place->first == "host") return Fail(Fault::kMalformed, "two Host headers");
    // They would be one list (RFC 9110 5.3), of codings that have not all been looked at.
    if (!fresh && place->first == "transfer-encoding")
      return Fail(Fault::kMalformed, "two Transfer-Encoding headers");
  }
  name_.clear();
  value_.clear();
  return true;
}

int Parser::EndHeader() {
  constexpr int kNoBody = 1;
  constexpr int kFailed = -1;
  header_done_ = true;
  message_.http_1_0 = parser_.http_major == 1 && parser_.http_minor == 0;
  if (parser_.http_major != 1 || parser_.http_minor > 1) {
    (void)Fail(Fault::kMalformed, "not HTTP/1.1");
    return kFailed;
  }
  if (kind_ == Kind::kRequest) {
    message_.method = llhttp_method_name(static_cast<llhttp_method_t>(parser_.method));
    parser_.upgrade = 0;  // an offer to switch protocols is ignored (RFC 9110 7.8)
  } else {
    message_.status = parser_.status_code;
    if (message_.status == 101) {
      (void)Fail(Fault::kMalformed, "a protocol switch that was not asked for");
      return kFailed;
    }
    if (message_.status < 200) {
      // Their number is bounded by the header limit, which they share with the answer.
      if (!CountHeader(kLineCost)) return kFailed;
      interim_ = true;
      return kNoBody;
    }
    if (answer_to_head_ || message_.status == 204 || message_.status == 304) return kNoBody;
  }
  const auto coding = message_.headers.find("transfer-encoding");
  if (coding != message_.headers.end() && Lowered(coding->second) != "chunked") {
    (void)Fail(Fault::kMalformed, "a transfer coding other than chunked");
    return kFailed;
  }
  if ((parser_.flags & F_CHUNKED) == 0 && parser_.content_length > limits_.body) {
    (void)Fail(Fault::kBodyTooLarge, TooLarge(limits_.body));
    return kFailed;
  }
  return 0;
}

Parser::Progress Parser::Judge(llhttp_errno_t code) {
  if (done_) return Progress::kDone;
  if (code == HPE_OK && fault_ == Fault::kNone) return Progress::kMore;
  const char* reason = llhttp_get_error_reason(&parser_);
  (void)Fail(Fault::kMalformed,
             std::string("not HTTP: ") +
                 (reason != nullptr && *reason != '\0' ? reason : llhttp_errno_name(code)));
  return Progress::kFailed;
}

Parser::Progress Parser::Feed(std::span<const std::uint8_t>& in) {
  if (in.empty()) return Progress::kMore;
  begun_ = true;
  const char* begin = reinterpret_cast<const char*>(in.data());
  const llhttp_errno_t code = llhttp_execute(&parser_, begin, in.size());
  if (done_) {
    const char* rest = llhttp_get_error_pos(&parser_);
    in = in.subspan(static_cast<std::size_t>(rest - begin));
  } else {
    in = {};
  }
  return Judge(code);
}

Parser::Progress Parser::End() {
  if (begun_) (void)llhttp_finish(&parser_);
  if (done_) return Progress::kDone;
  (void)Fail(Fault::kCutShort,
             !begun_ ? "the connection was closed without an answer" : "the message was cut short");
  return Progress::kFailed;
}

}  // namespace mooring::http
