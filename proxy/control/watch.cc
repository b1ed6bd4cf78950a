#include "proxy/control/watch.h"

#include <algorithm>
#include <chrono>
#include <string_view>
#include <utility>

#include "proxy/control/answer_headers.h"
#include "proxy/control/questions.h"

namespace mooring::control {
namespace {

using net::milliseconds;

constexpr std::chrono::minutes kSayAgain{5};
// so old a confirmation is not written to disk as a new one
constexpr std::chrono::minutes kKeepUnproven{1};

std::string DocumentName(const Watch::Options& options) {
  return options.name + " " + options.path + "?" + options.query;
}

}  // namespace

Watch::Watch(net::Loop& loop, log::Log& log, Agent& agent, Options options, Apply apply)
    : loop_(loop),
      log_(log),
      agent_(agent),
      options_(std::move(options)),
      apply_(std::make_shared<const Apply>(std::move(apply))),
      restore_(loop, [this] { Restore(); }),
      retry_(loop, [this] {
        retry_.Start(Question::kBackoff.most);  // should nothing come of this one
        Refresh();
      }) {
  if (options_.keep && agent_.store() != nullptr) {
    ticket_ =
        agent_.store()->Follow(DocumentName(options_), options_.secret, [this] { Refresh(); });
  }
}

Watch::~Watch() {
  Leave();
  if (ticket_) agent_.store()->Unfollow(*ticket_);
}

Question::What Watch::What() const {
  return {.method = options_.method,
          .path = options_.path,
          .query = options_.query,
          .body = options_.body,
          .blocking = options_.blocking,
          .any_token = options_.any_token};
}

bool Watch::Enter() {
  if (question_) return false;
  if (!std::exchange(restore_armed_, true) && ticket_) {
    const auto wait =
        std::chrono::duration_cast<milliseconds>(agent_.link().SavedFrom() - loop_.now());
    restore_.Start(std::max(wait, milliseconds(0)));
  }
  const Question::How how{.own = options_.own,
                          .wait = options_.wait,
                          .secret = options_.secret,
                          .marked = options_.partial != Options::Partial::kUnmarked};
  question_ = Questions::Of(agent_.link()).For(agent_, What(), how);
  const std::shared_ptr<Question> question = question_;  // it may be left again meanwhile
  try {
    return question->Join(this);
  } catch (...) {
    Leave();
    throw;
  }
}

void Watch::OrRetry(const std::function<void()>& act) {
  try {
    act();
  } catch (...) {
    RetryAlone();
    throw;
  }
}

void Watch::Leave() {
  retry_.Stop();
  if (const auto question = std::exchange(question_, nullptr)) question->Leave(this);
}

void Watch::Start() {
  OrRetry([this] { Enter(); });
}

void Watch::Move() {
  Leave();
  Start();
}

void Watch::Refresh() {
  OrRetry([this] {
    if (question_ && question_->what() != What()) Leave();
    if (!Enter()) question_->Refresh();
  });
}

void Watch::Stop() {
  Leave();
  restore_.Stop();
}

Status Watch::Take(const http::Response& response, const Subscriber::Facts& facts) {
  if (auto distrust = Distrust(response)) return *distrust;
  if (auto distrust = DistrustRewind(response, facts)) return *distrust;
  const std::size_t hash = std::hash<std::string_view>{}(response.body);
  // What is polled again and again is mostly the same again.
  const bool repeats = facts.cached || facts.polled;
  const bool same =
      hash == body_hash_ && facts.version == state_.version && state_.phase == State::Phase::kOk;
  const bool news = !facts.behind && !(repeats && same);
  if (news) {
    const std::weak_ptr<bool> alive = alive_;
    const std::shared_ptr<const Apply> apply = apply_;  // it may end this watch
    Status applied = (*apply)(response);
    if (alive.expired()) return Ok();
    if (!applied)
      return Error{applied.error().code, options_.name + ": " + applied.error().message};
    body_hash_ = hash;
  }
  const auto confirmed = ConfirmedAt();
  const bool proven = confirmed && loop_.now() - *confirmed < kKeepUnproven;
  if (!facts.behind && (news || proven)) Keep(response);
  Confirm(response, facts);
  return Ok();
}

void Watch::Confirm(const http::Response& response, const Subscriber::Facts& facts) {
  if (std::exchange(failure_said_, false)) {
    log_.Info("agent", "watch recovered", {{"watch", options_.name}, {"agent", agent_.name()}});
  }
  restore_.Stop();
  retry_.Stop();
  pause_.Succeeded();
  refusal_said_at_.reset();
  rewind_.Over();
  doubted_ = false;
  leaderless_said_ = false;
  state_.phase = State::Phase::kOk;
  state_.source = State::Source::kAgent;
  const bool filtered_before =
      std::exchange(state_.filtered, HeaderSays(response, kFilteredHeader, "true"));
  if (state_.filtered && !filtered_before && facts.say &&
      options_.partial == Options::Partial::kInsteadOfNothing) {
    SayFiltered();
  }
  state_.last_error.clear();
  state_.refusal.clear();
  state_.cached = facts.cached;
  state_.fresh_at = facts.fresh_at;
  answered_at_ = facts.at;
  ++state_.updates;
  state_.version = facts.version;
  state_.index = facts.index;
}

void Watch::Doubt() {
  doubted_ = true;
  vouched_at_.reset();
}

void Watch::OnFailed(const Subscriber::Failure& failure) {
  ++state_.errors;
  if (!std::exchange(not_yet_, false)) vouched_at_.reset();
  const bool news =
      std::exchange(state_.last_error, failure.error.message) != failure.error.message;
  state_.phase = State::Phase::kRetrying;
  if (failure.refused) state_.refusal = failure.error.message;
  if (failure.say) SayFailed(failure.error, news);
  if (failure.alone) RetryAlone();
  const std::weak_ptr<bool> alive = alive_;
  Restore();
  if (alive.expired()) return;
  // the last: it may end this watch, too
  if (const auto on_error = on_error_) on_error(failure.error);
}

void Watch::OnCutShort(bool alone) noexcept {
  ++state_.errors;
  state_.phase = State::Phase::kRetrying;
  if (alone) RetryAlone();
}

void Watch::RetryAlone() noexcept { retry_.Start(pause_.Failed(Question::kBackoff, loop_.now())); }

void Watch::SayFailed(const Error& error, bool news) {
  failure_said_ = true;
  if (error.code == ErrorCode::kDenied) {
    SayRefused(error);
  } else if (news) {
    log_.Warn("agent", "watch failed, will retry",
              {{"watch", options_.name}, {"error", error.message}, {"agent", agent_.name()}});
  }
}

void Watch::SayRefused(const Error& error) {
  // No outage, and nothing that waiting cures: said loudly, and again while it lasts.
  if (refusal_said_at_ && loop_.now() - *refusal_said_at_ < kSayAgain) return;
  refusal_said_at_ = loop_.now();
  agent_.Examine(AskedWith(), [this, alive = std::weak_ptr<bool>(alive_), &log = log_,
                               watch = options_.name, needs = options_.needs,
                               message = error.message](const Agent::Examined& examined) {
    if (!examined.leaderless) {
      log.Err("agent", "agent refuses",
              {{"watch", watch},
               {"error", examined.Sure(message)},
               {"token", examined.token},
               {"needs", needs}});
      return;
    }
    if (alive.expired()) return;
    // An outage, which ends; what is refused after it is said then.
    refusal_said_at_.reset();
    if (std::exchange(leaderless_said_, true)) return;
    log.Warn("agent", "the agent has no leader and refuses every token, will retry",
             {{"watch", watch}, {"error", message}, {"agent", agent_.name()}});
  });
}

std::string Watch::Refusal() const {
  const bool lacks = state_.refusal.find("a permission") != std::string::npos ||
                     state_.refusal.find("without a token") != std::string::npos;
  return lacks && !options_.needs.empty() ? state_.refusal + "; needed: " + options_.needs
                                          : state_.refusal;
}

// AskedWith is the token that the last answer was asked with. A question whose token is another now
// is left only when it is asked again.
std::string Watch::AskedWith() {
  return question_ ? question_->AskedWith(agent_) : agent_.Secret();
}

// SayFiltered: what is in force may be less than there is, and looks like nobody being there.
void Watch::SayFiltered() {
  agent_.Examine(AskedWith(), [&log = log_, watch = options_.name,
                               needs = options_.needs](const Agent::Examined& examined) {
    log.Warn("agent", "the answer is filtered by ACLs",
             {{"watch", watch}, {"token", examined.token}, {"needs", needs}});
  });
}

}  // namespace mooring::control
