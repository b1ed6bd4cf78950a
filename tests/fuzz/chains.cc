// chains: discovery chains made of choices, as the agent compiles them, and where they lead.
//
// What was chosen says what has to come out: the first target, those that stand in for it in their
// order, or why it cannot be followed.
#include <string>
#include <vector>

#include "authz/consul/api.h"
#include "tests/fuzz/targets.h"

namespace mooring::fuzz {
namespace {

struct Target {
  std::string id, service, subset, datacenter, peer, filter, gateway;
  bool only_passing = false;
};

Target Choose(Script* script, std::size_t number) {
  Target target;
  const std::uint8_t what = script->Byte();
  // Two of one ID are two keys of one object, which is refused.
  target.id = "t" + std::to_string((what & 1U) != 0 ? 0 : number);
  target.service = (what & 2U) != 0 ? "" : "db";
  target.datacenter = (what & 4U) != 0 ? "" : "dc2";
  if ((what & 8U) != 0) target.subset = "v2";
  if ((what & 16U) != 0) target.peer = "p";
  if ((what & 32U) != 0) target.filter = "Service.Meta.v == \\\"2\\\"";
  target.only_passing = (what & 64U) != 0;
  if ((what & 128U) != 0) target.gateway = "local";
  return target;
}

std::string JsonOf(const Target& target) {
  return "\"" + target.id + "\":{\"Service\":\"" + target.service + "\",\"ServiceSubset\":\"" +
         target.subset + "\",\"Datacenter\":\"" + target.datacenter + "\",\"Peer\":\"" +
         target.peer + "\",\"Subset\":{\"Filter\":\"" + target.filter +
         "\",\"OnlyPassing\":" + (target.only_passing ? "true" : "false") +
         "},\"MeshGateway\":{\"Mode\":\"" + target.gateway + "\"}}";
}

std::string Unescaped(std::string text) {
  std::erase(text, '\\');
  return text;
}

}  // namespace

void chains(Input input) {
  Script script(input);
  const std::string type =
      script.OneOf(std::array<const char*, 4>{"resolver", "router", "splitter", ""});
  const bool start_exists = script.Below(16) != 15;
  std::vector<Target> targets;
  const std::size_t count = script.Below(5);
  for (std::size_t i = 0; i < count; ++i) targets.push_back(Choose(&script, i));
  std::vector<std::string> wanted;  // the first one, then the failover
  while (!script.AtEnd() && wanted.size() < 6)
    wanted.push_back("t" + std::to_string(script.Below(5)));

  std::string body =
      R"({"Chain":{"ServiceName":"db","Datacenter":"dc1","StartNode":"n","Nodes":{")";
  body += start_exists ? "n" : "m";
  body += R"(":{"Type":")" + type + R"(","Resolver":{"ConnectTimeout":"5s")";
  if (!wanted.empty()) body += ",\"Target\":\"" + wanted[0] + "\"";
  if (wanted.size() > 1) {
    body += ",\"Failover\":{\"Targets\":[";
    for (std::size_t i = 1; i < wanted.size(); ++i)
      body += (i > 1 ? ",\"" : "\"") + wanted[i] + "\"";
    body += "]}";
  }
  body += "}}},\"Targets\":{";
  bool twice = false;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    body += (i > 0 ? "," : "") + JsonOf(targets[i]);
    for (std::size_t j = 0; j < i; ++j) twice = twice || targets[i].id == targets[j].id;
  }
  body += "}}}";

  std::vector<const Target*> expected;
  bool good = !twice && start_exists && !type.empty();
  if (type == "resolver") {
    good = good && !wanted.empty();
    for (const std::string& id : wanted) {
      const auto found = std::find_if(targets.begin(), targets.end(),
                                      [&](const Target& target) { return target.id == id; });
      const bool usable = found != targets.end() && !found->service.empty() &&
                          (!found->peer.empty() || !found->datacenter.empty());
      good = good && usable;
      if (usable) expected.push_back(&*found);
    }
  }

  const auto chain = authz::ParseChain(body);
  FUZZ_REQUIRE(chain.has_value() == good, body + (chain ? "" : chain.error().message));
  if (!good) return;
  FUZZ_REQUIRE(chain.value().beyond.empty() == (type == "resolver"), body);
  FUZZ_REQUIRE(chain.value().targets.size() == expected.size(), body);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const authz::ChainTarget& got = chain.value().targets[i];
    FUZZ_REQUIRE(got.id == expected[i]->id && got.service == expected[i]->service, body);
    FUZZ_REQUIRE(got.subset == expected[i]->subset && got.peer == expected[i]->peer, body);
    FUZZ_REQUIRE(got.filter == Unescaped(expected[i]->filter), got.filter);
    FUZZ_REQUIRE(got.only_passing == expected[i]->only_passing, body);
    FUZZ_REQUIRE(got.mesh_gateway_mode == expected[i]->gateway, body);
    FUZZ_REQUIRE(got.datacenter == (got.peer.empty() ? expected[i]->datacenter : ""), body);
  }
}

}  // namespace mooring::fuzz
