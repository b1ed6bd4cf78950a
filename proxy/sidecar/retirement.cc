#include "proxy/sidecar/retirement.h"

#include <unistd.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

#include "proxy/sidecar/memory_limit.h"

namespace mooring::sidecar {
namespace {

using handover::Message;
using net::milliseconds;

constexpr milliseconds kLook{50};
constexpr milliseconds kReport{1'000};
// What has been counted may be more than the kernel takes at once, so the end waits until the
// newest has read it; so long for one that does not.
constexpr milliseconds kHeardWithin{2'000};

}  // namespace

Retirement::Retirement(net::Loop& loop, log::Log& log, const handover::Place& place,
                       std::vector<data::ServiceHost*> hosts, Limits limits, Self self,
                       std::unique_ptr<handover::Channel> channel, Owner& owner)
    : loop_(loop),
      log_(log),
      place_(place),
      hosts_(std::move(hosts)),
      limits_(limits),
      self_(std::move(self)),
      owner_(owner),
      retired_at_(loop.now()),
      channel_(std::move(channel)),
      look_(loop, [this] { Look(); }),
      report_(loop, [this] { Report(); }),
      longest_(loop, [this] { Cut("generation_max is over; cutting what is left"); }),
      drain_(loop, [this] { Cut("drain time is over; cutting what is left"); }),
      heard_(loop, [this] { owner_.OnRetired(); }) {
  channel_->Listen({[this](const Message& message) { Take(message); },
                    [this](const std::string& why) { OnLost(why); }});
}

void Retirement::Begin() {
  log_.Info("sidecar", "the successor serves; living on until our connections have ended",
            {{"connections", data::ActiveOf(hosts_)}, {"generation", self_.generation}});
  for (data::ServiceHost* host : hosts_) {
    ++unmarked_;
    host->PostRetire(limits_.quiet, limits_.spread,
                     [this, &loop = loop_] { loop.Post([this] { --unmarked_; }); });
  }
  if (limits_.longest.count() > 0) longest_.Start(limits_.longest);
  owner_.FollowFeed(handover::kFeed);
  Report();
  Look();
}

void Retirement::SayLeft() {
  if (channel_) channel_->Send({"left"});
}

void Retirement::Terminate() {
  if (std::exchange(drains_, true)) {
    if (!std::exchange(over_, true)) owner_.OnRetired();
    return;
  }
  log_.Info("sidecar", "draining",
            {{"connections", data::ActiveOf(hosts_)}, {"limit_ms", limits_.drain.count()}});
  for (data::ServiceHost* host : hosts_) {
    ++unmarked_;
    host->PostDrain(limits_.quiet, std::nullopt,
                    [this, &loop = loop_] { loop.Post([this] { --unmarked_; }); });
  }
  drain_.Start(limits_.drain);
}

void Retirement::Take(const Message& message) {
  if (message.kind == "drain") {
    if (!drains_) Terminate();
  } else if (message.kind == "hurry") {
    drains_ = true;
    Terminate();
  } else if (message.kind == "reopen") {
    owner_.ReopenLogs();
  } else if (message.kind == "moved") {
    // After the event: the channel that tells it ends by this.
    loop_.Defer([this] {
      channel_.reset();
      Seek();
    });
  }
}

void Retirement::OnLost(const std::string& why) {
  if (over_) {  // it has heard all, or is gone
    heard_.Start(milliseconds(0));
    return;
  }
  log_.Warn("sidecar", "the newest process has gone; looking for another", {{"reason", why}});
  loop_.Defer([this] {
    channel_.reset();
    Seek();
  });
}

// Seek introduces us to whoever serves at the place now.
void Retirement::Seek() {
  if (over_) return;
  auto fd = place_.Connect(handover::kSocket);
  if (!fd) {
    GoOnWithoutNewest(fd.error().message);
    return;  // Report looks again
  }
  channel_ = std::make_unique<handover::Channel>(
      loop_, std::move(*fd),
      handover::Channel::Callbacks{[this](const Message& message) { Take(message); },
                                   [this](const std::string& why) { OnLost(why); }});
  const auto retired = std::chrono::duration_cast<milliseconds>(loop_.now() - retired_at_).count();
  channel_->Send({"generation",
                  {{"generation", self_.generation},
                   {"pid", getpid()},
                   {"version", self_.version},
                   {"retired_ms", retired}}});
  reported_.clear();
  source_ = Source::kNewest;
  owner_.FollowFeed(handover::kFeed);
  if (feeds_) {
    feeds_.Reset();
    owner_.StopFeeding();
  }
  Report();
}

// GoOnWithoutNewest: the first of the old generations to get here feeds the others. When it ends,
// another does.
void Retirement::GoOnWithoutNewest(const std::string& why) {
  if (source_ == Source::kAgent) return;
  Result<net::UniqueFd> lock = place_.Lock();
  if (!lock && lock.error().code == ErrorCode::kUnavailable) {
    if (std::exchange(source_, Source::kOldGeneration) == Source::kOldGeneration) return;
    log_.Warn("sidecar", "no newest process is there; another old generation feeds this one",
              {{"reason", why}});
    owner_.FollowFeed(handover::kOldFeed);
    return;
  }
  source_ = Source::kAgent;
  log_.Warn("sidecar", "nobody feeds this old generation; asking the agent", {{"reason", why}});
  owner_.AskAgent();
  if (!lock) {
    log_.Warn("sidecar", "other old generations cannot be fed", {{"error", lock.error().message}});
    return;
  }
  feeds_ = std::move(*lock);
  owner_.FeedOthers();
}

void Retirement::Look() {
  if (over_) return;
  if (unmarked_ == 0 && data::ActiveOf(hosts_) == 0) {
    over_ = true;
    Report();
    report_.Stop();
    if (channel_) channel_->Send({"over"});
    heard_.Start(channel_ ? kHeardWithin : milliseconds(0));
    return;
  }
  look_.Start(kLook);
}

void Retirement::Report() {
  report_.Start(kReport);
  if (!channel_) {
    Seek();
    return;
  }
  observe::Counts now = owner_.Counted();
  channel_->Send({"report",
                  {{"connections", data::ActiveOf(hosts_)},
                   {"resident", ResidentMemory().value_or(0)},
                   {"state", drains_ ? "draining" : "retired"},
                   {"families", observe::Changed(reported_, now)}}});
  reported_ = std::move(now);
}

void Retirement::Cut(log::Literal why) {
  log_.Warn("sidecar", why, {{"connections", data::ActiveOf(hosts_)}});
  for (data::ServiceHost* host : hosts_) host->PostCutAwaited();
}

}  // namespace mooring::sidecar
