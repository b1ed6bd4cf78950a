// The process's start, in order: services, admin, workers. What a service does then is
// service_start.cc's.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "proxy/log/output.h"
#include "proxy/sidecar/listen_once.h"
#include "proxy/sidecar/messages.h"
#include "proxy/sidecar/sidecar.h"

namespace mooring::sidecar {
namespace {

using net::milliseconds;

constexpr milliseconds kStdoutTime{1'000};

}  // namespace

Status Sidecar::Prepare() {
  for (const std::string& warning : settings_.warnings)
    log_.Warn("config", "configuration", {{"warning", warning}});
  if (role_ == Role::kServing) inherited_.UseStore(supervision_.socket());
  for (const std::string& complaint : inherited_.complaints())
    log_.Warn("sidecar", "a socket that was passed to us is not used", {{"why", complaint}});
  (void)net::RaiseFileLimit();
  if (Status opened = OpenAccounts(); !opened) return opened;
  if (std::any_of(services_.begin(), services_.end(),
                  [](const auto& one) { return one->settings().NeedsAgent(); })) {
    auto link = control::AgentLink::Make(loop_, log_, settings_.agent);
    if (!link) return Invalid("Error connecting to Consul agent: " + link.error().message);
    link_ = std::move(*link);
    shared_.link = link_.get();
  }
  for (const auto& service : services_) {
    const Status prepared = service->Prepare();
    if (prepared) continue;
    if (services_.size() == 1) return prepared;
    service->CannotStart(prepared.error().message);
    if (exiting_) return Ok();
  }
  OpenAdmin();
  if (exiting_) return Ok();
  if (role_ == Role::kServing) {
    if (Status opened = FindPlace(); !opened && !settings_.handover_dir_from_environment) {
      return opened;
    } else if (!opened) {
      log_.Warn("sidecar", "no successor can take over from this process",
                {{"error", opened.error().message}});
    }
  }
  if (Status started = StartWorkers(); !started) return started;
  tick_.Start(milliseconds(0));
  lag_.Begin();
  if (!supervision_.complaint().empty())
    log_.Warn("sidecar", "the service manager is not told", {{"error", supervision_.complaint()}});
  confinement_.SayStart(log_);
  if (role_ == Role::kServing) supervision_.Begin();
  SayStart();
  for (std::size_t i = 0; i < services_.size() && !exiting_; ++i) {
    std::vector<data::ServiceHost*> hosts;
    for (const auto& worker : workers_) hosts.push_back(&worker->service(i));
    services_[i]->Begin(std::move(hosts));
  }
  return Ok();
}

admin::Admin::Sources Sidecar::AdminSources() {
  admin::Admin::Sources sources;
  sources.knows = [this](const std::string& name) { return Find(name) != nullptr; };
  sources.names = [this] {
    std::vector<std::string> names;
    for (const auto& service : services_) names.push_back(service->name());
    return names;
  };
  sources.not_ready = [this](const std::string& name) {
    return name.empty() ? NotReady() : Find(name)->NotReady();
  };
  sources.degraded = [this](const std::string& name) {
    if (name.empty()) return Degraded();
    std::vector<std::string> reasons = AgentDegraded();
    for (std::string& reason : Find(name)->Degraded()) reasons.push_back(std::move(reason));
    return reasons;
  };
  sources.metrics = [this](const std::string& name, const std::string& accept) {
    const observe::Format format = observe::FormatFor(accept);
    return admin::Admin::Document{observe::ContentType(format), MetricsText(name, format)};
  };
  sources.recent = [this](const std::string& name, const admin::Slice& slice,
                          const admin::Admin::Sources::Done& done) {
    done(RecentJson(name, slice));
  };
  sources.status_json = [this](const std::string& name) { return StatusJson(name); };
  sources.brief_json = [this](const std::string& name, const admin::Slice& upstreams) {
    return BriefJson(name, upstreams);
  };
  sources.connections = [this](const std::string& name, const admin::Slice& slice,
                               admin::Admin::Sources::Done done) {
    ListConnections(name, slice, std::move(done));
  };
  sources.traffic = [this](const std::string& name, const admin::Slice& slice,
                           admin::Admin::Sources::Done done) {
    ListTraffic(name, slice, std::move(done));
  };
  sources.tap = [this](admin::Admin::TapRequest request, admin::Admin::DocumentDone done) {
    Tap(std::move(request), std::move(done));
  };
  sources.diff = [this](const std::string& file, const std::string& text) {
    return DiffJson(file, text);
  };
  sources.drain = [this](bool unix_socket) -> Status {
    if (!unix_socket && !settings_.admin_allow_drain) {
      return Error{ErrorCode::kDenied,
                   "not over TCP, unless admin.allow_drain is true; or have the admin port be a "
                   "unix socket (admin.address: unix:/run/mooring/admin.sock)"};
    }
    log_.Info("sidecar", "a drain was asked for at the admin port");
    // Behind the answer: the drain may end the process at once.
    loop_.Post([this] { BeginDrain(); });
    return Ok();
  };
  sources.why = [this](const std::string& source, const std::string& destination,
                       admin::Admin::Sources::Done done) {
    Why(source, destination, std::move(done));
  };
  return sources;
}

void Sidecar::OpenAdmin() {
  resolver_ = std::make_unique<net::Resolver>(loop_);
  if (settings_.admin) OpenAdmin(*settings_.admin, admin::Admin::Port::kAdmin);
  if (settings_.metrics && !exiting_) OpenAdmin(*settings_.metrics, admin::Admin::Port::kMetrics);
}

void Sidecar::OpenAdmin(const net::Address& address, admin::Admin::Port port) {
  ListenOnce(*resolver_, inherited_, address, [this, port](Result<net::Inherited::Socket> opened) {
    if (exiting_) return;
    const bool all = port == admin::Admin::Port::kAdmin;
    if (!opened) {
      Fatal((all ? settings_.admin_from : settings_.metrics_from) + ": " + opened.error().message);
      return;
    }
    admin_ports_.push_back({port, std::move(*opened)});
    if (role_ == Role::kServing) ServeAdmin();
  });
}

void Sidecar::ServeAdmin() {
  for (AdminPort& port : admin_ports_) {
    const bool all = port.what == admin::Admin::Port::kAdmin;
    auto& open = all ? admin_ : metrics_;
    if (open) continue;
    (void)inherited_.Keep(all ? *settings_.admin : *settings_.metrics, &port.socket);
    net::UniqueFd own(fcntl(port.socket.fd.get(), F_DUPFD_CLOEXEC, 0));
    if (!own) {
      log_.Err("control", "a listener cannot be served",
               {{"name", all ? "admin" : "metrics"}, {"error", std::strerror(errno)}});
      continue;
    }
    open = std::make_unique<admin::Admin>(loop_, std::move(own), port.what, settings_.admin_host,
                                          AdminSources());
    log_.Info("control", "listener open",
              {{"name", all ? "admin" : "metrics"}, {"address", open->address()}});
  }
}

void Sidecar::SayStart() {
  if (settings_.access_log.to == "stdout") return;  // whoever reads that wants its lines alone
  std::string agent = link_ ? link_->name() : "";
  if (const control::Agent* one = services_.front()->agent();
      one != nullptr && services_.size() == 1)
    agent += " (" + one->TokenName() + ")";
  const std::string text = Starting(settings_, agent);
  // Nobody may read this, and that must not hold up the start.
  if (!log::WriteWithin(STDOUT_FILENO, text, kStdoutTime)) {
    log_.Warn("sidecar",
              "standard output is not read or cannot be written; the start's message is not "
              "complete there");
  }
}

}  // namespace mooring::sidecar
