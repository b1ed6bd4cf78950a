// Watches of one or several services at a scripted agent, with time as an argument (test_clock.h).
#pragma once

#include <doctest/doctest.h>

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "proxy/control/agent.h"
#include "proxy/control/watch.h"
#include "tests/unit/agent_desk.h"
#include "tests/unit/test_clock.h"

namespace mooring::test {

struct WithClock {
  Clock clock;
};

struct Watches : WithClock, AtDesk {
  // `answer` gives the answer to a target, or nothing: it waits.
  explicit Watches(Desk::Answer answer, log::Level level = log::Level::kError)
      : AtDesk(std::move(answer), level) {}
  ~Watches() { watches.clear(); }
  Watches(const Watches&) = delete;
  Watches& operator=(const Watches&) = delete;

  std::unique_ptr<control::Agent> Service(const control::Token::Origin& token) {
    auto made = control::Agent::Make(*link, token);
    REQUIRE(made);
    return std::move(*made);
  }
  static control::Watch::Options Of(const std::string& path) {
    control::Watch::Options options;
    options.name = path.substr(path.rfind('/') + 1);
    options.path = path;
    options.own = control::AgentConnections::Own::kRoots;  // it waits, whatever else does
    return options;
  }
  // New is a watch whose bodies are noted in `told`, by `key`.
  control::Watch& New(const std::string& key, control::Watch::Options options,
                      control::Agent* of = nullptr) {
    return New(options, of, [this, key](const http::Response& response) {
      told[key] = response.body;
      ++times[key];
      return Ok();
    });
  }
  control::Watch& New(const control::Watch::Options& options, control::Agent* of,
                      control::Watch::Apply apply) {
    watches.push_back(std::make_unique<control::Watch>(loop, log, of != nullptr ? *of : *agent,
                                                       options, std::move(apply)));
    return *watches.back();
  }
  void Drop(control::Watch& watch) {
    watches.remove_if([&](const auto& one) { return one.get() == &watch; });
  }
  void Until(const std::function<bool()>& done) { clock.RunUntil(loop, done); }
  // Pass lets so much time pass, with all that is due in it.
  void Pass(net::milliseconds time) {
    bool over = false;
    net::Timer timer(loop, [&] { over = true; });
    timer.Start(time);
    Until([&] { return over; });
  }
  // AskedAt is when each question with that part came, since the start.
  std::vector<net::milliseconds> AskedAt(const std::string& part) const {
    std::vector<net::milliseconds> all;
    for (const Desk::Question& question : desk.All(part)) {
      all.push_back(std::chrono::duration_cast<net::milliseconds>(question.at - started));
    }
    return all;
  }
  std::size_t Asked() const { return desk.questions.size(); }
  std::string Last() const { return desk.questions.back().target; }
  static Status Ok() { return mooring::Ok(); }

  const net::MonotonicTime started = loop.now();
  std::map<std::string, std::string> told;
  std::map<std::string, int> times;
  std::list<std::unique_ptr<control::Watch>> watches;
};

}  // namespace mooring::test
