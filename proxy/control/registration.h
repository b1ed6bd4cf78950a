// Registration: keeps our own entry in the agent's catalog (`-register`), and takes it out for a
// drain.
//
// Kept: registered once the caller says that we can serve, with a TTL check that is passed every 10
// s, registered again when the agent has lost it. The check goes critical 30 s after a crash and
// the entry is removed by the agent after ten minutes more.
//
// A process that takes our place while we still live registers the same ID over ours. The entry is
// its own from then on: what would take it from callers (a critical check, the removal) is asked
// for only after a look at the entry, which has a mark of ours in its Meta. Loop thread only.
// Source: Consul's agent service API.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "proxy/control/agent.h"
#include "proxy/log/log.h"
#include "proxy/net/loop.h"
#include "proxy/net/retry_pause.h"

namespace mooring::control {

class Registration final {
 public:
  struct Entry {
    std::string id;       // <service>-proxy[-<suffix>]
    std::string service;  // the destination service
    // empty: the agent's node address, which the cluster reaches this machine by
    std::string address;
    std::uint16_t port = 0;
    bool operator==(const Entry&) const = default;
  };

  Registration(net::Loop& loop, log::Log& log, Agent& agent, Entry entry);
  ~Registration();
  Registration(const Registration&) = delete;
  Registration& operator=(const Registration&) = delete;

  void Start();
  bool registered() const { return registered_; }
  // First is what has become of our first registration; kTaken stays. Until then no caller can find
  // us, unless an earlier process has left an entry at an agent that does not answer.
  enum class First { kAsked, kRefused, kUnanswered, kTaken };
  First first() const { return first_; }
  // OnChange is called when first() has changed.
  void OnChange(std::function<void()> callback) { on_change_ = std::move(callback); }
  // Complaint is what the agent has against our entry; empty: nothing, or it does not answer at
  // all.
  const std::string& Complaint() const { return complaint_; }
  const std::string& last_error() const { return last_error_; }  // of the last try; empty: none

  const std::string& id() const { return entry_.id; }
  const Entry& entry() const { return entry_; }

  // Suspend makes the check critical, so that nobody is sent here any more. `done` hears whether
  // the agent has taken it, within two seconds. If not, heartbeats go on, unless the entry is
  // another process's.
  void Suspend(std::function<void(bool)> done);
  // Resume passes the check again, at once and from then on.
  void Resume();
  // Remove deregisters, if the entry is still ours: three tries, half a second apart at most.
  // `done` runs after the last. An entry of which the agent does not say whose it is stays, and
  // goes by its check.
  void Remove(std::function<void()> done);

 private:
  enum class Owner { kWe, kAnother, kNobody };

  void Register();
  void Pass();
  void Later(net::milliseconds delay, void (Registration::*what)());
  void TryAgain(void (Registration::*what)(), log::Literal said,
                const Result<http::Response>& answer, std::string_view asked);
  void Failed(log::Literal what, const Error& why);
  void Became(First first);
  void LookAtAddress();
  void CheckAddress(const std::string& address);
  std::string Needs() const;
  std::string Gives() const;
  void Rest();  // neither heartbeats nor tries until something else is begun
  void Look(std::function<void(const Result<Owner>&)> done);
  void MakeCritical(std::function<void(bool)> done);
  void TryRemove(int tries_left, std::function<void()> done);
  void Deregister(int tries_left, std::function<void()> done);
  void RemoveAgain(int tries_left, const Error& why, std::function<void()> done);

  net::Loop& loop_;
  log::Log& log_;
  Agent& agent_;
  const Entry entry_;
  const std::string mark_;  // no other process's entry has it
  std::unique_ptr<Asker> asker_;
  net::RetryPause pause_;
  net::Timer timer_;
  void (Registration::*next_)() = nullptr;
  std::function<void()> after_timer_;
  First first_ = First::kAsked;
  std::function<void()> on_change_;
  bool registered_ = false;
  // the agent has not taken a heartbeat since it took the last registration
  bool unproven_ = false;
  bool asked_ = false;  // a registration has been sent, whatever came of it
  std::string last_error_;
  bool leaderless_said_ = false;
  int address_tries_ = 3;  // heartbeats after which it is asked where callers are sent; 0: known
  std::string complaint_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace mooring::control
