// The process's account of its connections: who takes their reports, the access log, /recent.
#include <optional>
#include <utility>

#include "proxy/observe/access_target.h"
#include "proxy/sidecar/sidecar.h"

namespace mooring::sidecar {
namespace {

using observe::AccessLog;

AccessLog::Form FormOf(const config::AccessLogSettings& settings) {
  const bool json = settings.format == log::Format::kJson;
  if (settings.to == "journald")
    return json ? AccessLog::Form::kJournalJson : AccessLog::Form::kJournalText;
  return json ? AccessLog::Form::kJson : AccessLog::Form::kText;
}

Result<std::unique_ptr<observe::AccessTarget>> TargetOf(const std::string& to) {
  if (to == "stdout") return observe::ToStdout();
  if (to == "journald") return observe::ToJournal(observe::kJournalSocket);
  return observe::ToFile(to);
}

data::Reports::Wanted WantedFor(const config::AccessLogSettings& settings) {
  if (!settings.on()) return {};
  return {.starts = settings.at_start, .every = settings.every};
}

// OpenAccessLog is null where none is wanted.
Result<std::unique_ptr<AccessLog>> OpenAccessLog(const config::AccessLogSettings& settings) {
  if (!settings.on()) return std::unique_ptr<AccessLog>();
  auto target = TargetOf(settings.to);
  if (!target) return Invalid("access_log cannot be opened: " + target.error().message);
  return std::make_unique<AccessLog>(*std::move(target), FormOf(settings), settings.to,
                                     settings.refused_one_in);
}

}  // namespace

Status Sidecar::OpenAccounts() {
  auto opened = OpenAccessLog(settings_.access_log);
  if (!opened) return opened.error();
  access_log_ = *std::move(opened);
  recorder_ =
      std::make_unique<observe::Recorder>(WantedFor(settings_.access_log), access_log_.get());
  for (const auto& service : services_) service->SetNumber(recorder_->AddService(service->name()));
  return Ok();
}

Status Sidecar::PrepareAccessLog(const config::AccessLogSettings& next) {
  next_access_log_.reset();
  if (next == settings_.access_log) return Ok();
  auto opened = OpenAccessLog(next);
  if (!opened) return opened.error();
  next_access_log_ = *std::move(opened);
  return Ok();
}

// What is queued for the log before is still written, which takes a second at most.
void Sidecar::SwitchAccessLog() {
  if (!next_access_log_) return;
  const std::unique_ptr<AccessLog> before =
      std::exchange(access_log_, *std::exchange(next_access_log_, std::nullopt));
  recorder_->Use(WantedFor(settings_.access_log), access_log_.get());
}

void Sidecar::ReopenLogs() {
  if (access_log_ && settings_.access_log.to.starts_with('/')) access_log_->Reopen();
}

void Sidecar::OnHangup() {
  generations_.Tell("reopen");
  // Whatever becomes of the settings: who rotates logs has moved the file away.
  if (access_log_ && settings_.access_log.to.starts_with('/')) {
    access_log_->Reopen();
    log_.Info("sidecar", "SIGHUP: the access log is being opened again");
  }
  if (draining_) {
    log_.Info("sidecar", "SIGHUP: the settings stay as they are; this process ends");
  } else if (settings_.file.empty()) {
    log_.Info("sidecar",
              "SIGHUP: there is no file of settings to read again, this process was started by "
              "flags; other files and the agent are watched all the time");
  } else {
    (void)Reload("SIGHUP");
  }
}

Result<std::string> Sidecar::RecentJson(const std::string& service,
                                        const admin::Slice& slice) const {
  if (!slice.sort.empty()) return Invalid("sort: these have one order, the newest first");
  observe::Recent::Question question{
      .service = std::nullopt, .match = slice.match, .offset = slice.offset, .limit = slice.limit};
  if (const Service* const asked = service.empty() ? nullptr : Find(service))
    question.service = asked->number();
  return observe::RecentJson(recorder_->recent().Ask(question), recorder_->missing());
}

void Sidecar::SayAccessLog() {
  if (access_log_ && recorder_) access_log_->Say(log_, loop_.now(), recorder_->missing());
}

void Sidecar::CloseAccounts() noexcept {
  if (recorder_) recorder_->Close();
  if (!access_log_) return;
  access_log_->Close();
  try {
    SayAccessLog();
  } catch (const std::bad_alloc&) {  // the counts were to be said; /metrics had them
  }
}

}  // namespace mooring::sidecar
