// Departure: our instance's way out of the catalog for the time of a drain, and its way back.
//
// We leave (by maintenance, or by a critical check where the registration is ours) only while
// another healthy instance can take over, and come back at once, for good, when there is none any
// more: two that drain together must not both be gone. A silent agent means that we stay. Used
// once, from the signal to stop until the end of the process. Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "authz/consul/api.h"
#include "proxy/control/agent.h"
#include "proxy/control/maintenance.h"
#include "proxy/control/registration.h"
#include "proxy/control/watch.h"
#include "proxy/log/log.h"
#include "proxy/net/loop.h"
#include "proxy/net/retry_pause.h"

namespace mooring::control {

class Departure final {
 public:
  // `service` is the one that we represent. One of the two is given: what the instance is
  // registered by. Both outlive this.
  Departure(net::Loop& loop, log::Log& log, Agent& agent, std::string service,
            Registration* registration, Maintenance* maintenance);
  Departure(const Departure&) = delete;
  Departure& operator=(const Departure&) = delete;

  // Begin decides, and leaves if we may. `settled` runs once, when the catalog shows what was
  // decided, at most two seconds later.
  void Begin(std::function<void()> settled);
  bool away() const { return state_ == State::kAway; }

  // AwaitUnseen is for the time when nobody listens any more. `done` runs when coming back sends
  // nobody to the closed port: the agent's own check has seen it closed, or there is none, or one
  // interval of it (15 s at most) has passed.
  void AwaitUnseen(std::function<void()> done);

  // Finish ends the maintenance, or deregisters. `done` runs when the agent has answered, or has
  // been asked three times.
  void Finish(std::function<void()> done);

 private:
  enum class State {
    kStaying,  // in the catalog
    kLeaving,  // the agent has been asked to take us out
    kAway,
    kBack,  // in the catalog, until the end
  };

  void OnChecks(const Result<http::Response>& answer);
  Status TakeInstances(const http::Response& response);
  void Leave();
  void OnLeft(bool taken);
  void ComeBack();
  void Stay(const std::string& why);
  void Settle();
  void AskUnseen();
  void Unseen();

  net::Loop& loop_;
  log::Log& log_;
  Agent& agent_;
  const std::string service_;
  Registration* const registration_;
  Maintenance* const maintenance_;
  const std::string id_;  // the instance's
  std::unique_ptr<Asker> asker_;
  std::optional<Watch> instances_;
  net::Timer leave_;   // until we leave: instances that drain together see each other go
  net::Timer settle_;  // the longest that an agent may hold up a drain
  net::Timer unseen_again_;
  net::Timer unseen_limit_;
  State state_ = State::kStaying;
  std::string node_;        // ours; empty: not known
  std::size_t others_ = 0;  // healthy instances besides ours
  std::vector<authz::ServiceChecks::Probe> probes_;
  std::function<void()> settled_;
  std::function<void()> unseen_;
  std::string staying_said_;
  net::RetryPause pause_;
};

// OtherInstances counts the healthy instances that are not ours: another ID, or the same on another
// node. `node` may be empty.
std::size_t OtherInstances(const std::vector<authz::Instance>& instances, const std::string& id,
                           const std::string& node);

}  // namespace mooring::control
