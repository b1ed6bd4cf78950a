#include "proxy/control/proxy_config.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <variant>

#include "proxy/config/table.h"

namespace mooring::control {
namespace {

authz::ProxyDocument Document() {
  authz::ProxyDocument document;
  document.id = "web-1-sidecar-proxy";
  document.destination_service = "web";
  document.port = 21000;
  document.local_service_port = 8080;
  return document;
}

bool Warned(const ProxyConfig& config, const std::string& part) {
  return std::any_of(
      config.warnings.begin(), config.warnings.end(),
      [&](const std::string& warning) { return warning.find(part) != std::string::npos; });
}

TEST_CASE("proxy config: a registration without Config gets the defaults") {
  const ProxyConfig config = FromDocument(Document(), config::ServiceSettings{});
  CHECK(config.service == "web");
  CHECK(config.proxy_id == "web-1-sidecar-proxy");
  CHECK(config.public_listen->Text() == "0.0.0.0:21000");
  CHECK(config.local_app->Text() == "127.0.0.1:8080");
  CHECK(config.local_connect_timeout == milliseconds(1000));
  CHECK(config.handshake_timeout == milliseconds(10000));
  CHECK(config.warnings.empty());
}

TEST_CASE("proxy config: bind_address and bind_port win over the registered address") {
  auto document = Document();
  document.address = "10.0.0.5";
  CHECK(FromDocument(document, {}).public_listen->Text() == "10.0.0.5:21000");
  document.config = {{"bind_address", "127.0.0.1"}, {"bind_port", "9000"}};
  CHECK(FromDocument(document, {}).public_listen->Text() == "127.0.0.1:9000");
}

TEST_CASE("proxy config: times are read from integers, floats and numeric strings") {
  for (const char* spelling : {"2500", "2500.0", "2.5e3"}) {
    auto document = Document();
    document.config = {{"local_connect_timeout_ms", spelling}};
    CHECK(FromDocument(document, {}).local_connect_timeout == milliseconds(2500));
  }
}

TEST_CASE("proxy config: a time that is none keeps the default and is named") {
  for (const char* spelling : {"soon", "-5", "1e40", "", "nan", "12s"}) {
    auto document = Document();
    document.config = {{"handshake_timeout_ms", spelling}};
    const ProxyConfig config = FromDocument(document, {});
    CHECK(config.handshake_timeout == milliseconds(10000));
    CHECK(Warned(config, "handshake_timeout_ms"));
  }
}

TEST_CASE("proxy config: an unknown key is named once, a known one of Envoy's is not") {
  auto document = Document();
  document.config = {{"conect_timeout_ms", "5"},
                     {"envoy_prometheus_bind_addr", "0.0.0.0:9102"},
                     {"protocol", "tcp"}};
  const ProxyConfig config = FromDocument(document, {});
  CHECK(Warned(config, "conect_timeout_ms"));
  CHECK(config.warnings.size() == 1);
}

TEST_CASE(
    "proxy config: each Config key of the table of settings is known where it belongs, and a bad "
    "value by name") {
  for (const config::Setting& setting : config::Table()) {
    if (setting.config_key.empty()) continue;
    const std::string key(setting.config_key);
    std::string good = "true";
    if (std::holds_alternative<config::kind::Word<bool>>(setting.value)) good = "off";
    if (std::holds_alternative<config::kind::Word<config::Balance>>(setting.value)) good = "random";
    if (std::holds_alternative<config::kind::Number>(setting.value)) good = "7";
    if (std::holds_alternative<config::kind::Duration>(setting.value)) good = "7000";
    if (key == "no_endpoint") good = "reset";
    if (std::holds_alternative<config::kind::Word<config::OnDeparture>>(setting.value))
      good = "close";
    const std::string bad = key == "select" ? " padded" : "soon";
    for (const std::string& value : {good, bad}) {
      INFO(key << " = " << value);
      auto document = Document();
      authz::UpstreamDocument upstream;
      upstream.name = "db";
      upstream.bind_port = 9191;
      (setting.in == config::In::kUpstreams ? upstream.config : document.config) = {{key, value}};
      document.upstreams = {upstream};
      const ProxyConfig config = FromDocument(document, {});
      CHECK(config.warnings.size() == (value == bad ? 1 : 0));
      if (value == bad) CHECK(Warned(config, key + " = "));
    }
  }
  auto document = Document();
  document.config = {{"local_idle_timeout_ms", "7000"}};
  const ProxyConfig config = FromDocument(document, {});
  CHECK(config.inbound_idle_timeout == milliseconds(7000));
  CHECK(config.idle_timeout == milliseconds(0));
}

ProxyConfig WithUpstream(const authz::OpaqueConfig& config,
                         const config::ServiceSettings& settings = {}) {
  auto document = Document();
  authz::UpstreamDocument upstream;
  upstream.name = "db";
  upstream.bind_port = 9191;
  upstream.config = config;
  document.upstreams = {upstream};
  return FromDocument(document, settings);
}

TEST_CASE("proxy config: passive_health_check is obeyed in both of Consul's spellings") {
  for (const bool camel : {true, false}) {
    const auto key = [&](const std::string& one, const std::string& other) {
      return "passive_health_check." + (camel ? one : other);
    };
    const ProxyConfig config = WithUpstream(
        {{key("Interval", "interval"), camel ? "5000000000" : "5s"},
         {key("MaxFailures", "max_failures"), "2"},
         {key("EnforcingConsecutive5xx", "enforcing_consecutive_5xx"), "40"},
         {key("MaxEjectionPercent", "max_ejection_percent"), "50"},
         {key("BaseEjectionTime", "base_ejection_time"), camel ? "1.5e+09" : "1500ms"}});
    CHECK(config.warnings.empty());
    const config::UpstreamSettings& db = config.upstreams[0].settings;
    CHECK(db.eject_quiet == milliseconds(5000));
    CHECK(db.eject_after == 2U);
    CHECK(db.eject_enforced == 40);
    CHECK(db.eject_share == 50);
    CHECK(db.eject_time == milliseconds(1500));
  }
}

TEST_CASE("proxy config: what is left out of passive_health_check, or 0, is that of the settings") {
  config::ServiceSettings settings;
  settings.eject_after = 9;
  settings.eject_time = milliseconds(4000);
  for (const authz::OpaqueConfig& said : {authz::OpaqueConfig{},
                                          {{"passive_health_check.MaxFailures", "0"},
                                           {"passive_health_check.BaseEjectionTime", "0"}}}) {
    const ProxyConfig config = WithUpstream(said, settings);
    CHECK(config.warnings.empty());
    CHECK(config.upstreams[0].settings.eject_after == 9U);
    CHECK(config.upstreams[0].settings.eject_time == milliseconds(4000));
    CHECK(config.upstreams[0].settings.eject_share == 100);
  }
}

TEST_CASE("proxy config: what we call it beats what Consul does") {
  const ProxyConfig config = WithUpstream(
      {{"passive_health_check.max_failures", "2"}, {"eject_after", "7"}, {"balance", "sticky"}});
  CHECK(config.upstreams[0].settings.eject_after == 7U);
  CHECK(config.upstreams[0].settings.balance == config::Balance::kSticky);
}

TEST_CASE(
    "proxy config: a bad value of an upstream is named with its place, and the default holds") {
  struct Row {
    const char* key;
    const char* value;
    const char* says;
  };
  for (const Row& row :
       {Row{"passive_health_check.MaxFailures", "-1", "write a number from 1 to 1000"},
        {"passive_health_check.max_failures", "many", "write a number from 1 to 1000"},
        {"passive_health_check.EnforcingConsecutive5xx", "101", "write a number from 0 to 100"},
        {"passive_health_check.MaxEjectionPercent", "-1", "write a number from 0 to 100"},
        {"passive_health_check.Interval", "-1", "nanoseconds"},
        {"passive_health_check.BaseEjectionTime", "soon", "a duration such as 10s"},
        {"balance", "fair",
         "is none of least_connections, least_time, round_robin, random and "
         "sticky"},
        {"prefer_near", "-1", "write a number from 0 to 100"},
        {"eject_after", "-1", "write a number from 0 to 1000"},
        {"eject_time_ms", "-1", "is not a number of milliseconds"},
        {"eject_longest_ms", "never", "is not a number of milliseconds"}}) {
    CAPTURE(row.key);
    const ProxyConfig config = WithUpstream({{row.key, row.value}});
    REQUIRE(config.warnings.size() == 1);
    CAPTURE(config.warnings[0]);
    CHECK(config.warnings[0].starts_with("upstream db Config: " + std::string(row.key) + " = \"" +
                                         row.value + '"'));
    CHECK(Warned(config, row.says));
    CHECK(Warned(config, "the default holds"));
    CHECK(config.upstreams[0].settings == WithUpstream({}).upstreams[0].settings);
  }
}

TEST_CASE("proxy config: a prepared query selects by tags of its own, and says of nobody he left") {
  authz::ProxyDocument document = Document();
  authz::UpstreamDocument query;
  query.type = authz::UpstreamType::kPreparedQuery;
  query.name = "db";
  query.bind_port = 9191;
  query.config = {{"select", "primary"}, {"on_departure", "close"}};
  document.upstreams = {query};
  const ProxyConfig config = FromDocument(document, {});
  REQUIRE(config.upstreams.size() == 1);
  CHECK(config.upstreams[0].settings.select.empty());
  CHECK(Warned(config, "select has no effect on a prepared query"));
  CHECK(Warned(config, "on_departure has no effect on a prepared query"));
}

TEST_CASE("proxy config: an upstream's passing_only beats that of the settings") {
  authz::ProxyDocument document = Document();
  for (const char* text : {"true", "false", "", "perhaps"}) {
    authz::UpstreamDocument upstream;
    upstream.name = "db" + std::to_string(document.upstreams.size());
    upstream.bind_port = 9191;
    if (*text != '\0') upstream.config = {{"passing_only", text}};
    document.upstreams.push_back(upstream);
  }
  for (const bool all : {false, true}) {
    config::ServiceSettings settings;
    settings.passing_only = all;
    const ProxyConfig config = FromDocument(document, settings);
    REQUIRE(config.upstreams.size() == 4);
    CHECK(config.upstreams[0].settings.passing_only == true);
    CHECK(config.upstreams[1].settings.passing_only == false);
    CHECK(config.upstreams[2].settings.passing_only == all);
    CHECK(config.upstreams[3].settings.passing_only == all);
  }
}

TEST_CASE("proxy config: an upstream's tls_resumption beats that of the settings") {
  auto document = Document();
  for (const char* text : {"off", "on", "maybe", ""}) {
    authz::UpstreamDocument upstream;
    upstream.name = std::string("db-") + text;
    upstream.bind_port = 9191;
    if (*text != '\0') upstream.config = {{"tls_resumption", text}};
    document.upstreams.push_back(upstream);
  }
  for (const bool all : {true, false}) {
    config::ServiceSettings settings;
    settings.tls_resumption = all;
    const ProxyConfig config = FromDocument(document, settings);
    REQUIRE(config.upstreams.size() == 4);
    CHECK(config.upstreams[0].settings.tls_resumption == false);
    CHECK(config.upstreams[1].settings.tls_resumption == true);
    CHECK(config.upstreams[2].settings.tls_resumption == all);
    CHECK(config.upstreams[3].settings.tls_resumption == all);
    CHECK(Warned(config, "\"maybe\" is neither on nor off"));
    CHECK(config.warnings.size() == 1);
  }
}

TEST_CASE("proxy config: limits are obeyed in both spellings, 0 included, and a bad one is named") {
  auto document = Document();
  // Where Consul writes this one, 0 is what is not said.
  document.config = {{"max_inbound_connections", "0"}};
  CHECK_FALSE(FromDocument(document, {}).max_inbound_connections);
  CHECK(FromDocument(document, {}).warnings.empty());
  document.config = {{"max_inbound_connections", "7"}};
  authz::UpstreamDocument written, merged, none, bad;
  written.name = "written";
  written.config = {{"limits.max_connections", "3"}, {"limits.max_pending_requests", "2"}};
  merged.name = "merged";
  merged.config = {{"limits.MaxConnections", "0"},
                   {"limits.MaxPendingRequests", "0"},
                   {"limits.MaxConcurrentRequests", "9"}};
  none.name = "none";
  bad.name = "bad";
  bad.config = {{"limits.MaxConnections", "-1"}, {"limits.max_pending_requests", "many"}};
  document.upstreams = {written, merged, none, bad};
  const ProxyConfig config = FromDocument(document, {});
  CHECK(config.max_inbound_connections == 7U);
  REQUIRE(config.upstreams.size() == 4);
  CHECK(config.upstreams[0].settings.max_connections == 3U);
  CHECK(config.upstreams[0].settings.max_pending == 2U);
  CHECK(config.upstreams[1].settings.max_connections == 0U);
  CHECK(config.upstreams[1].settings.max_pending == 0U);
  for (const std::size_t i : {2U, 3U}) {
    CHECK_FALSE(config.upstreams[i].settings.max_connections);
    CHECK_FALSE(config.upstreams[i].settings.max_pending);
  }
  CHECK(
      Warned(config, "upstream merged Config: limits.MaxConcurrentRequests = 9: a layer 4 proxy"));
  CHECK(
      Warned(config, "upstream bad Config: limits.MaxConnections = \"-1\": write a number from 0"));
  CHECK(Warned(config, "limits.max_pending_requests = \"many\": write a number from 0"));
  CHECK(config.warnings.size() == 3);
}

TEST_CASE("proxy config: http is carried as TCP with a warning") {
  auto document = Document();
  document.config = {{"protocol", "http"}};
  CHECK(Warned(FromDocument(document, {}), "protocol http"));
}

TEST_CASE("proxy config: without a local app the public listener stays closed") {
  auto document = Document();
  document.local_service_port = 0;
  const ProxyConfig config = FromDocument(document, {});
  CHECK_FALSE(config.public_listen.has_value());
  CHECK(Warned(config, "no local app"));
  document.config = {{"local_service_address", "127.0.0.1:7000"}};
  CHECK(FromDocument(document, {}).local_app->Text() == "127.0.0.1:7000");
}

TEST_CASE("proxy config: upstreams keep datacenter, bind address, socket and timeouts") {
  auto document = Document();
  authz::UpstreamDocument db;
  db.name = "db";
  db.datacenter = "dc2";
  db.bind_port = 9191;
  db.config = {{"connect_timeout_ms", "3000"}};
  authz::UpstreamDocument cache;
  cache.name = "cache";
  cache.socket_path = "/run/cache.sock";
  cache.socket_mode = "0660";
  document.upstreams = {db, cache};
  const ProxyConfig config = FromDocument(document, {});
  REQUIRE(config.upstreams.size() == 2);
  CHECK(config.upstreams[0].listener == "upstream:db@dc2");
  CHECK(config.upstreams[0].settings.listen.Text() == "127.0.0.1:9191");
  CHECK(config.upstreams[0].settings.connect_timeout == milliseconds(3000));
  CHECK(config.upstreams[1].settings.listen.kind == net::Address::Kind::kUnix);
  CHECK(config.upstreams[1].settings.listen.mode == 0660);
}

TEST_CASE("proxy config: how an upstream is searched is its own, or what the settings say") {
  auto document = Document();
  authz::UpstreamDocument db;
  db.name = "db";
  db.config = {{"attempts", "3"},
               {"attempt_delay_ms", "100"},
               {"early_close_ms", "50"},
               {"probe_interval_ms", "2000"}};
  authz::UpstreamDocument cache;
  cache.name = "cache";
  document.upstreams = {db, cache};
  config::ServiceSettings settings;
  settings.attempts = 4;
  settings.attempt_delay = milliseconds(400);
  const ProxyConfig config = FromDocument(document, settings);
  REQUIRE(config.upstreams.size() == 2);
  const config::UpstreamSettings& own = config.upstreams[0].settings;
  CHECK(own.attempts == 3);
  CHECK(own.attempt_delay == milliseconds(100));
  CHECK(own.early_close == milliseconds(50));
  CHECK(own.probe_interval == milliseconds(2'000));
  const config::UpstreamSettings& other = config.upstreams[1].settings;
  CHECK(other.attempts == 4);
  CHECK(other.attempt_delay == milliseconds(400));
  CHECK(other.early_close == milliseconds(0));
  CHECK(other.probe_interval == milliseconds(0));
  CHECK(config.warnings.empty());

  document.upstreams[0].config = {{"attempts", "-1"}, {"probe_interval_ms", "10"}};
  const ProxyConfig bad = FromDocument(document, settings);
  CHECK(bad.upstreams[0].settings.attempts == 4);
  CHECK(Warned(bad, "attempts = \"-1\": write a number from 1 to 100; the default holds"));
  CHECK(Warned(bad, "it must be 1s or more, or 0; the default holds"));
}

TEST_CASE("proxy config: what cannot be served is left out with its reason") {
  auto document = Document();
  authz::UpstreamDocument peer;
  peer.name = "far";
  peer.peer = "other-cluster";
  peer.bind_port = 9000;
  authz::UpstreamDocument partition;
  partition.name = "side";
  partition.partition = "team";
  partition.bind_port = 9001;
  document.upstreams = {peer, partition};
  document.mode = "transparent";
  document.exposes_paths = true;
  const ProxyConfig config = FromDocument(document, {});
  CHECK(config.upstreams.empty());
  CHECK(Warned(config, "DestinationPeer"));
  CHECK(Warned(config, "DestinationPartition"));
  CHECK(Warned(config, "transparent"));
  CHECK(Warned(config, "Expose"));
}

TEST_CASE("proxy config: one upstream on two addresses gets two listeners") {
  auto document = Document();
  authz::UpstreamDocument first;
  first.name = "db";
  first.bind_port = 9000;
  authz::UpstreamDocument second = first;
  second.bind_port = 9001;
  document.upstreams = {first, second};
  const ProxyConfig config = FromDocument(document, {});
  REQUIRE(config.upstreams.size() == 2);
  CHECK(config.upstreams[0].listener != config.upstreams[1].listener);
}

}  // namespace
}  // namespace mooring::control
