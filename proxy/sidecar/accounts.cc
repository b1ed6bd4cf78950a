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

}  // namespace

Status Sidecar::OpenAccounts() {
  const config::AccessLogSettings& settings = settings_.access_log;
  data::Reports::Wanted wanted;
  if (settings.on()) {
    auto target = TargetOf(settings.to);
    if (!target) return Invalid("access_log cannot be opened: " + target.error().message);
    access_log_ = std::make_unique<AccessLog>(*std::move(target), FormOf(settings), settings.to,
                                              settings.refused_one_in);
    wanted = {.starts = settings.at_start, .every = settings.every};
  }
  std::vector<std::string> names;
  for (const auto& service : services_) names.push_back(service->name());
  recorder_ = std::make_unique<observe::Recorder>(wanted, std::move(names), access_log_.get());
  return Ok();
}

void Sidecar::OnHangup() {
  if (!access_log_ || !settings_.access_log.to.starts_with('/')) {
    log_.Info("sidecar", "SIGHUP: nothing to do; files and agent are watched all the time");
    return;
  }
  access_log_->Reopen();
  log_.Info(
      "sidecar",
      "SIGHUP: the access log is being opened again; files and agent are watched all the time");
}

Result<std::string> Sidecar::RecentJson(const std::string& service,
                                        const admin::Slice& slice) const {
  if (!slice.sort.empty()) return Invalid("sort: these have one order, the newest first");
  observe::Recent::Question question{
      .service = std::nullopt, .match = slice.match, .offset = slice.offset, .limit = slice.limit};
  const Service* const asked = service.empty() ? nullptr : Find(service);
  for (std::size_t i = 0; i < services_.size(); ++i) {
    if (services_[i].get() == asked) question.service = i;
  }
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
