#include "proxy/observe/recorder.h"

#include <chrono>
#include <new>
#include <utility>

#include "proxy/net/thread.h"

namespace mooring::observe {

Recorder::Recorder(const data::Reports::Wanted& wanted, AccessLog* access_log)
    : access_log_(access_log),
      reports_(wanted),
      thread_(net::StartThread("recorder", "what connections report", [this] { Run(); })) {}

Recorder::~Recorder() { Close(); }

unsigned Recorder::AddService(const std::string& name) {
  unsigned number = 0;
  {
    const std::lock_guard lock(mutex_);
    number = next_++;
    services_.emplace(number, name);
  }
  recent_.Add(number);
  return number;
}

void Recorder::RemoveService(unsigned number) {
  {
    const std::lock_guard lock(mutex_);
    services_.erase(number);
  }
  recent_.Remove(number);
}

void Recorder::Use(const data::Reports::Wanted& wanted, AccessLog* access_log) noexcept {
  reports_.SetWanted(wanted);
  const std::lock_guard lock(mutex_);
  access_log_ = access_log;
}

void Recorder::Close() noexcept {
  if (!thread_.joinable()) return;
  reports_.Close();
  thread_.join();
}

void Recorder::Run() noexcept {
  bool more = true;
  while (more) {
    more = reports_.Take(&batch_);
    // The loops' clock counts from the machine's start: what it says is so long ago.
    const auto wall = std::chrono::system_clock::now();
    const auto now = std::chrono::steady_clock::now();
    for (data::Report& report : batch_) {
      try {
        const auto ago =
            std::chrono::duration_cast<std::chrono::system_clock::duration>(now - report.at);
        Take(std::move(report), wall - ago);
      } catch (const std::bad_alloc&) {
        reports_.Drop();
      }
    }
  }
}

void Recorder::Take(data::Report&& report, std::chrono::system_clock::time_point time) {
  std::string service;
  {
    const std::lock_guard lock(mutex_);
    const auto found = services_.find(report.service);
    if (found == services_.end()) return;
    service = found->second;
  }
  const auto account = std::make_shared<Account>(MakeAccount(std::move(report), time, service));
  {
    const std::lock_guard lock(mutex_);
    if (access_log_ != nullptr) access_log_->Write(account.get());
  }
  account->one_in = 1;
  if (account->report.what == data::Report::What::kEnd) recent_.Keep(account);
}

}  // namespace mooring::observe
