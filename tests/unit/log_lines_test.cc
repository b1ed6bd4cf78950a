// What a log line looks like, whatever stands in its fields.
#include <doctest/doctest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/log/escape.h"
#include "proxy/log/line.h"

namespace mooring::log {
namespace {

constexpr std::chrono::system_clock::time_point kEpoch{};

std::string Json(std::string_view text, std::size_t limit = 1024) {
  std::string out;
  AppendJson(&out, text, limit);
  return out;
}

std::string Quotable(std::string_view text, std::size_t limit = 1024) {
  std::string out;
  AppendQuotable(&out, text, limit);
  return out;
}

// Every byte there is, in one string.
std::string AllBytes() {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all.push_back(static_cast<char>(byte));
  return all;
}

bool IsPrintableAscii(std::string_view text) {
  for (const char c : text) {
    if (c < ' ' || c > '~') return false;
  }
  return true;
}

std::string Line(Format format, const std::vector<Field>& fields) {
  return MakeLine(format, kEpoch, Level::kInfo, "module", "message", fields);
}

TEST_CASE("log lines: a text line is time, level, module, message and fields") {
  CHECK(Line(Format::kText, {{"a", "1"}, {"b", "x y"}, {"c", ""}}) ==
        "1970-01-01T00:00:00.000Z [INFO]  module: message: a=1 b=\"x y\" c=\"\"\n");
}

TEST_CASE("log lines: text from outside is printable ASCII in a text line, escaped once") {
  CHECK(Quotable("a\"b\\c\n\x1b[31m\xc3\xa9") == R"(a\"b\\c\x0a\x1b[31m\xc3\xa9)");
  CHECK(Plain("a\"b\\c\n\x1b") == R"(a"b\c\x0a\x1b)");
  const std::string line = Line(Format::kText, {{"who", AllBytes()}});
  CHECK(IsPrintableAscii(std::string_view(line).substr(0, line.size() - 1)));
  CHECK(line.back() == '\n');
}

TEST_CASE("log lines: valid UTF-8 stays as it is in JSON, control characters are escaped") {
  CHECK(Json("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x9a\xa2") ==
        "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x9a\xa2");
  CHECK(Json("a\"b\\c") == R"(a\"b\\c)");
  CHECK(Json(std::string_view("\0\n\x7f\xc2\x9b", 5)) == R"(\u0000\u000a\u007f\u009b)");
}

TEST_CASE("log lines: invalid UTF-8 becomes U+FFFD in JSON, byte by byte") {
  constexpr std::string_view kReplacement = "\xef\xbf\xbd";
  for (const std::string_view invalid :
       {"\x80", "\xff", "\xc0\xaf", "\xc3", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe2\x82"}) {
    std::string expected;
    for (std::size_t i = 0; i < invalid.size(); ++i) expected += kReplacement;
    CHECK(Json(invalid) == expected);
    CHECK(Json(std::string(invalid) + "a") == expected + "a");
  }
}

TEST_CASE("log lines: a JSON line parses and gives back what was valid") {
  const std::string text = "quote \" backslash \\ newline \n tab \t caf\xc3\xa9";
  const std::string line = Line(Format::kJson, {{"text", text}, {"bytes", AllBytes()}});
  const auto parsed = nlohmann::json::parse(line);  // strict: throws for invalid UTF-8
  CHECK(parsed["text"] == text);
  CHECK(parsed["@level"] == "info");
  CHECK(parsed["@module"] == "module");
  CHECK(parsed["@message"] == "message");
  CHECK(line.find('\x7f') == std::string::npos);
}

TEST_CASE("log lines: a number is one in JSON, and text that looks like one stays text") {
  const std::vector<Field> fields{{"count", 7}, {"off", std::int64_t{-45}}, {"service", "12"}};
  const auto parsed = nlohmann::json::parse(Line(Format::kJson, fields));
  CHECK(parsed["count"] == 7);
  CHECK(parsed["off"] == -45);
  CHECK(parsed["service"] == "12");
  CHECK(Line(Format::kText, fields).find("count=7 off=-45 service=12\n") != std::string::npos);
}

TEST_CASE("log lines: why the program cannot go on, for people and as a line of the log") {
  CHECK(Complaint(Format::kText, "no port\nforged", {"one", "two"}) ==
        "==> no port\\x0aforged\n    one\n    two\n");
  const auto parsed =
      nlohmann::json::parse(Complaint(Format::kJson, "no port\nforged", {"one", "two"}));
  CHECK(parsed["@level"] == "error");
  CHECK(parsed["@message"] == "cannot go on");
  CHECK(parsed["error"] == "no port\nforged");
  CHECK(parsed["details"] == "one; two");
  CHECK_FALSE(nlohmann::json::parse(Complaint(Format::kJson, "x")).contains("details"));
}

TEST_CASE("log lines: a value is cut with a mark, never inside a UTF-8 sequence or an escape") {
  CHECK(Json("aaaa", 4) == "aaaa");
  CHECK(Json("aaaaa", 4) == "aaaa...(+1 bytes)");
  CHECK(Json("aaa\xc3\xa9zz", 4) == "aaa...(+4 bytes)");
  CHECK(Json("aaa\n", 4) == "aaa...(+1 bytes)");
  CHECK(Quotable("aa\xc3\xa9", 9) == "aa...(+2 bytes)");
  CHECK(Quotable("aa\xc3\xa9", 10) == R"(aa\xc3\xa9)");
}

TEST_CASE("log lines: a field has 1 KiB and a line 8 KiB at most, in both forms") {
  for (const Format format : {Format::kText, Format::kJson}) {
    for (const std::string& filler :
         {std::string("x"), std::string("\xff"), std::string("\n"), std::string("\xc3\xa9")}) {
      std::string huge;
      while (huge.size() < 100'000) huge += filler;
      CHECK(Line(format, {{"huge", huge}}).size() < kMaxField + 256);
      const std::vector<Field> fields(40, Field{"huge", huge});
      const std::string line = Line(format, fields);
      CHECK(line.size() <= kMaxLine);
      CHECK(line.find("cut") != std::string::npos);
      if (format == Format::kJson) CHECK_FALSE(nlohmann::json::parse(line).is_discarded());
    }
  }
}

}  // namespace
}  // namespace mooring::log
