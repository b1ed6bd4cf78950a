#include "proxy/sidecar/sidecar.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <new>
#include <optional>
#include <utility>

#include "proxy/config/exit_code.h"
#include "proxy/data/close_reason.h"

namespace mooring::sidecar {
namespace {

using net::milliseconds;

constexpr milliseconds kTick{1'000};
constexpr milliseconds kEndAnyway{5'000};

// EnvironmentOf is what the manager has told the first process, which a successor hears from its
// predecessor.
Supervision::Environment EnvironmentOf(const Sidecar::Origin& origin) {
  if (!origin.predecessor) return Supervision::Environment::Read();
  const handover::Offer& offer = origin.predecessor->offer;
  return {offer.notify_socket, offer.watchdog_period};
}

}  // namespace

Sidecar::Sidecar(net::Loop& loop, log::Log& log, config::Settings settings, Origin origin)
    : loop_(loop),
      log_(log),
      settings_(std::move(settings)),
      inherited_(std::move(origin.inherited)),
      confinement_(std::move(origin.confinement)),
      started_at_(loop.now()),
      place_(std::move(origin.place)),
      ready_limit_(loop, [this] { GiveUpSuccession("this process has not become ready in time"); }),
      feeder_end_(loop, [this] { feeder_.reset(); }),
      generations_(
          loop, log, [this] { KeepState(); }, [this] { OnGenerationEnd(); }),
      keep_state_(loop, [this] { KeepState(); }),
      tick_(loop, [this] { Tick(); }),
      supervision_(loop, EnvironmentOf(origin),
                   [this](net::milliseconds within) { return WorkersTurn(within); }),
      end_anyway_(loop, [this] { Exit(0); }) {
  loop_.SetKeeper(this);
  file_watch_.Note(config::LookAt(settings_.file));
  if (origin.predecessor) TakePredecessor(std::move(*origin.predecessor));
  if (!settings_.state_dir.empty()) shared_.disk = std::make_shared<state::DiskThread>();
  for (const config::ServiceSettings& each : settings_.services) {
    log::Log& its_log = settings_.services.size() > 1 ? NewLog(each.Name()) : log_;
    services_.push_back(std::make_unique<Service>(shared_, its_log, each, *this));
  }
}

// Of several services each line says whose it is.
log::Log& Sidecar::NewLog(const std::string& service) {
  service_logs_.push_back(std::make_unique<log::Log>(log_, log::Field{"service", service}));
  return *service_logs_.back();
}

Sidecar::~Sidecar() {
  loop_.SetKeeper(nullptr);
  CloseStores();
  admin_.reset();
  metrics_.reset();
  services_.clear();
  leaving_.clear();
  workers_.clear();
  CloseAccounts();
}

int Sidecar::Run() {
  // As Consul's proxy: what a supervisor's or a shell's habit sends, and a limit on CPU time
  // announces, ends nothing.
  for (const int ignored : {SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGIO, SIGXCPU})
    std::signal(ignored, SIG_IGN);
  signals_.push_back(std::make_unique<net::Signals>(loop_, SIGTERM, [this] { OnTerminate(); }));
  signals_.push_back(std::make_unique<net::Signals>(loop_, SIGINT, [this] { OnTerminate(); }));
  signals_.push_back(std::make_unique<net::Signals>(loop_, SIGHUP, [this] { OnHangup(); }));
  if (Status prepared = Prepare(); !prepared) {
    const bool bad = prepared.error().code == ErrorCode::kInvalid;
    Fatal(prepared.error().message, {}, bad ? config::kBadConfiguration : 1);
  }
  if (!exiting_) loop_.Run();
  return exit_code_;
}

void Sidecar::Tick() {
  tick_.Start(kTick);  // first: it goes on whatever becomes of this one
  loop_.Attend(this, [this] { Bury(); });
  loop_.Attend(this, [this] { WatchFile(); });
  for (const auto& service : services_) {
    loop_.Attend(this, [&service] { service->Tick(); });
  }
  loop_.Attend(this, [this] { SayAccessLog(); });
  loop_.Attend(this, [this] { SayLeft(); });
  loop_.Attend(this, [this] { confinement_.SayRefused(log_); });
  loop_.Attend(this, [this] { TurnAway(); });
  loop_.Attend(this, [this] { TellManager(); });
}

void Sidecar::SayLeft() {
  // Until all is ready it may be wanted yet.
  if (left_said_ || role_ != Role::kServing || draining_ || !NotReady().empty()) return;
  for (const std::string& one : inherited_.LetGoUnused())
    log_.Info("sidecar", "a socket of the last run is not wanted any more", {{"address", one}});
  for (const std::string& one : inherited_.Left()) {
    log_.Warn("sidecar", "a socket that was passed to us is not used",
              {{"why", one + " is no listener's address: whoever connects there is reset; take it "
                             "out of the socket unit, or have a listener there"}});
  }
  left_said_ = true;
}

void Sidecar::TurnAway() {
  if (draining_ || (!left_said_ && loop_.now() - started_at_ < settings_.start_wait)) return;
  inherited_.TurnAway(loop_, [this](const net::SocketAddress& peer, const std::string& socket) {
    const char* const reason = data::CloseReasonName(data::CloseReason::kNotReady);
    ++turned_away_;
    log_.WriteRationed(log::Level::kWarn, "sidecar", "connection refused", {reason, socket},
                       {{"reason", reason}, {"socket", socket}, {"peer", peer.Text()}});
  });
}

void Sidecar::TellManager() {
  LookAtSuccession();
  if (!supervision_.there() || role_ != Role::kServing) return;
  const std::vector<std::string> missing = NotReady();
  if (draining_) {
    std::int64_t awaited = generations_.connections();
    const auto add = [&awaited](const auto& services) {
      for (const auto& service : services) awaited += data::ActiveOf(service->hosts());
    };
    add(services_);
    add(leaving_);
    const std::string app = app_end_ ? app_end_->awaited() : std::string();
    supervision_.Tell(false, "draining: " + (app.empty() ? app : "waiting for " + app + "; ") +
                                 std::to_string(awaited) + " connections are open");
    return;
  }
  const std::vector<std::string> less = missing.empty() ? Degraded() : missing;
  std::string state = missing.empty() ? "ready" : "not ready: ";
  if (missing.empty() && !less.empty()) state += ", degraded: ";
  if (!less.empty()) state += less.front();
  if (less.size() > 1) state += " (and " + std::to_string(less.size() - 1) + " more)";
  supervision_.Tell(missing.empty(), state);
}

bool Sidecar::WorkersTurn(milliseconds within) const {
  const net::MonotonicTime now = loop_.now();
  return std::all_of(workers_.begin(), workers_.end(),
                     [&](const auto& worker) { return now - worker->turned_at() <= within; });
}

void Sidecar::OnCannotStart(Service& service, const std::string& message,
                            const std::vector<std::string>& more) {
  if (services_.size() == 1 && !reloaded_) {
    Fatal(message, more);
    return;
  }
  log_.Err("sidecar", "a service cannot be started, will retry",
           {{"service", service.name()}, {"error", message}});
  if (reloaded_) return;
  std::vector<std::string> each;
  for (const auto& one : services_) {
    if (one->cannot_start().empty()) return;
    each.push_back(one->name() + ": " + one->cannot_start());
  }
  Fatal("none of the services can be started", each);
}

std::string Sidecar::OtherListener(const Service& service, const net::Address& address) const {
  const auto there = [&address](const std::optional<net::Address>& port) {
    if (!port || port->kind != address.kind) return false;
    return port->kind == net::Address::Kind::kUnix ? port->path == address.path
                                                   : port->port == address.port && port->port != 0;
  };
  if (there(settings_.admin)) return "the admin port";
  if (there(settings_.metrics)) return "the port for metrics";
  for (const auto& other : services_) {
    if (other.get() == &service) continue;
    if (std::string listener = other->ListenerAt(address); !listener.empty()) return listener;
  }
  return {};
}

void Sidecar::OnEscaped() noexcept {
  for (const auto& service : services_) service->PublishLater();
  // A drain that has lost one of its steps still ends.
  if (draining_ && role_ != Role::kRetired && !end_anyway_.running())
    end_anyway_.Start(settings_.drain_time + settings_.drain_quiet + kEndAnyway +
                      (settings_.stop_after.on() ? settings_.stop_after.most : milliseconds(0)));
  const char* what = "an exception of no known kind";
  try {
    throw;
  } catch (const std::bad_alloc&) {
    what = "no memory was to be had";
  } catch (const std::exception& error) {
    what = error.what();
  } catch (...) {
  }
  try {
    log_.Err("sidecar", "work was cut short; going on with what was known", {{"error", what}});
  } catch (...) {  // not even for this line; there will be others
  }
}

const Service* Sidecar::Find(const std::string& name) const {
  const Service* found = nullptr;
  for (const auto& service : services_) {
    if (service->name() == name) return service.get();
  }
  for (const auto& service : services_) {
    if (!service->IsCalled(name)) continue;
    if (found != nullptr) return nullptr;
    found = service.get();
  }
  return found;
}

std::string Sidecar::Of(const Service& service, const std::string& reason) const {
  return services_.size() == 1 ? reason : service.name() + ": " + reason;
}

std::vector<std::string> Sidecar::NotReady() const {
  std::vector<std::string> reasons;
  for (const auto& service : services_) {
    for (const std::string& reason : service->NotReady()) reasons.push_back(Of(*service, reason));
  }
  return reasons;
}

std::vector<std::string> Sidecar::Degraded() const {
  std::vector<std::string> reasons = AgentDegraded();
  for (const auto& service : services_) {
    for (const std::string& reason : service->Degraded()) reasons.push_back(Of(*service, reason));
  }
  return reasons;
}

std::vector<std::string> Sidecar::AgentDegraded() const {
  std::vector<std::string> reasons;
  if (!link_) return reasons;
  if (std::string complaint = link_->connections().Complaint(); !complaint.empty())
    reasons.push_back(std::move(complaint));
  if (const auto off = link_->clock_off()) {
    reasons.push_back("our clock is " + std::to_string(std::chrono::abs(*off).count()) + " s " +
                      (off->count() > 0 ? "ahead of" : "behind") +
                      " the agent's: certificates are valid by the clock");
  }
  return reasons;
}

void Sidecar::CloseStores() {
  for (const auto& service : services_) {
    if (service->CloseStore()) continue;
    log_.Warn("sidecar", "the disk of the state directory does not answer; ending without it");
    CloseAccounts();
    log_.Close();
    std::_Exit(exit_code_);  // joining its thread could take for ever
  }
}

}  // namespace mooring::sidecar
