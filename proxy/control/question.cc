#include "proxy/control/question.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "authz/text.h"
#include "proxy/control/question_parts.h"
#include "tls/cleanse.h"

namespace mooring::control {
namespace {

using net::milliseconds;

// What an agent may take beyond the wait it was asked for. More than it takes itself to give up a
// server (7 s): a question that is given up before its answer keeps its connection at the agent.
constexpr milliseconds kAnswerTime{10'000};
constexpr milliseconds kSoon{2'000};  // a healthy agent answers well within it
// Where upstreams take turns: the wait of a blocking query, after which another may have its
// connection, and the pause between two polls of one. A change that is polled is to be seen within
// 3 s.
constexpr milliseconds kWaitInTurn{3'000};
constexpr milliseconds kPollInTurn{2'500};
constexpr milliseconds kLeastPause{100};
// Of guests twenty are asked in a second at most, however many there are.
constexpr milliseconds kPollOfEachGuest{50};
// A list that has to wake the matches, but no connection for the moment: a deny is to be in force
// within a second.
constexpr milliseconds kPollList{800};
// A leaf is polled by a blocking query that waits for next to nothing. Without an index an agent
// of 1.8 answers from its cache, and renews it for nobody: the certificate expires there.
constexpr milliseconds kHardlyWaits{5};
// Who has a seat waits for a connection that short requests are using, before it is polled instead.
constexpr milliseconds kSeatAgain{30};
constexpr unsigned kSeatTries = 10;
// An index that cannot be waited on, or that never moves though the answer came at once, must not
// spin.
constexpr milliseconds kNoSpin{1'000};

}  // namespace

Question::Question(AgentLink& link, What what, How how, std::string token)
    : link_(link),
      loop_(link.loop()),
      what_(std::move(what)),
      how_(how),
      token_(std::move(token)),
      asker_(link.connections(), how.own),
      timer_(loop_, [this] { Send(); }),
      newcomers_(loop_, [this] { TellNewcomers(); }),
      newcomers_again_(loop_, [this] { ExpectNewcomers(); }),
      allowance_(loop_.now()) {}

Question::~Question() {
  link_.ForgetWaiting(this);
  tls::Cleanse(&token_);
}

bool Question::Join(Subscriber* subscriber) {
  const bool first = audience_.empty();
  audience_.Add(subscriber);
  if (!player_ && subscriber->last_used()) {
    player_.emplace(link_.connections().turns(), [this] {
      net::MonotonicTime last{};
      audience_.ForEach([&last](Subscriber& one) {
        if (one.last_used()) last = std::max(last, one.last_used()());
      });
      return last;
    });
  }
  if (!player_ && subscriber->spare()) {
    player_.emplace(link_.connections().turns(), [this] {
      return can_wait_ &&
             audience_.Any([](Subscriber& one) { return one.spare() && one.spare()(); });
    });
  }
  if (first) {
    Send();
  } else if (answered_ || pause_.failures() > 0) {
    ExpectNewcomers();
  }
  return first;
}

void Question::Leave(Subscriber* subscriber) { audience_.Remove(subscriber); }

// ExpectNewcomers tells who has joined what is known, after the events at hand.
void Question::ExpectNewcomers() {
  if (audience_.HasNewcomers()) newcomers_.Arm();
}

void Question::TellNewcomers() {
  const auto self = shared_from_this();  // the last one may leave meanwhile
  if (last_) {
    (void)audience_.Tell(*last_, last_facts_, Whom::kNewcomers, /*goes_on=*/true);
  } else if (pause_.failures() > 0) {
    audience_.TellFailure(last_error_, last_refused_, Whom::kNewcomers);
  } else {
    Refresh();
  }
  audience_.Rethrow();
}

// Voice is for whom the question is asked next, by whose token: somebody whose token was not
// refused.
Subscriber& Question::Voice() const {
  return audience_.Find(
      [this](Subscriber& one) { return !refused_.contains(one.agent().Secret()); });
}

// AskedFor is for whom it was asked, or somebody in his stead.
Subscriber& Question::AskedFor() const {
  return audience_.Find([this](Subscriber& one) { return one.agent().Secret() == asked_with_; });
}

void Question::Refresh() {
  if (asker_.busy() && blocking_) {
    AskAside();
    return;
  }
  refresh_wanted_ = true;
  // A question that does not block is answered soon, and asked again then; cut short each time, it
  // might never be.
  if (asker_.busy() || audience_.telling()) return;
  timer_.Stop();
  Send();
}

void Question::Send() noexcept {
  const auto self = weak_from_this().lock();  // the last one may leave meanwhile
  try {
    Ask();
  } catch (...) {
    CutShort();
  }
}

// CutShort: there was no memory to ask with. What was learnt stays, and the question is asked anew.
void Question::CutShort() noexcept {
  timer_.Start(pause_.Failed(kBackoff, loop_.now()));
  audience_.CutShort();
}

// FollowTokens sends away whose token is another now than the one that the question is asked with.
// False: nobody is left.
bool Question::FollowTokens() {
  if (what_.any_token) return true;
  audience_.ForEach([this](Subscriber& one) {
    if (one.agent().Secret() != token_) one.Move();
  });
  return !audience_.empty();
}

void Question::Ask() {
  if (!FollowTokens()) return;
  asker_.Claim(what_.blocking != Blocking::kNone && can_wait_);
  // After a failure the first question is not a blocking one: it says at once that the agent is
  // back.
  const bool anew = refresh_wanted_ || pause_.failures() > 0;
  const bool can_wait = (what_.blocking == Blocking::kIndex && index_ > 0) ||
                        (what_.blocking == Blocking::kHash && !hash_.empty());
  blocking_ = can_wait && !anew;
  if (what_.blocking != Blocking::kNone) {
    const bool own = asker_.Owns();
    const bool seat = own || (player_ && player_->MayWait());
    if (seat && !own && blocking_ && !asker_.CanWait() && ++seat_tries_ <= kSeatTries) {
      blocking_ = false;
      player_->Lacks(true);
      timer_.Start(kSeatAgain);
      return;
    }
    polled_ = !seat || (blocking_ && !asker_.CanWait());
    blocking_ = blocking_ && !polled_;
  }
  if (player_) player_->Lacks(polled_);
  seat_tries_ = 0;
  const bool refresh = std::exchange(refresh_wanted_, false);
  const bool verify = std::exchange(verify_, false);
  const bool by_cache = player_ && (player_->guest() || link_.connections().turns().Contended());
  cached_ = polled_ && by_cache && !verify;
  if (!polled_) polled_before_ = false;
  if (player_ && blocking_) player_->Sit();
  Asker::Manner manner;
  manner.waits = blocking_;
  const bool unknown = audience_.Any([](Subscriber& one) { return !one.Knows(); });
  const bool urgent = unknown || (how_.own != Own::kNone && (refresh || !polled_));
  manner.rank = pause_.failures() > 0 ? Asker::Rank::kRetry
                : urgent              ? Asker::Rank::kFirst
                                      : Asker::Rank::kPoll;
  asked_with_ = TokenToAskWith();
  sent_index_ = blocking_ && what_.blocking == Blocking::kIndex ? index_ : 0;
  http::Request request = NewRequest(asked_with_, blocking_, cached_);
  sent_at_ = loop_.now();
  sent_fed_ = link_.fed();
  asker_.Send(std::move(request), manner, [this](Result<http::Response> answer) {
    const auto self = shared_from_this();  // the last one may leave meanwhile
    try {
      OnAnswer(std::move(answer));
    } catch (...) {
      CutShort();
      throw;  // to the keeper of the loop, who says so
    }
    audience_.Rethrow();
  });
}

// TokenToAskWith is that of all who are told the answer, even where a file has another by now:
// FollowTokens sends that one away first.
const std::string& Question::TokenToAskWith() const {
  return what_.any_token ? Voice().agent().Secret() : token_;
}

http::Request Question::NewRequest(const std::string& token, bool waits, bool cached) {
  std::string query = what_.query;
  const auto add = [&query](const std::string& text) {
    if (!query.empty()) query += '&';
    query += text;
  };
  const auto wait_for_change = [&](milliseconds wait) {
    add(what_.blocking == Blocking::kIndex ? "index=" + std::to_string(index_)
                                           : "hash=" + authz::PercentEncoded(hash_));
    add("wait=" + std::to_string(wait.count()) + "ms");
  };
  milliseconds deadline = kAnswerTime;
  if (waits) {
    const bool brief = player_ && player_->Brief();
    wait_ = link_.WaitOf(brief ? std::min(kWaitInTurn, how_.wait) : how_.wait);
    wait_for_change(wait_);
    deadline += wait_ + wait_ / 16;  // the server adds up to a sixteenth
  } else if (how_.own == Own::kLeaf && index_ > 0 && pause_.failures() == 0) {
    wait_for_change(kHardlyWaits);
  }
  if (cached) add("cached");
  http::Request request = link_.NewRequest(what_.method, what_.path, query, token);
  if (link_.fed()) request.headers[kQuestionHeader] = HeaderOf(what_, how_);
  request.body = what_.body;
  request.deadline = deadline;
  request.blocking = waits;
  request.repeatable = true;  // a watch only asks
  return request;
}

// A blocking query is never given up for a question that somebody wants answered at once: it goes
// beside it.
void Question::AskAside() {
  if (!aside_) aside_ = std::make_unique<Asker>(link_.connections());
  if (aside_->busy()) return;
  aside_at_ = loop_.now();
  http::Request request = NewRequest(TokenToAskWith(), false, false);
  aside_->Send(std::move(request), {Asker::Rank::kFirst, false},
               [this](Result<http::Response> answer) {
                 const auto self = shared_from_this();
                 TakeAside(std::move(answer));
                 audience_.Rethrow();
               });
}

std::optional<net::MonotonicTime> Question::UnansweredSince() const {
  const auto overdue = [this](const Asker& asker, net::MonotonicTime asked, milliseconds wait) {
    return asker.busy() && loop_.now() - asked > wait + wait / 16 + kSoon;
  };
  if (overdue(asker_, sent_at_, blocking_ ? wait_ : milliseconds(0))) return sent_at_;
  if (aside_ && overdue(*aside_, aside_at_, milliseconds(0))) return aside_at_;
  return std::nullopt;
}

// Next arranges for the next question after a good answer.
void Question::Next(bool unmoved) {
  ExpectNewcomers();
  const auto since = std::chrono::duration_cast<milliseconds>(loop_.now() - sent_at_);
  if (refresh_wanted_) {
    Send();
    return;
  }
  if (!can_wait_) {
    const bool spare = player_ && player_->guest();
    if (const milliseconds pause = spare ? PollOfGuest() : PollInterval(); pause.count() > 0)
      timer_.Start(pause_.Regular(pause));
    return;
  }
  if (polled_) {
    // From question to question; the first pause is any part of it, so that all are not asked at
    // one moment.
    const bool spare = player_ && player_->guest();
    const milliseconds interval = how_.own == Own::kIntentions      ? PollInterval()
                                  : spare                           ? PollOfGuest()
                                  : how_.own == Own::kIntentionList ? kPollList
                                                                    : kPollInTurn;
    const bool first = !std::exchange(polled_before_, true);
    const milliseconds pause = first ? pause_.AnyPart(interval) : pause_.Regular(interval) - since;
    timer_.Start(std::max(pause, kLeastPause));
    return;
  }
  if (unmoved && since < kNoSpin) {
    timer_.Start(kNoSpin);
    return;
  }
  if (const milliseconds pause = allowance_.Take(loop_.now()); pause.count() > 0) {
    timer_.Start(pause);
  } else {
    Send();
  }
}

milliseconds Question::PollInterval() {
  milliseconds least{0};
  audience_.ForEach([&least](Subscriber& one) {
    const milliseconds interval = one.poll_interval();
    if (interval.count() > 0 && (least.count() == 0 || interval < least)) least = interval;
  });
  return least;
}

milliseconds Question::PollOfGuest() {
  const auto guests = static_cast<milliseconds::rep>(link_.connections().turns().guests());
  return std::max(PollInterval(), kPollOfEachGuest * guests);
}

void Question::Retry(ErrorCode code, milliseconds at_least) {
  ExpectNewcomers();
  timer_.Start(std::max(pause_.Failed(kBackoff, loop_.now()), at_least));
  // An agent that asks for patience gets it; a silent or broken one is asked again as soon as it is
  // back.
  if (code == ErrorCode::kUnavailable && at_least.count() == 0) {
    link_.CallWhenBack(this, [this] { Refresh(); });
  } else {
    link_.ForgetWaiting(this);
  }
}

}  // namespace mooring::control
