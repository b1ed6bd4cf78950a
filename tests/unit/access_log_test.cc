// The access log from the report to the target: a target that is slow, full or gone costs lines,
// which are counted and said, and nothing else.
#include "proxy/observe/access_log.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "proxy/log/log.h"
#include "proxy/observe/recorder.h"

namespace {

using namespace mooring;
using data::Report;

Report Numbered(std::uint64_t id) {
  Report report;
  report.record.id = id;
  report.record.reason = data::CloseReason::kDone;
  return report;
}

// Held is a target that takes nothing until it is let go, and then what `error` says.
class Held final : public observe::AccessTarget {
 public:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    bool held = false;
    bool waits = false;
    int error = 0;
    int reopened = 0;
    std::string written;

    void Hold(bool on) {
      {
        const std::lock_guard lock(mutex);
        held = on;
      }
      changed.notify_all();
    }
    template <typename Fits>
    void Await(const Fits& fits) {
      std::unique_lock lock(mutex);
      REQUIRE(changed.wait_for(lock, std::chrono::seconds(20), fits));
    }
  };
  explicit Held(std::shared_ptr<State> state) : state_(std::move(state)) {}

  log::Output::Result Write(std::string_view entries) override {
    std::unique_lock lock(state_->mutex);
    state_->waits = true;
    state_->changed.notify_all();
    state_->changed.wait(lock, [this] { return !state_->held; });
    if (state_->error != 0) return {0, state_->error};
    state_->written += entries;
    state_->changed.notify_all();
    return {entries.size(), 0};
  }
  std::size_t MostAtOnce() const override { return 4'096; }
  Status Reopen() override {
    const std::lock_guard lock(state_->mutex);
    ++state_->reopened;
    state_->changed.notify_all();
    return state_->reopened == 1 ? Ok() : Status(Invalid("no such folder"));
  }

 private:
  const std::shared_ptr<State> state_;
};

observe::AccessLog Writes(const std::shared_ptr<Held::State>& state, unsigned one_in = 1) {
  return observe::AccessLog(std::make_unique<Held>(state), observe::AccessLog::Form::kText,
                            "a test", one_in);
}

std::size_t Lines(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

// Said is what the access log says of itself.
std::string Said(observe::AccessLog* access_log, net::MonotonicTime now,
                 std::uint64_t unreported = 0) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  {
    log::Log log(log::Level::kInfo, /*json=*/false, ends[1]);
    access_log->Say(log, now, unreported);
  }
  close(ends[1]);
  std::string text(4'096, '\0');
  const ssize_t got = read(ends[0], text.data(), text.size());
  close(ends[0]);
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return text;
}

}  // namespace

TEST_CASE("access log: a target that takes nothing holds up nobody; what is lost is said") {
  const auto state = std::make_shared<Held::State>();
  state->held = true;
  observe::AccessLog access_log = Writes(state);
  observe::Account account;
  account.report = Numbered(1);
  access_log.Write(&account);
  state->Await([&] { return state->waits; });
  std::uint64_t written = 1;
  for (; access_log.dropped() == 0 && written < 100'000; ++written) access_log.Write(&account);
  CHECK(access_log.dropped() == 1);
  const net::MonotonicTime now{std::chrono::hours(1)};
  const std::string said = Said(&access_log, now);
  CHECK(said.find("lines=1 to=\"a test\" why=\"they were not taken in time\"") !=
        std::string::npos);
  CHECK(Said(&access_log, now).empty());  // once
  state->Hold(false);
  access_log.Close();
  CHECK(Lines(state->written) == written - 1);
}

TEST_CASE("access log: what a full disk refuses is counted, with the reason, and said at times") {
  const auto state = std::make_shared<Held::State>();
  state->error = ENOSPC;
  observe::AccessLog access_log = Writes(state);
  observe::Account account;
  account.report = Numbered(1);
  access_log.Write(&account);
  access_log.Close();
  CHECK(access_log.dropped() == 1);
  const net::MonotonicTime now{std::chrono::hours(1)};
  CHECK(Said(&access_log, now).find("No space left on device") != std::string::npos);
  CHECK(Said(&access_log, now + std::chrono::seconds(1), 5).empty());
  CHECK(Said(&access_log, now + std::chrono::seconds(10), 5).find("lines=5") != std::string::npos);
}

TEST_CASE("access log: a target that never takes anything is left behind in a second") {
  const auto state = std::make_shared<Held::State>();
  state->held = true;
  {
    observe::AccessLog access_log = Writes(state);
    observe::Account account;
    account.report = Numbered(1);
    access_log.Write(&account);
    state->Await([&] { return state->waits; });
  }
  state->Hold(false);  // its thread ends by itself
}

TEST_CASE(
    "access log: it is opened anew where nobody connects, too; where it cannot, that is said") {
  const auto state = std::make_shared<Held::State>();
  observe::AccessLog access_log = Writes(state);
  access_log.Reopen();
  state->Await([&] { return state->reopened == 1; });
  CHECK(Said(&access_log, net::MonotonicTime{}).empty());
  access_log.Reopen();
  state->Await([&] { return state->reopened == 2; });
  access_log.Close();
  CHECK(Said(&access_log, net::MonotonicTime{}).find("error=\"no such folder\"") !=
        std::string::npos);
}

TEST_CASE("access log: of the refused one in so many is written, the first of each reason") {
  const auto state = std::make_shared<Held::State>();
  observe::AccessLog access_log = Writes(state, 3);
  for (int i = 0; i < 7; ++i) {
    observe::Account account;
    account.report = Numbered(1);
    account.report.record.reason = data::CloseReason::kDenied;
    access_log.Write(&account);
  }
  observe::Account other;
  other.report.record.reason = data::CloseReason::kNotTls;
  access_log.Write(&other);
  observe::Account good;
  good.report = Numbered(1);
  access_log.Write(&good);
  access_log.Close();
  CHECK(Lines(state->written) == 5);
  std::size_t marked = 0;
  for (std::size_t at = 0; (at = state->written.find(" one_in=3\n", at)) != std::string::npos; ++at)
    ++marked;
  CHECK(marked == 4);
}

TEST_CASE("recorder: it keeps ends and writes all, and takes what is there before it ends") {
  const auto state = std::make_shared<Held::State>();
  observe::AccessLog access_log = Writes(state);
  observe::Recorder recorder({}, &access_log);
  (void)recorder.AddService("payment");
  Report start = Numbered(1);
  start.what = Report::What::kStart;
  start.record.reason.reset();
  recorder.reports()->Note(std::move(start));
  recorder.reports()->Note(Numbered(1));
  recorder.Close();
  access_log.Close();
  CHECK(Lines(state->written) == 2);
  CHECK(state->written.find("event=start") != std::string::npos);
  CHECK(recorder.recent().Ask({}).ended.size() == 1);
  CHECK(recorder.missing() == 0);
}
