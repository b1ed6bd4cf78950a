// Question: what becomes of an answer.
#include <algorithm>
#include <chrono>
#include <utility>

#include "proxy/control/answer_headers.h"
#include "proxy/control/question.h"
#include "tls/cleanse.h"

namespace mooring::control {
namespace {

using net::milliseconds;

constexpr milliseconds kMaxPatience{10'000};  // what a Retry-After may ask for
constexpr int kGatewayTimeout = 504;
constexpr std::uint64_t kMaxAge = std::uint64_t{365} * 24 * 3600;

}  // namespace

void Question::TakeAside(Result<http::Response> answer) {
  // The others may wait long for a change, so it is asked once more for who has joined late.
  if (answer && answer->status == 200) {
    aside_pause_.Succeeded();
  } else if (audience_.HasNewcomers()) {
    newcomers_again_.Start(aside_pause_.Failed(kBackoff, loop_.now()));
  }
  if (!answer) return;
  (void)NoteAbsence(&*answer);
  // Of another version the blocking query tells, in order.
  const std::string* hash = answer->Header("x-consul-contenthash");
  const bool same = what_.blocking == Blocking::kHash
                        ? hash != nullptr && *hash == hash_
                        : HeaderNumber(*answer, kIndexHeader).value_or(0) == index_;
  if (answer->status == 200 && same) {
    Facts facts;
    facts.index = index_;
    facts.version = version_;
    facts.fresh_at = facts.at = loop_.now();
    facts.answered_after = aside_at_;
    (void)audience_.Tell(*answer, facts, Whom::kAll, /*goes_on=*/true);
  }
  tls::Cleanse(&answer->body);
}

void Question::OnAnswer(Result<http::Response> answer) {
  const bool waited = std::exchange(blocking_, false);
  if (player_) player_->StandUp();
  if (answer) link_.NoteAnswer(*answer);
  const bool by_gateway = answer && answer->status == kGatewayTimeout;
  if (waited && (!answer || by_gateway)) {
    link_.NoteCut(cuts_, std::chrono::duration_cast<milliseconds>(loop_.now() - sent_at_), wait_,
                  by_gateway);
  } else if (waited) {
    cuts_ = {};
  }
  if (!answer) {
    Fail(answer.error(), milliseconds(0), /*refused=*/false);
    return;
  }
  if (sent_fed_ != link_.fed()) {
    // Asked before a hand-over in one end's form, and answered by the other end: it means nothing.
    tls::Cleanse(&answer->body);
    refresh_wanted_ = true;
    Send();
    return;
  }
  const bool absent = NoteAbsence(&*answer);
  if (answer->status != 200) {
    OnRefusal(*answer);
    return;
  }
  const bool behind = cached_ && IsBehind(*answer);
  if (behind && verify_) {
    Send();
    return;
  }
  // A blocking query is answered when there is something to say, whenever it was sent.
  answered_after_ = waited ? loop_.now() : sent_at_;
  Succeed(&*answer, behind, absent);
}

// NoteAbsence makes an answer which says that there is no such document one with an empty body.
bool Question::NoteAbsence(http::Response* answer) {
  bool absent = false;
  if (answer->status == 200) return absent;
  audience_.ForEach([&](Subscriber& one) { absent = one.IsAbsent(*answer) || absent; });
  if (absent) {
    answer->status = 200;
    answer->body.clear();
  }
  return absent;
}

void Question::OnRefusal(const http::Response& answer) {
  if (answer.status == 403 && what_.any_token && AskWithAnotherToken()) return;
  milliseconds at_least{0};
  if (const auto seconds = HeaderNumber(answer, "retry-after")) {
    at_least = std::min(
        milliseconds(static_cast<milliseconds::rep>(std::min<std::uint64_t>(*seconds, 10) * 1000)),
        kMaxPatience);
  }
  Subscriber& asked_for = AskedFor();
  Fail(Explain(answer, asked_for.agent(), asked_for.name(), asked_with_), at_least,
       answer.status == 403 || answer.status == 404);
}

// AskWithAnotherToken goes on with one that was not refused. False: all were, and all are tried
// again from now on.
bool Question::AskWithAnotherToken() {
  refused_.insert(asked_with_);
  const bool another =
      audience_.Any([this](Subscriber& one) { return !refused_.contains(one.agent().Secret()); });
  another ? Send() : refused_.clear();
  return another;
}

// IsBehind: an answer of the agent's cache is older than what is in force, or of another life of
// the agent.
bool Question::IsBehind(const http::Response& response) {
  const std::uint64_t index = HeaderNumber(response, kIndexHeader).value_or(0);
  if (index >= index_) return false;
  if (index == 0 || index != cached_index_) {
    behind_index_ = index;
    verify_ = true;
  }
  return true;
}

void Question::Succeed(http::Response* answer, bool behind, bool absent) {
  const std::uint64_t index = HeaderNumber(*answer, kIndexHeader).value_or(0);
  const std::string* header = answer->Header("x-consul-contenthash");
  const std::string hash = header != nullptr ? *header : std::string();
  const bool can_wait = what_.blocking == Blocking::kIndex
                            ? index > 0
                            : what_.blocking == Blocking::kHash && !hash.empty();
  // before they are told: another question may want the connection
  if (!behind && !can_wait) asker_.Claim(false);
  Facts facts;
  facts.cached = cached_;
  facts.polled = polled_;
  facts.behind = behind;
  facts.at = facts.fresh_at = loop_.now();
  facts.answered_after = answered_after_;
  if (cached_)
    facts.fresh_at -=
        std::chrono::seconds(std::min(HeaderNumber(*answer, "age").value_or(0), kMaxAge));
  facts.index = index < sent_index_ ? 0 : index;  // backwards: the agent's state is a new one
  if (what_.blocking == Blocking::kIndex && index > 0) facts.version = std::to_string(index);
  if (what_.blocking == Blocking::kHash) facts.version = hash;
  if (facts.version.empty()) facts.version = ContentVersion(*answer);
  if (behind || what_.blocking != Blocking::kIndex) facts.index = index_;
  if (behind) facts.version = version_;

  const auto useless = audience_.Tell(*answer, facts, Whom::kAll, /*goes_on=*/false);
  if (useless || audience_.empty()) {
    if (how_.secret) tls::Cleanse(&answer->body);
    if (!audience_.empty()) Retry(*useless, milliseconds(0));
    return;
  }
  const bool recovered = pause_.failures() > 0;
  const bool unmoved =
      !behind && (what_.blocking == Blocking::kHash ? hash == hash_ && !hash_.empty()
                                                    : sent_index_ != 0 && index == sent_index_);
  link_.ForgetWaiting(this);
  pause_.Succeeded();
  answered_ = true;
  if (!cached_ && how_.marked && !absent) {
    link_.NoteServers();  // no cache of the agent's lies in between
    cached_index_ = std::exchange(behind_index_, 0);
  }
  if (recovered) link_.SayBack();
  if (!behind) {
    can_wait_ = can_wait;
    index_ = facts.index;
    hash_ = hash;
    version_ = facts.version;
    Remember(answer, facts);
  }
  Next(unmoved);
}

// Remember keeps the answer for who joins, where somebody may: several services.
void Question::Remember(http::Response* answer, const Facts& facts) {
  last_.reset();
  if (how_.secret) {
    tls::Cleanse(&answer->body);
  } else if (link_.connections().services() > 1) {
    last_ = std::move(*answer);
    last_facts_ = facts;
  }
}

void Question::Fail(const Error& error, milliseconds at_least, bool refused) {
  Retry(error.code, at_least);
  last_error_ = error;
  last_refused_ = refused;
  audience_.TellFailure(error, refused, Whom::kAll);
}

}  // namespace mooring::control
