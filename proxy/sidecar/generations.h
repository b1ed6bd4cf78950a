// Generations: the earlier processes of this sidecar that live on until their connections have
// ended, as the newest one knows them. It speaks for all of them: /status, /metrics and the page
// have them, and what ends it ends them.
//
// Each has a channel to us (handover/channel.h), on which it reports every second:
//
//   report {connections, resident, state, families}   families: what has changed
//
// Once it says `left`: it has let go of the state directory. It is told
//
//   drain, hurry      as by a first and a second SIGTERM
//   reopen            as by SIGHUP: its logs
//   moved             a newer one serves at the place now: it is to go there
//
// What one has counted stays counted when it has ended. Control loop only.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "proxy/handover/channel.h"
#include "proxy/log/log.h"
#include "proxy/net/loop.h"
#include "proxy/observe/carry.h"
#include "proxy/observe/exposition.h"

namespace mooring::sidecar {

class Generations final {
 public:
  // `on_left` runs when one has let go of the state directory, `on_end` when one has ended, or has
  // lost its channel.
  Generations(net::Loop& loop, log::Log& log, std::function<void()> on_left,
              std::function<void()> on_end)
      : loop_(loop), log_(log), on_left_(std::move(on_left)), on_end_(std::move(on_end)) {}
  Generations(const Generations&) = delete;
  Generations& operator=(const Generations&) = delete;

  // Add takes one in: its channel, and how it has introduced itself: `generation` {generation, pid,
  // version, retired_ms}.
  void Add(std::unique_ptr<handover::Channel> channel, const handover::Message& hello);
  void Tell(const char* kind);  // all of them
  void Clear() { rows_.clear(); }

  bool empty() const { return rows_.empty(); }
  std::int64_t connections() const;
  void Measure(observe::Exposition* out) const;
  nlohmann::json Describe() const;  // an array, the newest first
  // carried is what they have counted, those that have ended, too.
  const observe::Carried& carried() const { return carried_; }

 private:
  struct Row {
    std::int64_t generation = 0;
    std::int64_t pid = 0;
    std::string version;
    net::MonotonicTime retired_at{};
    std::int64_t connections = 0;
    std::int64_t resident = 0;  // bytes
    std::string state = "draining";
    std::unique_ptr<handover::Channel> channel;
  };

  void Take(Row* row, const handover::Message& message);
  void End(Row* row, const std::string& why);

  net::Loop& loop_;
  log::Log& log_;
  const std::function<void()> on_left_;
  const std::function<void()> on_end_;
  std::list<Row> rows_;
  observe::Carried carried_;
};

}  // namespace mooring::sidecar
