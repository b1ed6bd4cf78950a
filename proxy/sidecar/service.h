// Service: one service that this process represents, with all that it is made of: its access to the
// agent, its configuration, identity, intentions and upstreams, its local app, its listeners, its
// registration, its part of the state directory.
//
// Services of one process share the loop, the workers and the agent's connections; nothing that
// befalls one reaches another.
//
// The flow is one way: sources change -> Publish builds one Snapshot -> the workers
// (data/service_host.h) and the listeners follow it. Everything here runs on the control loop.
#pragma once

#include <chrono>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "proxy/admin/slice.h"
#include "proxy/config/settings.h"
#include "proxy/control/agent.h"
#include "proxy/control/agent_link.h"
#include "proxy/control/endpoint_names.h"
#include "proxy/control/identity_source.h"
#include "proxy/control/intention_source.h"
#include "proxy/control/listener_set.h"
#include "proxy/control/maintenance.h"
#include "proxy/control/mesh_source.h"
#include "proxy/control/own_place.h"
#include "proxy/control/proxy_config.h"
#include "proxy/control/registration.h"
#include "proxy/control/service_defaults.h"
#include "proxy/control/upstream_route.h"
#include "proxy/control/watch.h"
#include "proxy/data/service_host.h"
#include "proxy/handover/offer.h"
#include "proxy/log/log.h"
#include "proxy/net/inherited.h"
#include "proxy/net/loop.h"
#include "proxy/net/resolver.h"
#include "proxy/net/retry_pause.h"
#include "proxy/observe/exposition.h"
#include "proxy/sidecar/confinement.h"
#include "proxy/sidecar/drain.h"
#include "proxy/sidecar/limit_view.h"
#include "proxy/state/store.h"

namespace mooring::sidecar {

class Service final {
 public:
  class Owner {
   public:
    // OnCannotStart: what the service is told to be cannot be, as it is now: `message`, and lines
    // below it. It goes on trying where that can help. Never called once the service has been
    // whole, nor twice in a row for the same.
    virtual void OnCannotStart(Service& service, const std::string& message,
                               const std::vector<std::string>& more) = 0;
    // OtherListener names the admin port, or the listener of another service, at that address or
    // port; empty: there is none.
    virtual std::string OtherListener(const Service& service,
                                      const net::Address& address) const = 0;
    // OnReadiness: it has become ready, or is not any more.
    virtual void OnReadiness(Service& service) = 0;
    // OnDrained: the last step of its drain is done.
    virtual void OnDrained(Service& service) = 0;

   protected:
    ~Owner() = default;
  };

  // Shared is what the services of a process have in common. It outlives them.
  struct Shared {
    net::Loop& loop;
    const config::Settings& settings;         // the process's part of them
    net::Inherited& inherited;                // listening sockets that are there already
    std::shared_ptr<state::DiskThread> disk;  // null: no state is kept
    control::AgentLink* link = nullptr;       // null: no service needs the agent
    net::MonotonicTime started_at{};          // the process
    // a predecessor serves still: sockets are held and not served, and neither the agent's catalog
    // nor the state directory is touched
    bool waits = false;
    // a predecessor's documents, by Store's Key::id (handover/documents.h); empty once we serve
    std::map<std::string, net::UniqueFd> handed{};
    const Confinement* confinement = nullptr;  // null: a test's, not confined
  };
  // `log` marks the lines of this service, where there are several. All outlive it.
  Service(const Shared& shared, log::Log& log, const config::ServiceSettings& settings,
          Owner& owner);
  ~Service();
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  // Name is what the operator calls it: the service, the proxy ID, or the instance whose sidecar it
  // is. Constant, and no two are alike.
  const std::string& name() const { return name_; }
  // The name of the service in the mesh, as far as it is known.
  const std::string& service() const { return config_ ? config_->service : settings_.service; }
  // IsCalled is true for each of its names that is known now.
  bool IsCalled(const std::string& name) const;

  // Prepare reads its files and opens its state. Then Begin starts it, with its hosts on all
  // workers, which outlive it. What could not be prepared is tried again by Tick.
  Status Prepare();
  void Begin(std::vector<data::ServiceHost*> hosts);
  // ExpectHosts: they come later, and a drain is not the end before.
  void ExpectHosts() { expects_hosts_ = true; }
  bool ExpectsHosts() const { return expects_hosts_; }

  // A reload (service_reload.cc). PrepareFor makes what these settings need and is not there. Use
  // takes them up, and the process's as they are now; they are of the same service.
  Status PrepareFor(const config::ServiceSettings& next);
  void Use(const config::ServiceSettings& next);
  // number is what reports call it.
  unsigned number() const { return number_; }
  void SetNumber(unsigned number) { number_ = number; }

