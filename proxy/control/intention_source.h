// IntentionSource: the match list of our service and the default for callers that no entry covers.
//
// The list comes from the match endpoint. Agents of Consul 1.8 give it no index to wait on, and
// among many services there is no connection to wait on (connection_budget.h). There the list of
// all intentions, one for all services, is waited on instead and the match asked again after each
// change. Its index moves for every token, even one that may see none of the entries. If that list
// is refused or fails, the match is polled, so often that a deny is in force within a second. The
// default is what the agent's authorize endpoint answers for a source that no entry covers. Where
// the answer is the agent's `default_intention_policy` (Consul 1.17), it stands by itself. Else it
// is the default of the ACLs as our token sees it, and the default-policy header of any answer may
// tighten it. It is asked again after every change of the list, when the agent comes back, and once
// a minute; an answer that fails leaves the last one in force. Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "authz/intention.h"
#include "proxy/control/agent.h"
#include "proxy/control/watch.h"
#include "proxy/data/snapshot.h"

namespace mooring::control {

class IntentionSource final {
 public:
  using OnChange = std::function<void()>;
  IntentionSource(net::Loop& loop, log::Log& log, Agent& agent, std::string service,
                  OnChange on_change);
  IntentionSource(const IntentionSource&) = delete;
  IntentionSource& operator=(const IntentionSource&) = delete;

  void Start();
  // SetOwnIdentity gives the identity that the unmatched source is made of; the default is asked
  // once it is known.
  void SetOwnIdentity(const authz::ServiceId& own);

  // Current is null until the list has been learnt.
  std::shared_ptr<const authz::IntentionSet> Current() const { return set_; }
  authz::DefaultPolicy Fallback() const { return fallback_; }
  std::string Missing() const;  // for /ready; empty when the list and the default are known
  bool TooOld() const;          // older than max_stale: nobody new may be admitted by them
  std::vector<const Watch*> Watches() const;

 private:
  Status TakeMatch(const http::Response& response);
  // FollowList has the list wake us, or not, where the match can wait itself.
  void FollowList(bool match_waits);
  void PollMatch();
  Status TakeList(const http::Response& response);
  Status TakeAuthorize(const http::Response& response);
  void NoteHeader(const http::Response& response);
  void AskDefault();
  void SetFallback(authz::DefaultPolicy fallback, const std::string& reason);

  log::Log& log_;
  const AgentConnections& connections_;
  const std::string service_;
  const OnChange on_change_;
  std::shared_ptr<const authz::IntentionSet> set_;
  std::string last_body_;
  authz::DefaultPolicy fallback_ = authz::DefaultPolicy::kUnknown;
  bool header_denies_ = false;
  bool policy_of_intentions_ = false;  // the default is the agent's default_intention_policy
  bool needs_default_ = true;          // false: some entry covers everybody
  bool default_refused_ = false;       // the agent has said that it will not tell the default
  std::optional<authz::ServiceId> own_;
  bool list_started_ = false;
  bool list_wakes_ = false;  // the last answer of the list was good
  Watch match_;
  Watch list_;       // only where the match cannot wait
  Watch authorize_;  // asks for the default
};

}  // namespace mooring::control
