// What may stand between us and the agent's truth: a clock that differs, a front that ends what
// waits.
#include <doctest/doctest.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "proxy/control/agent_front.h"
#include "proxy/control/clock_check.h"
#include "proxy/control/wait_limit.h"

namespace mooring::control {
namespace {

using namespace std::chrono_literals;

// Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110.
constexpr char kDate[] = "Sun, 06 Nov 1994 08:49:37 GMT";
const std::chrono::system_clock::time_point kMoment{std::chrono::seconds(784111777)};

TEST_CASE("clock check: up to half a minute either way is no matter") {
  ClockCheck check;
  for (const auto ahead : {0s, 30s, -30s}) {
    CHECK_FALSE(check.Take(kDate, kMoment + ahead));
    CHECK_FALSE(check.Take(kDate, kMoment + ahead));
    CHECK_FALSE(check.off());
  }
}

TEST_CASE("clock check: two answers in a row prove a difference, and one proves its end") {
  for (const auto ahead : {31s, -31s, 3600s}) {
    CAPTURE(ahead.count());
    ClockCheck check;
    CHECK_FALSE(check.Take(kDate, kMoment + ahead));
    CHECK_FALSE(check.off());
    CHECK(check.Take(kDate, kMoment + ahead));
    REQUIRE(check.off());
    CHECK(*check.off() == ahead);
    CHECK_FALSE(check.Take(kDate, kMoment + ahead * 2));
    CHECK(*check.off() == ahead * 2);
    CHECK(check.Take(kDate, kMoment));
    CHECK_FALSE(check.off());
  }
}

TEST_CASE("clock check: a single answer that lay about, and dates that are none, prove nothing") {
  ClockCheck check;
  CHECK_FALSE(check.Take(kDate, kMoment + 1h));
  CHECK_FALSE(check.Take(kDate, kMoment));
  CHECK_FALSE(check.Take(kDate, kMoment + 1h));
  for (const char* date :
       {"", "yesterday", "Sun, 06 Nov 1994 08:49:37 GMT and more", "Sun, 06 Nov 1994"}) {
    CHECK_FALSE(check.Take(date, kMoment + 1h));
  }
  CHECK_FALSE(check.off());
}

TEST_CASE(
    "wait limit: a gateway's timeout is believed at once, with room for what the agent adds") {
  WaitLimit limit;
  WaitLimit::Cuts cuts;
  CHECK(limit.Of(20s) == 20s);
  CHECK(limit.Cut(cuts, 8s, 20s, true));
  CHECK(limit.Of(20s) == 6s);
  CHECK(limit.Of(3s) == 3s);
  // What was under way before says nothing new; a shorter one counts.
  CHECK_FALSE(limit.Cut(cuts, 7s, 20s, true));
  CHECK(limit.Cut(cuts, 4s, 6s, true));
  CHECK(limit.Of(20s) == 3s);
  CHECK(limit.Cut(cuts, 1s, 3s, true));
  CHECK(limit.Of(20s) == 1s);
}

TEST_CASE("wait limit: a closed connection is believed at the second of the same age") {
  WaitLimit limit;
  WaitLimit::Cuts cuts;
  WaitLimit::Cuts others;
  CHECK_FALSE(limit.Cut(cuts, 10s, 20s, false));
  // an agent that ends cuts all of them at one age
  CHECK_FALSE(limit.Cut(others, 10s, 20s, false));
  CHECK_FALSE(limit.Cut(cuts, 15s, 20s, false));
  CHECK(limit.Cut(cuts, 14s, 20s, false));
  CHECK(limit.Of(20s) == 10'500ms);
}

TEST_CASE("wait limit: what ends at once or after its time is no limit, and begins anew") {
  WaitLimit limit;
  WaitLimit::Cuts cuts;
  CHECK_FALSE(limit.Cut(cuts, 10s, 20s, false));
  CHECK_FALSE(limit.Cut(cuts, 999ms, 20s, true));
  CHECK_FALSE(limit.Cut(cuts, 10s, 20s, false));
  CHECK_FALSE(limit.Cut(cuts, 20s, 20s, true));
  CHECK_FALSE(limit.Cut(cuts, 10s, 20s, false));
  CHECK(limit.Of(20s) == 20s);
}

http::Response Answer(int status, http::Headers headers, std::string body) {
  http::Response answer;
  answer.status = status;
  answer.headers = std::move(headers);
  answer.body = std::move(body);
  return answer;
}

TEST_CASE("agent front: an answer of 200 that is no document of an agent says what it is") {
  struct Row {
    http::Response answer;
    const char* says;  // nullptr: it is one
  };
  const std::string gzip("\x1f\x8b\x08\x00", 4);
  const http::Headers json{{"content-type", "application/json"}};
  for (const Row& row : {
           Row{Answer(200, json, "{}"), nullptr},
           Row{Answer(200, {{"content-encoding", "identity"}}, "{}"), nullptr},
           Row{Answer(200, {}, "\"<html>\""), nullptr},
           Row{Answer(403, {{"content-encoding", "gzip"}}, gzip), nullptr},
           Row{Answer(200, {{"content-encoding", "GZIP"}}, gzip),
               "the answer is compressed (gzip), which was not asked for; what stands before the "
               "agent must not compress (nginx: gzip off)"},
           Row{Answer(200, {{"content-encoding", "br"}}, "x"), "the answer is compressed (br)"},
           Row{Answer(200, json, gzip), "the answer is compressed (gzip)"},
           Row{Answer(200, {{"content-type", "text/html; charset=utf-8"}}, "<p>"),
               "the answer is an HTML page and no document of an agent; is this the agent's "
               "address, with its path prefix?"},
           Row{Answer(200, {}, "\n<!DOCTYPE html><TITLE> Welcome </TITLE>"),
               "the answer is an HTML page (\"Welcome\") and no document"},
       }) {
    const std::optional<Error> error = Unusable(row.answer);
    CHECK(error.has_value() == (row.says != nullptr));
    if (!error || row.says == nullptr) continue;
    INFO(error->message);
    CHECK(error->code == ErrorCode::kUnavailable);
    CHECK(error->message.starts_with(row.says));
  }
}

TEST_CASE("agent front: an answer other than 200 says who gave it and what to do") {
  struct Row {
    http::Response answer;
    const char* said;
    const char* cure;
  };
  const auto blot = [](std::string text) {
    if (const auto at = text.find("secret"); at != std::string::npos) text.replace(at, 6, "***");
    return text;
  };
  const http::Headers html{{"content-type", "text/html"}};
  const std::string https = "; the agent speaks TLS here: use https://";
  for (const Row& row : {
           Row{Answer(500, {}, " no leader, secret\n"), "no leader, ***", ""},
           Row{Answer(301, {{"location", "https://consul.example:7443/v1/x?t=secret"}}, "<html>"),
               "a redirect to https://consul.example:7443/v1/x?t=***",
               "; redirects are not followed: if the agent is there, give "
               "https://consul.example:7443 as its address"},
           Row{Answer(302, {{"location", "/ui/"}}, ""), "a redirect to /ui/",
               "; redirects are not followed: is this the agent's address, with its path prefix?"},
           Row{Answer(307, {}, ""), "a redirect to nowhere", "; redirects are not followed: is"},
           Row{Answer(400, {}, "Client sent an HTTP request to an HTTPS server.\n"),
               "Client sent an HTTP request to an HTTPS server.", https.c_str()},
           Row{Answer(400, html,
                      "<html><head><title>400 The plain HTTP request was sent to HTTPS port</title>"
                      "</head></html>"),
               "an HTML page: \"400 The plain HTTP request was sent to HTTPS port\"",
               https.c_str()},
           Row{Answer(401, {}, "who are you?"), "who are you?",
               "; what stands before the agent wants a user and a password: CONSUL_HTTP_AUTH"},
           Row{Answer(413, html, "<html>"), "an HTML page", "; what we sent is larger than"},
           Row{Answer(502, html, "<html><title>502 Bad Gateway</title>"),
               "an HTML page: \"502 Bad Gateway\"",
               "; this is no answer of an agent, but of what stands before it"},
           Row{Answer(500, {{"content-encoding", "gzip"}}, "\x1f\x8b"), "a compressed text", ""},
       }) {
    CHECK(Said(row.answer, blot) == row.said);
    const std::string cure = CureOfAnswer(row.answer);
    INFO(cure);
    CHECK(cure.starts_with(row.cure));
    CHECK(cure.empty() == std::string_view(row.cure).empty());
  }
}

TEST_CASE("agent front: the end of a connection suggests what to look at") {
  using Trouble = http::Client::Trouble;
  struct Row {
    Trouble trouble;
    bool https;
    const char* says;
  };
  for (const Row& row : {
           Row{Trouble::kUnreachable, false, "; is the agent running, and is this its address?"},
           Row{Trouble::kUnanswered, false,
               "; is this the agent's HTTP port, and does it, or what stands before it, admit this "
               "host?"},
           Row{Trouble::kUnanswered, true,
               "; is this the agent's HTTPS port, and does it, or what stands before it, admit "
               "this host?"},
           Row{Trouble::kSpeaksTls, false, "; the agent speaks TLS here: use https://"},
           Row{Trouble::kNotHttp, false, "; is this the agent's HTTP port?"},
           Row{Trouble::kNotHttp, true, "; is this the agent's HTTPS port?"},
           Row{Trouble::kNoTls, true, ""},
           Row{Trouble::kSilent, false, ""},
           Row{Trouble::kNone, false, ""},
           Row{Trouble::kTooMany, false, ""},
       }) {
    CHECK(CureOf(row.trouble, row.https) == row.says);
  }
}

}  // namespace
}  // namespace mooring::control