  // What keeps /ready at 503, and what works less than it should without keeping us from serving.
  std::vector<std::string> NotReady() const;
  std::vector<std::string> Degraded() const;
  bool ready() const { return ready_; }
  // CannotStart tells the owner, unless it knows. Its word holds until something of the service
  // could be started.
  void CannotStart(const std::string& message, const std::vector<std::string>& more = {});
  const std::string& cannot_start() const { return cannot_start_; }
  // ListenerAt is its own listener at that address or port, `but` that one, for messages; empty: it
  // has none.
  std::string ListenerAt(const net::Address& address, const std::string& but = {}) const;
  void Describe(nlohmann::json* status) const;  // its part of /status
  // Outline is the same in short, of bounded size: `upstreams` says which of them, those in trouble
  // first.
  void Outline(const admin::Slice& upstreams, nlohmann::json* status) const;
  void Measure(observe::Exposition* out) const;  // its part of /metrics
  // MeasureAsEnvoy says the same by Envoy's names; nothing while it has no identity. `with_heap`:
  // what is the process's, too.
  void MeasureAsEnvoy(observe::Exposition* out, bool with_heap) const;
  // Why: what would become of a connection from `source` to this service, or from this service to
  // `destination`, one of its upstreams: `steps` in `out`, in the order in which they decide.
  void WhyInbound(const std::string& source, nlohmann::json* out) const;
  void WhyOutbound(const std::string& destination, nlohmann::json* out) const;
  bool HasUpstream(const std::string& name) const;
  std::vector<std::string> UpstreamNames() const;
  control::Agent* agent() const { return agent_.get(); }
  const config::ServiceSettings& settings() const { return settings_; }
  log::Log& log() const { return log_; }
  std::int64_t HandshakesShed() const;
  std::vector<LimitView> Limits() const;  // those that are set
  const std::shared_ptr<data::Traffic>& traffic() const { return traffic_; }
  // hosts are those on the workers; none before Begin.
  const std::vector<data::ServiceHost*>& hosts() const { return hosts_; }

  // Tick is to be called once a second: what changes by time alone.
  void Tick();
  // Changed publishes anew after the events at hand, once however often it is called. PublishLater
  // does so a moment later.
  void Changed() noexcept { publish_.Arm(); }
  void PublishLater();

  // Sockets are those that are open; they stay the service's.
  std::vector<const net::Inherited::Socket*> Sockets() const;
  // Documents is what a successor finds in no state directory; nothing if it finds all there.
  std::optional<handover::Offer::Documents> Documents() const;
  // StopAccepting leaves them to a successor that is about to serve; `done` runs once nobody takes
  // clients any more. StartAccepting takes them back, or begins to serve where a predecessor did
  // (Shared::waits is over).
  void StopAccepting(std::function<void()> done);
  void StartAccepting();
  // Keep begins to save state: the predecessor does not any more.
  void Keep();
  // Retire: a successor serves. Sockets, registration, state directory are its own from now on;
  // intentions, roots and endpoints are followed on. False: the disk does not answer.
  bool Retire();

  // The end, in order. Quit takes up nothing any more: the process ends at once.
  // `app_first`: its upstreams go on until LetUpstreamsGo.
  void BeginDrain(bool app_first = false);
  void LetUpstreamsGo();
  void HurryDrain();
  // DrainBegun: its steps follow each other. Not where there was no memory to begin it.
  bool DrainBegun() const { return drain_ || (draining_ && !begun_); }
  // drained: the last step of its drain is done. TakeHosts ends all that it has to do with them.
  bool drained() const { return drained_; }
  std::vector<data::ServiceHost*> TakeHosts();
  bool registered() const { return registration_ != nullptr; }
  void Deregister(std::function<void()> done);
  void Quit() { quitting_ = true; }
  // CloseStore brings what is pending to disk, while all documents are still followed. False: the
  // disk does not answer.
  bool CloseStore();

 private:
  static constexpr char kPublic[] = "public";  // the name of its public listener

  // The start, in order.
  Status TryPrepare();
  Status MakeAgent(const config::ServiceSettings& settings);
  void OpenMesh();
  void Open();
  void OpenAll();
  std::string StateName() const;
  std::string Handed(const state::Store::Options& options);
  Status OpenStore();
  void FindProxyId();
  void TakeProxyId(const std::string& proxy_id);
  void WatchConfig(const std::string& proxy_id);
  void Apply(control::ProxyConfig config);
  // ProbePublic finds out early that somebody else holds the public port.
  void ProbePublic();
  void FollowLocalApp();
  void ApplyUpstreams();
  void FollowOwnPlace();

  // What a reload has changed.
  void FollowOffers(const config::ServiceSettings& before);
  void FollowIntentions(const config::ServiceSettings& before);

