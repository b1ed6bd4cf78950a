#include "authz/intention.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mooring::authz {
namespace {

ServiceId Caller(std::string service, std::string ns = "default", std::string partition = "") {
  return {.trust_domain = "td.consul",
          .partition = std::move(partition),
          .ns = std::move(ns),
          .datacenter = "dc1",
          .service = std::move(service)};
}

Intention Entry(std::string source, std::string destination, Action action) {
  Intention entry;
  entry.source_name = std::move(source);
  entry.destination_name = std::move(destination);
  entry.action = action;
  return entry;
}

bool Mentions(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("intention: precedence follows Consul's table") {
  struct Row {
    const char* source_ns;
    const char* source;
    const char* destination_ns;
    const char* destination;
    int precedence;
  };
  const std::vector<Row> rows = {
      {"default", "web", "default", "db", 9},
      {"default", "*", "default", "db", 8},
      {"*", "*", "default", "db", 7},
      {"default", "web", "default", "*", 6},
      {"default", "*", "default", "*", 5},
      {"*", "*", "default", "*", 4},
      {"default", "web", "*", "*", 3},
      {"default", "*", "*", "*", 2},
      {"*", "*", "*", "*", 1},
      {"*", "web", "default", "db", 7},
  };
  for (const Row& row : rows) {
    Intention entry = Entry(row.source, row.destination, Action::kAllow);
    entry.source_ns = row.source_ns;
    entry.destination_ns = row.destination_ns;
    CAPTURE(row.precedence);
    CHECK(PrecedenceOf(entry) == row.precedence);
    CHECK(IntentionSet({entry}).entries().front().precedence == row.precedence);
  }
}

// The reference below shares nothing with the implementation: no precedence numbers, no sorting. It
// is Consul's rule put as a lookup: the most exact destination wins, then the most exact source.
using Table =
    std::map<std::array<std::string, 4>, Action>;  // source ns, name, destination ns, name

std::optional<Action> Reference(const Table& table, const std::string& ns,
                                const std::string& name) {
  const std::array<std::array<std::string, 2>, 3> destinations = {
      {{"default", "db"}, {"default", "*"}, {"*", "*"}}};
  const std::array<std::array<std::string, 2>, 3> sources = {{{ns, name}, {ns, "*"}, {"*", "*"}}};
  for (const auto& destination : destinations) {
    for (const auto& source : sources) {
      const auto found = table.find({source[0], source[1], destination[0], destination[1]});
      if (found != table.end()) return found->second;
    }
  }
  return std::nullopt;
}

void CompareWithReference(const Table& table, bool reversed) {
  std::vector<Intention> entries;
  for (const auto& [key, action] : table) {
    Intention entry = Entry(key[1], key[3], action);
    entry.source_ns = key[0];
    entry.destination_ns = key[2];
    entries.push_back(entry);
  }
  if (reversed) std::reverse(entries.begin(), entries.end());
  const IntentionSet set(entries);
  for (const char* ns : {"default", "team"}) {
    for (const char* name : {"web", "api", "other"}) {
      for (const auto fallback :
           {DefaultPolicy::kUnknown, DefaultPolicy::kAllow, DefaultPolicy::kDeny}) {
        const auto expected = Reference(table, ns, name);
        const Decision decision = set.Decide(Caller(name, ns), fallback);
        const bool allowed =
            expected ? *expected == Action::kAllow : fallback == DefaultPolicy::kAllow;
        if (decision.allowed == allowed && decision.by_default == !expected.has_value()) continue;
        FAIL_CHECK(ns << "/" << name << " decided wrongly: " << decision.reason);
      }
    }
  }
}

TEST_CASE(
    "intention: every combination of exact and wildcard entries decides as the reference does") {
  // Nine places in the table, each without an entry, with an allow or with a deny: 3^9 sets, with
  // sources of our namespace; each in two orders.
  const std::array<std::array<std::string, 4>, 9> places = {{{"default", "web", "default", "db"},
                                                             {"default", "*", "default", "db"},
                                                             {"*", "*", "default", "db"},
                                                             {"default", "web", "default", "*"},
                                                             {"default", "*", "default", "*"},
                                                             {"*", "*", "default", "*"},
                                                             {"default", "web", "*", "*"},
                                                             {"default", "*", "*", "*"},
                                                             {"*", "*", "*", "*"}}};
  for (int code = 0; code < 19683; ++code) {
    Table table;
    int rest = code;
    for (const auto& place : places) {
      if (rest % 3 != 0) table[place] = rest % 3 == 1 ? Action::kAllow : Action::kDeny;
      rest /= 3;
    }
    CompareWithReference(table, code % 2 == 1);
  }
}

TEST_CASE(
    "intention: sets with sources of several names and namespaces decide as the reference does") {
  const std::array<std::array<std::string, 2>, 6> sources = {{{"default", "web"},
                                                              {"default", "api"},
                                                              {"team", "web"},
                                                              {"default", "*"},
                                                              {"team", "*"},
                                                              {"*", "*"}}};
  const std::array<std::array<std::string, 2>, 3> destinations = {
      {{"default", "db"}, {"default", "*"}, {"*", "*"}}};
  std::uint32_t state = 20261123;  // a fixed sequence: a failure can be run again
  const auto next = [&state] {
    state = state * 1664525U + 1013904223U;
    return state >> 16U;
  };
  for (int round = 0; round < 3000; ++round) {
    Table table;
    for (const auto& source : sources) {
      for (const auto& destination : destinations) {
        const std::uint32_t roll = next() % 4;
        if (roll < 2) continue;
        table[{source[0], source[1], destination[0], destination[1]}] =
            roll == 2 ? Action::kAllow : Action::kDeny;
      }
    }
    CompareWithReference(table, next() % 2 == 1);
  }
}

TEST_CASE("intention: the match order seen on a real agent comes out of any input order") {
  std::vector<Intention> entries = {
      Entry("*", "*", Action::kAllow), Entry("web", "*", Action::kAllow),
      Entry("web", "db", Action::kDeny), Entry("*", "db", Action::kAllow)};
  std::sort(entries.begin(), entries.end(),
            [](const Intention& a, const Intention& b) { return a.Text() < b.Text(); });
  do {
    const IntentionSet set(entries);
    std::vector<std::string> order;
    for (const Intention& entry : set.entries()) order.push_back(entry.Text());
    CHECK(order == std::vector<std::string>{
                       "web => db (deny, precedence 9)", "* => db (allow, precedence 8)",
                       "web => * (allow, precedence 6)", "* => * (allow, precedence 5)"});
  } while (std::next_permutation(
      entries.begin(), entries.end(),
      [](const Intention& a, const Intention& b) { return a.Text() < b.Text(); }));
}

TEST_CASE("intention: the agent's precedence number is obeyed where there is one") {
  Intention wide = Entry("*", "db", Action::kDeny);
  wide.precedence = 12;
  const IntentionSet set({Entry("web", "db", Action::kAllow), wide});
  CHECK_FALSE(set.Decide(Caller("web"), DefaultPolicy::kAllow).allowed);
}

TEST_CASE("intention: of two entries for the same source the deny wins") {
  const Intention allow = Entry("web", "db", Action::kAllow);
  const Intention deny = Entry("web", "db", Action::kDeny);
  CHECK_FALSE(IntentionSet({allow, deny}).Decide(Caller("web"), DefaultPolicy::kAllow).allowed);
  CHECK_FALSE(IntentionSet({deny, allow}).Decide(Caller("web"), DefaultPolicy::kAllow).allowed);
}

TEST_CASE("intention: of two entries for the same source the one that cannot be judged wins") {
  const Intention allow = Entry("web", "db", Action::kAllow);
  Intention unclear = allow;
  unclear.unjudgeable = "L7 permissions";
  CHECK_FALSE(IntentionSet({allow, unclear}).Decide(Caller("web"), DefaultPolicy::kAllow).allowed);
  CHECK_FALSE(IntentionSet({unclear, allow}).Decide(Caller("web"), DefaultPolicy::kAllow).allowed);
}

TEST_CASE("intention: names are compared byte by byte and a star is a wildcard only by itself") {
  const IntentionSet set({Entry("web", "db", Action::kAllow), Entry("api*", "db", Action::kAllow),
                          Entry("*x", "db", Action::kAllow), Entry("", "db", Action::kAllow)});
  CHECK(set.Decide(Caller("web"), DefaultPolicy::kDeny).allowed);
  for (const char* name : {"WEB", "Web", "we", "web1", "api", "api1", "x", "ax", ""}) {
    CAPTURE(name);
    if (*name == '\0') continue;
    const Decision decision = set.Decide(Caller(name), DefaultPolicy::kDeny);
    CHECK_FALSE(decision.allowed);
    CHECK(decision.by_default);
  }
}

TEST_CASE("intention: the datacenter and the trust domain take no part") {
  const IntentionSet set({Entry("web", "db", Action::kAllow)});
  ServiceId caller = Caller("web");
  caller.datacenter = "dc2";
  caller.trust_domain = "other";
  CHECK(set.Decide(caller, DefaultPolicy::kDeny).allowed);
}

TEST_CASE("intention: the default decides only where no entry covers, and unknown is deny") {
  const IntentionSet none;
  CHECK(none.Decide(Caller("web"), DefaultPolicy::kAllow).allowed);
  CHECK_FALSE(none.Decide(Caller("web"), DefaultPolicy::kDeny).allowed);
  const Decision unknown = none.Decide(Caller("web"), DefaultPolicy::kUnknown);
  CHECK_FALSE(unknown.allowed);
  CHECK(unknown.by_default);
  CHECK(unknown.reason == "no intention covers web, the default is unknown and counts as deny");

  const IntentionSet set({Entry("web", "db", Action::kAllow)});
  CHECK(set.Decide(Caller("web"), DefaultPolicy::kUnknown).allowed);
}

TEST_CASE("intention: an empty namespace and partition mean default") {
  Intention entry = Entry("web", "db", Action::kAllow);
  entry.source_ns = "";
  entry.destination_ns = "";
  entry.source_partition = "default";
  CHECK(PrecedenceOf(entry) == 9);
  const IntentionSet set({entry});
  CHECK(set.Decide(Caller("web"), DefaultPolicy::kDeny).allowed);
  CHECK_FALSE(set.Decide(Caller("web", "team"), DefaultPolicy::kDeny).allowed);
  CHECK_FALSE(set.Decide(Caller("web", "default", "billing"), DefaultPolicy::kDeny).allowed);
}

TEST_CASE("intention: a partition covers its own callers only") {
  Intention entry = Entry("web", "db", Action::kAllow);
  entry.source_partition = "billing";
  const IntentionSet set({entry});
  CHECK(set.Decide(Caller("web", "default", "billing"), DefaultPolicy::kDeny).allowed);
  CHECK_FALSE(set.Decide(Caller("web"), DefaultPolicy::kDeny).allowed);
  Intention all = Entry("*", "db", Action::kAllow);
  all.source_ns = "*";
  CHECK_FALSE(
      IntentionSet({all}).Decide(Caller("web", "x", "billing"), DefaultPolicy::kDeny).allowed);
}

TEST_CASE("intention: what cannot be judged denies whom it covers, and only those") {
  Intention entry = Entry("web", "db", Action::kAllow);
  entry.unjudgeable = "L7 permissions";
  const IntentionSet set({entry, Entry("*", "db", Action::kAllow)});
  const Decision decision = set.Decide(Caller("web"), DefaultPolicy::kAllow);
  CHECK_FALSE(decision.allowed);
  CHECK_FALSE(decision.by_default);
  CHECK(decision.reason ==
        "intention web => db (allow, precedence 9) cannot be judged here and counts as deny: "
        "L7 permissions");
  CHECK(set.Decide(Caller("api"), DefaultPolicy::kDeny).allowed);
}

TEST_CASE("intention: an entry behind a judgeable one of higher precedence does not matter") {
  Intention wide = Entry("*", "db", Action::kAllow);
  wide.unjudgeable = "JWT requirement";
  const IntentionSet set({wide, Entry("web", "db", Action::kAllow)});
  CHECK(set.Decide(Caller("web"), DefaultPolicy::kDeny).allowed);
  CHECK_FALSE(set.Decide(Caller("api"), DefaultPolicy::kAllow).allowed);
}

TEST_CASE("intention: a group's entry never allows, whatever was noted about it") {
  Intention entry = Entry("web", "db", Action::kAllow);
  entry.source_sameness_group = "group-2";

  const IntentionSet alone({entry});
  CHECK_FALSE(alone.Decide(Caller("web"), DefaultPolicy::kAllow).allowed);
  CHECK_FALSE(alone.Decide(Caller("web", "default", "billing"), DefaultPolicy::kAllow).allowed);
  CHECK(alone.Decide(Caller("api"), DefaultPolicy::kAllow).allowed);
  CHECK(Mentions(alone.Decide(Caller("web"), DefaultPolicy::kAllow).reason, "group-2"));

  const IntentionSet above_wildcard({Entry("*", "db", Action::kAllow), entry});
  CHECK_FALSE(above_wildcard.Decide(Caller("web"), DefaultPolicy::kAllow).allowed);

  // An entry for the local callers of the same name is looked at first, in any input order.
  const Intention local = Entry("web", "db", Action::kAllow);
  CHECK(IntentionSet({entry, local}).Decide(Caller("web"), DefaultPolicy::kDeny).allowed);
  CHECK(IntentionSet({local, entry}).Decide(Caller("web"), DefaultPolicy::kDeny).allowed);
}

TEST_CASE("intention: a peer's entry is for callers whom our roots do not prove, and is skipped") {
  for (const Action action : {Action::kAllow, Action::kDeny}) {
    for (const char* source : {"web", "*"}) {
      CAPTURE(source);
      Intention entry = Entry(source, "db", action);
      entry.source_peer = "cluster-2";
      entry.source_ns = *source == '*' ? "*" : "default";

      const IntentionSet alone({entry});
      CHECK(alone.Decide(Caller("web"), DefaultPolicy::kAllow).allowed);
      CHECK_FALSE(alone.Decide(Caller("web"), DefaultPolicy::kDeny).allowed);
      CHECK(alone.Decide(Caller("web"), DefaultPolicy::kDeny).by_default);
      // The default is still to be asked for: no entry covers everybody.
      CHECK_FALSE(alone.UnmatchedSource(Caller("db")).empty());

      const IntentionSet beside_local({entry, Entry("*", "db", Action::kAllow)});
      CHECK(beside_local.Decide(Caller("web"), DefaultPolicy::kDeny).allowed);
      // Nor does what it demands on layer 7 matter to anybody else.
      entry.unjudgeable = "L7 permissions";
      CHECK(IntentionSet({entry}).Decide(Caller("web"), DefaultPolicy::kAllow).allowed);
    }
  }
}

TEST_CASE(
    "intention: a wildcard partition, which Consul does not have, covers all and allows none") {
  Intention entry = Entry("web", "db", Action::kAllow);
  entry.source_partition = "*";
  const IntentionSet set({entry});
  CHECK_FALSE(set.Decide(Caller("web"), DefaultPolicy::kAllow).allowed);
  CHECK_FALSE(set.Decide(Caller("web", "default", "billing"), DefaultPolicy::kAllow).allowed);
}

TEST_CASE("intention: an unmatched source is one that only the default decides for") {
  const auto decided_by_default = [](const IntentionSet& set, const ServiceId& own) {
    ServiceId probe = own;
    probe.service = set.UnmatchedSource(own);
    REQUIRE_FALSE(probe.service.empty());
    CHECK(IsPathSegment(probe.service));
    CHECK(set.Decide(probe, DefaultPolicy::kAllow).by_default);
    return probe.service;
  };
  const std::string first = decided_by_default(IntentionSet(), Caller("db"));
  std::vector<Intention> entries = {Entry(first, "db", Action::kAllow)};
  for (int i = 0; i < 20; ++i) {
    entries.push_back(
        Entry(decided_by_default(IntentionSet(entries), Caller("db")), "db", Action::kDeny));
  }
}

TEST_CASE("intention: there is no unmatched source below a wildcard, in the wildcard's namespace") {
  Intention wide = Entry("*", "db", Action::kAllow);
  CHECK(IntentionSet({wide}).UnmatchedSource(Caller("db")).empty());
  // Asked there, an agent would tell its default.
  CHECK_FALSE(IntentionSet({wide}).UnmatchedSource(Caller("db", "team")).empty());
  CHECK_FALSE(IntentionSet({wide}).UnmatchedSource(Caller("db", "default", "billing")).empty());
  wide.source_ns = "*";
  CHECK(IntentionSet({wide}).UnmatchedSource(Caller("db", "team")).empty());
  wide.source_ns = "team";
  CHECK(IntentionSet({wide}).UnmatchedSource(Caller("db", "team")).empty());
  CHECK_FALSE(IntentionSet({wide}).UnmatchedSource(Caller("db")).empty());
}

TEST_CASE("intention: the text names both ends") {
  Intention entry = Entry("api", "payment", Action::kDeny);
  entry.id = "34460a50";
  entry.precedence = 9;
  CHECK(entry.Text() == "api => payment (deny, precedence 9, ID 34460a50)");
  entry.source_ns = "team";
  entry.destination_partition = "billing";
  entry.source_peer = "c2";
  CHECK(entry.Text() ==
        "team/api of peer c2 => billing/default/payment (deny, precedence 9, ID 34460a50)");
}

}  // namespace
}  // namespace mooring::authz
