// http: a stream of HTTP messages, whole against split: however it comes, the same is read.
//
// The first byte says what the stream is and how small the limits are, the second one how many
// places follow at which the second reading splits it.
#include <string>
#include <vector>

#include "proxy/http/parser.h"
#include "proxy/http/target.h"
#include "tests/fuzz/targets.h"

namespace mooring::fuzz {
namespace {

using http::Parser;

// Reading is all that came of a stream.
struct Reading {
  std::vector<std::string> messages;  // each in one form
  std::string fault;
  bool ended = false;  // by the peer's end
  bool operator==(const Reading&) const = default;
};

std::string FormOf(const http::Message& message) {
  std::string form = message.method + " " + message.target + " " + std::to_string(message.status);
  form += message.http_1_0 ? " 1.0" : " 1.1";
  form += message.keep_alive ? " keep\n" : " close\n";
  for (const auto& [name, value] : message.headers) {
    form += name;
    form += ": " + value + "\n";
  }
  return form + "\n" + message.body;
}

void LookAt(const http::Message& message, Parser::Kind kind, const Parser::Limits& limits) {
  FUZZ_REQUIRE(message.body.size() <= limits.body, message.body);
  for (const auto& [name, value] : message.headers) {
    FUZZ_REQUIRE(!name.empty(), name);
    for (const char c : name) FUZZ_REQUIRE(c > ' ' && c != ':' && !(c >= 'A' && c <= 'Z'), name);
    FUZZ_REQUIRE(value.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos, value);
  }
  const auto coding = message.headers.find("transfer-encoding");
  // A message that two readers could cut in different places (RFC 9112 6.3).
  if (coding != message.headers.end() && kind == Parser::Kind::kRequest)
    FUZZ_REQUIRE(message.headers.count("content-length") == 0, coding->second);
  if (kind == Parser::Kind::kResponse) {
    FUZZ_REQUIRE(message.status >= 200, message.body);
    return;
  }
  const auto target = http::ParseTarget(message.target);
  if (target) FUZZ_REQUIRE(target->path.starts_with('/'), target->path);
  if (target) FUZZ_REQUIRE(target->path.find('\0') == std::string::npos, target->path);
}

class Reader final {
 public:
  Reader(Parser::Kind kind, Parser::Limits limits, bool head)
      : kind_(kind), limits_(limits), head_(head), parser_(kind, limits) {
    parser_.Reset(head_);
  }

  // Take is false once nothing more is read.
  bool Take(Input bytes) {
    while (!bytes.empty()) {
      const std::size_t before = bytes.size();
      const Parser::Progress progress = parser_.Feed(bytes);
      FUZZ_REQUIRE(bytes.size() <= before, "it gave bytes back");
      if (progress == Parser::Progress::kFailed) return Fail();
      if (progress == Parser::Progress::kMore) {
        FUZZ_REQUIRE(bytes.empty(), "more is wanted while there is some");
        return true;
      }
      Done();
    }
    return true;
  }
  void End() {
    if (!parser_.begun()) return;
    reading.ended = true;
    if (parser_.End() == Parser::Progress::kDone)
      Done();
    else
      (void)Fail();
  }

  Reading reading;

 private:
  void Done() {
    FUZZ_REQUIRE(parser_.fault() == Parser::Fault::kNone, parser_.fault_text());
    LookAt(parser_.message(), kind_, limits_);
    reading.messages.push_back(FormOf(parser_.message()));
    parser_.Reset(head_);
  }
  bool Fail() {
    FUZZ_REQUIRE(parser_.fault() != Parser::Fault::kNone, "a failure without a fault");
    reading.fault = parser_.fault_text();
    FUZZ_REQUIRE(!reading.fault.empty(), "a fault without a text");
    for (const char c : reading.fault) FUZZ_REQUIRE(c >= ' ' && c <= '~', reading.fault);
    return false;
  }

  Parser::Kind kind_;
  Parser::Limits limits_;
  bool head_;
  Parser parser_;
};

}  // namespace

void http(Input input) {
  Script script(input);
  const std::uint8_t how = script.Byte();
  const auto kind = (how & 1U) != 0 ? Parser::Kind::kResponse : Parser::Kind::kRequest;
  const bool head = (how & 2U) != 0;
  Parser::Limits limits;
  if ((how & 4U) != 0) limits = {.header = 64, .body = 16};
  const Input cuts = script.Piece();
  const Input stream = script.Rest();

  Reader whole(kind, limits, head);
  if (whole.Take(stream)) whole.End();

  // Without places each byte comes by itself.
  Reader split(kind, limits, head);
  Input rest = stream;
  bool good = true;
  std::size_t next = 0;
  while (good && !rest.empty()) {
    const std::size_t step = cuts.empty() ? 1 : std::size_t{cuts[next++ % cuts.size()]} % 64 + 1;
    const Input part = rest.first(std::min(step, rest.size()));
    // A copy of just this size, so that a look beyond it is seen.
    const std::vector<std::uint8_t> copy(part.begin(), part.end());
    good = split.Take(copy);
    rest = rest.subspan(part.size());
  }
  if (good) split.End();

  FUZZ_REQUIRE(whole.reading.messages == split.reading.messages, TextOf(stream));
  FUZZ_REQUIRE(whole.reading.fault.empty() == split.reading.fault.empty(),
               whole.reading.fault + " / " + split.reading.fault);
  FUZZ_REQUIRE(whole.reading.ended == split.reading.ended, TextOf(stream));
}

}  // namespace mooring::fuzz
