// What a reload changes: each setting of the table is compared, and goes by what its entry says.
#include <doctest/doctest.h>

#include <algorithm>

#include "proxy/config/difference.h"
#include "proxy/config/yaml.h"

namespace mooring::config {
namespace {

Settings Parsed(const std::string& text) {
  ParsedYaml parsed = ParseYaml(text, "/etc/mooring", {});
  for (const Problem& problem : parsed.problems) FAIL_CHECK(problem.Text("file"));
  return std::move(parsed.settings);
}

std::vector<std::string> Texts(const Settings& before, const Settings& after) {
  std::vector<std::string> texts;
  for (const Difference& each : DifferencesOf(before, after)) {
    texts.push_back(each.Text() + (each.applies == Applies::kUpgrade ? " [upgrade]" : ""));
  }
  return texts;
}

using Lines = std::vector<std::string>;

constexpr char kOne[] = R"(
service: payment
public_listener: {address: '127.0.0.1:8443', local_app: '127.0.0.1:9090'}
upstreams:
  - {service: db, listen: '127.0.0.1:8001'}
  - {service: cache, listen: '127.0.0.1:8002'}
)";

TEST_CASE("differences: a file that says the same in other words has none") {
  const Settings one = Parsed(kOne);
  CHECK(DifferencesOf(one, one).empty());
  CHECK(
      Texts(one, Parsed(std::string("# a comment\n\n") + kOne + "drain_time: 30000ms\n")).empty());
}

TEST_CASE("differences: each is one setting, by its path in the file, with both values") {
  const Settings one = Parsed(kOne);
  CHECK(Texts(one, Parsed(std::string(kOne) + "drain_time: 10s\nworkers: 2\n")) ==
        Lines{"drain_time: 30s -> 10s", "workers: 1 -> 2 [upgrade]"});
  CHECK(Texts(one, Parsed(R"(
service: payment
public_listener: {address: '127.0.0.1:8444', local_app: '127.0.0.1:9090', max_inbound_connections: 5}
upstreams:
  - {service: db, listen: '127.0.0.1:8001', attempts: 3}
  - {query: cache, listen: '127.0.0.1:8002'}
intentions: {default: deny, rules: [{source: web, action: allow}]}
)")) == Lines{"public_listener.address: 127.0.0.1:8443 -> 127.0.0.1:8444",
              "public_listener.max_inbound_connections: (none) -> 5",
              "intentions.default: (none) -> deny",
              "intentions.rules: (none) -> [{source: web, action: allow}]",
              "upstreams[cache]: removed (127.0.0.1:8002)", "upstreams[db].attempts: (none) -> 3",
              "upstreams[cache.query]: added (127.0.0.1:8002)"});
}

TEST_CASE("differences: services come and go, and what one is told is said of it alone") {
  const Settings two = Parsed(R"(
services:
  - {service: a, upstreams: [{service: db, listen: '127.0.0.1:8001'}]}
  - {service: b, upstreams: [{service: db, listen: '127.0.0.1:8002'}]}
)");
  CHECK(Texts(two, Parsed(R"(
attempts: 3
services:
  - {service: c, upstreams: [{service: db, listen: '127.0.0.1:8003'}]}
  - {service: a, upstreams: [{service: db, listen: 'unix:/run/db', socket_mode: "0660"}]}
)")) == Lines{"services[b]: removed", "services[c]: added", "services[a].attempts: 10 -> 3",
              "services[a].upstreams[db].listen: 127.0.0.1:8001 -> unix:/run/db",
              "services[a].upstreams[db].socket_mode: (none) -> 0660"});
  // The one that stays is not another one because the file begins to have a list.
  CHECK(Texts(Parsed("service: a\nupstreams: [{service: db, listen: '127.0.0.1:8001'}]\n"), two) ==
        Lines{"services[b]: added"});
}

TEST_CASE("differences: a secret is said to be another one, and no more") {
  const Settings before = Parsed(std::string(kOne) + "agent: {token: aaaa-1111}\n");
  const Settings after = Parsed(std::string(kOne) + "agent: {token: bbbb-2222}\n");
  const std::vector<Difference> all = DifferencesOf(before, after);
  REQUIRE(all.size() == 1);
  CHECK(all[0].Text() == "agent.token: changed (a secret)");
  CHECK(all[0].secret);
  CHECK(all[0].before == "");
  CHECK(all[0].after == "");
}

TEST_CASE("differences: what needs an upgrade stays as it was, and all else is the file's") {
  const Settings before = Parsed(std::string(kOne) + "admin: {address: '127.0.0.1:1'}\n");
  Settings file = Parsed(std::string(kOne) +
                         "admin: {address: 'unix:/run/a.sock', tap: true}\nworkers: 3\n"
                         "drain_time: 1s\nstate_dir: /var/lib/x\n"
                         "agent: {address: 'https://10.0.0.1:18501'}\n"
                         "identity: {certificate: c, private_key: k, roots: r}\n");
  const std::vector<Difference> all = DifferencesOf(before, file);
  const Settings now = InForce(before, file);
  CHECK(now.admin->Text() == "127.0.0.1:1");
  CHECK_FALSE(now.admin_tap);  // it belongs to that address
  CHECK(now.workers == 1);
  CHECK(now.state_dir.empty());
  CHECK_FALSE(now.agent.https);
  CHECK_FALSE(now.services[0].identity);
  CHECK(now.drain_time == milliseconds(1'000));
  // What is applied and what is left are the whole difference.
  for (const Difference& each : DifferencesOf(before, now)) CHECK(each.applies == Applies::kLive);
  for (const Difference& each : DifferencesOf(now, file)) CHECK(each.applies == Applies::kUpgrade);
  CHECK(DifferencesOf(before, now).size() + DifferencesOf(now, file).size() == all.size());
}

TEST_CASE(
    "differences: each setting that a file can have is compared, and a value is copied whole") {
  for (const Setting& setting : Table()) {
    if (setting.key.empty() || std::holds_alternative<kind::Section>(setting.value) ||
        std::holds_alternative<kind::List>(setting.value))
      continue;
    INFO(PathOf(setting));
    // Special ones can be shown; all others can be read, shown and copied.
    if (const auto* special = std::get_if<kind::Special>(&setting.value)) {
      const bool shown = special->show != nullptr;
      CHECK(shown);
      CHECK(setting.applies == Applies::kLive);  // CopyValue cannot keep them
      continue;
    }
    if (setting.in == In::kUpstreams) CHECK(setting.applies == Applies::kLive);
  }
}

TEST_CASE("differences: what names a file that this process cannot reach needs an upgrade") {
  const Settings before = Parsed(R"(
services:
  - service: payment
    public_listener: {address: '127.0.0.1:8443', local_app: '127.0.0.1:9090'}
    upstreams:
      - {service: db, listen: 'unix:/in/db.sock'}
      - {service: cache, listen: 'unix:/in/cache.sock'}
)");
  const Settings after = Parsed(R"(
access_log: {to: /out/access.log, format: json}
services:
  - service: payment
    public_listener: {address: 'unix:/out/public.sock', local_app: 'unix:/out/app.sock'}
    upstreams:
      - {service: db, listen: 'unix:/out/db.sock', attempts: 3}
      - {service: more, listen: 'unix:/in/more.sock'}
      - {service: most, listen: 'unix:/out/most.sock'}
  - service: reached
    token_file: /in/token
    upstreams: [{service: db, listen: 'unix:/in/other.sock'}]
  - service: unreached
    token_file: /out/token
    upstreams: [{service: db, listen: 'unix:/in/another.sock'}]
)");
  const Within within{.agent = true, .reaches = [](const NamedPath& path) {
                        return path.path.starts_with("/in/");
                      }};
  Lines texts;
  for (const Difference& each : DifferencesOf(before, after, within))
    texts.push_back(each.Text() + (each.applies == Applies::kUpgrade ? " [upgrade]" : ""));
  std::string seen;
  for (const std::string& text : texts) seen += text + '\n';
  INFO(seen);
  CHECK(texts ==
        Lines{"access_log.to: off -> /out/access.log [upgrade]", "access_log.format: text -> json",
              "services[payment].public_listener.address: 127.0.0.1:8443 -> "
              "unix:/out/public.sock [upgrade]",
              "services[payment].public_listener.socket_mode: (none) -> 0600 [upgrade]",
              "services[payment].public_listener.local_app: 127.0.0.1:9090 -> unix:/out/app.sock",
              "services[payment].upstreams[cache]: removed (unix:/in/cache.sock)",
              "services[payment].upstreams[db].listen: unix:/in/db.sock -> unix:/out/db.sock "
              "[upgrade]",
              "services[payment].upstreams[db].attempts: (none) -> 3",
              "services[payment].upstreams[more]: added (unix:/in/more.sock)",
              "services[payment].upstreams[most]: added (unix:/out/most.sock) [upgrade]",
              "services[reached]: added", "services[unreached]: added [upgrade]"});

  const Settings now = InForce(before, after, within);
  CHECK(now.access_log.to == "off");
  CHECK(now.access_log.format == log::Format::kJson);
  REQUIRE(now.services.size() == 2);
  CHECK(now.services[0].public_listen->Text() == "127.0.0.1:8443");
  CHECK(now.services[0].local_app->Text() == "unix:/out/app.sock");
  REQUIRE(now.services[0].upstreams.size() == 2);
  CHECK(now.services[0].upstreams[0].listen.Text() == "unix:/in/db.sock");
  CHECK(now.services[0].upstreams[0].attempts == 3);
  CHECK(now.services[1].service == "reached");
  // All of what applies has applied, and the rest waits.
  for (const Difference& each : DifferencesOf(now, after, within)) {
    INFO(each.Text());
    CHECK(each.applies == Applies::kUpgrade);
  }

  // The last service stays where the one that is to replace it cannot be served.
  Settings other = after;
  other.services.erase(other.services.begin(), other.services.begin() + 2);
  CHECK(InForce(before, other, within).services[0].service == "payment");
  for (const Difference& each : DifferencesOf(before, other, within)) {
    INFO(each.Text());
    if (each.setting.starts_with("services[")) CHECK(each.applies == Applies::kUpgrade);
  }
}

}  // namespace
}  // namespace mooring::config
