#include "proxy/sidecar/supervision.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <utility>

namespace mooring::sidecar {
namespace {

using net::milliseconds;

// The manager's own limits are 90 s by default, and each request is good for kMoreTime from when it
// is sent.
constexpr milliseconds kAskEvery{10'000};
constexpr char kMoreTime[] = "EXTEND_TIMEOUT_USEC=60000000";
// Loops say that they turn twice a second (net/lag_meter.h).
constexpr milliseconds kLeastTurn{1'500};

std::optional<std::int64_t> Number(const char* text) {
  if (text == nullptr) return std::nullopt;
  const std::string_view all(text);
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(all.data(), all.data() + all.size(), number);
  if (error != std::errc() || end != all.data() + all.size() || number <= 0) return std::nullopt;
  return number;
}

// OneLine: a line of its own would be taken for another variable.
std::string OneLine(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  return text;
}

}  // namespace

Supervision::Environment Supervision::Environment::Read() {
  Environment found;
  if (const char* socket = std::getenv("NOTIFY_SOCKET")) found.notify_socket = socket;
  const auto period = Number(std::getenv("WATCHDOG_USEC"));
  const auto whose = Number(std::getenv("WATCHDOG_PID"));
  if (period && (!whose || *whose == getpid()))
    found.watchdog_period =
        std::max(std::chrono::duration_cast<milliseconds>(std::chrono::microseconds(*period)),
                 milliseconds(1));
  return found;
}

Supervision::Supervision(net::Loop& loop, const Environment& environment,
                         std::function<bool(milliseconds within)> all_turn)
    : loop_(loop),
      environment_(environment),
      socket_(environment.notify_socket),
      all_turn_(std::move(all_turn)),
      ping_(loop, [this] { Ping(); }) {}

void Supervision::Begin() {
  if (socket_.there() && environment_.watchdog_period) Ping();
}

void Supervision::Ping() {
  ping_.Start(*environment_.watchdog_period / 2);
  if (all_turn_(std::max(*environment_.watchdog_period / 2, kLeastTurn)))
    socket_.Send("WATCHDOG=1");
}

void Supervision::Tell(bool ready, const std::string& state) {
  if (!socket_.there() || handed_) return;
  std::string lines;
  const auto add = [&lines](std::string_view line) {
    lines += lines.empty() ? "" : "\n";
    lines += line;
  };
  const bool first = ready && !ready_ && !ends_;
  if (first) add("READY=1");
  if (state != told_) add("STATUS=" + OneLine(state));
  const bool waits = ends_ || (!ready && !ready_);
  const bool asks = waits && (!asked_at_ || loop_.now() - *asked_at_ >= kAskEvery);
  if (asks) add(kMoreTime);
  if (lines.empty() || !socket_.Send(lines)) return;  // it is said again a moment later
  ready_ = ready_ || first;
  told_ = state;
  if (asks) asked_at_ = loop_.now();
}

void Supervision::HandTo(pid_t successor) {
  handed_ = true;
  // With a last ping: the successor's next one comes half a period from now at the latest.
  socket_.Send("MAINPID=" + std::to_string(successor) +
               (environment_.watchdog_period ? "\nWATCHDOG=1" : ""));
  ping_.Stop();
}

void Supervision::Ends() {
  if (handed_ || std::exchange(ends_, true)) return;
  asked_at_.reset();
  socket_.Send("STOPPING=1");
}

}  // namespace mooring::sidecar
