#include "proxy/observe/access_log.h"

#include <cstring>
#include <utility>

#include "proxy/net/thread.h"
#include "proxy/observe/account_text.h"

namespace mooring::observe {
namespace {

constexpr std::chrono::seconds kSayAgain{10};

std::string EntryOf(AccessLog::Form form, const Account& account) {
  switch (form) {
    case AccessLog::Form::kText: return TextOf(account) + '\n';
    case AccessLog::Form::kJson: return JsonOf(account) + '\n';
    case AccessLog::Form::kJournalText: return JournalEntryOf(account, TextOf(account));
    case AccessLog::Form::kJournalJson: return JournalEntryOf(account, JsonOf(account));
  }
  return {};
}

}  // namespace

AccessLog::AccessLog(std::unique_ptr<AccessTarget> target, Form form, std::string place,
                     unsigned refused_one_in)
    : core_(std::make_shared<Core>(std::move(target))),
      form_(form),
      place_(std::move(place)),
      refused_one_in_(refused_one_in),
      thread_(net::StartQuietThread("access-log", "the access log",
                                    [core = core_] { Work(core.get()); })) {}

AccessLog::~AccessLog() { Close(); }

void AccessLog::Work(Core* core) {
  log::Batch batch;
  do {
    core->queue.Take(&batch);
    if (core->reopen.exchange(false)) {
      const Status opened = core->target->Reopen();
      if (!opened) {
        const std::lock_guard lock(core->mutex);
        core->trouble = opened.error().message;
      }
    }
    WriteBatch(core, batch);
  } while (!batch.last);
  {
    const std::lock_guard lock(core->mutex);
    core->ended = true;
  }
  core->over.notify_all();
}

void AccessLog::WriteBatch(Core* core, const log::Batch& batch) {
  std::string_view rest = batch.bytes;
  for (std::size_t first = 0; first < batch.lines.size();) {
    std::size_t size = 0, next = first;
    do {
      size += batch.lines[next++].size;
    } while (next < batch.lines.size() &&
             size + batch.lines[next].size <= core->target->MostAtOnce());
    const log::Output::Result result = core->target->Write(rest.substr(0, size));
    if (result.error != 0) {
      core->error.store(result.error);
      log::Counts lost;
      std::size_t end = 0;
      for (std::size_t i = first; i < next; ++i) {
        end += batch.lines[i].size;
        if (end > result.written) lost.Add(batch.lines[i].level);
      }
      core->queue.AddLost(lost);
    }
    core->queue.Release(size, next - first);
    rest.remove_prefix(size);
    first = next;
  }
}

void AccessLog::Write(Account* account) {
  if (IsRefusal(*account) && refused_one_in_ > 1) {
    const auto reason = static_cast<std::size_t>(*account->report.record.reason);
    if (refused_[reason]++ % refused_one_in_ != 0) return;
    account->one_in = refused_one_in_;
  }
  core_->queue.Push(log::Level::kInfo, EntryOf(form_, *account));
}

void AccessLog::Reopen() noexcept {
  core_->reopen.store(true);
  core_->queue.WakeAt(log::Queue::Time::clock::now());
}

void AccessLog::Say(log::Log& log, net::MonotonicTime now, std::uint64_t unreported) {
  std::string trouble;
  {
    const std::lock_guard lock(core_->mutex);
    trouble.swap(core_->trouble);
  }
  if (!trouble.empty()) {
    log.Err("observe", "the access log cannot be opened again; the file before it is written on",
            {{"error", trouble}});
  }
  const std::uint64_t dropped = this->dropped() + unreported;
  if (dropped == said_ || (said_ > 0 && now - said_at_ < kSayAgain)) return;
  const int error = core_->error.exchange(0);
  log.Warn("observe", "lines are missing in the access log",
           {{"lines", dropped - said_},
            {"to", place_},
            {"why", error == 0 ? "they were not taken in time" : std::strerror(error)}});
  said_ = dropped;
  said_at_ = now;
}

void AccessLog::Close() noexcept {
  if (!thread_.joinable()) return;
  core_->queue.Close();
  std::unique_lock lock(core_->mutex);
  const bool ended = core_->over.wait_until(lock, std::chrono::steady_clock::now() + kCloseTime,
                                            [this] { return core_->ended; });
  lock.unlock();
  if (ended) {
    thread_.join();
  } else {
    thread_.detach();
  }
}

}  // namespace mooring::observe
