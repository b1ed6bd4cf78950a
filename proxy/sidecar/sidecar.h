// Sidecar: the whole proxy as one object. Owns workers, agent access, sources, listeners, admin; keeps the
// order of start and of drain.
//
// Everything here runs on the control loop, the main thread's. The flow is one way: sources change ->
// Publish builds one Snapshot -> workers and listeners follow it.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "proxy/admin/admin.h"
#include "proxy/config/settings.h"
#include "proxy/control/agent.h"
#include "proxy/control/endpoint_names.h"
#include "proxy/control/identity_source.h"
#include "proxy/control/intention_source.h"
#include "proxy/control/listener_set.h"
#include "proxy/control/maintenance.h"
#include "proxy/control/mesh_source.h"
#include "proxy/control/proxy_config.h"
#include "proxy/control/registration.h"
#include "proxy/control/service_defaults.h"
#include "proxy/control/upstream_source.h"
#include "proxy/control/watch.h"
#include "proxy/data/worker.h"
#include "proxy/log/log.h"
#include "proxy/net/loop.h"
#include "proxy/net/resolver.h"
#include "proxy/sidecar/drain.h"
#include "proxy/state/store.h"

namespace mooring::sidecar {

class Sidecar final : public net::Keeper {
 public:
  Sidecar(net::Loop& loop, log::Log& log, config::Settings settings);
  ~Sidecar();
  Sidecar(const Sidecar&) = delete;
  Sidecar& operator=(const Sidecar&) = delete;

  // Run starts everything and serves until a signal or a fatal error of the start; returns the exit code. A
  // fatal error has been printed on standard error, prefix `==> `.
  int Run();

 private:
  enum class State { kStarting, kReady, kDraining };

  // The start, in order.
  Status Prepare();
  void ReserveConnections();
  Status OpenStore();
  Status StartWorkers();
  void FindProxyId();
  void TakeProxyId(const std::string& proxy_id);
  void WatchConfig(const std::string& proxy_id);
  void Apply(control::ProxyConfig config);
  // ListenOn hands a listening socket to `on_open`, at once unless a name is to be resolved; failing is fatal.
  void ListenOn(const net::Address& address, std::function<void(net::UniqueFd)> on_open);
  void ProbePublic();
  void FollowLocalApp();
  void ApplyUpstreams();

  // Every change.
  void Changed() noexcept;  // coalesces: Publish runs once after the events at hand
  // OnEscaped: work was cut short, most likely for lack of memory. What was known stays; it is published again a moment later.
  void OnEscaped() noexcept override;
  void Publish();
  void UpdateListeners();
  void OnListenerFailed(const std::string& name, const Error& error);
  void CheckReady();
  void CheckLeaf();
  void CheckAges();  // against max_stale
  // What keeps callers from being served; what keeps /ready at 503: these, and upstreams that nobody has answered about;
  // what works less than it should, without keeping us from serving.
  std::vector<std::string> InboundNotReady() const;
  std::vector<std::string> NotReady() const;
  std::vector<std::string> Degraded() const;
  bool PublicWanted() const;

  // The end, in order.
  void OnTerminate();
  void Exit(int code);
  void Fatal(const std::string& message, const std::vector<std::string>& more = {});  // one line, and lines below it

  tls::Offers Offers() const;  // of TLS: as the mesh has it, or our own
  std::string StatusJson() const;
  std::string AdmissionJson() const;

  net::Loop& loop_;
  log::Log& log_;
  const config::Settings settings_;
  State state_ = State::kStarting;
  bool exiting_ = false;
  int exit_code_ = 0;
  const net::MonotonicTime started_at_;

  std::unique_ptr<state::Store> store_;  // outlives the watches, which unfollow it at their end
  std::unique_ptr<control::Agent> agent_;
  std::shared_ptr<data::Admission> admission_;
  std::vector<std::unique_ptr<data::Worker>> workers_;
  std::optional<control::ProxyConfig> config_;
  std::unique_ptr<control::Watch> find_proxy_;
  std::string watched_proxy_id_;
  std::unique_ptr<control::Watch> config_watch_;
  std::unique_ptr<control::MeshSource> mesh_;
  std::unique_ptr<control::ServiceDefaults> defaults_;  // of the service whose public listener we have
  std::unique_ptr<control::IdentitySource> identity_;
  std::unique_ptr<control::IntentionSource> intentions_;
  std::shared_ptr<const authz::IntentionSet> static_intentions_;
  std::string static_intentions_for_;  // the namespace that they were made for
  std::unique_ptr<net::Resolver> resolver_;
  std::map<std::string, std::unique_ptr<control::UpstreamSource>> upstreams_;
  std::unique_ptr<control::ListenerSet> listeners_;
  std::unique_ptr<control::Registration> registration_;
  std::unique_ptr<control::Maintenance> maintenance_;
  std::unique_ptr<admin::Admin> admin_;
  std::optional<net::Address> local_app_address_;
  std::unique_ptr<control::EndpointNames> local_app_;
  std::shared_ptr<const data::Snapshot> snapshot_;
  std::vector<std::string> said_warnings_;
  std::string leaf_said_;                 // serial of the leaf that was last warned about
  std::chrono::seconds leaf_said_left_{0};  // what it had left then
  net::Chore publish_;
  net::Timer publish_again_;
  net::Timer end_anyway_;
  bool started_ = false;  // everything wanted has been open once: a bind failure is no longer fatal
  net::Timer tick_;       // leaf expiry
  std::optional<Drain> drain_;
  net::MonotonicTime terminated_at_{};  // the last signal to stop
  bool hurrying_ = false;               // there has been another one
  std::vector<std::unique_ptr<net::Signals>> signals_;
};

}  // namespace mooring::sidecar
