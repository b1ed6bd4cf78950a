#include "proxy/sidecar/service.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "proxy/net/name_service.h"
#include "proxy/sidecar/listen_once.h"

namespace mooring::sidecar {
namespace {

using net::milliseconds;

constexpr milliseconds kPublishAgain{250};  // after a failed try
constexpr milliseconds kSayWaiting{30'000};

// WhyRefused is why the port of an upstream refuses; empty: it does not. What is not known yet, or
// is too old to go by, is awaited or refused connection by connection.
std::string WhyRefused(const control::UpstreamRoute& source) {
  const data::UpstreamRules& rules = *source.Rules();
  const bool none = rules.known && !rules.stale && rules.endpoints.empty();
  if (!none || source.settings().no_endpoint == config::NoEndpoint::kReset) return {};
  return source.source().names().Errors().empty() ? "no healthy instance"
                                                  : "no instance whose name can be resolved";
}

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

Service::Service(const Shared& shared, log::Log& log, const config::ServiceSettings& settings,
                 Owner& owner)
    : shared_(shared),
      loop_(shared.loop),
      log_(log),
      process_(shared.settings),
      settings_(settings),
      owner_(owner),
      name_(settings.Name()),
      publish_(loop_,
               [this] {
                 if (!quitting_) Publish();
               }),
      publish_again_(loop_, [this] { Changed(); }) {
  caps_->each->SetLimit(settings_.max_connections_per_identity);
}

Service::~Service() = default;

bool Service::IsCalled(const std::string& name) const {
  return !name.empty() &&
         (name == name_ || (config_ && (name == config_->service || name == config_->proxy_id)));
}

void Service::PublishLater() { publish_again_.Start(kPublishAgain); }

void Service::CannotStart(const std::string& message, const std::vector<std::string>& more) {
  if (quitting_ || draining_ || std::exchange(cannot_start_, message) == message) return;
  owner_.OnCannotStart(*this, message, more);
}

void Service::Apply(control::ProxyConfig config) {
  if (draining_) return;
  for (const std::string& warning : config.warnings) {
    if (std::find(said_warnings_.begin(), said_warnings_.end(), warning) != said_warnings_.end())
      continue;
    said_warnings_.push_back(warning);
    log_.Warn("config", "configuration", {{"warning", warning}});
  }
  const bool new_service = !whole_ || config_->service != config.service;
  const bool first = !config_;
  // Before the configuration that it is for is in force: there may be no memory for it.
  std::unique_ptr<control::IdentitySource> identity;
  if (new_service) {
    identity = settings_.identity ? control::MakeFileIdentity(loop_, log_, *settings_.identity,
                                                              Offers(), [this] { Changed(); })
                                  : control::MakeAgentIdentity(loop_, log_, *agent_, config.service,
                                                               Offers(), [this] { Changed(); });
  }
  config_ = std::move(config);
  if (new_service) {
    whole_ = false;
    identity_ = std::move(identity);
    intentions_.reset();
    identity_->Start();
  }
  if ((new_service || !defaults_) && agent_ && config_->public_listen) {
    defaults_ = std::make_unique<control::ServiceDefaults>(loop_, log_, *agent_, config_->service);
    defaults_->Start();
  }
  if (config_->public_listen && !settings_.intentions && !intentions_) {
    intentions_ = std::make_unique<control::IntentionSource>(loop_, log_, *agent_, config_->service,
                                                             [this] { Changed(); });
    intentions_->Start();
  }
  caps_->connections.SetLimit(config_->max_inbound_connections);
  FollowLocalApp();
  FollowOwnPlace();
  ApplyUpstreams();
  if (first && config_->public_listen) ProbePublic();
  whole_ = true;
  Changed();
}

void Service::ProbePublic() {
  // The public port opens only once it can be served, perhaps minutes from now; that somebody else
  // holds it is worth knowing at the start.
  const net::Address address = *config_->public_listen;
  probe_ = std::make_unique<net::Resolver>(loop_);
  ListenOnce(*probe_, shared_.inherited, address, [this, address](auto opened) {
    if (!opened) {
      CannotStart(Placed(kPublic, opened.error().message));
    } else if (opened->inherited) {
      shared_.inherited.Return(std::move(*opened));
    } else if (address.kind == net::Address::Kind::kUnix) {
      unlink(address.path.c_str());
    }
  });
}

tls::Offers Service::Offers() const { return mesh_ ? mesh_->offers() : OwnOffers(); }

tls::Offers Service::OwnOffers() const {
  tls::Offers own;
  own.accepting.tickets = settings_.tls_resumption;
  own.accepting.groups = settings_.tls_groups;
  own.dialling.groups = settings_.tls_groups;
  return own;
}

void Service::FollowLocalApp() {
  if (!config_->public_listen || !config_->local_app || local_app_address_ == config_->local_app)
    return;
  // For another app another object: nothing that the one before resolved to is used for it.
  local_app_address_.reset();
  local_app_ = std::make_unique<control::EndpointNames>(
      net::NameService::Of(loop_).names(), net::NameKind::kOwn,
      [this](std::function<void()> task) { loop_.Defer(std::move(task)); }, [this] { Changed(); },
      [this](const std::string& error) {
        log_.Warn("control", "local app not resolved, will retry", {{"error", error}});
      });
  local_app_->Set(std::vector{*config_->local_app});
  local_app_address_ = config_->local_app;
}

void Service::FollowOwnPlace() {
  const bool wanted =
      std::any_of(config_->upstreams.begin(), config_->upstreams.end(),
                  [](const auto& upstream) { return upstream.settings.endpoints.empty(); });
  if (agent_ && wanted && !own_place_) {
    own_place_ = std::make_unique<control::OwnPlace>(loop_, log_, *agent_, [this] { Changed(); });
    own_place_->Start();
  }
  if (own_place_) own_place_->SetRegistered(config_->locality);
}

void Service::ApplyUpstreams() {
  // The new ones first: should there be no memory for one, all that were known stay.
  std::map<std::string, std::unique_ptr<control::UpstreamRoute>> next;
  for (const control::NamedUpstream& upstream : config_->upstreams) {
    const auto old = upstreams_.find(upstream.listener);
    if (old != upstreams_.end() &&
        old->second->Use(upstream.settings, config_->connect_timeout, config_->idle_timeout))
      continue;
    auto memory =
        old != upstreams_.end() ? old->second->memory() : std::make_shared<data::UpstreamMemory>();
    auto source = std::make_unique<control::UpstreamRoute>(
        loop_, log_, agent_.get(), upstream.settings, config_->connect_timeout,
        config_->idle_timeout, std::move(memory), [this] { Changed(); });
    source->Start();
    next[upstream.listener] = std::move(source);
  }
  for (const control::NamedUpstream& upstream : config_->upstreams) {
    if (const auto old = upstreams_.find(upstream.listener);
        old != upstreams_.end() && !next.contains(upstream.listener)) {
      next.insert(upstreams_.extract(old));
    }
  }
  upstreams_ = std::move(next);
  for (const auto& [listener, source] : upstreams_) {
    source->memory()->caps->connections.SetLimit(source->settings().max_connections);
    source->memory()->caps->pending.SetLimit(source->settings().max_pending);
  }
}

void Service::Publish() {
  if (!config_) return;
  auto next = std::make_shared<data::Snapshot>();
  next->service = config_->service;
  next->early_until = shared_.started_at + process_.start_wait;
  next->live.cut_revoked = settings_.on_revoke != config::OnRevoke::kKeep;
  next->live.revoke_quietly = settings_.on_revoke == config::OnRevoke::kQuiet;
  next->live.revoke_grace = settings_.revoke_grace;
  next->live.max_age = settings_.max_connection_age;
  next->live.quiet = process_.drain_quiet;
  next->identity = identity_->Current();
  next->roots_stale = identity_->RootsTooOld();
  if (next->identity) {
    const authz::ServiceId& own = next->identity->leaf->id();
    next->datacenter = own.datacenter;
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
  if (own_place_) {
    for (auto& [name, source] : upstreams_) source->SetPlace(own_place_->place());
  }
  if (settings_.intentions) {
    next->intentions = static_intentions_;
    next->fallback = settings_.intentions->fallback;
  } else if (former_intentions_ && intentions_ && !intentions_->Missing().empty()) {
    next->intentions = former_intentions_;
    next->fallback = former_fallback_;
  } else if (intentions_) {
    former_intentions_.reset();
    next->intentions = intentions_->Current();
    next->fallback = intentions_->Fallback();
    next->intentions_stale = intentions_->TooOld();
  }
  if (config_->public_listen && config_->local_app && local_app_) {
    auto inbound = std::make_shared<data::InboundRules>();
    inbound->local_app_text = config_->local_app->Text();
    inbound->handshake_timeout = config_->handshake_timeout;
    inbound->local_connect_timeout = config_->local_connect_timeout;
    inbound->proxy_header = config_->proxy_protocol;
    inbound->idle_timeout = config_->inbound_idle_timeout;
    inbound->caps = caps_;
    for (const data::Endpoint& place : local_app_->endpoints())
      inbound->local_app.push_back(place.address);
    next->inbound = std::move(inbound);
  }
  for (auto& [name, source] : upstreams_) next->upstreams[name] = source->Rules();
  snapshot_ = std::move(next);
  for (data::ServiceHost* host : hosts_) host->PostSnapshot(snapshot_);
  UpdateListeners();
  FollowEndpoints();
  CheckReady();
}

bool Service::PublicWanted() const {
  // Open only when it can be served: TLS, identities and intentions are all in.
  return config_ && config_->public_listen && identity_->Missing().empty() &&
         (settings_.intentions || (intentions_ && intentions_->Missing().empty())) && local_app_ &&
         !local_app_->endpoints().empty();
}

void Service::UpdateListeners() {
  if (draining_) return;
  std::map<std::string, control::ListenerSet::Wanted> wanted;
  // Once open the public listener stays open: what goes missing later is refused connection by
  // connection.
  if (PublicWanted() || (config_->public_listen && listeners_->IsOpen(kPublic))) {
    wanted[kPublic] = {*config_->public_listen, data::ListenerKind::kPublic};
  }
  for (const control::NamedUpstream& upstream : config_->upstreams) {
    wanted[upstream.listener] = {upstream.settings.listen, data::ListenerKind::kUpstream};
  }
  listeners_->Update(wanted);
}

void Service::FollowEndpoints() {
  for (const auto& [listener, source] : upstreams_)
    listeners_->Refuse(listener, WhyRefused(*source));
}

std::string Service::ListenerAt(const net::Address& address, const std::string& but) const {
  const auto same = [&address](const net::Address& own) {
    if (own.kind != address.kind) return false;
    return own.kind == net::Address::Kind::kUnix ? own.path == address.path
                                                 : own.port == address.port && own.port != 0;
  };
  if (!config_) return {};
  if (but != kPublic && config_->public_listen && same(*config_->public_listen))
    return "the public listener of " + name_;
  for (const control::NamedUpstream& upstream : config_->upstreams) {
    if (but != upstream.listener && same(upstream.settings.listen))
      return upstream.listener + " of " + name_;
  }
  return {};
}

void Service::OnListenerFailed(const std::string& name, const Error& of_the_port) {
  Error error = of_the_port;
  if (const auto address = listeners_->AddressOf(name)) {
    std::string other = ListenerAt(*address, name);
    if (other.empty()) other = owner_.OtherListener(*this, *address);
    if (!other.empty()) error.message += "; " + other + " is to be there";
    if (address->kind == net::Address::Kind::kUnix && shared_.confinement != nullptr &&
        !shared_.confinement->Reaches({address->path, config::PathUse::kListen}))
      error.message +=
          "; this process may make no sockets there, for no setting names that folder: add it to "
          "confine.folders (-confine-folders), and restart or upgrade";
  }
  // What the agent holds stays as it is over restarts, and others depend on the rest of it.
  const bool rest =
      ServesTheRest() && name != kPublic && (config_->public_listen || !listeners_->NoneCanOpen());
  if (started_ || rest) {
    log_.Warn("control", "listener not open, will retry",
              {{"name", name}, {"error", error.message}});
    CheckReady();
    return;
  }
  CannotStart(Placed(name, error.message));
}

std::string Service::Placed(const std::string& listener, const std::string& error) const {
  std::string from = listener == kPublic ? settings_.listen_from : std::string();
  for (const control::NamedUpstream& upstream : config_->upstreams) {
    if (upstream.listener == listener) from = upstream.settings.from;
  }
  if (from.empty()) from = listener == kPublic ? "the public listener" : listener;
  return from + ": " + error;
}

void Service::SayWaiting() {
  if (ready_ || was_ready_ || loop_.now() - waiting_said_at_ < kSayWaiting) return;
  waiting_said_at_ = loop_.now();
  std::string missing;
  for (const std::string& reason : NotReady()) missing += (missing.empty() ? "" : "; ") + reason;
  log_.Warn("sidecar", "still waiting to be ready",
            {{"seconds",
              std::chrono::duration_cast<std::chrono::seconds>(loop_.now() - begun_at_).count()},
             {"missing", missing}});
}

void Service::CheckLeaf() {
  const auto identity = identity_ ? identity_->Current() : nullptr;
  if (!identity) return;
  const tls::Credentials& leaf = *identity->leaf;
  const auto left = std::chrono::duration_cast<std::chrono::seconds>(
      leaf.not_after() - std::chrono::system_clock::now());
  if (left > (leaf.not_after() - leaf.not_before()) / 3) return;
  // Said when a third of its life is left, each time that half of the rest has passed, and at the
  // end.
  const bool over = leaf.ExpiredAt(std::chrono::system_clock::now());
  if (leaf_said_ == leaf.serial() &&
      (over ? leaf_said_left_.count() <= 0 : left > leaf_said_left_ / 2))
    return;
  leaf_said_ = leaf.serial();
  leaf_said_left_ = left;
  log_.Write(
      over ? log::Level::kError : log::Level::kWarn, "sidecar",
      over ? log::Literal("leaf certificate has expired: no new connection is served")
           : log::Literal("leaf certificate is near its end; the agent has not renewed it yet"),
      {{"serial", leaf.serial()}, {"seconds_left", left.count()}});
}

void Service::CheckAges() {
  if (process_.max_stale.count() == 0 || !snapshot_) return;
  for (auto& [name, source] : upstreams_) source->CheckAge();
  const bool intentions = intentions_ && intentions_->TooOld();
  if (snapshot_->roots_stale == identity_->RootsTooOld() &&
      snapshot_->intentions_stale == intentions)
    return;
  if (identity_->RootsTooOld() || intentions) {
    log_.Err("sidecar",
             "what the agent last said is older than max_stale: no new connection is served");
  }
  Changed();
}

}  // namespace mooring::sidecar
