#include "proxy/control/intention_source.h"

#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "authz/text.h"
#include "proxy/control/answer_headers.h"

namespace mooring::control {
namespace {

using net::milliseconds;

constexpr milliseconds kPollMatch{500};  // neither match nor list can be waited on
constexpr milliseconds kPollMatchInCrowd{900};
// the match is asked although something else would wake us
constexpr milliseconds kSafetyNet{30'000};
constexpr milliseconds kAskDefault{60'000};

// What authorize gives as its reason where the agent's configuration has a
// default_intention_policy.
constexpr std::string_view kIntentionPolicy = "Default intention policy";

Watch::Options MatchOptions(const std::string& service) {
  Watch::Options options;
  options.name = "intentions";
  options.own = AgentConnections::Own::kIntentions;
  options.path = "/v1/connect/intentions/match";
  options.query = "by=destination&name=" + authz::PercentEncoded(service);
  options.poll_interval = kPollMatch;
  options.needs = "intentions:read, or service:read, on \"" + service + "\"";
  options.partial = Watch::Options::Partial::kNever;
  options.rewinds = Watch::Options::Rewinds::kWait;
  return options;
}

Watch::Options ListOptions() {
  Watch::Options options;
  options.name = "intention_list";
  options.own = AgentConnections::Own::kIntentionList;
  options.any_token = true;  // what it lists is not looked at
  options.path = "/v1/connect/intentions";
  options.needs = "intentions:read";
  options.rewinds = Watch::Options::Rewinds::kWait;
  options.keep = false;                // it only wakes us
  options.poll_interval = kSafetyNet;  // it cannot even do that: looked at now and then
  return options;
}

Watch::Options AuthorizeOptions(const std::string& service) {
  Watch::Options options;
  options.name = "intention_default";
  options.own = AgentConnections::Own::kIntentions;
  options.path = "/v1/agent/connect/authorize";
  options.method = "POST";
  options.blocking = Watch::Blocking::kNone;
  options.poll_interval = kAskDefault;
  options.needs = "service:write on \"" + service + "\"";
  return options;
}

}  // namespace

IntentionSource::IntentionSource(net::Loop& loop, log::Log& log, Agent& agent, std::string service,
                                 OnChange on_change)
    : log_(log),
      connections_(agent.link().connections()),
      service_(std::move(service)),
      on_change_(std::move(on_change)),
      match_(loop, log, agent, MatchOptions(service_),
             [this](const http::Response& response) { return TakeMatch(response); }),
      list_(loop, log, agent, ListOptions(),
            [this](const http::Response& response) { return TakeList(response); }),
      authorize_(loop, log, agent, AuthorizeOptions(service_),
                 [this](const http::Response& response) { return TakeAuthorize(response); }) {
  // A list that is refused or fails cannot wake us: the match itself is polled then, from now on
  // and not only when the long pause that is running has passed.
  list_.OnError([this](const Error& error) {
    if (!std::exchange(list_wakes_, false)) return;
    PollMatch();
    // Where the match is not numbered the list's failure alone tells that servers may start anew.
    if (error.code == ErrorCode::kUnavailable) match_.Doubt();
    match_.Refresh();
  });
}

void IntentionSource::Start() {
  // A default that the agent refuses to tell is deny: with that, too, what the list allows can be
  // served.
  authorize_.OnError([this](const Error& error) {
    if (error.code != ErrorCode::kUnavailable && !std::exchange(default_refused_, true))
      on_change_();
  });
  match_.Start();
}

void IntentionSource::SetOwnIdentity(const authz::ServiceId& own) {
  if (own_ && *own_ == own) return;
  own_ = own;
  if (set_) AskDefault();
}

std::string IntentionSource::Missing() const {
  if (!set_) {
    const std::string& error = match_.state().last_error;
    return error.empty() ? "no intentions yet" : "no intentions yet: " + error;
  }
  // An agent that will not say (no such endpoint, no permission) leaves the default at deny; what
  // the list allows can be served all the same.
  if (needs_default_ && fallback_ == authz::DefaultPolicy::kUnknown && !default_refused_) {
    const std::string& error = authorize_.state().last_error;
    return error.empty() ? "default intention policy not known yet"
                         : "default intention policy not known yet: " + error;
  }
  return {};
}

bool IntentionSource::TooOld() const {
  return match_.TooOld() || (needs_default_ && authorize_.TooOld());
}

std::vector<const Watch*> IntentionSource::Watches() const {
  std::vector<const Watch*> all;
  all.push_back(&match_);
  all.push_back(&authorize_);
  if (list_started_) all.push_back(&list_);
  return all;
}

Status IntentionSource::TakeMatch(const http::Response& response) {
  auto entries = authz::ParseIntentionMatch(response.body, service_);
  if (!entries) return entries.error();
  NoteHeader(response);
  // Not with an answer of our own disk, which has no index: the agent is asked at the same time.
  if (!response.from_disk) FollowList(HasIndex(response) && !connections_.crowded());
  if (set_ && response.body == last_body_) {
    // An agent that was away may have come back with another default.
    if (match_.state().phase == Watch::State::Phase::kRetrying) AskDefault();
    return Ok();
  }
  last_body_ = response.body;
  set_ = std::make_shared<const authz::IntentionSet>(std::move(*entries));
  log_.Info("control", "intentions taken up", {{"count", set_->entries().size()}});
  AskDefault();
  on_change_();
  return Ok();
}

void IntentionSource::FollowList(bool match_waits) {
  if (list_started_ != match_waits) return;
  list_started_ = !match_waits;
  list_wakes_ = false;
  PollMatch();
  list_started_ ? list_.Start() : list_.Stop();
}

// PollMatch has the match polled as often as it must be where nothing wakes it.
void IntentionSource::PollMatch() {
  match_.SetPollInterval(connections_.crowded() ? kPollMatchInCrowd : kPollMatch);
}

Status IntentionSource::TakeList(const http::Response& response) {
  // A list that cannot be waited on either wakes nobody: the match is polled.
  if (!HasIndex(response)) return Ok();
  // An index that has not gone backwards: of a match that has none this is all that tells.
  if (list_.state().source != Watch::State::Source::kNone) match_.Vouch();
  // While the list does the waking, polling the match is only a safety net.
  if (!std::exchange(list_wakes_, true)) match_.SetPollInterval(kSafetyNet);
  match_.Refresh();
  return Ok();
}

void IntentionSource::AskDefault() {
  if (!own_) return;
  const std::string source = set_->UnmatchedSource(*own_);
  needs_default_ = !source.empty();
  if (!needs_default_) {
    // what it was asked is covered by an entry now, and the answer would be that entry's
    authorize_.Stop();
    return;
  }
  authz::ServiceId id = *own_;
  id.service = source;
  const nlohmann::json body{
      {"Target", service_}, {"ClientCertURI", id.Uri()}, {"ClientCertSerial", "00"}};
  authorize_.SetBody(body.dump());
  authorize_.Refresh();
}

Status IntentionSource::TakeAuthorize(const http::Response& response) {
  auto answer = authz::ParseAuthorize(response.body);
  if (!answer) return answer.error();
  // An entry that we have not heard of yet covers the source: its answer is not the default.
  if (answer->reason.find("Matched") != std::string::npos) {
    return Error{ErrorCode::kUnavailable,
                 "an intention that is not in our list yet decided (" + answer->reason + ")"};
  }
  NoteHeader(response);
  // Every other reason is about ACLs, where the answer is the default of the token that asks and
  // not of the callers.
  policy_of_intentions_ = answer->reason == kIntentionPolicy;
  const bool allow = answer->authorized && (policy_of_intentions_ || !header_denies_);
  SetFallback(allow ? authz::DefaultPolicy::kAllow : authz::DefaultPolicy::kDeny, answer->reason);
  return Ok();
}

void IntentionSource::NoteHeader(const http::Response& response) {
  const std::string* policy = response.Header("x-consul-default-acl-policy");
  if (policy == nullptr) return;
  const bool denies = *policy != "allow";
  if (denies == header_denies_) return;
  header_denies_ = denies;
  if (denies && !policy_of_intentions_ && fallback_ == authz::DefaultPolicy::kAllow) {
    SetFallback(authz::DefaultPolicy::kDeny, "the agent's default ACL policy is " + *policy);
  }
}

void IntentionSource::SetFallback(authz::DefaultPolicy fallback, const std::string& reason) {
  if (fallback_ == fallback) return;
  fallback_ = fallback;
  log_.Info("control", "default for callers that no intention covers",
            {{"default", authz::DefaultPolicyName(fallback)}, {"reason", reason}});
  on_change_();
}

}  // namespace mooring::control
