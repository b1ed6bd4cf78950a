// Question: one document of the agent's API, asked for again and again, by blocking queries or,
// where connections are short (agent_connections.h), by polls; for all who want it (audience.h).
// Here the protocol, the rate, retries, and whose token is used are decided. What an answer is
// worth to one who wants it, he decides himself: a Watch (watch.h).
//
// Rules of the protocol (consul's blocking queries): the index of an answer goes into the next
// request; an index that went backwards starts again without one; an index of 0 or none cannot be
// waited on, so the document is polled; a return does not mean a change. Failures are retried with
// jittered backoff, 250 ms to 8 s, and at once when the agent answers somebody else again.
//
// An answer that nobody can use is a failure of the question; one that somebody can use is none.
// Shared by its subscribers (questions.h), and ends with the last. Loop thread only.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "authz/result.h"
#include "proxy/control/agent.h"
#include "proxy/control/allowance.h"
#include "proxy/control/audience.h"
#include "proxy/http/client.h"
#include "proxy/net/loop.h"
#include "proxy/net/retry_pause.h"

namespace mooring::control {

class Question final : public std::enable_shared_from_this<Question> {
 public:
  // Between tries that fail. At most so much that fresh state is there within the promised ten
  // seconds, with what follows the answer: an empty list is believed 2 s late.
  static constexpr net::RetryPause::Bounds kBackoff{net::milliseconds(250),
                                                    net::milliseconds(8'000)};
  using Own = AgentConnections::Own;
  enum class Blocking {
    kIndex,  // X-Consul-Index and ?index=
    kHash,   // X-Consul-ContentHash and ?hash=
    kNone,   // polled
  };
  // What is asked. Two who ask the same are told the same, if their tokens are the same.
  struct What {
    std::string method;
    std::string path;
    std::string query;
    std::string body;
    Blocking blocking = Blocking::kIndex;
    // the answer is the same whatever the token, or its content is not read: one that is refused
    // (403) is replaced by another's
    bool any_token = false;
    auto operator<=>(const What&) const = default;
  };
  // How it is asked: as its first subscriber has it.
  struct How {
    Own own = Own::kNone;
    net::milliseconds wait{0};
    bool secret = false;  // the answer holds a private key
    // the agent's marks mean something: an answer that has not passed its cache proves that servers
    // live
    bool marked = false;
  };
  // `token` is that of all its subscribers; it does not matter where any token may ask.
  Question(AgentLink& link, What what, How how, std::string token);
  ~Question();
  Question(const Question&) = delete;
  Question& operator=(const Question&) = delete;

  // Join: the subscriber is told the answer once it is there, never inside Join. True: it is the
  // first, and the question is asked at once. A later one is told the last answer, or the question
  // is asked for it beside the one under way.
  bool Join(Subscriber* subscriber);
  // Leave: nothing is called any more. When the last one has left, the question is given up with
  // its last reference.
  void Leave(Subscriber* subscriber);
  // Refresh asks at once, without waiting for a change; behind a question under way that does not
  // wait for one.
  void Refresh();

  bool Blocks() const { return what_.blocking != Blocking::kNone && can_wait_ && !polled_; }
  bool polled() const { return polled_; }
  // UnansweredSince is when a question was asked that has had no answer though its own wait, and
  // two seconds more, have passed; nothing: none is overdue. For those who look at the agent: it
  // fails only after ten seconds.
  std::optional<net::MonotonicTime> UnansweredSince() const;
  const What& what() const { return what_; }
  // AskedWith is the token that it was asked with last, or that of a subscriber, where any may ask.
  const std::string& AskedWith(Agent& of) const { return what_.any_token ? of.Secret() : token_; }

 private:
  using Whom = Audience::Whom;
  using Facts = Subscriber::Facts;

  // Asking.
  void Send() noexcept;
  void Ask();
  bool FollowTokens();
  const std::string& TokenToAskWith() const;
  http::Request NewRequest(const std::string& token, bool waits, bool cached);
  void AskAside();
  bool AskWithAnotherToken();
  void Next(bool unmoved);
  void Retry(ErrorCode code, net::milliseconds at_least);
  void CutShort() noexcept;
  net::milliseconds PollInterval();
  net::milliseconds PollOfGuest();

  // Answers.
  void OnAnswer(Result<http::Response> answer);
  void OnRefusal(const http::Response& answer);
  void Succeed(http::Response* answer, bool behind, bool absent);
  void Fail(const Error& error, net::milliseconds at_least, bool refused);
  void TakeAside(Result<http::Response> answer);
  bool NoteAbsence(http::Response* answer);
  bool IsBehind(const http::Response& response);
  void Remember(http::Response* answer, const Facts& facts);

  // Whom it is for.
  Subscriber& Voice() const;
  Subscriber& AskedFor() const;
  void ExpectNewcomers();
  void TellNewcomers();

  AgentLink& link_;
  net::Loop& loop_;
  const What what_;
  const How how_;
  std::string token_;  // that of its subscribers, where it matters
  Audience audience_;
  std::optional<Turns::Player> player_;  // none: it takes no turns
  Asker asker_;
  std::unique_ptr<Asker> aside_;  // for a question beside a blocking query
  net::Timer timer_;
  net::Chore newcomers_;
  net::Timer newcomers_again_;  // what was asked for them has come to nothing

  // What is known.
  bool answered_ = false;
  bool can_wait_ = true;  // false: the agent gives no index for this document
  std::uint64_t index_ = 0;
  std::string hash_;
  std::string version_;
  std::optional<http::Response> last_;  // for who joins, where somebody may; never a secret
  Facts last_facts_;
  Error last_error_;
  bool last_refused_ = false;
  // a cached answer of this index, though it is behind, is known to be no news
  std::uint64_t cached_index_ = 0;
  std::uint64_t behind_index_ = 0;  // that of the answer which made us verify
  // the next one is not of the agent's cache: what the servers say decides
  bool verify_ = false;

  // The question under way, and the next.
  bool blocking_ = false;
  bool cached_ = false;
  bool polled_ = false;            // asked in turn, for want of a connection to wait on
  std::string asked_with_;         // the token; not that of a question aside
  std::set<std::string> refused_;  // tokens that were, of a question that any may ask
  std::uint64_t sent_index_ = 0;
  bool sent_fed_ = false;  // of a newer generation (AgentLink::FollowFeed), not of the agent
  net::MonotonicTime sent_at_{};
  net::MonotonicTime answered_after_{};  // Facts::answered_after of the newest answer
  net::MonotonicTime aside_at_{};        // of the question aside
  net::milliseconds wait_{0};            // that it asks for, if it blocks
  WaitLimit::Cuts cuts_;
  bool refresh_wanted_ = false;
  bool polled_before_ = false;
  unsigned seat_tries_ = 0;
  net::RetryPause pause_;
  net::RetryPause aside_pause_;
  Allowance allowance_;
};

}  // namespace mooring::control
