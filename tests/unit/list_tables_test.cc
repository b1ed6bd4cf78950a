// Live connections and who talks to whom, as a terminal shows them.
#include "proxy/sidecar/list_tables.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <sstream>
#include <string>

#include "proxy/sidecar/text_table.h"

namespace mooring::sidecar {
namespace {

constexpr char kConnections[] =
    R"({"total": 9, "matched": 2, "offset": 0, "limit": 100, "connections": [
  {"id": 12, "service": "payment", "direction": "inbound", "state": "relaying", "source": "<script>\u001b[31m",
   "destination": "payment", "identity": "", "decided_by": "", "peer": "10.0.0.1:4711", "local": "10.0.0.2:8443",
   "endpoint": "127.0.0.1:9090", "instance": null, "attempts": 1,
   "tls": {"version": "TLSv1.3", "cipher": "", "group": "X25519MLKEM768", "resumed": true},
   "age_seconds": 200, "idle_seconds": 0.25, "bytes_in": 1234, "bytes_out": 35400000},
  {"id": 7, "service": "payment", "direction": "outbound", "state": "searching", "source": "payment",
   "destination": "a-name-that-is-far-too-long-for-any-terminal-that-anybody-uses", "identity": "", "decided_by": "",
   "peer": "127.0.0.1:5", "local": "127.0.0.1:6", "endpoint": null, "instance": {"id": "db-1", "node": "n1"},
   "attempts": 3, "tls": null, "age_seconds": 1, "idle_seconds": null, "bytes_in": 0, "bytes_out": 0}]})";

// Reading is one of /traffic, `at` seconds after the start.
std::string Reading(double at, int opened, int bytes, const std::string& others = "") {
  const std::string n = std::to_string(opened);
  return R"({"total": 1, "matched": 1, "at_seconds": )" + std::to_string(at) +
         R"(, "answer_bounds_seconds": [0.001, 0.01], "flows": [)" + others +
         R"({"service": "payment", "direction": "inbound", "source": "web\u001b", "destination": "payment",
             "datacenter": "dc1", "open": 3, "failed": 0, "requests": )" +
         n + R"(, "opened": )" + n + R"(, "bytes_in": )" + std::to_string(bytes) +
         R"(, "bytes_out": 0, "answer": {"below": [)" + n + ", 0, 0]}}]}";
}

std::size_t Longest(const std::string& text) {
  std::istringstream lines(text);
  std::size_t longest = 0;
  for (std::string line; std::getline(lines, line);) longest = std::max(longest, line.size());
  return longest;
}

bool Holds(const std::string& text, const std::string& part) {
  INFO(text);
  const bool found = text.find(part) != std::string::npos;
  CHECK(found);
  return found;
}

}  // namespace

TEST_CASE("list tables: connections show who, how, how long and how much") {
  const auto table = ConnectionsTable(kConnections, 0);
  REQUIRE(table);
  CHECK(Holds(*table, "2 of 2 found, 9 open"));
  CHECK(Holds(*table, "3m20s  0.2s  1.2k  35M  10.0.0.1:4711  127.0.0.1:9090"));
  CHECK(Holds(*table, "TLSv1.3 X25519MLKEM768 resumed"));
  CHECK(Holds(*table, "n1/db-1"));
  CHECK(table->find('\x1b') == std::string::npos);
}

TEST_CASE("list tables: at 80 columns, and fewer, no line is longer") {
  for (const std::size_t width : {80U, 66U}) {
    const auto table = ConnectionsTable(kConnections, width);
    REQUIRE(table);
    INFO(*table);
    CHECK(Longest(*table) <= width);
    CHECK(Holds(*table, "relaying"));
  }
  Talkers talkers;
  REQUIRE(talkers.Read(Reading(1, 10, 0)));
  CHECK(Longest(talkers.Table(80, 10)) <= 80);
}

TEST_CASE("list tables: rates are between two readings, and of ten seconds at most") {
  Talkers talkers;
  REQUIRE(talkers.Read(Reading(100, 10, 0)));
  CHECK(Holds(talkers.Table(0, 10), "3      0      0     0      0       0"));
  REQUIRE(talkers.Read(Reading(102, 14, 5000)));
  CHECK(Holds(talkers.Table(0, 10), "3    2.0    2.0  2.5k      0       0  500us  990us  dc1"));
  for (int i = 1; i <= 6; ++i) REQUIRE(talkers.Read(Reading(102 + 2 * i, 14, 5000)));
  CHECK(Holds(talkers.Table(0, 10), "3      0      0     0      0       0    -    -  dc1"));
  // one that begins anew is no fall
  REQUIRE(talkers.Read(Reading(1, 2, 0)));
  CHECK(Holds(talkers.Table(0, 10), "3      0      0     0      0       0"));
  CHECK(talkers.Table(0, 10).find('\x1b') == std::string::npos);
}

TEST_CASE("list tables: a pair that was not there before is new as a whole") {
  Talkers talkers;
  REQUIRE(talkers.Read(
      R"({"total": 0, "matched": 0, "at_seconds": 1, "answer_bounds_seconds": [], "flows": []})"));
  REQUIRE(talkers.Read(Reading(3, 8, 0)));
  CHECK(Holds(talkers.Table(0, 10), "3    4.0"));
}

TEST_CASE("list tables: what is no such document is an error") {
  for (const char* text : {"", "[]", "{}", R"({"connections": 3})", R"({"flows": [{}]})"}) {
    CHECK_FALSE(ConnectionsTable(text, 0));
    Talkers talkers;
    CHECK_FALSE(talkers.Read(text));
  }
}

TEST_CASE("text table: bytes take five characters at most") {
  CHECK(BytesText(0) == "0");
  CHECK(BytesText(999) == "999");
  CHECK(BytesText(1000) == "1.0k");
  CHECK(BytesText(9'990'000) == "10M");
  CHECK(BytesText(999'600) == "1.0M");
  CHECK(BytesText(3.5e13) == "35T");
}

}  // namespace mooring::sidecar
