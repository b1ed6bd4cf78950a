// Limits and shares: the arithmetic of what connections may hold.
#include "proxy/data/limits.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "proxy/config/flags.h"
#include "proxy/config/yaml.h"
#include "proxy/data/admission.h"

namespace mooring::data {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

TEST_CASE("limits: what the parts may hold together leaves room for the program") {
  for (const std::size_t memory : {32 * kMiB, 64 * kMiB, 512 * kMiB, 16384 * kMiB}) {
    CAPTURE(memory);
    const Limits limits = Limits::FromMemory(memory, 1);
    CHECK(limits.memory < memory);
    CHECK(limits.handshake_memory + limits.buffer_memory < limits.memory);
    CHECK(limits.handshakes >= 16);
    CHECK(limits.memory >= memory / 4);
  }
  const Limits small = Limits::FromMemory(64 * kMiB, 1);
  CHECK(small.memory <= 50 * kMiB);
  CHECK(small.handshakes >= 200);
  CHECK(small.memory / kConnectionCost >= 2000);
}

TEST_CASE("limits: more workers take more for themselves, and never everything") {
  const Limits one = Limits::FromMemory(64 * kMiB, 1);
  CHECK(Limits::FromMemory(64 * kMiB, 4).memory < one.memory);
  CHECK(Limits::FromMemory(64 * kMiB, 256).memory >= 10 * kMiB);
  CHECK(Limits::FromMemory(kMiB, 1).memory > 0);
}

TEST_CASE("limits: flags and YAML say the same, and a bad value is refused with the cure") {
  const std::vector<std::string> base{"-service", "web", "-upstream", "db:1"};
  const std::string service = "service: web\nupstreams: [{service: db, listen: 127.0.0.1:1}]\n";
  const auto flags = [&base](std::vector<std::string> more) {
    more.insert(more.begin(), base.begin(), base.end());
    return config::ParseConnectProxy(more, {});
  };
  const auto parsed = flags({"-memory-limit", "2GiB", "-max-handshakes", "50", "-handshake-memory",
                             "4MiB", "-buffer-memory", "8MiB"});
  REQUIRE(parsed);
  const config::ParsedYaml yaml = config::ParseYaml(
      service +
          "memory_limit: 2GiB\nmax_handshakes: 50\nhandshake_memory: 4MiB\nbuffer_memory: 8MiB\n",
      "/base", {});
  REQUIRE(yaml.problems.empty());
  for (const config::Settings& settings : {parsed->settings, yaml.settings}) {
    CHECK(settings.memory_limit == 2048 * kMiB);
    CHECK(settings.max_handshakes == 50);
    CHECK(settings.handshake_memory == 4 * kMiB);
    CHECK(settings.buffer_memory == 8 * kMiB);
  }
  CHECK_FALSE(flags({"-max-handshakes", "0"}));
  const auto small = flags({"-memory-limit", "1MiB"});
  REQUIRE_FALSE(small);
  CHECK(small.error().message.find("from 32MiB to 1024GiB, such as 64MiB") != std::string::npos);
  CHECK(config::ParseYaml(service + "buffer_memory: lots\n", "/base", {}).problems.size() == 1);
}

TEST_CASE(
    "shares: each direction leaves the other a part, and both leave the rest of the process its "
    "own") {
  for (const std::int64_t limit : {256, 1024, 4096, 20'000, 1'000'000}) {
    CAPTURE(limit);
    const Shares shares = Shares::Of(limit, 1, 2, 4);
    CHECK(shares.inbound == shares.outbound);
    CHECK(shares.reserved >= 64);
    CHECK(shares.inbound + shares.reserved < limit);
    const std::int64_t kept = limit - shares.reserved - shares.inbound;
    CHECK(kept >= 40);     // descriptors that the other direction can count on
    CHECK(kept <= 1'025);  // where there are plenty, they belong to whoever comes
  }
  CHECK(Shares::Of(1024, 1, 2, 4).inbound / kDescriptorsEach >= 300);
}

TEST_CASE("shares: a direction without a listener keeps nothing back") {
  const Shares both = Shares::Of(1024, 1, 2, 2);
  const Shares inbound = Shares::Of(1024, 1, 2, 0);
  CHECK(inbound.inbound > both.inbound);
  CHECK(inbound.inbound + inbound.reserved == 1024);
}

TEST_CASE("shares: a tiny limit still lets a connection in") {
  for (const std::int64_t limit : {0, 1, 8, 20}) {
    CAPTURE(limit);
    CHECK(Shares::Of(limit, 1, 2, 2).inbound >= kDescriptorsEach);
    CHECK(Shares::Of(limit, 256, 2, 500).outbound >= kDescriptorsEach);
  }
}

TEST_CASE("admission: memory is one sum of connections, handshakes and buffers") {
  Limits limits = Limits::None();
  limits.memory = 10 * kConnectionCost;
  Admission admission(limits, 1);
  CHECK(admission.Ask(ListenerKind::kUpstream) == Room::kYes);
  for (int i = 0; i < 5; ++i)
    admission.Enter(i % 2 == 0 ? ListenerKind::kPublic : ListenerKind::kUpstream);
  CHECK(admission.Ask(ListenerKind::kUpstream) == Room::kYes);
  admission.buffers().Add(3 * kConnectionCost);
  admission.AddHandshakes(1, 2 * kConnectionCost);
  CHECK(admission.Ask(ListenerKind::kUpstream) == Room::kNoMemory);
  admission.AddHandshakes(-1, -static_cast<std::int64_t>(2 * kConnectionCost));
  CHECK(admission.Ask(ListenerKind::kUpstream) == Room::kYes);
}

TEST_CASE("admission: connections are called by numbers in the order in which they come") {
  Admission admission(Limits::None(), 2);
  CHECK(admission.NextId() == 1);
  CHECK(admission.NextId() == 2);
}

TEST_CASE("admission: handshakes are limited by number and by bytes, and only on the public side") {
  Limits limits = Limits::None();
  limits.handshakes = 3;
  limits.handshake_memory = 100'000;
  Admission admission(limits, 1);
  admission.AddHandshakes(3, 10);
  CHECK(admission.Ask(ListenerKind::kPublic) == Room::kNoHandshakes);
  CHECK(admission.Ask(ListenerKind::kUpstream) == Room::kYes);
  admission.AddHandshakes(-2, 99'990);
  CHECK(admission.Ask(ListenerKind::kPublic) == Room::kNoHandshakes);
  admission.AddHandshakes(0, -50'000);
  CHECK(admission.Ask(ListenerKind::kPublic) == Room::kYes);
}

TEST_CASE("admission: a direction that has used up its share leaves the other one's alone") {
  Admission admission(Limits::None(), 1);
  admission.AddListeners(ListenerKind::kPublic, 2);
  admission.AddListeners(ListenerKind::kUpstream, 2);
  std::int64_t taken = 0;
  while (admission.Ask(ListenerKind::kPublic) == Room::kYes && taken < 1'000'000) {
    admission.Enter(ListenerKind::kPublic);
    ++taken;
  }
  REQUIRE(admission.Ask(ListenerKind::kPublic) == Room::kNoDescriptors);
  CHECK(taken == admission.shares().inbound / kDescriptorsEach);
  CHECK(admission.Ask(ListenerKind::kUpstream) == Room::kYes);
  admission.Leave(ListenerKind::kPublic);
  CHECK(admission.Ask(ListenerKind::kPublic) == Room::kYes);
}

TEST_CASE("admission: whoever waits is woken once, and not after Forget") {
  Admission admission(Limits::None(), 1);
  int woken = 0;
  admission.WakeWaiting();
  admission.Waiting(&admission, [&woken] { ++woken; });
  admission.Waiting(&admission, [&woken] { ++woken; });
  admission.WakeWaiting();
  admission.WakeWaiting();
  CHECK(woken == 1);
  admission.Waiting(&woken, [&woken] { ++woken; });
  admission.Forget(&woken);
  admission.WakeWaiting();
  CHECK(woken == 1);
}

}  // namespace
}  // namespace mooring::data
