// Loads: what the client does with its connections. Each keeps a number of slots, one connection in
// each; a connection that is lost is an error, and its slot waits a moment before it dials again.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "bench/event_loop.h"
#include "bench/json_line.h"
#include "bench/latencies.h"
#include "bench/link.h"

namespace mooring::bench {

class Load : public LinkUser {
 public:
  Load(EventLoop& loop, Target& target, std::size_t connections);

  virtual void Begin();  // dials
  void Tick(Time now);   // dials again what has waited long enough
  Time next_tick() const { return waiting_.empty() ? Time::max() : waiting_.front().first; }

  void set_counting(bool counting) { counting_ = counting; }
  std::uint64_t errors() const { return errors_; }
  // Report adds what was counted in a window of that length.
  virtual void Report(double seconds, JsonLine& line) = 0;

  void OnLost(Link& link) override;

 protected:
  void Open(std::size_t slot);
  void Discard(std::size_t slot);
  virtual void OnDialling(std::size_t /*slot*/) {}

  bool counting() const { return counting_; }
  std::size_t slots() const { return links_.size(); }
  Link* link(std::size_t slot) { return links_[slot].get(); }

 private:
  void Failed(std::size_t slot);

  EventLoop& loop_;
  Target& target_;
  std::vector<std::unique_ptr<Link>> links_;
  std::deque<std::pair<Time, std::size_t>> waiting_;  // slots, in the order of their time
  bool counting_ = false;
  std::uint64_t errors_ = 0;
};

// Stream sends as fast as it goes into the sink, and counts what the sink says has arrived.
class Stream final : public Load {
 public:
  Stream(EventLoop& loop, Target& target, std::size_t connections);
  void Report(double seconds, JsonLine& line) override;

 private:
  struct Progress {
    std::uint64_t partial = 0;  // an acknowledgement that has not come in whole
    std::size_t have = 0;       // its bytes so far
    std::uint64_t arrived = 0;  // by the last whole one
  };
  void OnDialling(std::size_t slot) override { progress_[slot] = {}; }
  void OnOpen(Link& link) override { link.WantRoom(); }
  void OnRoom(Link& link) override;
  void OnBytes(Link& link, std::span<const std::uint8_t> bytes) override;

  std::vector<Progress> progress_;
  std::uint64_t counted_ = 0;
};

// Echo sends as fast as it goes and counts what comes back.
class Echo final : public Load {
 public:
  using Load::Load;
  void Report(double seconds, JsonLine& line) override;

 private:
  void OnOpen(Link& link) override { link.WantRoom(); }
  void OnRoom(Link& link) override;
  void OnBytes(Link& link, std::span<const std::uint8_t> bytes) override;

  std::uint64_t counted_ = 0;
};

// Request sends a message and, when it has come back whole, the next one.
class Request final : public Load {
 public:
  Request(EventLoop& loop, Target& target, std::size_t connections, std::size_t size);
  void Report(double seconds, JsonLine& line) override;

 private:
  struct Turn {
    Time sent;
    std::size_t missing = 0;
  };
  void Next(Link& link);
  void OnOpen(Link& link) override { Next(link); }
  void OnBytes(Link& link, std::span<const std::uint8_t> bytes) override;

  const std::vector<std::uint8_t> message_;
  std::vector<Turn> turns_;
  Latencies latencies_;
};

// Connect dials, passes one byte there and back, closes, and dials again.
class Connect final : public Load {
 public:
  Connect(EventLoop& loop, Target& target, std::size_t connections);
  void Report(double seconds, JsonLine& line) override;

 private:
  void OnDialling(std::size_t slot) override { dialled_[slot] = Clock::now(); }
  void OnOpen(Link& link) override;
  void OnBytes(Link& link, std::span<const std::uint8_t> bytes) override;

  std::vector<Time> dialled_;
  Latencies latencies_;
};

// Idle opens connections, a bounded number at a time, passes one byte there and back on each, and
// holds them.
class Idle final : public Load {
 public:
  using Load::Load;
  void Begin() override;
  std::size_t held() const { return held_; }
  void Report(double seconds, JsonLine& line) override;

 private:
  static constexpr std::size_t kUnderWay = 64;
  void OnOpen(Link& link) override;
  void OnBytes(Link& link, std::span<const std::uint8_t> bytes) override;
  void OnLost(Link& link) override;

  std::size_t begun_ = 0, held_ = 0;
  std::vector<bool> holding_;
};

}  // namespace mooring::bench
