// A service's start, in order: its files, its agent, its state, and where its configuration comes
// from.
#include <utility>

#include "authz/text.h"
#include "proxy/config/file.h"
#include "proxy/control/answer_headers.h"
#include "proxy/handover/documents.h"
#include "proxy/sidecar/messages.h"
#include "proxy/sidecar/service.h"

namespace mooring::sidecar {
namespace {

using control::ListenerSet;
using net::milliseconds;

constexpr net::RetryPause::Bounds kRetryPrepare{milliseconds(1'000), milliseconds(8'000)};

control::Token::Origin TokenOf(const config::AgentSettings& process,
                               const config::ServiceSettings& service) {
  if (service.token.empty() && service.token_file.empty())
    return {process.token, process.token_file};
  return {service.token, service.token_file, "the token that the file gives this service"};
}

}  // namespace

Status Service::Prepare() {
  const Status done = TryPrepare();
  unprepared_ = done ? std::string() : done.error().message;
  if (!done) (void)prepare_.Failed(kRetryPrepare, loop_.now());
  return done;
}

Status Service::TryPrepare() {
  if (settings_.identity) {
    if (Status files_good = control::CheckFileIdentity(*settings_.identity); !files_good)
      return files_good;
  }
  // What was made by an earlier try stays: a second store would find the first one's lock.
  if (settings_.NeedsAgent() && !agent_) {
    if (!hosts_.empty() && config::IsPipe(settings_.token_file)) {
      return Invalid(
          settings_.token_file +
          ": a pipe is read at the start alone, and nothing came out of it then; start anew");
    }
    if (Status made = MakeAgent(settings_); !made) return made;
  }
  if (settings_.NeedsAgent()) {
    if (Status opened = store_ ? Ok() : OpenStore(); !opened) return opened;
  } else if (!process_.state_dir.empty() && !process_.state_dir_from_environment) {
    log_.Warn("sidecar", "state_dir has no effect: nothing comes from an agent");
  }
  if (!settings_.identity) return Ok();
  if (const std::string warning = config::OpenToOthers(settings_.identity->private_key);
      !warning.empty()) {
    log_.Warn("sidecar", "a private key is open to others", {{"warning", warning}});
  }
  return Ok();
}

Status Service::MakeAgent(const config::ServiceSettings& settings) {
  auto agent = control::Agent::Make(*shared_.link, TokenOf(process_.agent, settings));
  if (!agent) return Invalid("Error connecting to Consul agent: " + agent.error().message);
  agent_ = std::move(*agent);
  agent_->SetMaxStale(process_.max_stale);
  return Ok();
}

void Service::Begin(std::vector<data::ServiceHost*> hosts) {
  hosts_ = std::move(hosts);
  expects_hosts_ = false;
  if (draining_) return;
  begun_at_ = waiting_said_at_ = loop_.now();
  if (unprepared_.empty()) Open();
}

void Service::Tick() {
  if (draining_ || quitting_) return;
  if (!begun_) {
    if (hosts_.empty() || !prepare_.Due(loop_.now())) return;
    if (const Status prepared = Prepare(); !prepared) {
      CannotStart(prepared.error().message);
      SayWaiting();
      return;
    }
    Open();
  }
  CheckReady();
  SayWaiting();
  CheckLeaf();
  CheckAges();
}

void Service::Open() {
  try {
    OpenAll();
  } catch (...) {  // no memory, most likely: nothing of it stays, and Tick tries again
    upstreams_.clear();
    own_place_.reset();
    local_app_.reset();
    local_app_address_.reset();
    intentions_.reset();
    identity_.reset();
    defaults_.reset();
    mesh_.reset();
    maintenance_.reset();
    config_watch_.reset();
    find_proxy_.reset();
    watched_proxy_id_.clear();
    probe_.reset();
    listeners_.reset();
    config_.reset();
    whole_ = false;
    (void)prepare_.Failed(kRetryPrepare, loop_.now());
    throw;
  }
  begun_ = true;
  cannot_start_.clear();
}

void Service::OpenAll() {
  listeners_ = std::make_unique<ListenerSet>(
      loop_, log_, hosts_, shared_.inherited,
      [this](const std::string& name, const Error& error) { OnListenerFailed(name, error); },
      [this] {
        cannot_start_.clear();
        CheckReady();
      });
  if (shared_.waits) listeners_->StopAccepting([] {});
  if (agent_) OpenMesh();
  if (!settings_.proxy_id.empty()) {
    WatchConfig(settings_.proxy_id);
  } else if (!settings_.sidecar_for.empty()) {
    FindProxyId();
  } else {
    Apply(control::FromSettings(settings_));
  }
}

void Service::OpenMesh() {
  mesh_ = std::make_unique<control::MeshSource>(loop_, log_, *agent_, OwnOffers(), [this] {
    if (identity_) identity_->SetOffers(mesh_->offers());
  });
  mesh_->Start();
}

// StateName tells its state from that of every other service that an agent may have.
std::string Service::StateName() const {
  std::string name;
  if (!settings_.proxy_id.empty()) {
    name = state::Folder::SubdirectoryName("proxy", settings_.proxy_id);
  } else if (!settings_.sidecar_for.empty()) {
    name = state::Folder::SubdirectoryName("sidecar-for", settings_.sidecar_for);
  } else {
    // No service name holds a '~'.
    name = state::Folder::SubdirectoryName("service", settings_.service) +
           (settings_.register_id.empty() ? "" : "~" + settings_.register_id);
  }
  // The same name elsewhere is another service. No other part holds a '~' or is empty.
  if (!process_.agent.partition.empty()) name += "~ap." + process_.agent.partition;
  if (!process_.agent.ns.empty()) name += "~ns." + process_.agent.ns;
  return name;
}

// Handed is what a predecessor has handed over for that store.
std::string Service::Handed(const state::Store::Options& options) {
  const auto found = shared_.handed.find(options.key.id);
  if (found == shared_.handed.end()) return {};
  Result<std::string> content = handover::ReadDocuments(found->second.get(), options.limit);
  if (content) return std::move(*content);
  log_.Warn("sidecar", "the predecessor's documents cannot be read",
            {{"error", content.error().message}});
  return {};
}

Status Service::OpenStore() {
  if (process_.state_dir.empty()) {
    log_.Info("sidecar", "no state directory: a restart while the agent is away will not serve",
              {{"cure",
                "-state-dir, state_dir in YAML, or StateDirectory= with StateDirectoryMode=0700 in "
                "the unit"}});
    if (process_.handover_dir.empty()) return Ok();  // nobody is handed anything
  }
  state::Store::Options options;
  options.directory = process_.state_dir;
  options.subdirectory = StateName();
  options.key.id = options.subdirectory;
  options.key.agent = shared_.link->name();
  options.expected_datacenter = process_.datacenter;
  options.keep_private_key = process_.cache_private_key;
  options.disk = shared_.disk;
  options.waits = shared_.waits;
  options.handed = Handed(options);
  auto store = state::Store::Open(loop_, log_, options);
  if (!store) {
    if (!process_.state_dir_from_environment) return store.error();
    log_.Warn("sidecar", "no state directory: a restart while the agent is away will not serve",
              {{"error", store.error().message}});
    return Ok();
  }
  store_ = std::move(*store);
  agent_->UseStore(store_.get());
  if (process_.state_dir.empty()) return Ok();
  // Where it cannot be saved for now, the store has said so, and says when it can.
  if (store_->view().error.empty())
    log_.Info("sidecar", "state is kept", {{"file", store_->view().file}});
  if (!process_.cache_private_key) {
    log_.Warn("sidecar",
              "the private key is not kept: a restart while the agent is away will not serve",
              {{"cure", "cache_private_key: true"}});
  }
  return Ok();
}

void Service::FindProxyId() {
  control::Watch::Options options;
  options.name = "sidecar_lookup";
  options.path = "/v1/agent/services";
  options.blocking = control::Watch::Blocking::kNone;
  options.poll_interval = milliseconds(0);
  options.needs = "service:read on the sidecar of " + settings_.sidecar_for;
  find_proxy_ = std::make_unique<control::Watch>(
      loop_, log_, *agent_, options, [this](const http::Response& response) -> Status {
        auto found = authz::ParseSidecars(response.body, settings_.sidecar_for);
        if (!found) return found.error();
        if (found->proxy_ids.empty()) {
          const bool filtered = control::HeaderSays(response, control::kFilteredHeader, "true");
          return Error{
              filtered ? ErrorCode::kDenied : ErrorCode::kNotFound,
              NoSidecar(settings_.sidecar_for, found->services_seen, filtered,
                        agent_->Secret().empty() ? "the anonymous token" + agent_->WhyNoToken()
                                                 : agent_->TokenName())};
        }
        if (found->proxy_ids.size() > 1) {
          const std::string several =
              "More than one sidecar proxy registered for " + settings_.sidecar_for + ".";
          if (!config_) CannotStart(several, {ChooseOne(found->proxy_ids)});
          if (quitting_) return Ok();
          // asked again: one of them may go
          return Invalid(several + " " + ChooseOne(found->proxy_ids));
        }
        const std::string id = found->proxy_ids.front();
        loop_.Post([this, id] {
          if (!quitting_ && !draining_) TakeProxyId(id);
        });
        return Ok();
      });
  find_proxy_->OnError([this](const Error& error) {
    if (process_.wait_for_agent || find_proxy_->state().Earlier()) return;
    CannotStart("Failed looking up sidecar proxy info for " + settings_.sidecar_for + ": " +
                error.message);
  });
  find_proxy_->Start();
}

void Service::TakeProxyId(const std::string& proxy_id) {
  cannot_start_.clear();
  // A saved answer may have named it before the agent did.
  if (proxy_id != watched_proxy_id_) WatchConfig(proxy_id);
}

void Service::WatchConfig(const std::string& proxy_id) {
  watched_proxy_id_ = proxy_id;
  control::Watch::Options options;
  options.name = "proxy_config";
  options.path = "/v1/agent/service/" + authz::PercentEncoded(proxy_id);
  options.blocking = control::Watch::Blocking::kHash;
  options.own = control::AgentConnections::Own::kConfiguration;
  options.needs = "service:read on the name that " + proxy_id + " is registered under";
  config_watch_ = std::make_unique<control::Watch>(
      loop_, log_, *agent_, options, [this](const http::Response& response) -> Status {
        auto document = authz::ParseProxy(response.body);
        if (!document) return document.error();
        Apply(control::FromDocument(*document, settings_));
        document_ = *std::move(document);
        return Ok();
      });
  maintenance_ = std::make_unique<control::Maintenance>(loop_, log_, *agent_, proxy_id);
  config_watch_->Start();
}

}  // namespace mooring::sidecar
