// The state file's format, and the digest in it.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "proxy/state/format.h"
#include "tls/digest.h"

namespace {

using namespace mooring;
using namespace mooring::state;
using std::chrono::milliseconds;

const Key kKey{.id = "service.web", .agent = "http://127.0.0.1:8500", .datacenter = "dc1"};

WallTime At(long long ms) { return WallTime(milliseconds(ms)); }

std::string FileOf(const Key& key, const std::vector<Entry>& entries) {
  Result<std::string> file = Encode(key, entries);
  REQUIRE(file);
  for (const Entry& entry : entries) *file += entry.body;
  return *file;
}

// Forged is a file with a right checksum around any header.
std::string Forged(const std::string& head, const std::string& bodies = "") {
  const std::string rest = head + "\n" + bodies;
  return "mooring state 1\nsha256 " + tls::Sha256Hex(rest) + "\n" + rest;
}

std::string Forged(const std::string& documents, const std::string& bodies, int) {
  return Forged(R"({"id":"a","agent":"b","datacenter":"c","documents":[)" + documents + "]}",
                bodies);
}

std::string Line(const std::string& name, const std::string& length,
                 const std::string& confirmed = "1") {
  return R"({"name":")" + name + R"(","confirmed_ms":)" + confirmed + R"(,"headers":{},"length":)" +
         length + "}";
}

std::string Refusal(const std::string& content) {
  const Result<File> file = Decode(content);
  return file ? "" : file.error().message;
}

std::string SmallFile() {
  return FileOf(kKey, {{.name = "a", .headers = {{"x", "1"}}, .body = "AB", .confirmed = At(5)},
                       {.name = "b", .headers = {}, .body = "C", .confirmed = At(6)}});
}

}  // namespace

