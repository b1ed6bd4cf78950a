#include "bench/loads.h"

#include <algorithm>
#include <array>

#include "bench/servers.h"

namespace mooring::bench {
namespace {

constexpr auto kPause = std::chrono::milliseconds(50);  // before a failed slot dials again
// Seven whole records: with TLS this much is sealed and sent at once.
constexpr std::size_t kChunk = std::size_t{7} * 16384;
constexpr double kGigabyte = 1e9;

std::vector<std::uint8_t> Chunk(std::uint8_t kind, std::size_t size = kChunk) {
  return std::vector<std::uint8_t>(size, kind);
}

const std::array<std::uint8_t, 1> kOneByte = {kEcho};

void ReportLatencies(double seconds, Latencies& latencies, JsonLine& line) {
  line.Add("count", std::uint64_t{latencies.count()})
      .Add("rate", static_cast<double>(latencies.count()) / seconds)
      .Add("p50_us", latencies.Micros(0.5))
      .Add("p99_us", latencies.Micros(0.99))
      .Add("p999_us", latencies.Micros(0.999));
}

void ReportBytes(double seconds, std::uint64_t bytes, JsonLine& line) {
  const double gigabytes = static_cast<double>(bytes) / kGigabyte;
  line.Add("gb", gigabytes).Add("gb_per_s", gigabytes / seconds);
}

}  // namespace

Load::Load(EventLoop& loop, Target& target, std::size_t connections)
    : loop_(loop), target_(target), links_(connections) {}

void Load::Begin() {
  for (std::size_t slot = 0; slot < slots(); ++slot) Open(slot);
}

void Load::Tick(Time now) {
  while (!waiting_.empty() && waiting_.front().first <= now) {
    const std::size_t slot = waiting_.front().second;
    waiting_.pop_front();
    Open(slot);
  }
}

void Load::Open(std::size_t slot) {
  OnDialling(slot);
  links_[slot] = std::make_unique<Link>(loop_, target_, *this, slot);
  if (!links_[slot]->Dialled()) Failed(slot);
}

void Load::Discard(std::size_t slot) { loop_.Retire(std::move(links_[slot])); }

void Load::OnLost(Link& link) { Failed(link.slot()); }

void Load::Failed(std::size_t slot) {
  ++errors_;
  Discard(slot);
  waiting_.emplace_back(Clock::now() + kPause, slot);
}

Stream::Stream(EventLoop& loop, Target& target, std::size_t connections)
    : Load(loop, target, connections), progress_(connections) {}

void Stream::OnRoom(Link& link) {
  static const std::vector<std::uint8_t> chunk = Chunk(kSink);
  link.Offer(chunk);
}

void Stream::OnBytes(Link& link, std::span<const std::uint8_t> bytes) {
  Progress& progress = progress_[link.slot()];
  for (const std::uint8_t byte : bytes) {
    progress.partial |= std::uint64_t{byte} << (8 * progress.have);
    if (++progress.have < kAckBytes) continue;
    if (counting()) counted_ += progress.partial - progress.arrived;
    progress = {.partial = 0, .have = 0, .arrived = progress.partial};
  }
}

void Stream::Report(double seconds, JsonLine& line) { ReportBytes(seconds, counted_, line); }

void Echo::OnRoom(Link& link) {
  static const std::vector<std::uint8_t> chunk = Chunk(kEcho);
  link.Offer(chunk);
}

void Echo::OnBytes(Link& /*link*/, std::span<const std::uint8_t> bytes) {
  if (counting()) counted_ += bytes.size();
}

void Echo::Report(double seconds, JsonLine& line) { ReportBytes(seconds, counted_, line); }

Request::Request(EventLoop& loop, Target& target, std::size_t connections, std::size_t size)
    : Load(loop, target, connections), message_(Chunk(kEcho, size)), turns_(connections) {}

void Request::Next(Link& link) {
  turns_[link.slot()] = {.sent = Clock::now(), .missing = message_.size()};
  link.Send(message_);
}

void Request::OnBytes(Link& link, std::span<const std::uint8_t> bytes) {
  Turn& turn = turns_[link.slot()];
  turn.missing -= std::min(turn.missing, bytes.size());
  if (turn.missing > 0) return;
  if (counting()) latencies_.Add(Clock::now() - turn.sent);
  Next(link);
}

void Request::Report(double seconds, JsonLine& line) { ReportLatencies(seconds, latencies_, line); }

Connect::Connect(EventLoop& loop, Target& target, std::size_t connections)
    : Load(loop, target, connections), dialled_(connections) {}

void Connect::OnOpen(Link& link) { link.Send(kOneByte); }

void Connect::OnBytes(Link& link, std::span<const std::uint8_t> /*bytes*/) {
  const std::size_t slot = link.slot();
  if (counting()) latencies_.Add(Clock::now() - dialled_[slot]);
  link.Close();
  Discard(slot);
  Open(slot);
}

void Connect::Report(double seconds, JsonLine& line) { ReportLatencies(seconds, latencies_, line); }

void Idle::Begin() {
  holding_.resize(slots());
  while (begun_ < std::min(kUnderWay, slots())) Open(begun_++);
}

void Idle::OnOpen(Link& link) { link.Send(kOneByte); }

void Idle::OnBytes(Link& link, std::span<const std::uint8_t> /*bytes*/) {
  if (holding_[link.slot()]) return;
  holding_[link.slot()] = true;
  ++held_;
  link.Slim();
  if (begun_ < slots()) Open(begun_++);
}

void Idle::OnLost(Link& link) {
  if (holding_[link.slot()]) --held_;
  holding_[link.slot()] = false;
  Load::OnLost(link);
}

void Idle::Report(double seconds, JsonLine& line) {
  line.Add("held", std::uint64_t{held_}).Add("open_seconds", seconds);
}

}  // namespace mooring::bench
