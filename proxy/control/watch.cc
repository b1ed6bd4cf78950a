#include "proxy/control/watch.h"

#include <algorithm>
#include <chrono>
#include <string_view>
#include <utility>

#include "authz/text.h"
#include "proxy/control/answer_headers.h"
#include "tls/cleanse.h"

namespace mooring::control {
namespace {

using net::milliseconds;

// At most, together with what follows the answer (an empty list is believed 2 s late), within the ten seconds in which fresh
// state is promised.
constexpr net::RetryPause::Bounds kRetry{milliseconds(250), milliseconds(8'000)};
constexpr milliseconds kMaxPatience{10'000};  // what a Retry-After may ask for
constexpr int kGatewayTimeout = 504;
// What an agent may take beyond the wait it was asked for. More than it takes itself to give up a server (7 s): a question
// that is given up before its answer keeps its connection at the agent.
constexpr milliseconds kAnswerTime{10'000};
// Where upstreams take turns: the wait of a blocking query, after which another may have its connection, and the pause between
// two polls of one. A change that is polled is to be seen within 3 s.
constexpr milliseconds kWaitInTurn{3'000};
constexpr milliseconds kPollInTurn{2'500};
constexpr milliseconds kLeastPause{100};
// Who has a seat waits for a connection that short requests are using, before it is polled instead.
constexpr milliseconds kSeatAgain{30};
constexpr unsigned kSeatTries = 10;
// Answers may follow each other at once this often, then at this rate: an agent that re-issues leaves in a
// loop (25 a second were seen) must not keep us busy, and a change must not wait.
constexpr double kBurst = 4;
constexpr double kPerSecond = 4;
// An index that cannot be waited on, or that never moves though the answer came at once, must not spin.
constexpr milliseconds kNoSpin{1'000};
constexpr std::chrono::minutes kSayAgain{5};
constexpr std::uint64_t kMaxAge = std::uint64_t{365} * 24 * 3600;
constexpr std::chrono::minutes kKeepUnproven{1};  // so old a confirmation is not written to disk as a new one

std::string DocumentName(const Watch::Options& options) {
  return options.name + " " + options.path + "?" + options.query;
}

}  // namespace

Watch::Watch(net::Loop& loop, log::Log& log, Agent& agent, Options options, Apply apply)
    : loop_(loop),
      log_(log),
      agent_(agent),
      options_(std::move(options)),
      apply_(std::move(apply)),
      document_(DocumentName(options_)),
      asker_(agent.NewAsker(options_.own)),
      timer_(loop, [this] { Send(); }),
      restore_(loop, [this] { Restore(); }),
      allowance_(kBurst),
      allowance_at_(loop.now()) {
  if (options_.last_used) player_.emplace(agent_.link().connections().turns(), options_.last_used);
  if (options_.keep && agent_.store() != nullptr) {
    ticket_ = agent_.store()->Follow(document_, options_.secret, [this] { Refresh(); });
  }
}

Watch::~Watch() {
  agent_.link().ForgetWaiting(this);
  if (ticket_) agent_.store()->Unfollow(*ticket_);
}

void Watch::Start() { Send(); }

void Watch::Refresh() {
  if (asker_->busy() && blocking_) {
    AskAside();
    return;
  }
  refresh_wanted_ = true;
  // A question that does not block is answered soon, and asked again then; cut short each time, it might never be.
  if (asker_->busy()) return;
  timer_.Stop();
  Send();
}

void Watch::Stop() {
  timer_.Stop();
  restore_.Stop();
  asker_->Cancel();
  if (aside_) aside_->Cancel();
  if (player_) player_->StandUp();
  refresh_wanted_ = false;
  agent_.link().ForgetWaiting(this);
}

void Watch::Send() noexcept {
  try {
    Ask();
  } catch (...) {
    CutShort();
  }
}

// CutShort: there was no memory to ask with, or to take the answer up with. What was learnt stays, and the question is asked anew.
void Watch::CutShort() noexcept {
  ++state_.errors;
  state_.phase = State::Phase::kRetrying;
  timer_.Start(pause_.Failed(kRetry, loop_.now()));
}

void Watch::Ask() {
  if (!std::exchange(restore_armed_, true) && ticket_) {
    const auto wait = std::chrono::duration_cast<milliseconds>(agent_.link().SavedFrom() - loop_.now());
    restore_.Start(std::max(wait, milliseconds(0)));
  }
  // After a failure the first question is not a blocking one: it says at once that the agent is back.
  const bool anew = refresh_wanted_ || pause_.failures() > 0;
  const bool can_wait = (options_.blocking == Blocking::kIndex && state_.index > 0) ||
                        (options_.blocking == Blocking::kHash && !hash_.empty());
  blocking_ = can_wait && !anew;
  if (options_.blocking == Blocking::kNone) {
    state_.polled = false;
  } else {
    const bool own = options_.own != AgentConnections::Own::kNone;
    const bool seat = own || (player_ && player_->MayWait());
    if (seat && !own && blocking_ && !asker_->CanWait() && ++seat_tries_ <= kSeatTries) {
      blocking_ = false;
      timer_.Start(kSeatAgain);
      return;
    }
    state_.polled = !seat || (blocking_ && !asker_->CanWait());
    blocking_ = blocking_ && !state_.polled;
  }
  seat_tries_ = 0;
  refresh_wanted_ = false;
  const bool verify = std::exchange(verify_, false);
  cached_ = state_.polled && player_ && agent_.link().connections().turns().Contended() && !verify;
  if (!state_.polled) polled_before_ = false;
  if (player_ && blocking_) player_->Sit();
  Asker::Manner manner;
  manner.waits = blocking_;
  manner.rank = pause_.failures() > 0 ? Asker::Rank::kRetry
                : options_.own != AgentConnections::Own::kNone || state_.source == State::Source::kNone
                    ? Asker::Rank::kFirst
                    : Asker::Rank::kPoll;
  http::Request request = NewQuestion(blocking_, cached_);
  sent_at_ = loop_.now();
  asker_->Send(std::move(request), manner, [this](Result<http::Response> answer) {
    try {
      OnAnswer(std::move(answer));
    } catch (...) {
      CutShort();
      throw;  // to the keeper of the loop, who says so
    }
  });
}

http::Request Watch::NewQuestion(bool waits, bool cached) {
  std::string query = options_.query;
  const auto add = [&query](const std::string& text) {
    if (!query.empty()) query += '&';
    query += text;
  };
  milliseconds deadline = kAnswerTime;
  sent_index_ = 0;
  if (waits) {
    const milliseconds wait = agent_.link().WaitOf(
        player_ && agent_.link().connections().turns().Contended() ? std::min(kWaitInTurn, options_.wait) : options_.wait);
    wait_ = wait;
    if (options_.blocking == Blocking::kIndex) {
      sent_index_ = state_.index;
      add("index=" + std::to_string(state_.index));
    } else {
      add("hash=" + authz::PercentEncoded(hash_));
    }
    add("wait=" + std::to_string(wait.count()) + "ms");
    deadline += wait + wait / 16;  // the server adds up to a sixteenth
  }
  if (cached) add("cached");
  http::Request request = agent_.NewRequest(options_.method, options_.path, query);
  request.body = options_.body;
  request.deadline = deadline;
  request.blocking = waits;
  request.repeatable = true;  // a watch only asks
  return request;
}

// A blocking query is never given up for a question that somebody wants answered at once: it goes beside it.
void Watch::AskAside() {
  if (!aside_) aside_ = agent_.NewAsker();
  if (aside_->busy()) return;
  const std::uint64_t sent_index = sent_index_;  // of the blocking query, which goes on
  http::Request request = NewQuestion(false, false);
  sent_index_ = sent_index;
  aside_->Send(std::move(request), {Asker::Rank::kFirst, false},
               [this](Result<http::Response> answer) { TakeAside(std::move(answer)); });
}

void Watch::TakeAside(Result<http::Response> answer) {
  if (!answer) return;
  // Of another version the blocking query tells, in order.
  const std::string* hash = answer->Header("x-consul-contenthash");
  const bool same = options_.blocking == Blocking::kHash
                        ? hash != nullptr && *hash == hash_
                        : HeaderNumber(*answer, "x-consul-index").value_or(0) == state_.index;
  if (answer->status == 200 && same && !Distrust(*answer) && apply_(*answer)) Keep(*answer);
  tls::Cleanse(&answer->body);
}

void Watch::OnAnswer(Result<http::Response> answer) {
  const bool waited = std::exchange(blocking_, false);
  if (player_) player_->StandUp();
  if (answer) agent_.link().NoteAnswer(*answer);
  const bool by_gateway = answer && answer->status == kGatewayTimeout;
  if (waited && (!answer || by_gateway)) {
    agent_.link().NoteCut(cuts_, std::chrono::duration_cast<milliseconds>(loop_.now() - sent_at_), wait_, by_gateway);
  } else if (waited) {
    cuts_ = {};
  }
  if (!answer) {
    Fail(answer.error(), milliseconds(0));
    return;
  }
  absent_ = answer->status != 200 && options_.is_absent && options_.is_absent(*answer);
  if (absent_) {
    answer->status = 200;
    answer->body.clear();
  }
  if (answer->status != 200) {
    milliseconds at_least{0};
    if (const auto seconds = HeaderNumber(*answer, "retry-after")) {
      at_least = std::min(milliseconds(static_cast<milliseconds::rep>(std::min<std::uint64_t>(*seconds, 10) * 1000)),
                          kMaxPatience);
    }
    const Error error = Explain(*answer, agent_, options_.name);
    if (answer->status == 403 || answer->status == 404) state_.refusal = error.message;
    Fail(error, at_least);
    return;
  }
  if (auto distrust = Distrust(*answer)) {
    Fail(*distrust, milliseconds(0));
    return;
  }
  const bool behind = cached_ && IsBehind(*answer);
  if (behind && verify_) {
    Send();
    return;
  }
  const std::size_t hash = std::hash<std::string_view>{}(answer->body);
  // What is polled again and again is mostly the same again.
  const bool news = !cached_ || hash != body_hash_ || state_.phase != State::Phase::kOk;
  if (!behind && news) {
    Status applied = apply_(*answer);
    if (!applied) {
      tls::Cleanse(&answer->body);
      Fail({applied.error().code, options_.name + ": " + applied.error().message}, milliseconds(0));
      return;
    }
    body_hash_ = hash;
  }
  const bool proven = ConfirmedAt() && loop_.now() - *ConfirmedAt() < kKeepUnproven;
  if (!behind && (news || proven)) Keep(*answer);
  Succeed(*answer, behind);
  if (options_.secret) tls::Cleanse(&answer->body);
}

void Watch::Succeed(const http::Response& response, bool behind) {
  const bool recovered = state_.phase == State::Phase::kRetrying;
  if (recovered) {
    log_.Info("agent", "watch recovered", {{"watch", options_.name}, {"agent", agent_.name()}});
  }
  agent_.link().ForgetWaiting(this);
  restore_.Stop();
  pause_.Succeeded();
  refusal_said_at_.reset();
  state_.phase = State::Phase::kOk;
  state_.source = State::Source::kAgent;
  const bool filtered_before = std::exchange(state_.filtered, HeaderSays(response, kFilteredHeader, "true"));
  if (state_.filtered && !filtered_before && options_.partial == Options::Partial::kInsteadOfNothing) SayFiltered();
  state_.last_error.clear();
  state_.refusal.clear();
  state_.cached = cached_;
  state_.fresh_at = answered_at_ = loop_.now();
  if (cached_) {
    *state_.fresh_at -= std::chrono::seconds(std::min<std::uint64_t>(HeaderNumber(response, "age").value_or(0), kMaxAge));
  } else if (options_.partial != Options::Partial::kUnmarked && !absent_) {
    agent_.link().NoteServers();  // no cache of the agent's lies in between
    cached_index_ = std::exchange(behind_index_, 0);
  }
  ++state_.updates;
  if (recovered) agent_.link().SayBack();
  if (behind) {
    Next(false);
    return;
  }
  state_.version.clear();
  state_.can_wait = false;
  bool unmoved = false;
  switch (options_.blocking) {
    case Blocking::kIndex: {
      const std::uint64_t index = HeaderNumber(response, "x-consul-index").value_or(0);
      state_.can_wait = index > 0;
      unmoved = sent_index_ != 0 && index == sent_index_;
      state_.index = index < sent_index_ ? 0 : index;  // backwards: the agent's state is a new one
      state_.version = index > 0 ? std::to_string(index) : std::string();
      break;
    }
    case Blocking::kHash: {
      const std::string* hash = response.Header("x-consul-contenthash");
      state_.can_wait = hash != nullptr && !hash->empty();
      const std::string next = state_.can_wait ? *hash : std::string();
      unmoved = next == hash_ && !hash_.empty();
      hash_ = next;
      state_.version = next;
      break;
    }
    case Blocking::kNone:
      break;
  }
  if (state_.version.empty()) state_.version = ContentVersion(response);
  Next(unmoved);
}

// Next arranges for the next question after a good answer.
void Watch::Next(bool unmoved) {
  const net::MonotonicTime now = loop_.now();
  const auto since = std::chrono::duration_cast<milliseconds>(now - sent_at_);
  if (refresh_wanted_) {
    Send();
    return;
  }
  if (state_.polled) {
    // From question to question; the first pause is any part of it, so that all are not asked at one moment.
    const bool first = !std::exchange(polled_before_, true);
    const milliseconds pause = first ? pause_.AnyPart(kPollInTurn) : pause_.Regular(kPollInTurn) - since;
    timer_.Start(std::max(pause, kLeastPause));
    return;
  }
  if (!state_.can_wait) {
    if (options_.poll_interval.count() > 0) timer_.Start(pause_.Regular(options_.poll_interval));
    return;
  }
  if (unmoved && since < kNoSpin) {
    timer_.Start(kNoSpin);
    return;
  }
  const double elapsed = std::chrono::duration<double>(now - allowance_at_).count();
  allowance_ = std::min(kBurst, allowance_ + elapsed * kPerSecond);
  allowance_at_ = now;
  if (allowance_ >= 1) {
    allowance_ -= 1;
    Send();
  } else {
    timer_.Start(milliseconds(static_cast<milliseconds::rep>((1 - allowance_) / kPerSecond * 1000) + 1));
  }
}

void Watch::Fail(const Error& error, milliseconds at_least) {
  ++state_.errors;
  const bool news = state_.last_error != error.message;
  state_.phase = State::Phase::kRetrying;
  state_.last_error = error.message;
  if (error.code == ErrorCode::kDenied) {
    SayRefused(error);
  } else if (news) {
    log_.Warn("agent", "watch failed, will retry",
              {{"watch", options_.name}, {"error", error.message}, {"agent", agent_.name()}});
  }
  timer_.Start(std::max(pause_.Failed(kRetry, loop_.now()), at_least));
  // An agent that asks for patience gets it; a silent or broken one is asked again as soon as it is back.
  if (error.code == ErrorCode::kUnavailable && at_least.count() == 0) {
    agent_.link().CallWhenBack(this, [this] { Refresh(); });
  } else {
    agent_.link().ForgetWaiting(this);
  }
  Restore();
  if (on_error_) on_error_(error);
}

void Watch::SayRefused(const Error& error) {
  // No outage, and nothing that waiting cures: said loudly, and again while it lasts.
  if (refusal_said_at_ && loop_.now() - *refusal_said_at_ < kSayAgain) return;
  refusal_said_at_ = loop_.now();
  agent_.NameToken([&log = log_, watch = options_.name, message = error.message,
                    needs = options_.needs](const std::string& token) {
    log.Err("agent", "agent refuses",
              {{"watch", watch}, {"error", message}, {"token", token}, {"needs", needs}});
  });
}

// SayFiltered: what is in force may be less than there is, and looks like nobody being there.
void Watch::SayFiltered() {
  agent_.NameToken([&log = log_, watch = options_.name, needs = options_.needs](const std::string& token) {
    log.Warn("agent", "the answer is filtered by ACLs", {{"watch", watch}, {"token", token}, {"needs", needs}});
  });
}

}  // namespace mooring::control
