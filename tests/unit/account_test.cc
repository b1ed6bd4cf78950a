// Account: what is told of a connection, as a line, as JSON and as an entry of the journal,
// whatever those who are told of have put into their names; and the last ones that are kept.
#include "proxy/observe/account.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "proxy/observe/account_text.h"
#include "proxy/observe/recent.h"

namespace {

using namespace mooring;
using data::CloseReason;
using data::ListenerKind;
using data::Report;
using observe::Account;
using std::chrono::milliseconds;

net::SocketAddress At(std::uint16_t port) {
  return *net::SocketAddress::FromLiteral(net::Address::Tcp("10.0.0.7", port));
}

// Whole is the report of a connection of which everything is known.
Report Whole() {
  const net::MonotonicTime begun{milliseconds(1'000)};
  Report report;
  report.at = begun + milliseconds(2'500);
  data::Record& record = report.record;
  record.id = 42;
  record.kind = ListenerKind::kUpstream;
  record.begun = begun;
  record.peer = At(1);
  record.local = At(2);
  record.endpoint = At(3);
  record.instance = std::make_shared<data::Instance>(data::Instance{"db-1", "node-a", "dc1", {}});
  record.identity = "spiffe://td/ns/default/dc/dc1/svc/db";
  record.attempts = 2;
  record.tls = {"TLSv1.3", "TLS_AES_128_GCM_SHA256", "X25519", true};
  record.connect_took = milliseconds(3);
  record.handshake_took = milliseconds(4);
  record.first_byte = begun + milliseconds(5);
  record.bytes_in = 10;
  record.bytes_out = 20;
  record.reason = CloseReason::kPeerAlert;
  record.detail = "it said so";
  record.decided_by = "the default";
  data::FlowKey key;
  key.kind = record.kind;
  key.source = "web";
  key.destination = "db";
  key.datacenter = "dc1";
  record.flow = std::make_shared<data::Flow>(key);
  return report;
}

std::chrono::system_clock::time_point Noon() {
  return std::chrono::system_clock::time_point(std::chrono::seconds(1'700'000'000)) +
         milliseconds(6);
}

Account Told(Report report = Whole()) {
  return observe::MakeAccount(std::move(report), Noon(), "payment");
}

// Entry reads a datagram of the journal's protocol.
std::map<std::string, std::string> Entry(std::string_view entry) {
  std::map<std::string, std::string> fields;
  while (!entry.empty()) {
    const std::size_t end = entry.find('\n');
    REQUIRE(end != std::string_view::npos);
    const std::string_view line = entry.substr(0, end);
    entry.remove_prefix(end + 1);
    if (const std::size_t equals = line.find('='); equals != std::string_view::npos) {
      fields[std::string(line.substr(0, equals))] = line.substr(equals + 1);
      continue;
    }
    std::size_t size = 0;
    for (std::size_t i = 8; i-- > 0;) size = size << 8U | static_cast<unsigned char>(entry[i]);
    fields[std::string(line)] = entry.substr(8, size);
    REQUIRE(entry[8 + size] == '\n');
    entry.remove_prefix(8 + size + 1);
  }
  return fields;
}

}  // namespace

TEST_CASE("account: a line of text has all that is known, in one order") {
  CHECK(observe::TextOf(Told()) ==
        "time=2023-11-14T22:13:20.006Z event=end id=42 direction=outbound service=web source=web "
        "destination=db datacenter=dc1 identity=spiffe://td/ns/default/dc/dc1/svc/db "
        "peer=10.0.0.7:1 local=10.0.0.7:2 endpoint=10.0.0.7:3 instance=node-a/db-1 attempts=2 "
        "bytes_received=10 bytes_sent=20 duration_ms=2500 connect_ms=3 handshake_ms=4 "
        "first_byte_ms=5 reason=peer_alert detail=\"it said so\" decided_by=\"the default\" "
        "tls_version=TLSv1.3 tls_cipher=TLS_AES_128_GCM_SHA256 tls_group=X25519 tls_resumed=true");
}

TEST_CASE("account: in JSON numbers are numbers, and truth values are no text") {
  const auto read = nlohmann::json::parse(observe::JsonOf(Told()));
  CHECK(read.at("bytes_sent") == 20);
  CHECK(read.at("duration_ms") == 2500);
  CHECK(read.at("id") == 42);
  CHECK(read.at("tls_resumed") == true);
  CHECK(read.at("reason") == "peer_alert");
  CHECK(read.at("detail") == "it said so");
  CHECK_FALSE(read.contains("one_in"));
}

TEST_CASE("account: what is not known is left out, and who we are is filled in") {
  Report report;
  report.record.reason = CloseReason::kProbe;
  const auto read = nlohmann::json::parse(observe::JsonOf(Told(std::move(report))));
  std::set<std::string> keys;
  for (const auto& [key, value] : read.items()) keys.insert(key);
  CHECK(keys == std::set<std::string>{"time", "event", "id", "direction", "service", "destination",
                                      "attempts", "bytes_received", "bytes_sent", "duration_ms",
                                      "reason"});
  CHECK(read.at("service") == "payment");
}

TEST_CASE("account: a peer that shares a flow with others has the name that it has proven") {
  Report report = Whole();
  data::FlowKey key = report.record.flow->key;
  key.destination = data::Traffic::kOther;
  key.datacenter.clear();
  report.record.flow = std::make_shared<data::Flow>(key);
  const Account account = Told(std::move(report));
  CHECK(account.destination == "db");
  CHECK(account.datacenter == "dc1");
}

TEST_CASE("account: names from outside neither break a line nor steer a terminal") {
  const std::string evil = "<script>\"a\"\\\n\x1b[31m\xc2\x9b=x\xff";
  Report report = Whole();
  data::FlowKey key = report.record.flow->key;
  key.destination = evil;
  report.record.flow = std::make_shared<data::Flow>(key);
  report.record.detail = evil;
  const Account account = Told(std::move(report));

  const std::string line = observe::TextOf(account);
  for (const char c : line) CHECK((c >= ' ' && c <= '~'));
  CHECK(line.find("destination=\"<script>\\\"a\\\"\\\\\\x0a\\x1b[31m\\xc2\\x9b=x\\xff\"") !=
        std::string::npos);

  const std::string json = observe::JsonOf(account);
  for (const char c : json) CHECK(static_cast<unsigned char>(c) >= ' ');
  CHECK(json.find("\xc2\x9b") == std::string::npos);
  const auto read = nlohmann::json::parse(json);
  CHECK(read.at("destination") == "<script>\"a\"\\\n\x1b[31m\xc2\x9b=x\xef\xbf\xbd");

  const auto entry = Entry(observe::JournalEntryOf(account, line));
  CHECK(entry.at("MESSAGE") == line);
  CHECK(entry.at("MESSAGE_ID") == observe::kConnectionMessageId);
  CHECK(entry.at("MOORING_DESTINATION") == evil);  // the journal keeps bytes
  CHECK(entry.at("MOORING_BYTES_SENT") == "20");
}

TEST_CASE("account: what is too long is cut, in every form") {
  Report report = Whole();
  report.record.detail.assign(100'000, 'x');
  const Account account = Told(std::move(report));
  CHECK(observe::TextOf(account).size() < 8'192);
  CHECK(observe::JsonOf(account).size() < 8'192);
  CHECK(observe::JournalEntryOf(account, observe::TextOf(account)).size() < 16'384);
}

TEST_CASE("account: a refusal is a caller that has not come to the app") {
  Report report;
  report.record.reason = CloseReason::kDenied;
  CHECK(observe::IsRefusal(Told(report)));
  report.record.reason = CloseReason::kProbe;
  CHECK(observe::IsRefusal(Told(report)));
  report.record.reason = CloseReason::kDrained;
  CHECK_FALSE(observe::IsRefusal(Told(report)));
  report.record.reason = CloseReason::kRevoked;
  report.record.endpoint = At(3);
  CHECK_FALSE(observe::IsRefusal(Told(report)));
  CHECK_FALSE(observe::IsRefusal(Told()));
}

TEST_CASE("account: each field has a name of its own") {
  std::set<std::string> names;
  for (const auto& field : observe::AccountFields()) CHECK(names.insert(field.name).second);
}

namespace {

void Keep(observe::Recent* recent, unsigned service, int at, CloseReason reason,
          const std::string& source) {
  Report report;
  report.service = service;
  report.at = net::MonotonicTime(milliseconds(at));
  report.record.reason = reason;
  report.record.peer = At(static_cast<std::uint16_t>(at));
  Account account = Told(std::move(report));
  account.source = source;
  recent->Keep(std::make_shared<const Account>(std::move(account)));
}

}  // namespace

TEST_CASE(
    "recent: a flood of good ones pushes no refusal out, and nothing grows beyond its bound") {
  observe::Recent recent;
  for (const unsigned service : {0U, 1U}) recent.Add(service);
  Keep(&recent, 0, 1, CloseReason::kDenied, "mallory");
  for (int i = 2; i < 1'000; ++i) Keep(&recent, 0, i, CloseReason::kDone, "web");
  auto answer = recent.Ask({.service = 0, .limit = 10'000});
  CHECK(answer.ended.size() == observe::Recent::kEnded);
  CHECK(answer.ended.front()->report.at == net::MonotonicTime(milliseconds(999)));
  REQUIRE(answer.failed.size() == 1);
  CHECK(answer.failed.front()->source == "mallory");
  for (int i = 1'000; i < 2'000; ++i) Keep(&recent, 0, i, CloseReason::kDenied, "mallory");
  answer = recent.Ask({.service = 0, .limit = 10'000});
  CHECK(answer.ended.size() == observe::Recent::kEnded);
  CHECK(answer.failed.size() == observe::Recent::kFailed);
  CHECK(recent.Ask({.service = 1}).ended.empty());
}

TEST_CASE("recent: one asks for a service, for a part of a name, an address or a reason") {
  observe::Recent recent;
  for (const unsigned service : {0U, 1U}) recent.Add(service);
  Keep(&recent, 0, 1, CloseReason::kDenied, "mallory");
  Keep(&recent, 1, 2, CloseReason::kDone, "web");
  Keep(&recent, 0, 3, CloseReason::kDone, "api");
  const auto sources = [&](const observe::Recent::Question& question) {
    std::string found;
    for (const auto& one : recent.Ask(question).ended) found += one->source + ' ';
    return found;
  };
  CHECK(sources({}) == "api web mallory ");
  CHECK(sources({.service = 0}) == "api mallory ");
  CHECK(sources({.service = std::nullopt, .match = "allo"}) == "mallory ");
  CHECK(sources({.service = std::nullopt, .match = "denied"}) == "mallory ");
  CHECK(sources({.service = std::nullopt, .match = "10.0.0.7:3"}) == "api ");
  CHECK(sources({.service = std::nullopt, .match = "nobody"}).empty());
  CHECK(sources({.service = std::nullopt, .limit = 2}) == "api web ");
  const auto read = nlohmann::json::parse(observe::RecentJson(recent.Ask({}), 7));
  CHECK(read.at("ended").size() == 3);
  CHECK(read.at("failed").at(0).at("reason") == "denied");
  CHECK(read.at("missing") == 7);
  CHECK(nlohmann::json::parse(observe::RecentJson({}, 0)).at("ended").empty());
}
