// Sidecar::Reload: the settings' file is read again, checked whole, compared with what is in force,
// and applied as far as that goes while the process runs. What one service does then is
// service_reload.cc's.
//
// All that can refuse the file comes before the first change. A file that is not the one in force
// but says the same changes nothing.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "authz/rfc3339.h"
#include "proxy/config/environment.h"
#include "proxy/config/file.h"
#include "proxy/control/settings_file.h"
#include "proxy/sidecar/sidecar.h"
#include "proxy/sidecar/status_parts.h"

namespace mooring::sidecar {
namespace {

using config::Applies;
using config::Settings;

// OfFlags: there is no file to read again.
constexpr char kOfFlags[] =
    "this process was started by flags, so there is no file to read again; an upgrade or a restart "
    "takes up other flags";

constexpr std::size_t kMostProblems = 50;  // of a file, that are told

// Least is the level that writes what either does.
config::LogLevel Least(config::LogLevel one, config::LogLevel other) {
  return std::min(one, other);
}

std::string TextOf(const std::vector<config::Problem>& problems, const std::string& file) {
  std::string all;
  for (std::size_t i = 0; i < problems.size() && i < kMostProblems; ++i)
    all += (i == 0 ? "" : "\n") + problems[i].Text(file);
  if (problems.size() > kMostProblems)
    all += "\nand " + std::to_string(problems.size() - kMostProblems) + " more";
  return all;
}

Result<Settings> ReadAgain(const std::string& file) {
  auto parsed = control::ReadSettingsFile(file, config::OwnEnvironment());
  if (!parsed) return parsed.error();
  control::CheckNamedFiles(&*parsed);
  if (parsed->problems.empty()) return std::move(parsed->settings);
  return Invalid(TextOf(parsed->problems, file));
}

}  // namespace

ReloadOutcome Sidecar::Reload(const std::string& why) {
  ReloadOutcome outcome;
  if (settings_.file.empty()) {
    outcome.status = Invalid(kOfFlags);
  } else if (draining_ || exiting_) {
    outcome.status = Invalid("this process ends, and takes up nothing new");
  } else if (port_ && port_->HasSuccessor()) {
    outcome.status = Error{ErrorCode::kUnavailable,
                           "a successor is taking over, and has read the file for itself"};
  } else if (!recorder_ || workers_.empty()) {
    outcome.status = Error{ErrorCode::kUnavailable, "this process has not started yet"};
  } else {
    file_watch_.Note(config::LookAt(settings_.file));  // before: what changes meanwhile is news
    outcome = TakeUp(ReadAgain(settings_.file));
  }
  NoteReload(why, outcome);
  return outcome;
}

// The settings of a file that has changed are taken up where they say so themselves.
void Sidecar::WatchFile() {
  if (!settings_.reload_on_change || settings_.file.empty() || draining_ || exiting_) return;
  const config::FileLook look = config::LookAt(settings_.file);
  if (file_watch_.Look(look, config::IsBeingWritten(settings_.file), loop_.now()))
    (void)Reload("the file has changed");
}

Result<std::string> Sidecar::DiffJson(const std::string& file, const std::string& text) const {
  if (settings_.file.empty()) return Invalid(kOfFlags);
  config::ParsedYaml parsed = config::ParseYaml(
      text, std::filesystem::path(file).parent_path().string(), config::OwnEnvironment());
  if (parsed.problems.empty()) return Written(JsonOf(Compare(parsed.settings)));
  return Written(JsonOf({.status = Invalid(TextOf(parsed.problems, file))}));
}

// What this process cannot reach, for it was not named when it was confined, needs another one.
config::Within Sidecar::Within() const {
  return {.agent = link_ != nullptr,
          .reaches = [this](const config::NamedPath& path) { return confinement_.Reaches(path); }};
}

ReloadOutcome Sidecar::Compare(const Settings& file) const {
  ReloadOutcome outcome;
  for (config::Difference& each : config::DifferencesOf(settings_, file, Within())) {
    auto& list = each.applies == Applies::kLive ? outcome.applied : outcome.needs_upgrade;
    list.push_back(std::move(each));
  }
  return outcome;
}

ReloadOutcome Sidecar::TakeUp(Result<Settings> file) {
  if (!file) return {.status = file.error()};
  ReloadOutcome outcome = Compare(*file);
  const std::vector<std::string> warnings = file->warnings;
  Settings next = config::InForce(settings_, *std::move(file), Within());
  if (Status prepared = PrepareFor(next); !prepared) return {.status = prepared.error()};

  for (const std::string& warning : warnings) {
    if (std::find(settings_.warnings.begin(), settings_.warnings.end(), warning) ==
        settings_.warnings.end())
      log_.Warn("config", "configuration", {{"warning", warning}});
  }
  // What is said of the change is said by either level.
  log_.SetLevel(Least(settings_.log_level, next.log_level));
  for (const config::Difference& each : outcome.applied)
    log_.Info("config", "reload: applied", {{"change", each.Text()}});
  for (const config::Difference& each : outcome.needs_upgrade)
    log_.Warn("config", "reload: needs an upgrade", {{"change", each.Text()}});
  reloaded_ = true;
  settings_ = std::move(next);
  if (!outcome.applied.empty()) Apply();
  return outcome;
}

Status Sidecar::PrepareFor(const Settings& next) {
  if (next.NeedsAgent() && !link_) {
    auto link = control::AgentLink::Make(loop_, log_, next.agent);
    if (!link) return Invalid("Error connecting to Consul agent: " + link.error().message);
    link_ = std::move(*link);
    shared_.link = link_.get();
  }
  for (const auto& service : services_) {
    for (const config::ServiceSettings& each : next.services) {
      if (!config::Same(each, service->settings())) continue;
      if (Status prepared = service->PrepareFor(each); !prepared) return prepared;
    }
  }
  return PrepareAccessLog(next.access_log);
}

void Sidecar::Apply() {
  if (admission_) admission_->SetLimits(LimitsInForce());
  SwitchAccessLog();
  // The ones that go come first: another one may want what they hold.
  std::vector<std::unique_ptr<Service>> before = std::exchange(services_, {});
  std::vector<const config::ServiceSettings*> added;
  for (const config::ServiceSettings& each : settings_.services) {
    const auto known = std::find_if(before.begin(), before.end(), [&](const auto& service) {
      return service && config::Same(service->settings(), each);
    });
    if (known == before.end()) {
      added.push_back(&each);
    } else {
      services_.push_back(std::move(*known));
    }
  }
  for (auto& gone : before) {
    if (gone) Dismiss(std::move(gone));
  }
  for (const auto& service : services_) {
    for (const config::ServiceSettings& each : settings_.services) {
      if (config::Same(each, service->settings())) {
        loop_.Attend(this, [&] { service->Use(each); });
        break;
      }
    }
  }
  for (const config::ServiceSettings* each : added) Engage(*each);
  std::stable_sort(services_.begin(), services_.end(),
                   [this](const auto& a, const auto& b) { return PlaceOf(*a) < PlaceOf(*b); });
}

std::size_t Sidecar::PlaceOf(const Service& service) const {
  std::size_t place = 0;
  while (place < settings_.services.size() &&
         !config::Same(settings_.services[place], service.settings()))
    ++place;
  return place;
}

// Engage starts a service as at a start. It begins once each worker has made a place for it.
void Sidecar::Engage(const config::ServiceSettings& settings) {
  services_.push_back(std::make_unique<Service>(shared_, NewLog(settings.Name()), settings, *this));
  Service& service = *services_.back();
  service.SetNumber(recorder_->AddService(service.name()));
  log_.Info("sidecar", "a service is added", {{"service", service.name()}});
  if (const Status prepared = service.Prepare(); !prepared)
    service.CannotStart(prepared.error().message);
  const auto joining = std::make_shared<Joining>();
  joining->awaited = workers_.size();
  service.ExpectHosts();
  for (const auto& worker : workers_) EngageOn(*worker, service, joining);
}

void Sidecar::EngageOn(data::Worker& worker, Service& service,
                       const std::shared_ptr<Joining>& joining) {
  worker.PostAddService(
      service.log(), {service.traffic(), recorder_->reports(), service.number()},
      [this, &worker, &service, joining](data::ServiceHost* host) {
        // The loop outlives the workers, and this object does as long as its loop runs.
        loop_.Post([this, &worker, &service, joining, host] {
          if (host == nullptr) {
            again_.push_back([=, this, &worker, &service] { EngageOn(worker, service, joining); });
            return;
          }
          joining->hosts.push_back(host);
          if (--joining->awaited == 0) OnJoined(service, std::move(joining->hosts));
        });
      });
}

void Sidecar::OnJoined(Service& service, std::vector<data::ServiceHost*> hosts) {
  service.Begin(std::move(hosts));
  if (service.drained()) OnDrained(service);
}

// Dismiss has a service leave as at a stop: by its own drain, after which nothing of it is left.
void Sidecar::Dismiss(std::unique_ptr<Service> service) {
  log_.Info("sidecar", "a service is removed; it drains", {{"service", service->name()}});
  leaving_.push_back(std::move(service));
  loop_.Attend(this, [this] { leaving_.back()->BeginDrain(); });
}

void Sidecar::Forget(Service& service) {
  const std::vector<data::ServiceHost*> hosts = service.TakeHosts();
  const auto left = std::make_shared<std::size_t>(hosts.size());
  if (hosts.empty()) gone_.push_back(&service);
  for (data::ServiceHost* host : hosts) {
    data::Worker* const worker = WorkerOf(*host);
    worker->PostRemoveService(host, [this, left, &service] {
      loop_.Post([this, left, &service] {
        if (--*left == 0) gone_.push_back(&service);
      });
    });
  }
}

data::Worker* Sidecar::WorkerOf(data::ServiceHost& host) const {
  for (const auto& worker : workers_) {
    if (&worker->loop() == &host.loop()) return worker.get();
  }
  return workers_.front().get();
}

// Bury does what there was no memory for, and ends what a second ago had still been spoken of: by a
// question of /why, for one.
void Sidecar::Bury() {
  for (const auto& task : std::exchange(again_, {})) task();
  if (!why_.empty()) return;
  for (Service* service : std::exchange(gone_, {})) {
    const log::Log* const its_log = &service->log();
    log_.Info("sidecar", "a removed service is gone", {{"service", service->name()}});
    recorder_->RemoveService(service->number());
    std::erase_if(leaving_, [service](const auto& each) { return each.get() == service; });
    std::erase_if(service_logs_, [its_log](const auto& each) { return each.get() == its_log; });
  }
}

void Sidecar::NoteReload(const std::string& why, const ReloadOutcome& outcome) {
  if (!outcome.status) {
    for (const std::string& line : LinesOf(outcome))
      log_.Err("config", "reload: refused", {{"why", why}, {"problem", line}});
  } else {
    log_.Info("config",
              outcome.applied.empty() && outcome.needs_upgrade.empty()
                  ? log::Literal("reloaded; nothing is different")
                  : log::Literal("reloaded"),
              {{"why", why},
               {"file", settings_.file},
               {"applied", outcome.applied.size()},
               {"need_upgrade", outcome.needs_upgrade.size()}});
    log_.SetLevel(settings_.log_level);
  }
  auto& count = outcome.status ? reload_.good : reload_.refused;
  ++count;
  reload_.last = outcome;
  reload_.why = why;
  reload_.at = std::chrono::system_clock::now();
}

nlohmann::json Sidecar::ReloadJson() const {
  nlohmann::json out{{"file", settings_.file},
                     {"good", reload_.good},
                     {"refused", reload_.refused},
                     {"leaving", nlohmann::json::array()},
                     {"last", nullptr}};
  for (const auto& service : leaving_) out["leaving"].push_back(service->name());
  if (!reload_.last) return out;
  out["last"] = JsonOf(*reload_.last);
  out["last"]["at"] = authz::Rfc3339(*reload_.at);
  out["last"]["why"] = reload_.why;
  return out;
}

}  // namespace mooring::sidecar