TEST_CASE("a digest is SHA-256 in hex, over one part as over several") {
  CHECK(tls::Sha256Hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(tls::Sha256Hex("abc") ==
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const std::vector<std::string_view> parts{"a", "", "bc"};
  CHECK(tls::Sha256Hex(parts) == tls::Sha256Hex("abc"));
}

TEST_CASE("a state file gives back what was put in") {
  std::string every_byte;
  for (int byte = 0; byte < 256; ++byte) every_byte += static_cast<char>(byte);
  const std::string content = FileOf(
      kKey, {{.name = "leaf /v1/agent/connect/ca/leaf/web?",
              .headers = {{"x-consul-index", "12"}, {"quotes", "\"\\\n\t"}},
              .body = every_byte,
              .confirmed = At(1'700'000'000'123)},
             {.name = "empty", .headers = {}, .body = "", .confirmed = At(0)},
             {.name = "last", .headers = {}, .body = "mooring state 1\n{}\n", .confirmed = At(7)}});
  const Result<File> file = Decode(content);
  REQUIRE(file);
  CHECK(file->key.id == kKey.id);
  CHECK(file->key.agent == kKey.agent);
  CHECK(file->key.datacenter == kKey.datacenter);
  REQUIRE(file->entries.size() == 3);
  const Entry& leaf = file->entries[0];
  CHECK(leaf.name == "leaf /v1/agent/connect/ca/leaf/web?");
  CHECK(leaf.headers == Headers{{"x-consul-index", "12"}, {"quotes", "\"\\\n\t"}});
  CHECK(leaf.body == every_byte);
  CHECK(leaf.confirmed == At(1'700'000'000'123));
  CHECK(file->entries[1].body.empty());
  CHECK(file->entries[2].body == "mooring state 1\n{}\n");
}

TEST_CASE("a state file without documents is one") {
  const Result<File> file = Decode(FileOf(kKey, {}));
  REQUIRE(file);
  CHECK(file->entries.empty());
}

TEST_CASE(
    "a header value that is not UTF-8, and a time before 1970, are saved as something readable") {
  const Result<File> file = Decode(
      FileOf(kKey, {{.name = "a", .headers = {{"x", "\xff"}}, .body = "A", .confirmed = At(-5)}}));
  REQUIRE(file);
  CHECK(file->entries[0].headers.at("x") == "\xef\xbf\xbd");
  CHECK(file->entries[0].confirmed == At(0));
}

TEST_CASE("a state file cut short at any byte, or with one more, is refused") {
  const std::string content = SmallFile();
  REQUIRE(Decode(content));
  for (std::size_t length = 0; length < content.size(); ++length) {
    CAPTURE(length);
    REQUIRE_FALSE(Decode(content.substr(0, length)));
  }
  CHECK_FALSE(Decode(content + "D"));
  CHECK_FALSE(Decode(content + '\0'));
}

TEST_CASE("a state file with any one bit flipped is refused") {
  std::string content = SmallFile();
  for (std::size_t at = 0; at < content.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      CAPTURE(at);
      CAPTURE(bit);
      const char whole = content[at];
      content[at] = static_cast<char>(static_cast<unsigned char>(whole) ^ (1u << bit));
      REQUIRE_FALSE(Decode(content));
      content[at] = whole;
    }
  }
}

TEST_CASE("a refused state file is told apart: foreign, of another version, damaged") {
  CHECK(Refusal("") == "it is not a state file");
  CHECK(Refusal("PK\x03\x04") == "it is not a state file");
  CHECK(Refusal("mooring state 2\nwhatever") == "it is of version 2, this program knows version 1");
  CHECK(Refusal("mooring state 111111111111111111111111") == "its first line is damaged");
  CHECK(Refusal("mooring state 1\n{}\n") == "its checksum is wrong: it is damaged or cut short");
}

TEST_CASE("a state file whose checksum is right is still read strictly") {
  CHECK(Decode(Forged(Line("a", "1") + "," + Line("b", "2"), "ABC", 0)));
  for (const std::string& documents :
       {Line("a", "2"), Line("a", "0"), Line("a", "-1"), Line("a", "1.0"), Line("a", "\"1\""),
        Line("a", "18446744073709551615"), Line("a", "18446744073709551616"), Line("", "1"),
        Line("a", "1", "-1"), Line("a", "1", "9223372036854775807"), Line("a", "1", "1e3"),
        Line("a", "1") + "," + Line("b", "18446744073709551615"), std::string("1"),
        std::string("[]"), std::string(R"({"name":"a","confirmed_ms":1,"length":1})"),
        std::string(R"({"name":"a","confirmed_ms":1,"headers":{"x":1},"length":1})"),
        std::string(R"({"name":"a","confirmed_ms":1,"headers":[],"length":1})"),
        std::string(R"({"name":1,"confirmed_ms":1,"headers":{},"length":1})")}) {
    CAPTURE(documents);
    CHECK_FALSE(Decode(Forged(documents, "A", 0)));
  }
  for (const std::string& head :
       {std::string(), std::string("{}"), std::string("[]"), std::string("null"), std::string("{"),
        std::string(R"({"id":"a","agent":"b","documents":[]})"),
        std::string(R"({"id":1,"agent":"b","datacenter":"c","documents":[]})"),
        std::string(R"({"id":"a","agent":"b","datacenter":"c","documents":{}})"),
        std::string(R"({"id":"a","agent":"b","datacenter":"c","documents":[]} x)"),
        std::string(200'000, '[')}) {
    CAPTURE(head.substr(0, 80));
    CHECK_FALSE(Decode(Forged(head)));
  }
  CHECK(Refusal(Forged(Line("a", "1") + "," + Line("a", "1"), "AB", 0)) ==
        "it holds a document twice: a");
  CHECK(Refusal(Forged(std::string(kMaxHead, ' '))) == "its header does not end");
}

TEST_CASE("a header that would be too long to be read again is not written") {
  const std::string name(kMaxHead, 'n');
  CHECK_FALSE(Encode(
      kKey, std::vector<Entry>{{.name = name, .headers = {}, .body = "", .confirmed = At(0)}}));
}
