#include "proxy/sidecar/sidecar.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "proxy/sidecar/messages.h"

namespace mooring::sidecar {
namespace {

using control::ListenerSet;
using net::milliseconds;

constexpr char kPublic[] = "public";
constexpr milliseconds kTick{1'000};
constexpr milliseconds kDrainPoll{50};
constexpr milliseconds kResolveAppAgain{30'000};
// Descriptors that are not connections: listeners, agent connections, libuv, logs.
constexpr unsigned long kReservedFiles = 100;

// StaticIntentions reads the file's sources as the file means them: a name is a service of our own
// namespace, `*` is every caller of every namespace.
std::shared_ptr<const authz::IntentionSet> StaticIntentions(const config::StaticIntentions& file,
                                                            const std::string& ns) {
  std::vector<authz::Intention> rules = file.rules;
  for (authz::Intention& rule : rules) {
    rule.source_ns = rule.source_name == "*" ? "*" : ns;
    rule.destination_ns = ns;
    rule.precedence = 0;  // IntentionSet computes it from the names
  }
  return std::make_shared<const authz::IntentionSet>(std::move(rules));
}

}  // namespace

Sidecar::Sidecar(net::Loop& loop, log::Log& log, config::Settings settings)
    : loop_(loop),
      log_(log),
      settings_(std::move(settings)),
      started_at_(loop.now()),
      tick_(loop,
            [this] {
              CheckReady();
              CheckLeaf();
              CheckAges();
              tick_.Start(kTick);
            }),
      drain_delay_(loop, [this] { StopAccepting(); }),
      drain_poll_(loop, [this] { AwaitConnections(); }),
      drain_limit_(loop, [this] {
        log_.Warn("sidecar", "drain time is over; cutting what is left",
                  {{"connections", std::to_string(ActiveConnections())}});
        for (auto& worker : workers_) worker->PostCutAll();
        Leave();
      }) {}

Sidecar::~Sidecar() {
  // What is pending goes to disk while all documents are still followed.
  if (store_ && !store_->Close()) {
    log_.Warn("sidecar", "the disk of the state directory does not answer; ending without it");
    std::_Exit(exit_code_);  // joining its thread could take for ever
  }
  // Listeners first: they post to the workers, which must still be there.
  listeners_.reset();
  workers_.clear();
}

int Sidecar::Run() {
  std::signal(SIGPIPE, SIG_IGN);
  signals_.push_back(std::make_unique<net::Signals>(loop_, SIGTERM, [this] { OnTerminate(); }));
  signals_.push_back(std::make_unique<net::Signals>(loop_, SIGINT, [this] { OnTerminate(); }));
  signals_.push_back(std::make_unique<net::Signals>(loop_, SIGHUP, [this] {
    log_.Info("sidecar", "SIGHUP: nothing to do; files and agent are watched all the time");
  }));
  if (Status prepared = Prepare(); !prepared) {
    Fatal(prepared.error().message);
  }
  if (!exiting_) loop_.Run();
  return exit_code_;
}

Status Sidecar::Prepare() {
  for (const std::string& warning : settings_.warnings) log_.Warn("config", warning);
  const unsigned long files = net::RaiseFileLimit();
  log_.Info("sidecar", "open files",
            {{"limit", std::to_string(files)},
             {"connections_at_once", std::to_string(files > kReservedFiles ? (files - kReservedFiles) / 2 : 0)}});
  if (settings_.NeedsAgent()) {
    auto agent = control::Agent::Make(loop_, log_, settings_.agent);
    if (!agent) return Invalid("Error connecting to Consul agent: " + agent.error().message);
    agent_ = std::move(*agent);
    agent_->SetMaxStale(settings_.max_stale);
    if (Status opened = OpenStore(); !opened) return opened;
  } else if (!settings_.state_dir.empty() && !settings_.state_dir_from_environment) {
    log_.Warn("sidecar", "state_dir has no effect: nothing comes from an agent");
  }
  if (settings_.identity) {
    if (Status files_good = control::CheckFileIdentity(*settings_.identity); !files_good) return files_good;
  }
  resolver_ = std::make_unique<net::Resolver>(loop_);
  if (settings_.admin) {
    auto admin = admin::Admin::Make(loop_, *settings_.admin,
                                    {[this] { return NotReady(); }, [this] { return StatusJson(); }});
    if (!admin) return admin.error();
    admin_ = std::move(*admin);
    log_.Info("control", "listener open", {{"name", "admin"}, {"address", admin_->address()}});
  }
  for (unsigned i = 0; i < settings_.workers; ++i) {
    workers_.push_back(std::make_unique<data::Worker>(log_));
    workers_.back()->Start();
  }
  listeners_ = std::make_unique<ListenerSet>(
      loop_, log_, workers_,
      [this](const std::string& name, const Error& error) { OnListenerFailed(name, error); },
      [this] { CheckReady(); });
  tick_.Start(kTick);
  std::printf("Mooring proxy starting...\n%s", StartFacts(settings_, agent_.get()).c_str());
  std::fflush(stdout);
  if (!settings_.proxy_id.empty()) {
    WatchConfig(settings_.proxy_id);
  } else if (!settings_.sidecar_for.empty()) {
    FindProxyId();
  } else {
    Apply(control::FromSettings(settings_));
  }
  return Ok();
}

Status Sidecar::OpenStore() {
  if (settings_.state_dir.empty()) {
    log_.Info("sidecar", "no state directory: a restart while the agent is away will not serve",
              {{"cure", "-state-dir, state_dir in YAML, or StateDirectory= with StateDirectoryMode=0700 in the unit"}});
    return Ok();
  }
  state::Store::Options options;
  options.directory = settings_.state_dir;
  if (!settings_.proxy_id.empty()) {
    options.subdirectory = state::Folder::SubdirectoryName("proxy", settings_.proxy_id);
  } else if (!settings_.sidecar_for.empty()) {
    options.subdirectory = state::Folder::SubdirectoryName("sidecar-for", settings_.sidecar_for);
  } else {
    // No service name holds a '~'.
    options.subdirectory = state::Folder::SubdirectoryName("service", settings_.service) +
                           (settings_.register_id.empty() ? "" : "~" + settings_.register_id);
  }
  // The same name elsewhere is another service. No other part holds a '~' or is empty.
  if (!settings_.agent.partition.empty()) options.subdirectory += "~ap." + settings_.agent.partition;
  if (!settings_.agent.ns.empty()) options.subdirectory += "~ns." + settings_.agent.ns;
  options.key.id = options.subdirectory;
  options.key.agent = agent_->name();
  options.expected_datacenter = settings_.datacenter;
  options.keep_private_key = settings_.cache_private_key;
  auto store = state::Store::Open(loop_, log_, options);
  if (!store) {
    if (!settings_.state_dir_from_environment) return store.error();
    log_.Warn("sidecar", "no state directory: a restart while the agent is away will not serve",
              {{"error", store.error().message}});
    return Ok();
  }
  store_ = std::move(*store);
  agent_->UseStore(store_.get());
  log_.Info("sidecar", "state is kept", {{"file", store_->view().file}});
  if (!settings_.cache_private_key) {
    log_.Warn("sidecar", "the private key is not kept: a restart while the agent is away will not serve",
              {{"cure", "cache_private_key: true"}});
  }
  return Ok();
}

void Sidecar::FindProxyId() {
  control::Watch::Options options;
  options.name = "sidecar_lookup";
  options.path = "/v1/agent/services";
  options.blocking = control::Watch::Blocking::kNone;
  options.poll_interval = milliseconds(0);
  find_proxy_ = std::make_unique<control::Watch>(
      loop_, log_, *agent_, options, [this](const http::Response& response) -> Status {
        auto found = authz::ParseSidecars(response.body, settings_.sidecar_for);
        if (!found) return found.error();
        if (found->proxy_ids.empty()) {
          return Error{ErrorCode::kNotFound,
                       NoSidecar(settings_.sidecar_for, found->services_seen, agent_->TokenName())};
        }
        if (found->proxy_ids.size() > 1) {
          Fatal(ManySidecars(settings_.sidecar_for, found->proxy_ids));
          return Ok();
        }
        const std::string id = found->proxy_ids.front();
        loop_.Post([this, id] {
          if (!exiting_) TakeProxyId(id);
        });
        return Ok();
      });
  find_proxy_->OnError([this](const Error& error) {
    if (settings_.wait_for_agent || find_proxy_->state().source == control::Watch::State::Source::kDisk) return;
    Fatal("Failed looking up sidecar proxy info for " + settings_.sidecar_for + ": " + error.message);
  });
  find_proxy_->Start();
}

void Sidecar::TakeProxyId(const std::string& proxy_id) {
  // A saved answer may have named it before the agent did.
  if (proxy_id != watched_proxy_id_) WatchConfig(proxy_id);
}

void Sidecar::WatchConfig(const std::string& proxy_id) {
  watched_proxy_id_ = proxy_id;
  control::Watch::Options options;
  options.name = "proxy_config";
  options.path = "/v1/agent/service/" + control::UrlEncode(proxy_id);
  options.blocking = control::Watch::Blocking::kHash;
  options.needs = "service:read on the name that " + proxy_id + " is registered under";
  config_watch_ = std::make_unique<control::Watch>(
      loop_, log_, *agent_, options, [this](const http::Response& response) -> Status {
        auto document = authz::ParseProxy(response.body);
        if (!document) return document.error();
        Apply(control::FromDocument(*document, settings_));
        return Ok();
      });
  maintenance_ = std::make_unique<control::Maintenance>(log_, *agent_, proxy_id);
  config_watch_->Start();
}

void Sidecar::Apply(control::ProxyConfig config) {
  if (state_ == State::kDraining) return;
  for (const std::string& warning : config.warnings) {
    if (std::find(said_warnings_.begin(), said_warnings_.end(), warning) != said_warnings_.end()) continue;
    said_warnings_.push_back(warning);
    log_.Warn("config", warning);
  }
  const bool new_service = !config_ || config_->service != config.service;
  const bool first = !config_;
  config_ = std::move(config);
  // The public port opens only once it can be served, perhaps minutes from now; that somebody else holds
  // it is worth knowing at the start.
  if (first && config_->public_listen) {
    if (auto probe = net::ListenNow(*config_->public_listen); !probe) {
      Fatal(probe.error().message);
      return;
    }
    if (config_->public_listen->kind == net::Address::Kind::kUnix) {
      unlink(config_->public_listen->path.c_str());
    }
  }
  if (new_service) {
    identity_ = settings_.identity
                    ? control::MakeFileIdentity(loop_, log_, *settings_.identity, [this] { Changed(); })
                    : control::MakeAgentIdentity(loop_, log_, *agent_, config_->service, [this] { Changed(); });
    intentions_.reset();
    identity_->Start();
  }
  if (config_->public_listen && !settings_.intentions && !intentions_) {
    intentions_ = std::make_unique<control::IntentionSource>(loop_, log_, *agent_, config_->service,
                                                             [this] { Changed(); });
    intentions_->Start();
  }
  ApplyUpstreams();
  Changed();
}

void Sidecar::ApplyUpstreams() {
  std::map<std::string, std::unique_ptr<control::UpstreamSource>> next;
  for (const control::NamedUpstream& upstream : config_->upstreams) {
    const auto old = upstreams_.find(upstream.listener);
    if (old != upstreams_.end() && old->second->settings() == upstream.settings) {
      next.insert(upstreams_.extract(old));
      continue;
    }
    auto source = std::make_unique<control::UpstreamSource>(
        loop_, log_, agent_.get(), upstream.settings, config_->connect_timeout, config_->idle_timeout,
        [this] { Changed(); });
    source->Start();
    next[upstream.listener] = std::move(source);
  }
  upstreams_ = std::move(next);
}

void Sidecar::Changed() {
  if (std::exchange(change_pending_, true)) return;
  loop_.Post([this] {
    change_pending_ = false;
    if (!exiting_) Publish();
  });
}

void Sidecar::Publish() {
  if (!config_) return;
  auto next = std::make_shared<data::Snapshot>();
  next->version = snapshot_ ? snapshot_->version + 1 : 1;
  next->live.cut_revoked = settings_.on_revoke == config::OnRevoke::kClose;
  next->live.revoke_grace = settings_.revoke_grace;
  next->live.max_age = settings_.max_connection_age;
  next->identity = identity_->Current();
  next->roots_stale = identity_->RootsTooOld();
  if (next->identity) {
    const authz::ServiceId& own = next->identity->leaf->id();
    if (store_) store_->SetDatacenter(own.datacenter);
    if (intentions_) intentions_->SetOwnIdentity(own);
    for (auto& [name, source] : upstreams_) {
      source->SetOwnIdentity(next->identity->roots->trust_domain(), own);
    }
    if (settings_.intentions && static_intentions_for_ != own.ns) {
      static_intentions_for_ = own.ns;
      static_intentions_ = StaticIntentions(*settings_.intentions, own.ns);
    }
  }
  if (settings_.intentions) {
    next->intentions = static_intentions_;
    next->fallback = settings_.intentions->fallback;
  } else if (intentions_) {
    next->intentions = intentions_->Current();
    next->fallback = intentions_->Fallback();
    next->intentions_stale = intentions_->TooOld();
  }
  if (config_->public_listen && config_->local_app) {
    ResolveLocalApp();
    auto inbound = std::make_shared<data::InboundRules>();
    inbound->local_app_text = config_->local_app->Text();
    inbound->handshake_timeout = config_->handshake_timeout;
    inbound->local_connect_timeout = config_->local_connect_timeout;
    inbound->idle_timeout = config_->inbound_idle_timeout;
    if (local_app_resolved_for_ == inbound->local_app_text) inbound->local_app = local_app_;
    next->inbound = std::move(inbound);
  }
  for (auto& [name, source] : upstreams_) next->upstreams[name] = source->Rules();
  snapshot_ = std::move(next);
  for (auto& worker : workers_) worker->PostSnapshot(snapshot_);
  UpdateListeners();
  CheckReady();
}

void Sidecar::ResolveLocalApp() {
  const std::string text = config_->local_app->Text();
  // At once, so that a changed address is never missing from the snapshot under way.
  if (auto literal = net::SocketAddress::FromLiteral(*config_->local_app)) {
    local_app_resolved_for_ = text;
    local_app_ = {*literal};
    local_app_error_.clear();
    return;
  }
  if (local_app_resolving_ == text) return;
  if (local_app_resolved_for_ == text && loop_.now() - local_app_resolved_at_ < kResolveAppAgain) return;
  local_app_resolving_ = text;
  resolver_->Resolve(*config_->local_app, [this, text](Result<std::vector<net::SocketAddress>> found) {
    local_app_resolving_.clear();
    if (!config_->local_app || config_->local_app->Text() != text) return;  // changed meanwhile
    local_app_resolved_at_ = loop_.now();
    const std::string error = found ? std::string() : found.error().message;
    if (std::exchange(local_app_error_, error) != error && !found) {
      log_.Warn("control", "local app not resolved", {{"error", error}});
    }
    if (!found) return;  // the tick asks again
    if (local_app_resolved_for_ == text && local_app_ == *found) return;
    local_app_resolved_for_ = text;
    local_app_ = std::move(*found);
    Changed();
  });
}

bool Sidecar::PublicWanted() const {
  // Open only when it can be served: TLS, identities and intentions are all in.
  return config_ && config_->public_listen && identity_->Missing().empty() &&
         (settings_.intentions || (intentions_ && intentions_->Missing().empty())) &&
         local_app_resolved_for_ == config_->local_app->Text();
}

void Sidecar::UpdateListeners() {
  if (state_ == State::kDraining) return;
  std::map<std::string, ListenerSet::Wanted> wanted;
  // Once open the public listener stays open: what goes missing later is refused connection by connection.
  if (PublicWanted() || (config_->public_listen && listeners_->IsOpen(kPublic))) {
    wanted[kPublic] = {*config_->public_listen, data::ListenerKind::kPublic};
  }
  for (const control::NamedUpstream& upstream : config_->upstreams) {
    wanted[upstream.listener] = {upstream.settings.listen, data::ListenerKind::kUpstream};
  }
  listeners_->Update(wanted);
}

void Sidecar::OnListenerFailed(const std::string& name, const Error& error) {
  if (started_) {
    log_.Warn("control", "listener not open, will retry", {{"name", name}, {"error", error.message}});
    return;
  }
  Fatal(error.message);
}

std::vector<std::string> Sidecar::NotReady() const {
  std::vector<std::string> reasons;
  const auto add = [&reasons](std::string reason) {
    if (!reason.empty()) reasons.push_back(std::move(reason));
  };
  if (state_ == State::kDraining) add("draining");
  if (!config_) {
    const control::Watch* watch = config_watch_ ? config_watch_.get() : find_proxy_.get();
    add("no proxy configuration yet" +
        (watch != nullptr && !watch->state().last_error.empty() ? ": " + watch->state().last_error
                                                                : std::string()));
    return reasons;
  }
  add(identity_->Missing());
  if (const auto identity = identity_->Current();
      identity && identity->leaf->not_after() <= std::chrono::system_clock::now()) {
    add("our leaf certificate has expired");
  }
  if (identity_->RootsTooOld()) add("the roots are older than max_stale");
  if (intentions_ && config_->public_listen) {
    add(intentions_->Missing());
    if (intentions_->TooOld()) add("the intentions are older than max_stale");
  }
  if (config_->public_listen && !listeners_->IsOpen(kPublic)) {
    add("the public listener is not open" + (local_app_error_.empty() ? "" : ": " + local_app_error_));
  }
  if (!started_ && !listeners_->AllOpen()) add("not every upstream listener is open yet");
  return reasons;
}

void Sidecar::CheckReady() {
  if (config_ && config_->public_listen && config_->local_app) ResolveLocalApp();
  if (state_ == State::kDraining) return;
  const std::vector<std::string> reasons = NotReady();
  if (reasons.empty() && listeners_->AllOpen()) started_ = true;
  const State next = reasons.empty() ? State::kReady : State::kStarting;
  if (next == State::kReady && settings_.register_self && !registration_) {
    control::Registration::Entry entry;
    entry.service = config_->service;
    entry.id = config_->service + "-proxy" +
               (settings_.register_id.empty() ? std::string() : "-" + settings_.register_id);
    entry.port = listeners_->BoundPort(kPublic);
    entry.address = !settings_.advertise.empty()            ? settings_.advertise
                    : config_->public_listen->IsWildcard() ? std::string()
                                                           : config_->public_listen->host;
    registration_ = std::make_unique<control::Registration>(loop_, log_, *agent_, std::move(entry));
    registration_->Start();
  }
  if (next == State::kReady && maintenance_) maintenance_->Undo();
  if (next == state_) return;
  state_ = next;
  if (next == State::kReady) {
    log_.Info("sidecar", "ready");
  } else {
    log_.Warn("sidecar", "not ready", {{"reason", reasons.front()}});
  }
}

void Sidecar::CheckLeaf() {
  const auto identity = identity_ ? identity_->Current() : nullptr;
  if (!identity) return;
  const tls::Credentials& leaf = *identity->leaf;
  const auto left = std::chrono::duration_cast<std::chrono::seconds>(leaf.not_after() -
                                                                     std::chrono::system_clock::now());
  if (left > (leaf.not_after() - leaf.not_before()) / 3) return;
  // Said when a third of its life is left, each time that half of the rest has passed, and at the end.
  const bool over = left.count() <= 0;
  if (leaf_said_ == leaf.serial() && (over ? leaf_said_left_.count() <= 0 : left > leaf_said_left_ / 2)) return;
  leaf_said_ = leaf.serial();
  leaf_said_left_ = left;
  log_.Write(over ? log::Level::kError : log::Level::kWarn, "sidecar",
             over ? "leaf certificate has expired: no new connection is served"
                  : "leaf certificate is near its end; the agent has not renewed it yet",
             {{"serial", leaf.serial()}, {"seconds_left", std::to_string(left.count())}});
}

void Sidecar::CheckAges() {
  if (settings_.max_stale.count() == 0 || !snapshot_) return;
  for (auto& [name, source] : upstreams_) source->CheckAge();
  const bool intentions = intentions_ && intentions_->TooOld();
  if (snapshot_->roots_stale == identity_->RootsTooOld() && snapshot_->intentions_stale == intentions) return;
  if (identity_->RootsTooOld() || intentions) {
    log_.Err("sidecar", "what the agent last said is older than max_stale: no new connection is served");
  }
  Changed();
}

void Sidecar::OnTerminate() {
  if (state_ == State::kDraining) {
    log_.Warn("sidecar", "second signal: ending at once");
    std::_Exit(0);  // not even a name look-up under way may hold it up
  }
  log_.Info("sidecar", "draining", {{"connections", std::to_string(ActiveConnections())},
                                    {"delay_ms", std::to_string(settings_.drain_delay.count())},
                                    {"limit_ms", std::to_string(settings_.drain_time.count())}});
  state_ = State::kDraining;
  // The delay runs beside the agent's answer: callers need it to hear that we are gone from the catalog.
  if (registration_) {
    registration_->Drain([] {});
  } else if (maintenance_ && config_) {
    told_agent_ = false;
    maintenance_->Enable([this] { told_agent_ = true; });
  }
  drain_delay_.Start(started_ ? settings_.drain_delay : milliseconds(0));
}

void Sidecar::StopAccepting() {
  listeners_->CloseAll([this] {
    if (exiting_) return;
    log_.Info("sidecar", "listeners closed", {{"connections", std::to_string(ActiveConnections())}});
    drain_limit_.Start(settings_.drain_time);
    AwaitConnections();
  });
}

void Sidecar::AwaitConnections() {
  if (left_) return;
  if (ActiveConnections() == 0 && told_agent_) {
    Leave();
    return;
  }
  drain_poll_.Start(kDrainPoll);
}

void Sidecar::Leave() {
  if (std::exchange(left_, true)) return;
  drain_limit_.Stop();
  if (!registration_) {
    Exit(0);
    return;
  }
  registration_->Remove([this] { Exit(0); });
}

void Sidecar::Exit(int code) {
  if (std::exchange(exiting_, true)) return;
  exit_code_ = code;
  log_.Info("sidecar", "stopped");
  loop_.Stop();
}

void Sidecar::Fatal(const std::string& message) {
  if (std::exchange(exiting_, true)) return;
  exit_code_ = 1;
  std::fprintf(stderr, "==> %s\n", message.c_str());
  loop_.Stop();
}

std::int64_t Sidecar::ActiveConnections() const {
  std::int64_t active = 0;
  for (const auto& worker : workers_) active += worker->active();
  return active;
}

}  // namespace mooring::sidecar
