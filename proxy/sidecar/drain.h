// Drain: the end of one service as callers and the app see it, in order.
//
//   1. What is open ends: between exchanges at once (data/drain.h), else when its answer is
//   through. All listeners go on
//      accepting. Meanwhile we leave the catalog, if another instance can take over
//      (control/departure.h).
//   2. What has come since gets `quiet` more, then the public listeners close, behind what waits in
//   their queue. A socket that the service manager keeps goes on listening for the next process
//   (net/inherited.h), unless another instance has taken over.
//   3. Out of the catalog, the upstream listeners go on until nobody is sent to the closed port any
//   more.
//   4. The upstream listeners close, what has come since ends, and we deregister.
// Where the app has to go first (upstreams_stay), the upstreams' connections are left alone until
// it has, and have `time` of their own from then on. `time` after the beginning what still lives is
// cut. Control loop only.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "proxy/control/departure.h"
#include "proxy/control/listener_set.h"
#include "proxy/data/service_host.h"
#include "proxy/log/log.h"
#include "proxy/net/loop.h"

namespace mooring::sidecar {

class Drain final {
 public:
  struct Limits {
    net::milliseconds delay{0};   // how long to accept at least once we are out of the catalog
    net::milliseconds time{0};    // for the answers that are owed, from the beginning
    net::milliseconds quiet{0};   // silence that makes a connection idle; 0: no silence does
    bool upstreams_stay = false;  // until LetUpstreamsGo they go on as if there were no drain
  };

  // `departure` is null if no agent has us in its catalog. `on_over` is called last, once; when
  // those of all services have been, the process may end.
  Drain(net::Loop& loop, log::Log& log, const std::vector<data::ServiceHost*>& hosts,
        control::ListenerSet& listeners, std::unique_ptr<control::Departure> departure,
        Limits limits, std::function<void()> on_over);
  Drain(const Drain&) = delete;
  Drain& operator=(const Drain&) = delete;

  void Begin();
  // LetUpstreamsGo is for a drain whose upstreams serve an app that has to go first: it has.
  void LetUpstreamsGo();
  // Hurry cuts everything and ends as soon as the agent has heard of it, or a second and a half has
  // passed.
  void Hurry();

  net::MonotonicTime began_at() const { return began_at_; }

 private:
  enum class Phase {
    kFirstOnes,
    kLastMoments,
    kPublicClosing,
    kUnseen,
    kUpstreamClosing,
    kLeaving,
    kOver
  };

  void Step();
  void ClosePublic();
  void CloseUpstreams();
  // Mark posts to every worker what makes it await connections; awaited() holds once all have
  // answered.
  void Mark(const std::function<void(data::ServiceHost&, std::function<void()>)>& post);
  void AwaitRest(data::ListenerKind kind);
  void OnLimit();
  void Leave();
  void Over();
  std::int64_t Awaited() const;

  net::Loop& loop_;
  log::Log& log_;
  const std::vector<data::ServiceHost*>& hosts_;
  control::ListenerSet& listeners_;
  const std::unique_ptr<control::Departure> departure_;
  const Limits limits_;
  const std::function<void()> on_over_;
  const net::MonotonicTime began_at_;
  Phase phase_ = Phase::kFirstOnes;
  bool settled_ = false;  // the catalog shows what was decided
  net::MonotonicTime accept_until_;
  std::size_t unmarked_ = 0;  // workers that have still to answer
  bool limit_passed_ = false;
  bool upstreams_stay_;
  bool unseen_ = false;  // nobody is sent to the public port any more
  net::Timer step_;
  net::Timer quiet_;
  net::Timer limit_;
  net::Timer hurry_;
};

}  // namespace mooring::sidecar
