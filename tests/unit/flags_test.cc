#include "proxy/config/flags.h"

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/config/agent.h"
#include "proxy/config/duration.h"
#include "proxy/config/nearest.h"

namespace mooring::config {
namespace {

using std::chrono::milliseconds;
using Arguments = std::vector<std::string>;

Settings Good(const Arguments& arguments, const Environment& environment = {}) {
  const Result<ParsedFlags> parsed = ParseConnectProxy(arguments, environment);
  if (!parsed) FAIL(parsed.error().message);
  return parsed->settings;
}

std::string Bad(const Arguments& arguments, const Environment& environment = {}) {
  const Result<ParsedFlags> parsed = ParseConnectProxy(arguments, environment);
  return parsed ? "no error" : parsed.error().message;
}

bool Warned(const Settings& settings, std::string_view of) {
  for (const std::string& warning : settings.warnings) {
    if (warning.find(of) != std::string::npos) return true;
  }
  return false;
}

bool Contains(const std::string& text, std::string_view part) {
  INFO(text);
  const bool found = text.find(part) != std::string::npos;
  CHECK(found);
  return found;
}

TEST_CASE("flags: a service with a listener and upstreams is read whole") {
  const Settings settings =
      Good({"-service", "payment", "-service-addr", "127.0.0.1:9090", "-listen", ":8443",
            "-upstream", "db:8181", "-upstream", "geo.query:127.0.0.10:8282"});
  CHECK(settings.services[0].service == "payment");
  CHECK(settings.services[0].public_listen->Text() == "0.0.0.0:8443");
  CHECK(settings.services[0].local_app->Text() == "127.0.0.1:9090");
  REQUIRE(settings.services[0].upstreams.size() == 2);
  CHECK(settings.services[0].upstreams[0].name == "db");
  CHECK(settings.services[0].upstreams[0].type == authz::UpstreamType::kService);
  CHECK(settings.services[0].upstreams[0].listen.Text() == "127.0.0.1:8181");
  CHECK(settings.services[0].upstreams[1].name == "geo");
  CHECK(settings.services[0].upstreams[1].type == authz::UpstreamType::kPreparedQuery);
  CHECK(settings.services[0].upstreams[1].listen.Text() == "127.0.0.10:8282");
  CHECK(settings.agent.address.Text() == "127.0.0.1:8500");
  CHECK_FALSE(settings.admin);
  CHECK(settings.NeedsAgent());
  CHECK(settings.warnings.empty());
}

TEST_CASE("flags: Go's spellings of one flag mean the same") {
  for (const Arguments& arguments : std::vector<Arguments>{{"-proxy-id", "a"},
                                                           {"-proxy-id=a"},
                                                           {"--proxy-id", "a"},
                                                           {"--proxy-id=a"},
                                                           {"-proxy-id", "a", "--"}}) {
    CHECK(Good(arguments).services[0].proxy_id == "a");
  }
  CHECK(Good({"-service", "b", "-service", "a", "-upstream", "c:1"}).services[0].service == "a");
  // a value may look like a flag
  CHECK(Good({"-service", "-upstream", "-upstream", "c:1"}).services[0].service == "-upstream");
  CHECK(Good({"-proxy-id=a=b"}).services[0].proxy_id == "a=b");
}

TEST_CASE("flags: booleans take their value after an equals sign only") {
  CHECK(Good({"-proxy-id=a", "-log-json"}).log_json);
  CHECK(Good({"-proxy-id=a", "-log-json=T"}).log_json);
  CHECK_FALSE(Good({"-proxy-id=a", "-log-json=false"}).log_json);
  CHECK_FALSE(Good({"-proxy-id=a", "-log-json", "-log-json=0"}).log_json);
  CHECK(Good({"-proxy-id=a", "-stale"}).agent.stale);
  CHECK(Contains(Bad({"-proxy-id=a", "-log-json=maybe"}),
                 "invalid boolean value \"maybe\" for -log-json: parse error"));
  CHECK(Contains(Bad({"-proxy-id=a", "-stale", "false"}), "Should have no non-flag arguments."));
  CHECK(Contains(
      Bad({"-stale", "false"}),
      "\"false\", argument 2 after `connect proxy`, is none; it follows -stale (a boolean"));
  CHECK(Contains(Bad({"-stale", "false"}), "-stale=false"));
}

TEST_CASE("flags: syntax errors have Go's words and a cure") {
  CHECK(Contains(Bad({"-listn", ":1"}),
                 "flag provided but not defined: -listn (did you mean -listen?)"));
  CHECK(Bad({"-bogus"}) == "flag provided but not defined: -bogus");
  CHECK(Bad({"-listen"}) == "flag needs an argument: -listen");
  CHECK(Bad({"-=x"}) == "bad flag syntax: -=x");
  CHECK(Bad({"---service"}) == "bad flag syntax: ---service");
  for (const Arguments& arguments : std::vector<Arguments>{{"foo"}, {"-"}, {"--", "-service"}}) {
    CHECK(Contains(Bad(arguments), "Should have no non-flag arguments."));
  }
}

TEST_CASE("flags: help is asked for in three ways and needs nothing else") {
  for (const char* flag : {"-h", "-help", "--help"}) {
    const Result<ParsedFlags> parsed = ParseConnectProxy({flag}, {});
    REQUIRE(parsed);
    CHECK(parsed->help);
  }
  for (const char* flag :
       {"-sidecar-for", "-upstream", "-token-file", "-drain-delay", "-admin-addr"}) {
    CHECK(Contains(ConnectProxyUsage(), std::string("  ") + flag + "=<"));
  }
}

TEST_CASE("flags: where the token stood is told, so that it can be wiped") {
  const Result<ParsedFlags> parsed =
      ParseConnectProxy({"-proxy-id", "a", "-token", "s1", "--token=s2"}, {});
  REQUIRE(parsed);
  CHECK(parsed->secret_arguments == std::vector<int>{3, 4});
  CHECK(parsed->settings.agent.token == "s2");
}

TEST_CASE("flags: no error quotes a token") {
  for (const Arguments& arguments :
       std::vector<Arguments>{{"-token", "=", "s3cret"},
                              {"-token", "s3cret", "s3cret"},
                              {"-token=s3cret", "-bogus"},
                              {"-proxy-id=a", "-http-addr", "http://u:s3cret@h:1"},
                              {"-proxy-id=a", "-http-addr", "http://u:s3cret/x@h:1"}}) {
    const std::string message = Bad(arguments);
    INFO(message);
    CHECK(message != "no error");
    CHECK(message.find("s3cret") == std::string::npos);
  }
}

TEST_CASE("flags: nothing to go by is Consul's error") {
  CHECK(Contains(Bad({}),
                 "Error preparing configuration: -service or -proxy-id must be specified so that "
                 "proxy can configure itself."));
  CHECK(Contains(Bad({"-upstream", "db:1"}), "-service or -proxy-id must be specified"));
}

TEST_CASE("flags: each -proxy-id and each -sidecar-for is a service, and both win over -service") {
  const Settings all = Good({"-sidecar-for", "s", "-proxy-id", "p", "-proxy-id", "q", "-service",
                             "x", "-idle-timeout", "1h"});
  REQUIRE(all.services.size() == 3);
  CHECK(all.services[0].proxy_id == "p");
  CHECK(all.services[1].proxy_id == "q");
  CHECK(all.services[2].sidecar_for == "s");
  for (const ServiceSettings& service : all.services) {
    CHECK(service.service.empty());
    CHECK(service.idle_timeout == milliseconds{3'600'000});
  }
  CHECK(Warned(all, "ignored, since -proxy-id takes the configuration from the agent: -service"));
  CHECK(Good({"-proxy-id", "p", "-sidecar-for", "s", "-no-wait"}).wait_for_agent == false);
  CHECK(Contains(Bad({"-sidecar-for", "a", "-sidecar-for", "a"}),
                 "-sidecar-for a is what -sidecar-for a is called already"));
  CHECK(Contains(Bad({"-sidecar-for", "a", "-proxy-id", "a"}),
                 "-sidecar-for a is what -proxy-id a is called already"));
  const Settings two = Good({"-sidecar-for", "s", "-service", "x"});
  CHECK(two.services[0].sidecar_for == "s");
  CHECK(two.services[0].service.empty());
  CHECK(
      Warned(two, "ignored, since -sidecar-for takes the configuration from the agent: -service"));
}

TEST_CASE("flags: the environment names the proxy where no flag does") {
  CHECK(Good({}, {{"CONNECT_PROXY_ID", "p"}}).services[0].proxy_id == "p");
  CHECK(Good({}, {{"CONNECT_SIDECAR_FOR", "s"}}).services[0].sidecar_for == "s");
  CHECK(Good({"-proxy-id", "f"}, {{"CONNECT_PROXY_ID", "e"}}).services[0].proxy_id == "f");
  // As in Consul, even against a flag: an ID of the environment goes before -sidecar-for and
  // -service.
  for (const Settings& one :
       {Good({"-sidecar-for", "s"}, {{"CONNECT_PROXY_ID", "e"}}),
        Good({"-proxy-id", "e"}, {{"CONNECT_SIDECAR_FOR", "s"}}),
        Good({}, {{"CONNECT_PROXY_ID", "e"}, {"CONNECT_SIDECAR_FOR", "s"}})}) {
    REQUIRE(one.services.size() == 1);
    CHECK(one.services[0].proxy_id == "e");
    CHECK(Warned(one, "-sidecar-for s is ignored: -proxy-id e wins over it"));
  }
  const Settings settings =
      Good({"-service", "x", "-upstream", "db:1"}, {{"CONNECT_PROXY_ID", "e"}});
  CHECK(settings.services[0].proxy_id == "e");
  CHECK(settings.services[0].upstreams.empty());
  CHECK(
      Warned(settings,
             "since CONNECT_PROXY_ID takes the configuration from the agent: -service, -upstream"));
}

TEST_CASE("flags: -no-wait gives -sidecar-for its old way back") {
  CHECK(Good({"-sidecar-for", "s"}).wait_for_agent);
  CHECK_FALSE(Good({"-sidecar-for", "s", "-no-wait"}).wait_for_agent);
  const Settings settings = Good({"-proxy-id", "p", "-no-wait"});
  CHECK(settings.wait_for_agent);
  CHECK(Warned(settings, "-no-wait is ignored"));
}

TEST_CASE("flags: a listener needs the app's address") {
  CHECK(Bad({"-service", "a", "-listen", ":1"}) ==
        "Error preparing configuration: -service-addr must be specified with -listen so the proxy "
        "knows the backend service address.");
  CHECK(Contains(
      Bad({"-service", "a", "-listen", "8443", "-service-addr", "x:1"}),
      "Error preparing configuration: -listen: \"8443\" is not an address: it has no port"));
  CHECK(Contains(Bad({"-service", "a", "-listen", ":1", "-service-addr", "x"}),
                 "-service-addr: \"x\""));
  CHECK(Contains(Bad({"-service", "a", "-listen", ":1", "-service-addr", "x:0"}),
                 "cannot be dialled"));
  CHECK(Contains(Bad({"-service", "a/b"}), "-service: \"a/b\" holds more than letters"));
  CHECK(Warned(Good({"-service", "a", "-service-addr", ":1", "-upstream", "b:2"}),
               "-service-addr is ignored without -listen"));
  CHECK(Bad({"-service", "a"}) ==
        "Error preparing configuration: -service has nothing to do: give -listen with "
        "-service-addr, or -upstream, or both");
  CHECK(Contains(Bad({"-service", "a", "-service-addr", ":1"}), "nothing to do"));
  const Settings unix_app =
      Good({"-service", "a", "-listen", ":1", "-service-addr", "unix:/run/a"});
  CHECK(unix_app.services[0].local_app->Text() == "unix:/run/a");
  CHECK(
      Good({"-service", "a", "-listen", ":1", "-service-addr", ":2"}).services[0].local_app->host ==
      "127.0.0.1");
}

TEST_CASE("flags: -register needs a service and a listener that others can dial") {
  const std::string needs =
      "Failed initializing registration: -register may only be specified with -service and -listen";
  CHECK(Bad({"-register", "-service", "a"}) == needs);
  CHECK(Bad({"-register", "-proxy-id", "p"}) == needs);
  const Arguments base{"-service", "a", "-service-addr", ":2", "-register", "-listen"};
  const auto with = [&base](const Arguments& more) {
    Arguments all = base;
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  const Settings settings = Good(with({":1", "-register-id", "a1", "-advertise", "10.0.0.5"}));
  CHECK(settings.services[0].register_self);
  CHECK(settings.services[0].register_id == "a1");
  CHECK(settings.services[0].advertise == "10.0.0.5");
  CHECK(Good(with({":1", "-advertise", "[2001:db8::7]"})).services[0].advertise == "2001:db8::7");
  CHECK(Contains(Bad(with({":1", "-advertise", "[10.0.0.5]"})), "-advertise: "));
  CHECK(Contains(Bad(with({"unix:/run/x"})), "-register needs a -listen of host:port"));
  CHECK(Contains(Bad(with({":1", "-advertise", "10.0.0.5:80"})),
                 "the port is the public listener's"));
  CHECK(Contains(Bad(with({":1", "-advertise", "0.0.0.0"})), "every interface"));
  CHECK(Contains(Bad(with({":1", "-register-id", "a/b"})), "-register-id"));
  CHECK(Contains(Bad({"-service", "a", "-upstream", "b:1", "-advertise", "10.0.0.5"}),
                 "-advertise may only be specified with -register"));
  CHECK(Warned(Good({"-service", "a", "-upstream", "b:1", "-register-id", "x"}),
               "-register-id is ignored"));
}

TEST_CASE("flags: the upstream grammar") {
  const auto listen = [](const std::string& text) {
    const Result<UpstreamSettings> upstream = ParseUpstreamFlag(text);
    return upstream ? upstream->name + " " + upstream->listen.Text() : upstream.error().message;
  };
  CHECK(listen("db:8181") == "db 127.0.0.1:8181");
  CHECK(listen("db:127.0.0.10:8282") == "db 127.0.0.10:8282");
  CHECK(listen("db::8282") == "db 127.0.0.1:8282");
  CHECK(listen("db.:8181") == "db 127.0.0.1:8181");
  CHECK(listen("db.service:8181") == "db 127.0.0.1:8181");
  CHECK(listen("db.query:29196") == "db 127.0.0.1:29196");
  CHECK(listen("a.b.service:1") == "a.b 127.0.0.1:1");
  CHECK(listen("db:localhost:1") == "db localhost:1");
  CHECK(listen("db:0") == "db 127.0.0.1:0");
  CHECK(listen("db:[::1]:8181") == "db [::1]:8181");
  CHECK(listen("db:unix:/run/db.sock") == "db unix:/run/db.sock");
  CHECK(listen("db") == "Upstream value should be name:addr in \"db\"");
  CHECK(listen("db.foo:1") == "Upstream type must be blank, 'service', or 'query'. Got: \"foo\"");
  CHECK(Contains(listen(":80"), "no name"));
  CHECK(Contains(listen(".query:80"), "no name"));
  CHECK(Contains(listen("d b:80"), "holds more than letters"));
  CHECK(Contains(listen("db:abc"), "port \"abc\" is not a number"));
  CHECK(Contains(listen("db:"), "is not a number"));
  CHECK(Contains(listen("db:::1:80"), "brackets"));
  CHECK(Contains(Bad({"-service", "a", "-upstream", "db"}),
                 "invalid value \"db\" for flag -upstream: "));
}

TEST_CASE("flags: a second upstream of a name replaces the first, query or not, with a warning") {
  const Settings settings =
      Good({"-service", "a", "-upstream", "db:1", "-upstream", "x:2", "-upstream", "db.query:3"});
  REQUIRE(settings.services[0].upstreams.size() == 2);
  CHECK(settings.services[0].upstreams[0].listen.port == 3);
  CHECK(settings.services[0].upstreams[0].type == authz::UpstreamType::kPreparedQuery);
  CHECK(Warned(settings, "-upstream db is given more than once: 127.0.0.1:3 replaces 127.0.0.1:1"));
}

TEST_CASE(
    "flags: an upstream port beyond loopback is allowed with a warning, an admin port if told so") {
  CHECK(Warned(Good({"-service", "a", "-upstream", "db:0.0.0.0:1"}),
               "upstream db listens on 0.0.0.0:1"));
  CHECK(Good({"-service", "a", "-upstream", "db:localhost:1"}).warnings.empty());
  CHECK(Contains(Bad({"-proxy-id", "a", "-admin-addr", "10.0.0.1:9"}),
                 "-admin-addr: 10.0.0.1:9 is beyond loopback"));
  CHECK(Warned(Good({"-proxy-id", "a", "-admin-addr", "10.0.0.1:9", "-admin-allow-remote"}),
               "admin port"));
  CHECK(Good({"-proxy-id", "a", "-metrics-addr", "0.0.0.0:9"}).warnings.empty());
  CHECK(Good({"-proxy-id", "a", "-admin-addr", "unix:/run/a"}).warnings.empty());
}

TEST_CASE("flags: two listeners on one address are an error that names both") {
  CHECK(Contains(Bad({"-service", "a", "-upstream", "b:80", "-upstream", "c:80"}),
                 "-upstream b and -upstream c both want to listen on 127.0.0.1:80"));
  CHECK(
      Contains(Bad({"-service", "a", "-service-addr", ":2", "-listen", ":80", "-upstream", "c:80"}),
               "-listen and -upstream c"));
  CHECK(Contains(Bad({"-service", "a", "-admin-addr", "127.0.0.1:80", "-upstream", "c:80"}),
                 "-admin-addr and -upstream c"));
  CHECK(Contains(Bad({"-service", "a", "-metrics-addr", "[::]:80", "-upstream", "c:80"}),
                 "-metrics-addr and -upstream c"));
  CHECK(Contains(Bad({"-service", "a", "-upstream", "c:81", "-metrics-addr", "[::]:80",
                      "-admin-addr", "127.0.0.1:80"}),
                 "-admin-addr and -metrics-addr"));
  CHECK(Contains(Bad({"-service", "a", "-service-addr", ":80", "-listen", ":80"}),
                 "the proxy would call itself"));
  CHECK(Good({"-service", "a", "-admin-addr", "127.0.0.1:80", "-upstream", "c:[::1]:80"}).admin);
  CHECK(Good({"-service", "a", "-upstream", "b:0", "-upstream", "c:0"})
            .services[0]
            .upstreams.size() == 2);
  CHECK(Good({"-service", "a", "-upstream", "b:80", "-upstream", "c:127.0.0.2:80"})
            .services[0]
            .upstreams.size() == 2);
}

TEST_CASE("flags: every agent setting comes from its variable, and a flag beats it") {
  const Environment environment{{"CONSUL_HTTP_ADDR", "10.0.0.1:1"},
                                {"CONSUL_HTTP_TOKEN", "et"},
                                {"CONSUL_HTTP_TOKEN_FILE", "ef"},
                                {"CONSUL_HTTP_AUTH", "u:p"},
                                {"CONSUL_HTTP_SSL", "true"},
                                {"CONSUL_HTTP_SSL_VERIFY", "false"},
                                {"CONSUL_CACERT", "ca"},
                                {"CONSUL_CAPATH", "cp"},
                                {"CONSUL_CLIENT_CERT", "cc"},
                                {"CONSUL_CLIENT_KEY", "ck"},
                                {"CONSUL_TLS_SERVER_NAME", "sn"},
                                {"CONSUL_NAMESPACE", "ns"},
                                {"CONSUL_PARTITION", "ap"}};
  const AgentSettings agent = Good({"-proxy-id=a"}, environment).agent;
  CHECK(agent.address.Text() == "10.0.0.1:1");
  CHECK(agent.token == "et");
  CHECK(agent.token_file == "ef");
  CHECK(agent.basic_auth == "u:p");
  CHECK(agent.https);
  CHECK_FALSE(agent.tls.verify);
  CHECK(agent.tls.ca_file == "ca");
  CHECK(agent.tls.ca_path == "cp");
  CHECK(agent.tls.client_cert == "cc");
  CHECK(agent.tls.client_key == "ck");
  CHECK(agent.tls_server_name == "sn");
  CHECK(agent.ns == "ns");
  CHECK(agent.partition == "ap");

  const AgentSettings flags =
      Good({"-proxy-id=a", "-http-addr=127.0.0.1:2", "-token=ft", "-token-file=ff", "-ca-file=1",
            "-ca-path=2", "-client-cert=3", "-client-key=4", "-tls-server-name=5", "-namespace=6",
            "-partition=7"},
           environment)
          .agent;
  CHECK(flags.address.Text() == "127.0.0.1:2");
  CHECK(flags.token == "ft");
  CHECK(flags.token_file == "ff");
  CHECK(flags.tls.ca_file == "1");
  CHECK(flags.tls.ca_path == "2");
  CHECK(flags.tls.client_cert == "3");
  CHECK(flags.tls.client_key == "4");
  CHECK(flags.tls_server_name == "5");
  CHECK(flags.ns == "6");
  CHECK(flags.partition == "7");
  CHECK(Good({"-proxy-id=a", "-token="}, environment).agent.token.empty());
}

TEST_CASE("flags: a bad agent variable does not matter once a flag replaces it") {
  const Environment environment{{"CONSUL_HTTP_ADDR", "ftp://x"}};
  CHECK(Contains(Bad({"-proxy-id=a"}, environment),
                 "Error connecting to Consul agent: Unknown protocol scheme: ftp"));
  CHECK(Contains(Bad({"-proxy-id=a"}, environment), "CONSUL_HTTP_ADDR"));
  CHECK(Good({"-proxy-id=a", "-http-addr=a:1"}, environment).agent.address.port == 1);
}

TEST_CASE("flags: a boolean variable that cannot be read is a warning") {
  const Settings settings =
      Good({"-proxy-id=a"}, {{"CONSUL_HTTP_SSL", "maybe"}, {"CONSUL_HTTP_SSL_VERIFY", "perhaps"}});
  CHECK_FALSE(settings.agent.https);
  CHECK(settings.agent.tls.verify);
  CHECK(Warned(settings, "could not parse CONSUL_HTTP_SSL:"));
  CHECK(Warned(settings, "could not parse CONSUL_HTTP_SSL_VERIFY:"));
}

TEST_CASE("flags: a client certificate goes with its key") {
  const std::string both =
      "Error connecting to Consul agent: both client cert and client key must be provided";
  CHECK(Bad({"-proxy-id=a", "-client-cert=x"}) == both);
  CHECK(Bad({"-proxy-id=a", "-client-key=x"}) == both);
  CHECK(
      Good({"-proxy-id=a", "-client-key=x"}, {{"CONSUL_CLIENT_CERT", "y"}}).agent.tls.client_cert ==
      "y");
}

TEST_CASE("flags: the forms of the agent's address") {
  const auto read = [](const std::string& text, bool https) {
    AgentSettings agent;
    agent.https = https;
    const Status status = ParseAgentAddress(text, &agent);
    if (!status) return status.error().message;
    return std::string(agent.https ? "https " : "http ") + agent.address.Text() + agent.path_prefix;
  };
  CHECK(read("10.0.0.1:8500", false) == "http 10.0.0.1:8500");
  CHECK(read("10.0.0.1:8500", true) == "https 10.0.0.1:8500");
  CHECK(read("http://h:8500", false) == "http h:8500");
  CHECK(read("http://h:8500", true) == "https h:8500");  // never taken back
  CHECK(read("https://h:8501", false) == "https h:8501");
  CHECK(read("https://h", false) == "https h:443");
  CHECK(read("http://h", false) == "http h:80");
  CHECK(read("h", false) == "http h:80");
  CHECK(read(":8500", false) == "http 127.0.0.1:8500");
  CHECK(read("[::1]:8500", false) == "http [::1]:8500");
  CHECK(read("https://[::1]", false) == "https [::1]:443");
  CHECK(read("http://h:8500/", false) == "http h:8500");
  CHECK(read("http://h:8500/consul/x/", false) == "http h:8500/consul/x");
  CHECK(read("unix:///run/consul.sock", false) == "http unix:/run/consul.sock");
  CHECK(read("unix:/run/consul.sock", false) == "http unix:/run/consul.sock");
  CHECK(Contains(read("ftp://h", false), "Unknown protocol scheme: ftp"));
  CHECK(Contains(read("HTTP://h", false), "Unknown protocol scheme: HTTP"));
  CHECK(Contains(read("h:8500/x", false), "a path needs a scheme"));
  CHECK(Contains(read("http://h:8500/a?b", false), "a character that does not belong"));
  CHECK(Contains(read("http://h:8500/a\r\nX: y", false), "a character that does not belong"));
  CHECK(Contains(read("8500", false), "\"8500\" has no host; write 127.0.0.1:8500"));
  CHECK(Contains(read("http://8500", false), "has no host; write 127.0.0.1:8500"));
  CHECK(Contains(read("http://h:0", false), "port 0 cannot be dialled"));
  CHECK(Contains(read("http://", false), "the address is empty"));
  CHECK(Contains(read("http://u:p@h", false), "CONSUL_HTTP_AUTH"));
}

TEST_CASE("flags: an agent that can be overheard or mistaken is a warning") {
  CHECK(Warned(Good({"-proxy-id=a", "-http-addr=10.0.0.1:8500"}), "in clear text"));
  CHECK(Good({"-proxy-id=a", "-http-addr=localhost:8500"}).warnings.empty());
  CHECK(Good({"-proxy-id=a", "-http-addr=https://10.0.0.1:8501"}).warnings.empty());
  CHECK(Warned(Good({"-proxy-id=a", "-http-addr=https://a:1"}, {{"CONSUL_HTTP_SSL_VERIFY", "0"}}),
               "is not verified"));
  CHECK(Contains(Bad({"-proxy-id=a", "-http-addr=unix:///x"}, {{"CONSUL_HTTP_SSL", "1"}}),
                 "no host name to verify"));
}

TEST_CASE("flags: log levels in any letter case, and Consul's words for others") {
  CHECK(Good({"-proxy-id=a"}).log_level == LogLevel::kInfo);
  CHECK(Good({"-proxy-id=a", "-log-level=trace"}).log_level == LogLevel::kTrace);
  CHECK(Good({"-proxy-id=a", "-log-level=ERR"}).log_level == LogLevel::kError);
  CHECK(Good({"-proxy-id=a", "-log-level=Error"}).log_level == LogLevel::kError);
  CHECK(Bad({"-proxy-id=a", "-log-level=FOO"}) ==
        "Invalid log level: FOO. Valid log levels are: [TRACE DEBUG INFO WARN ERR ERROR]");
}

TEST_CASE("flags: what Consul takes and we cannot mean is accepted with a warning") {
  CHECK(Warned(Good({"-proxy-id=a", "-pprof-addr=:6060"}), "-admin-addr"));
  CHECK(Warned(Good({"-proxy-id=a", "-datacenter=dc2"}), "-datacenter is ignored"));
}

TEST_CASE("flags: our own settings are read, and refused with the cure") {
  const Settings settings =
      Good({"-proxy-id=a", "-admin-addr=127.0.0.1:0", "-drain-delay=0", "-drain-time=1m30s",
            "-workers=2", "-handshake-timeout=3s", "-connect-timeout=500ms",
            "-local-connect-timeout=2s", "-idle-timeout=1h"});
  CHECK(settings.admin->Text() == "127.0.0.1:0");
  CHECK(settings.drain_delay == milliseconds{0});
  CHECK(settings.drain_time == milliseconds{90'000});
  CHECK(settings.workers == 2);
  CHECK(settings.services[0].handshake_timeout == milliseconds{3'000});
  CHECK(settings.services[0].connect_timeout == milliseconds{500});
  CHECK(settings.services[0].local_connect_timeout == milliseconds{2'000});
  CHECK(settings.services[0].idle_timeout == milliseconds{3'600'000});
  CHECK(Contains(Bad({"-proxy-id=a", "-drain-time=5"}), "it has no unit; write 5s"));
  CHECK(Contains(Bad({"-proxy-id=a", "-connect-timeout=0"}), "longer than 0"));
  for (const char* value :
       {"-workers=0", "-workers=257", "-workers=two", "-workers=-1", "-workers="}) {
    CHECK(Contains(Bad({"-proxy-id=a", value}), "write a number from 1 to 256"));
  }
  CHECK(Contains(Bad({"-proxy-id=a", "-admin-addr=:1"}), "the host is missing"));
}

TEST_CASE("duration: Go's syntax, to the millisecond") {
  const auto read = [](std::string_view text) {
    const Result<milliseconds> duration = ParseDuration(text);
    return duration ? duration->count() : -1;
  };
  CHECK(read("1s") == 1'000);
  CHECK(read("500ms") == 500);
  CHECK(read("1m30s") == 90'000);
  CHECK(read("1.5h") == 5'400'000);
  CHECK(read(".5s") == 500);
  CHECK(read("2000us") == 2);
  CHECK(read("2000\u00b5s") == 2);
  CHECK(read("0") == 0);
  CHECK(read("0s") == 0);
  CHECK(read("+1s") == 1'000);
  CHECK(read("8760h") == 31'536'000'000);
  for (const char* text : {"",
                           "5",
                           "1.5",
                           "1m30",
                           "s",
                           ".s",
                           "-1s",
                           "1 s",
                           " 1s",
                           "1d",
                           "1S",
                           "1,5s",
                           "8761h",
                           "1500us",
                           "0.5ns",
                           "1ns",
                           "99999999999999999999999s",
                           "8760h1ms",
                           "0.1234567s",
                           "1s1",
                           "1e3s"}) {
    INFO(text);
    CHECK(read(text) == -1);
  }
  CHECK(Contains(ParseDuration("1d").error().message, "unit \"d\" is unknown"));
}

TEST_CASE("nearest: a slip of the finger finds its word, a stranger none") {
  const std::vector<std::string_view> words{"listen", "upstreams", "log_level", "token"};
  CHECK(Nearest("listn", words) == "listen");
  CHECK(Nearest("Log-Level", words) == "log_level");
  CHECK(Nearest("upstream", words) == "upstreams");
  CHECK(Nearest("zzz", words).empty());
  CHECK(Nearest(std::string(1000, 'x'), words).empty());
}

TEST_CASE("flags: -on-revoke quiet needs a grace, and one app goes first") {
  CHECK(Contains(Bad({"-sidecar-for", "a", "-on-revoke", "quiet"}),
                 "-on-revoke: quiet needs -revoke-grace"));
  CHECK(Good({"-sidecar-for", "a", "-on-revoke", "quiet", "-revoke-grace", "1s"})
            .services[0]
            .on_revoke == OnRevoke::kQuiet);
  CHECK(Good({"-sidecar-for", "a", "-stop-after-port", "80"}).stop_after.on());
  CHECK(Contains(Bad({"-sidecar-for", "a", "-stop-after-port", "80", "-stop-after-pid", "1"}),
                 "one is enough"));
}

TEST_CASE("flags: a call of the app that would arrive at our own listener is an error") {
  struct Row {
    const char* listen;
    const char* app;
    bool ours;
  };
  for (const Row& row : {
           Row{"127.0.0.1:1", "127.0.0.1:1", true},
           Row{":1", "127.0.0.1:1", true},
           Row{":1", ":1", true},
           Row{":1", "localhost:1", true},
           Row{"[::]:1", "[::1]:1", true},
           Row{"[::]:1", "127.0.0.1:1", true},
           Row{"127.0.0.1:1", "localhost:1", true},
           Row{"localhost:1", "127.0.0.1:1", true},
           Row{"10.0.0.5:1", "10.0.0.5:1", true},
           Row{"127.0.0.1:1", "0.0.0.0:1", true},
           Row{"unix:/run/a", "unix:/run/./a", true},
           Row{":1", ":2", false},
           Row{":1", "10.0.0.5:1", false},
           Row{"127.0.0.1:1", "127.0.0.2:1", false},
           Row{":1", "app.example:1", false},
           Row{"0.0.0.0:1", "[::1]:1", false},
           Row{":1", "unix:/run/a", false},
       }) {
    CAPTURE(row.listen);
    CAPTURE(row.app);
    const Arguments line{"-service", "a", "-listen", row.listen, "-service-addr", row.app};
    if (row.ours) {
      CHECK(Contains(Bad(line), "the proxy would call itself; give one of them another port"));
    } else {
      CHECK(Good(line).services.size() == 1);
    }
  }
  CHECK(Contains(Bad({"-service", "a", "-upstream", "b:localhost:1", "-upstream", "c:1"}),
                 "-upstream b and -upstream c both want to listen on"));
}

TEST_CASE("flags: a token that cannot be one is refused, by flag and variable, and not repeated") {
  struct Row {
    std::string token;
    const char* says;  // nullptr: it may be one
  };
  for (const Row& row : {
           Row{"7e2b0d4c-0000-4000-8000-000000000000", nullptr},
           Row{"an old master token", nullptr},
           Row{"\xef\xbb\xbfone", "begins with a byte order mark; save it as UTF-8 without one"},
           Row{"\xff\xfeo", "is in UTF-16; save it as UTF-8 without a byte order mark"},
           Row{"one\ntwo", "holds a control character at byte 4, which no token has"},
           Row{"one\x7f", "holds a control character at byte 4"},
           Row{"\tone", "holds a control character at byte 1"},
           Row{"caf\xc3\xa9", "holds a byte beyond ASCII at byte 4"},
       }) {
    CAPTURE(row.token);
    if (row.says == nullptr) {
      CHECK(Good({"-sidecar-for", "s", "-token", row.token}).agent.token == row.token);
      continue;
    }
    const std::string by_flag = Bad({"-sidecar-for", "s", "-token", row.token});
    CHECK(Contains(by_flag, row.says));
    CHECK(by_flag.ends_with("(-token)"));
    CHECK(by_flag.find(row.token) == std::string::npos);
    const std::string by_variable = Bad({"-sidecar-for", "s"}, {{"CONSUL_HTTP_TOKEN", row.token}});
    CHECK(Contains(by_variable, row.says));
    CHECK(by_variable.ends_with("(CONSUL_HTTP_TOKEN)"));
  }
}

TEST_CASE("flags: -log-json is heeded before anything else is understood") {
  for (const Arguments& line :
       {Arguments{"-log-json"}, Arguments{"--log-json", "-x"}, Arguments{"-x", "-log-json=true"}})
    CHECK(AsksForJson(line));
  for (const Arguments& line :
       {Arguments{}, Arguments{"-log-json=false"}, Arguments{"-log-jsonx"}, Arguments{"log-json"}})
    CHECK_FALSE(AsksForJson(line));
}

}  // namespace
}  // namespace mooring::config
