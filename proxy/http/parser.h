// Parser: one HTTP/1.1 message at a time out of a stream of bytes, by llhttp in its strict mode.
// Private to proxy/http, and the only place that knows llhttp.
//
// Bounded: header and body sizes are checked as bytes come in, a declared length before the first
// of them. Refused besides what llhttp refuses: any transfer coding but chunked, two headers of
// codings or of hosts, a header without a name, a protocol switch that nobody asked for. No
// sockets, no clock. Source: RFC 9112.
#pragma once

#include <llhttp.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "proxy/http/headers.h"

namespace mooring::http {

struct Message {
  std::string method;  // requests
  std::string target;
  int status = 0;  // responses
  Headers headers;
  std::string body;
  bool http_1_0 = false;
  bool keep_alive = false;  // the connection can carry another message
};

class Parser final {
 public:
  enum class Kind { kRequest, kResponse };
  enum class Progress { kMore, kDone, kFailed };
  enum class Fault { kNone, kMalformed, kHeaderTooLarge, kBodyTooLarge, kCutShort };
  struct Limits {
    std::size_t header =
        kMaxHeader;  // names, values and the first line; over all 1xx answers together
    std::size_t body = kMaxBody;
  };

  Parser(Kind kind, Limits limits);
  Parser(const Parser&) = delete;
  Parser& operator=(const Parser&) = delete;

  // Reset makes ready for the next message; the answer to a HEAD has no body, whatever it declares.
  void Reset(bool answer_to_head = false);

  // Feed takes bytes from the front of `in` until the message is whole or `in` is empty. After
  // kDone the rest of `in` belongs to the next message; nothing may be fed before Reset.
  Progress Feed(std::span<const std::uint8_t>& in);
  // End tells that the peer has ended its direction: that completes an answer of undeclared length,
  // and cuts short any other message.
  Progress End();

  Message& message() { return message_; }
  bool begun() const { return begun_; }  // a byte of this message has come
  bool header_done() const { return header_done_; }
  Fault fault() const { return fault_; }
  const std::string& fault_text() const { return fault_text_; }  // of kFailed: one line, printable

 private:
  struct Hooks;
  bool Fail(Fault fault, std::string text);  // false, for the hooks' sake
  bool CountHeader(std::size_t bytes);
  bool EndHeaderLine();
  int EndHeader();  // llhttp's answer: 0 go on, 1 no body, -1 failed
  Progress Judge(llhttp_errno_t code);

  const Kind kind_;
  const Limits limits_;
  llhttp_settings_t settings_;
  llhttp_t parser_{};
  Message message_;
  std::string name_, value_;  // of the header line being read
  std::size_t header_bytes_ = 0;
  bool begun_ = false;
  bool header_done_ = false;
  bool interim_ = false;  // a 1xx answer: the real one follows
  bool done_ = false;
  bool answer_to_head_ = false;
  Fault fault_ = Fault::kNone;
  std::string fault_text_;
};

}  // namespace mooring::http
