// Audience: those who want the answer to one question, and how they are told.
//
// They come and go at any time, inside their own callbacks and those of others. One that cannot use
// an answer, or whose callback throws, harms no other. Knows nothing of how the question is asked;
// owned by a Question. Loop thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "authz/result.h"
#include "proxy/control/agent.h"
#include "proxy/http/client.h"
#include "proxy/net/loop.h"

namespace mooring::control {

// Subscriber is one of them: a Watch.
class Subscriber {
 public:
  // Facts are what is known of an answer besides its text.
  struct Facts {
    std::uint64_t index = 0;
    std::string version;  // the agent's index or hash, else one of the content
    bool cached = false;  // it is the agent's cache's
    // older than what is in force, and known to be no news: only its time counts
    bool behind = false;
    bool polled = false;            // for want of a connection: most likely it is the same again
    net::MonotonicTime at{};        // when it came
    net::MonotonicTime fresh_at{};  // when it was the truth: earlier, if it is the cache's
    // The agent answered after this time: what it had been told by then is in it. An answer of its
    // cache counts as its answer.
    net::MonotonicTime answered_after{};
    bool say = false;  // among several who are told, this one may say so in the log
  };
  struct Failure {
    Error error;
    bool refused = false;  // the agent has said no: 403 or 404
    bool alone = false;    // the others could use the answer; the question goes on for them
    bool say = false;
  };

  virtual Agent& agent() = 0;
  virtual const std::string& name() const = 0;
  virtual bool Knows() const = 0;                       // something is in force
  virtual net::milliseconds poll_interval() const = 0;  // 0: only on Refresh
  // empty: it takes no turns
  virtual const std::function<net::MonotonicTime()>& last_used() const = 0;
  // Spare: it does as well polled, of the agent's cache, and is worth waiting for a change on a
  // connection that nobody else needs. Empty: it is no such thing.
  virtual const std::function<bool()>& spare() const = 0;
  // this answer, no 200, says that there is no such document
  virtual bool IsAbsent(const http::Response& response) = 0;
  // Take takes a good answer up, whole or not at all.
  virtual Status Take(const http::Response& response, const Facts& facts) = 0;
  virtual void OnFailed(const Failure& failure) = 0;
  // OnCutShort: there was no memory to ask with, or, `alone`, for this subscriber to take the
  // answer up with.
  virtual void OnCutShort(bool alone) noexcept = 0;
  // Move: the token is another now. Leave, and join the question that is asked with it.
  virtual void Move() = 0;

 protected:
  ~Subscriber() = default;
};

class Audience final {
 public:
  enum class Whom { kAll, kNewcomers };  // newcomers have been told nothing yet

  void Add(Subscriber* subscriber);
  void Remove(Subscriber* subscriber);  // nothing of it is called any more
  bool empty() const;
  bool telling() const { return telling_ > 0; }  // one of their callbacks runs
  bool HasNewcomers() const;

  void ForEach(const std::function<void(Subscriber&)>& act);
  bool Any(const std::function<bool(Subscriber&)>& fits) const;
  // Find is the first that fits, or the first of all; there must be one.
  Subscriber& Find(const std::function<bool(Subscriber&)>& fits) const;

  // Tell gives them the answer, and returns why nobody could use it; nothing if somebody could, or
  // `goes_on`: the question goes on whatever becomes of them. What nobody could use because an
  // exception escaped is that exception.
  std::optional<ErrorCode> Tell(const http::Response& answer, Subscriber::Facts facts, Whom whom,
                                bool goes_on);
  void TellFailure(const Error& error, bool refused, Whom whom);
  void CutShort() noexcept;
  // Rethrow throws what has escaped from one of them while others were served, once: for the keeper
  // of the loop.
  void Rethrow();

 private:
  class Telling;
  struct Member {
    Subscriber* who = nullptr;  // null: it has left while they were told
    bool told = false;
    std::optional<Error> error{};  // why it could not use the answer that they are told
    bool cut_short = false;        // an exception escaped from it
  };
  bool IsMeant(const Member& member, Whom whom) const {
    return member.who != nullptr && (whom == Whom::kAll || !member.told);
  }

  std::vector<Member> members_;
  unsigned telling_ = 0;
  std::exception_ptr escaped_;
};

}  // namespace mooring::control
