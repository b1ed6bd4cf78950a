#include "proxy/sidecar/status_table.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>

namespace mooring::sidecar {
namespace {

constexpr char kStatus[] = R"({
  "version": "0.1.0", "service": "web", "state": "ready", "uptime_seconds": 93784.2, "not_ready": [],
  "leaf": {"spiffe_id": "spiffe://t.consul/ns/default/dc/dc1/svc/web", "seconds_left": 200, "expiring": true},
  "roots": {"trust_domain": "t.consul", "count": 2}, "intentions": {"count": 3, "default": "deny"},
  "state_file": {"file": "/s/state", "saved_seconds_ago": 4.25, "error": "disk full", "documents": 5, "private_key": false},
  "agent": {"address": "http://127.0.0.1:8500", "connections": 6, "max_connections": 8, "error": "no more"},
  "watches": [
    {"name": "roots", "state": "ok", "asks": "blocking", "cached": false, "source": "agent", "version": "12", "age_seconds": 0.5, "errors": 0, "last_error": "", "stale": false},
    {"name": "leaf", "state": "retrying", "asks": "polled", "cached": true, "source": "disk", "version": "", "age_seconds": 7201, "errors": 9, "last_error": "refused\u001b[31m", "stale": true},
    {"name": "mesh", "state": "unanswered", "unanswered_seconds": 21.4, "asks": "blocking", "source": "none"}],
  "listeners": [{"name": "public", "address": "0.0.0.0:8443", "state": "open", "error": ""}],
  "upstreams": [{"name": "db", "known": true, "endpoints": ["10.0.0.1:1", "10.0.0.2:1"], "spiffe_id": null}],
  "connections": {"inbound": {"active": 1, "total": 2, "bytes_in": 3, "bytes_out": 4, "closed": {"done": 1}}, "outbound": {}}
})";

bool Holds(const std::string& text, const char* part) {
  INFO(text);
  const bool found = text.find(part) != std::string::npos;
  CHECK(found);
  return found;
}

TEST_CASE("status table: each watch shows version, age, source and last error") {
  const auto table = StatusTable(kStatus);
  REQUIRE(table);
  CHECK(Holds(*table, "web  ready  up 1d2h"));
  CHECK(Holds(*table, "ends in 3m20s  NOT RENEWED YET"));
  CHECK(Holds(*table, "roots  ok                  blocking        agent   12       0.5s"));
  CHECK(Holds(*table,
              "leaf   retrying (too old)  polled, cached  disk    -        2h    9       refused"));
  CHECK(Holds(*table, "mesh   unanswered for 21s  blocking"));
  CHECK(Holds(*table, "saved 4.2s ago, without the private key"));
  CHECK(Holds(*table, "not saved: disk full"));
  CHECK(Holds(*table, "agent  http://127.0.0.1:8500  connections 6 of 8\n  no more\n"));
  CHECK(Holds(*table, "db        2          -"));
  CHECK(Holds(*table, "inbound      1       2      3         4          done 1"));
}

TEST_CASE("status table: an endpoint whose last attempt has failed is counted, with why") {
  const auto table = StatusTable(R"({"watches": [], "upstreams": [{"name": "db", "known": true,
    "endpoints": ["10.0.0.1:1", "10.0.0.2:1"], "endpoint_details": [{"state": "ok", "last_failure": null},
    {"state": "failing", "last_failure": {"reason": "connect_refused", "seconds_ago": 1}}]}]})");
  REQUIRE(table);
  CHECK(Holds(*table, "db        2, 1 failing: connect_refused  -"));
}

TEST_CASE("status table: endpoints that are ejected, and those on probation, are counted apart") {
  const auto table = StatusTable(R"({"watches": [], "upstreams": [{"name": "db", "known": true,
    "endpoints": ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"], "endpoint_details": [
    {"state": "ejected", "last_failure": {"reason": "connect_timeout", "seconds_ago": 1}},
    {"state": "ejected", "last_failure": {"reason": "connect_refused", "seconds_ago": 1}},
    {"state": "probation", "last_failure": {"reason": "wrong_identity", "seconds_ago": 1}}]}]})");
  REQUIRE(table);
  CHECK(Holds(*table, "3, 2 ejected: connect_timeout, 1 on probation: wrong_identity"));
}

TEST_CASE("status table: what the process is confined by, and what it is not") {
  const auto table = StatusTable(R"({"watches": [], "confinement": {"user": 0,
    "landlock": {"holds": false, "why": "this kernel has no Landlock", "abi": 0},
    "no_new_privileges": {"holds": true, "why": ""},
    "seccomp": {"holds": true, "why": "", "refused": 7}}})");
  REQUIRE(table);
  CHECK(Holds(*table,
              "confined  no_new_privileges  seccomp  calls refused 7\n"
              "  not landlock: this kernel has no Landlock\n"));
}

TEST_CASE("status table: nothing of the document reaches the terminal as a control character") {
  const auto table = StatusTable(kStatus);
  REQUIRE(table);
  CHECK(table->find('\x1b') == std::string::npos);
}

TEST_CASE("status table: what is no status is an error") {
  CHECK_FALSE(StatusTable("not JSON"));
  CHECK_FALSE(StatusTable("[]"));
  CHECK_FALSE(StatusTable("{}"));
  CHECK_FALSE(StatusTable(R"({"watches": 7})"));
}

TEST_CASE("status table: a sentence is broken, never cut, and the cure at its end is there") {
  const std::string cure = "; is the agent running, and is this its address? ";
  std::string sentence;
  for (int i = 0; i < 20; ++i) sentence += "word" + std::to_string(i) + " is one of many ";
  sentence += cure + "Omega";
  nlohmann::json status = nlohmann::json::parse(kStatus);
  status["watches"][0]["last_error"] = sentence;
  status["listeners"][0]["error"] = sentence;
  status["not_ready"] = {sentence};
  status["agent"]["error"] = sentence;
  status["state_file"]["error"] = sentence;
  const auto table = StatusTable(status.dump());
  REQUIRE(table);
  INFO(*table);
  std::size_t ends = 0;
  for (std::size_t at = 0; (at = table->find("Omega", at)) != std::string::npos; ++at) ++ends;
  CHECK(ends == 5);
  CHECK(table->find("bytes)") == std::string::npos);
  // Of the two tables each line begins below the column's head.
  const std::size_t head = table->find("LAST ERROR");
  const std::size_t column = head - (table->rfind('\n', head) + 1);
  const std::size_t last = table->find("Omega", table->find("WATCH"));
  const std::size_t line = table->rfind('\n', last) + 1;
  CHECK(table->find_first_not_of(' ', line) - line == column);
}

}  // namespace
}  // namespace mooring::sidecar
