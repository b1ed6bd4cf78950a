// A service and the agent that holds its configuration, one allocation after the other failing.
#include "proxy/sidecar/service.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <exception>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "proxy/config/settings.h"
#include "tests/unit/agent_desk.h"
#include "tests/unit/failing_new.h"
#include "tests/unit/test_clock.h"

namespace mooring::sidecar {
namespace {

using namespace std::chrono_literals;
using test::FailingNew;

constexpr char kConfig[] = "/v1/agent/service/web-proxy";
constexpr char kRegistered[] =
    R"({"Kind":"connect-proxy","ID":"web-proxy","Service":"web-sidecar-proxy","Port":1,
  "Address":"127.0.0.1","Proxy":{"DestinationServiceName":"web","DestinationServiceID":"web-1","LocalServicePort":9,
  "LocalServiceAddress":"127.0.0.1","Upstreams":[{"DestinationType":"service","DestinationName":"db","LocalBindPort":0,
  "LocalBindSocketPath":"/nowhere/db.sock"}]}})";

config::Settings OneService() {
  config::Settings settings;
  settings.services.emplace_back();
  settings.services.front().proxy_id = "web-proxy";
  return settings;
}

// World is a service whose n-th allocation from the first answer about its configuration on fails.
struct World final : Service::Owner, net::Keeper {
  explicit World(std::size_t n) : fails(n) {
    here.loop.SetKeeper(this);
    REQUIRE(service.Prepare());
    service.Begin({});
  }
  ~World() { here.loop.SetKeeper(nullptr); }
  void OnCannotStart(Service&, const std::string&, const std::vector<std::string>&) override {}
  std::string OtherListener(const Service&, const net::Address&) const override { return {}; }
  void OnReadiness(Service&) override {}
  void OnDrained(Service&) override {}
  void OnEscaped() noexcept override { service.PublishLater(); }

  std::string Answer(const std::string& target) {
    if (target.find("hash=") != std::string::npos) return {};
    if (!target.starts_with(kConfig)) return test::Says(500, "not yet");
    std::string answer = test::Ok(kRegistered, "X-Consul-ContentHash: 1\r\n");
    if (!std::exchange(armed, true)) FailingNew::Arm(fails, 1);
    return answer;
  }
  void Pass(net::milliseconds time) {
    bool over = false;
    net::Timer timer(here.loop, [&] { over = true; });
    timer.Start(time);
    clock.RunUntil(here.loop, [&] { return over; });
  }

  test::Clock clock;
  const std::size_t fails;
  bool armed = false;
  const config::Settings settings = OneService();
  test::AtDesk here{[this](const std::string& target) { return Answer(target); }};
  net::Inherited inherited;
  const Service::Shared shared{here.loop, settings, inherited, nullptr, here.link.get()};
  Service service{shared, here.log, settings.services.front(), *this};
};

TEST_CASE(
    "service: a configuration that is taken up when memory runs out is taken up whole a moment "
    "later") {
  std::size_t failed = 0;
  // No look-up, no TLS: what comes after the answer in these milliseconds is its taking up.
  for (std::size_t n = 1; n <= 400; ++n) {
    CAPTURE(n);
    World world(n);
    world.Pass(200ms);
    failed += FailingNew::Lift().failed;
    world.Pass(1s);
    world.here.desk.questions.clear();
    // All that there is is asked again meanwhile, even where it was the desk that had no memory to
    // answer with.
    world.Pass(30s);
    for (const std::string target :
         {"/ca/roots", "/ca/leaf/web", "/intentions/match", "/discovery-chain/db"}) {
      CAPTURE(target);
      CHECK(world.here.desk.Asked(target) >= 1);
    }
    for (const std::string& reason : world.service.NotReady())
      CHECK(reason.find("configuration") == std::string::npos);
  }
  CHECK(failed > 100);
}

// Waiting is a service that waits for its agent, and its log.
struct Waiting final : Service::Owner {
  Waiting() {
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
    read_end = net::UniqueFd(ends[0]);
    write_end = net::UniqueFd(ends[1]);
    log.emplace(log::Level::kWarn, false, write_end.get());
    service.emplace(shared, *log, settings.services.front(), *this);
    REQUIRE(service->Prepare());
    service->Begin({});
  }
  void OnCannotStart(Service&, const std::string&, const std::vector<std::string>&) override {}
  std::string OtherListener(const Service&, const net::Address&) const override { return {}; }
  void OnReadiness(Service&) override {}
  void OnDrained(Service&) override {}

  void Pass(int seconds) {
    for (int i = 0; i < seconds; ++i) {
      clock.Skip(here.loop, 1s);
      service->Tick();
    }
  }
  // Said are the lines about it, so far.
  std::vector<std::string> Said() {
    log->Flush(5s);
    char chunk[65536];
    const ssize_t count = read(read_end.get(), chunk, sizeof chunk);
    if (count > 0) text.append(chunk, static_cast<std::size_t>(count));
    std::vector<std::string> lines;
    std::istringstream all(text);
    for (std::string line; std::getline(all, line);) {
      if (line.find("still waiting to be ready") != std::string::npos) lines.push_back(line);
    }
    return lines;
  }

  test::Clock clock;
  net::UniqueFd read_end, write_end;
  std::string text;
  const config::Settings settings = OneService();
  test::AtDesk here{[](const std::string&) { return test::Says(500, "not yet"); }};
  net::Inherited inherited;
  const Service::Shared shared{here.loop, settings, inherited, nullptr, here.link.get()};
  std::optional<log::Log> log;
  std::optional<Service> service;
};

TEST_CASE("service: who waits for its agent says every half minute what is missing") {
  Waiting waiting;
  waiting.Pass(29);
  CHECK(waiting.Said().empty());
  waiting.Pass(1);
  REQUIRE(waiting.Said().size() == 1);
  CHECK(waiting.Said().front().find("seconds=30 missing=\"no proxy configuration yet") !=
        std::string::npos);
  waiting.Pass(60);
  REQUIRE(waiting.Said().size() == 3);
  CHECK(waiting.Said().back().find("seconds=90 ") != std::string::npos);
}

}  // namespace
}  // namespace mooring::sidecar