  // Watches are all that there are now; OwnWatches those without the upstreams'.
  std::vector<const control::Watch*> Watches() const;
  std::vector<const control::Watch*> OwnWatches() const;
  void DescribeItself(nlohmann::json* status) const;  // what both forms of /status have
  void ExplainSelf(nlohmann::json* steps) const;

  // Every change.
  void Publish();
  void UpdateListeners();
  // FollowEndpoints has the port of an upstream without a healthy instance refuse; in a drain, too.
  void FollowEndpoints();
  void OnListenerFailed(const std::string& name, const Error& error);
  // Placed is an error of a listener, behind the flag or the line that wants it.
  std::string Placed(const std::string& listener, const std::string& error) const;
  // SayWaiting says every 30 s what is missing, until it has been ready.
  void SayWaiting();
  void CheckReady();
  void FollowRegistration(bool inbound);
  void Unregister();
  void CheckLeaf();
  void CheckAges();                                  // against max_stale
  std::vector<std::string> InboundNotReady() const;  // what keeps callers from being served
  bool PublicWanted() const;
  // ServesTheRest: an upstream whose port is not to be had takes nothing from the others.
  bool ServesTheRest() const { return settings_.HeldByAgent(); }
  bool ListenersDone() const {
    return ServesTheRest() ? listeners_->Settled() : listeners_->AllOpen();
  }

  tls::Offers Offers() const;  // of TLS: as the mesh has it, or our own
  tls::Offers OwnOffers() const;
  void SayDrained();

  const Shared& shared_;
  const bool succeeds_ = shared_.waits;  // a predecessor serves us until we do
  net::Loop& loop_;
  log::Log& log_;
  const config::Settings& process_;
  config::ServiceSettings settings_;
  Owner& owner_;
  const std::string name_;
  std::string cannot_start_;  // why; empty: it can, as far as is known
  std::string unprepared_;    // why; empty: it is prepared, or has not tried yet
  net::RetryPause prepare_;
  bool begun_ = false;
  bool ready_ = false;
  bool was_ready_ = false;
  net::MonotonicTime begun_at_{};  // Begin
  net::MonotonicTime waiting_said_at_{};
  bool draining_ = false;
  bool quitting_ = false;
  bool expects_hosts_ = false;
  bool drained_ = false;
  unsigned number_ = 0;

  std::unique_ptr<state::Store> store_;  // outlives the watches, which unfollow it at their end
  std::unique_ptr<control::Agent> agent_;
  std::vector<data::ServiceHost*> hosts_;  // one a worker
  const std::shared_ptr<data::Traffic> traffic_ = std::make_shared<data::Traffic>();
  const std::shared_ptr<data::InboundCaps> caps_ = std::make_shared<data::InboundCaps>();
  std::optional<authz::ProxyDocument> document_;  // its registration, where that is asked for
  std::optional<control::ProxyConfig> config_;
  // all that the service in config_ is made of is there; else it is made anew with the next
  // configuration
  bool whole_ = false;
  std::unique_ptr<control::Watch> find_proxy_;
  std::string watched_proxy_id_;
  std::unique_ptr<control::Watch> config_watch_;
  std::unique_ptr<control::MeshSource> mesh_;
  // of the service whose public listener we have
  std::unique_ptr<control::ServiceDefaults> defaults_;
  std::unique_ptr<control::IdentitySource> identity_;
  std::unique_ptr<control::IntentionSource> intentions_;
  std::shared_ptr<const authz::IntentionSet> static_intentions_;
  std::string static_intentions_for_;  // the namespace that they were made for
  // of the file before, until the agent has said who may call; null: there are none
  std::shared_ptr<const authz::IntentionSet> former_intentions_;
  authz::DefaultPolicy former_fallback_ = authz::DefaultPolicy::kDeny;
  // asked for where an upstream's instances come from the agent
  std::unique_ptr<control::OwnPlace> own_place_;
  std::map<std::string, std::unique_ptr<control::UpstreamRoute>> upstreams_;
  std::unique_ptr<control::ListenerSet> listeners_;
  std::unique_ptr<control::Registration> registration_;
  std::list<std::unique_ptr<control::Registration>> unregistering_;  // taken out by a reload
  std::unique_ptr<control::Maintenance> maintenance_;
  std::optional<net::Address> local_app_address_;
  std::unique_ptr<control::EndpointNames> local_app_;
  std::unique_ptr<net::Resolver> probe_;
  std::shared_ptr<const data::Snapshot> snapshot_;
  std::vector<std::string> said_warnings_;
  std::string leaf_said_;                   // serial of the leaf that was last warned about
  std::chrono::seconds leaf_said_left_{0};  // what it had left then
  net::Chore publish_;
  net::Timer publish_again_;
  // everything wanted was open, or can be done without: a bind failure is no longer one of the
  // start
  bool started_ = false;
  // the last: it ends before what it drains, and before what its departure goes by
  std::optional<Drain> drain_;
};

}  // namespace mooring::sidecar
