// Retirement: an old generation's life, from the moment that its successor serves to its end.
//
// Its connections end between exchanges, at moments spread over `drain_time`, so that those who
// come back do not come at once; one that is never between exchanges stays, for `longest` if that
// is not 0. Meanwhile it reports to the newest process every second, is fed by it, and does what it
// is told (generations.h).
//
// Without the newest it looks for another at the place. Until there is one, one of the old
// generations asks the agent and feeds the others, so that all of them together need no more
// connections to the agent than one process. Control loop only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "proxy/data/service_host.h"
#include "proxy/handover/channel.h"
#include "proxy/handover/place.h"
#include "proxy/log/log.h"
#include "proxy/net/loop.h"
#include "proxy/observe/carry.h"

namespace mooring::sidecar {

class Retirement final {
 public:
  class Owner {
   public:
    virtual observe::Counts Counted() const = 0;
    // FollowFeed: documents come from who listens at that name of the place (handover/place.h).
    virtual void FollowFeed(const char* name) = 0;
    virtual void AskAgent() = 0;  // and now from the agent
    // FeedOthers does for other old generations what the newest does, from kOldFeed; StopFeeding
    // does so no longer, once they have had the time to go to the newest.
    virtual void FeedOthers() = 0;
    virtual void StopFeeding() = 0;
    virtual void ReopenLogs() = 0;
    // OnRetired: no connection is left, or a second signal has come. Called once, last.
    virtual void OnRetired() = 0;

   protected:
    ~Owner() = default;
  };
  struct Limits {
    net::milliseconds spread{0};
    net::milliseconds quiet{0};    // silence that makes a connection idle; 0: none does
    net::milliseconds longest{0};  // 0: without end
    net::milliseconds drain{0};    // after a signal to stop
  };
  struct Self {
    std::int64_t generation = 0;
    std::string version;
  };

  // `hosts` are all of all services. `channel` leads to the successor.
  Retirement(net::Loop& loop, log::Log& log, const handover::Place& place,
             std::vector<data::ServiceHost*> hosts, Limits limits, Self self,
             std::unique_ptr<handover::Channel> channel, Owner& owner);
  Retirement(const Retirement&) = delete;
  Retirement& operator=(const Retirement&) = delete;

  void Begin();
  void SayLeft();    // the state directory is free
  void Terminate();  // as by SIGTERM: drains; a second time: ends at once

 private:
  void Take(const handover::Message& message);
  void OnLost(const std::string& why);
  void Look();
  void Seek();
  void GoOnWithoutNewest(const std::string& why);
  void Report();
  void Cut(log::Literal why);

  net::Loop& loop_;
  log::Log& log_;
  const handover::Place& place_;
  const std::vector<data::ServiceHost*> hosts_;
  const Limits limits_;
  const Self self_;
  Owner& owner_;
  const net::MonotonicTime retired_at_;
  std::unique_ptr<handover::Channel> channel_;  // null: the newest is not found
  observe::Counts reported_;
  std::size_t unmarked_ = 0;  // hosts that have still to begin
  bool drains_ = false;
  bool over_ = false;
  enum class Source { kNewest, kOldGeneration, kAgent };
  Source source_ = Source::kNewest;
  net::UniqueFd feeds_;  // Place::Lock: this one feeds the others
  net::Timer look_;
  net::Timer report_;
  net::Timer longest_;
  net::Timer drain_;
  net::Timer heard_;  // by the newest: what was counted at the end
};

}  // namespace mooring::sidecar
