// Sidecar: the whole process as one object. It owns what its services share: workers, admin,
// signals; and keeps the order of start and of drain. What one service is made of, is service.h's.
//
// Everything here runs on the control loop, the main thread's.
#pragma once

#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "proxy/admin/admin.h"
#include "proxy/config/file_watch.h"
#include "proxy/config/settings.h"
#include "proxy/control/agent_link.h"
#include "proxy/control/feeder.h"
#include "proxy/data/lister.h"
#include "proxy/data/worker.h"
#include "proxy/handover/offer.h"
#include "proxy/handover/place.h"
#include "proxy/log/log.h"
#include "proxy/net/inherited.h"
#include "proxy/net/lag_meter.h"
#include "proxy/net/loop.h"
#include "proxy/net/resolver.h"
#include "proxy/observe/access_log.h"
#include "proxy/observe/exposition.h"
#include "proxy/observe/recorder.h"
#include "proxy/sidecar/app_end.h"
#include "proxy/sidecar/confinement.h"
#include "proxy/sidecar/generations.h"
#include "proxy/sidecar/handover_port.h"
#include "proxy/sidecar/reload_outcome.h"
#include "proxy/sidecar/retirement.h"
#include "proxy/sidecar/service.h"
#include "proxy/sidecar/supervision.h"

namespace mooring::sidecar {

class Sidecar final : public net::Keeper,
                      public Service::Owner,
                      private HandoverPort::Owner,
                      private Retirement::Owner {
 public:
  // Origin is what the process was given at its start.
  struct Origin {
    net::Inherited inherited;
    std::optional<handover::Place> place;          // where it hands over; absent: nowhere
    std::optional<handover::Offered> predecessor;  // whose place it takes
    Confinement confinement{};                     // what it is held to already
  };
  Sidecar(net::Loop& loop, log::Log& log, config::Settings settings, Origin origin);
  ~Sidecar();
  Sidecar(const Sidecar&) = delete;
  Sidecar& operator=(const Sidecar&) = delete;

  // Run starts everything and serves until a signal or a fatal error of the start; returns the exit
  // code. A fatal error has been printed on standard error, prefix `==> `.
  int Run();

  // Reload reads the file again that the settings are from, and applies what can be applied while
  // the process runs; nothing, if there is a mistake in it. `why` is who asks, for the log.
  ReloadOutcome Reload(const std::string& why);

 private:
  struct Gathering;
  struct Joining {  // a service, while the workers make a place for it
    std::vector<data::ServiceHost*> hosts;
    std::size_t awaited = 0;
  };
  struct Reloads {  // so far
    std::optional<ReloadOutcome> last;
    std::string why;
    std::optional<std::chrono::system_clock::time_point> at;
    std::uint64_t good = 0;
    std::uint64_t refused = 0;
  };

  // The start, in order.
  Status Prepare();
  admin::Admin::Sources AdminSources();
  Status OpenAccounts();
  void OpenAdmin();
  void OpenAdmin(const net::Address& address, admin::Admin::Port port);
  void ServeAdmin();
  Status StartWorkers();
  void SayStart();

  // Service::Owner.
  void OnCannotStart(Service& service, const std::string& message,
                     const std::vector<std::string>& more) override;
  std::string OtherListener(const Service& service, const net::Address& address) const override;
  void OnReadiness(Service&) override { TellManager(); }
  void OnDrained(Service& service) override;
  bool AllDrained() const;
  void EndDrained();  // all are, and no old generation is left

  // OnEscaped: work was cut short, most likely for lack of memory. What was known stays; it is
  // published again a moment later.
  void OnEscaped() noexcept override;
  void Tick();

  // Find is the service of that name, or null. A name that fits several, as that of a service with
  // two proxies here, fits none.
  const Service* Find(const std::string& name) const;
  std::vector<std::string> NotReady() const;
  std::vector<std::string> Degraded() const;
  std::vector<std::string> AgentDegraded() const;  // what all services have to do with
  // StatusJson is of one service, or of all and the process, if `service` is empty.
  std::string StatusJson(const std::string& service) const;
  // BriefJson has the whole process in short, and one service: the first, if `service` is empty.
  std::string BriefJson(const std::string& service, const admin::Slice& upstreams) const;
  // The lists are of one service, or of all; `done` is called at once or later.
  void ListConnections(const std::string& service, const admin::Slice& slice,
                       admin::Admin::Sources::Done done) const;
  void ListTraffic(const std::string& service, const admin::Slice& slice,
                   admin::Admin::Sources::Done done) const;
  std::string TrafficJson(const std::string& service, const admin::Slice& slice) const;
  std::vector<const Service*> Asked(const std::string& service) const;
  // AskHosts has every connection asked for `wanted`, and goes on with `then`, unless that fails.
  void AskHosts(const std::string& service, const data::Wanted& wanted,
                const admin::Admin::Sources::Done& done,
                std::function<void(const Gathering&)> then) const;
  std::string MetricsText(const std::string& service, observe::Format format) const;
  Result<std::string> RecentJson(const std::string& service, const admin::Slice& slice) const;
  std::string AdmissionJson() const;
  // Why calls `done` with what would become of a connection, as JSON; Consul may be asked first.
  void Why(const std::string& source, const std::string& destination,
           admin::Admin::Sources::Done done);
  // Tap is /tap (tap.cc); one at a time.
  struct Tapping;
  void Tap(admin::Admin::TapRequest asked, admin::Admin::DocumentDone done);
  void OnTapAnswer(const data::ConnectionView* view);
  void LookAtTap();
  void EndTap();
  void AskConsul(const Service& service, const std::shared_ptr<nlohmann::json>& out,
                 admin::Admin::Sources::Done done);
  // Of says which service a reason is of, where there are several.
  std::string Of(const Service& service, const std::string& reason) const;

  // A reload, in order (reload.cc).
  ReloadOutcome TakeUp(Result<config::Settings> file);
  ReloadOutcome Compare(const config::Settings& file) const;  // what TakeUp would do
  config::Within Within() const;
  // PrepareFor makes what `next` needs and we have not. An error is that it cannot be made.
  Status PrepareFor(const config::Settings& next);
  Status PrepareAccessLog(const config::AccessLogSettings& next);
  void SwitchAccessLog();
  void Apply();                                       // the settings in force
  std::size_t PlaceOf(const Service& service) const;  // in the settings
  log::Log& NewLog(const std::string& service);
  void Engage(const config::ServiceSettings& settings);
  // EngageOn has one worker make a place for it; where there is no memory, again a second later.
  void EngageOn(data::Worker& worker, Service& service, const std::shared_ptr<Joining>& joining);
  void OnJoined(Service& service, std::vector<data::ServiceHost*> hosts);
  void Dismiss(std::unique_ptr<Service> service);
  void Forget(Service& service);
  void Bury();
  data::Worker* WorkerOf(data::ServiceHost& host) const;
  void NoteReload(const std::string& why, const ReloadOutcome& outcome);
  nlohmann::json ReloadJson() const;
  // DiffJson is the outcome that a reload by this text would have, as far as the text decides it.
  Result<std::string> DiffJson(const std::string& file, const std::string& text) const;
  void WatchFile();
  data::Limits LimitsInForce() const;

  // The end, in order.
  void OnTerminate();
  void BeginDrain();
  // End is the part of both that is done once, and before the loop stops. False: it has been.
  bool End(int code);
  void Exit(int code);
  // one line, and lines below it
  void Fatal(const std::string& message, const std::vector<std::string>& more = {}, int code = 1);
  void CloseStores();
  // CloseAccounts writes what connections have reported, within a second or so.
  void CloseAccounts() noexcept;

  // From one process to the next (succession.cc).
  enum class Role {
    kSuccessor,  // a predecessor serves until this one is ready
    kServing,
    kRetired,  // a successor serves
  };
  void TakePredecessor(handover::Offered offered);
  Status FindPlace();
  Status OpenPlace();
  void LookAtSuccession();
  void OnPredecessor(const handover::Message& message);
  void GiveUpSuccession(const std::string& why);
  void Serve();
  void KeepState();
  void OnGenerationEnd();
  nlohmann::json About() const override;
  nlohmann::json ReloadNow() override;
  std::string WhyNoSuccessor() const override;
  handover::Offer MakeOffer() const override;
  void StopAccepting(std::function<void()> done) override;
  void StartAccepting() override;
  void Retire(pid_t successor, std::unique_ptr<handover::Channel> channel) override;
  void TakeGeneration(std::unique_ptr<handover::Channel> channel,
                      const handover::Message& hello) override;
  observe::Counts Counted() const override;
  void FollowFeed(const char* name) override;
  void AskAgent() override;
  void FeedOthers() override;
  void StopFeeding() override;
  void ReopenLogs() override;
  void OnRetired() override;
  // Measure is what this process says of itself in a scrape; the old generations' is not in it.
  void Measure(observe::Exposition* out) const;

  void TellManager();  // how we are
  bool WorkersTurn(net::milliseconds within) const;
  void OnHangup();
  void SayAccessLog();  // what is missing there
  void SayLeft();       // which inherited socket nobody wants
  // TurnAway has nobody wait any longer where no listener is, nor can be for now.
  void TurnAway();

  net::Loop& loop_;
  log::Log& log_;
  config::Settings settings_;  // in force; a reload replaces them
  bool reloaded_ = false;      // there has been one: nothing ends the process any more
  Reloads reload_;
  config::FileWatch file_watch_;
  net::Inherited inherited_;
  const Confinement confinement_;
  bool draining_ = false;
  bool left_said_ = false;
  std::int64_t turned_away_ = 0;  // connections, at inherited sockets
  bool exiting_ = false;
  int exit_code_ = 0;
  const net::MonotonicTime started_at_;
  const std::chrono::system_clock::time_point started_wall_ = std::chrono::system_clock::now();

  Service::Shared shared_{loop_,           settings_, inherited_,   nullptr, nullptr, started_at_,
                          /*waits=*/false, {},        &confinement_};
  std::unique_ptr<net::Resolver> resolver_;
  std::shared_ptr<data::Admission> admission_;
  std::vector<std::unique_ptr<log::Log>> service_logs_;
  std::unique_ptr<observe::AccessLog> access_log_;  // null: there is none
  // a reload has opened it; none: it stays as it is
  std::optional<std::unique_ptr<observe::AccessLog>> next_access_log_;
  std::unique_ptr<observe::Recorder> recorder_;         // null until Prepare; outlives the workers
  std::vector<std::unique_ptr<data::Worker>> workers_;  // end before what their services log to
  std::unique_ptr<control::AgentLink> link_;            // null where no service needs the agent
  std::shared_ptr<Tapping> tapping_;                    // null: none is under way
  std::list<std::unique_ptr<control::Asker>> why_;      // what Consul is asked for /why
  // end before the workers, and before the link
  std::vector<std::unique_ptr<Service>> services_;
  std::list<std::unique_ptr<Service>> leaving_;  // that a reload has removed
  std::vector<std::function<void()>> again_;     // what there was no memory for; at the next Tick
  std::vector<Service*> gone_;                   // of them, those whom no worker has any more
  std::unique_ptr<admin::Admin> admin_, metrics_;
  struct AdminPort {
    admin::Admin::Port what;
    net::Inherited::Socket socket;
  };
  std::vector<AdminPort> admin_ports_;  // open, and served once this process serves

  Role role_ = Role::kServing;
  std::int64_t generation_ = 1;
  const std::optional<handover::Place> place_;
  std::unique_ptr<handover::Channel> predecessor_;  // null: this process is its own beginning
  handover::Message hello_;                         // of the predecessor, as a generation
  std::vector<net::UniqueFd> standard_;             // its standard input, output and error
  bool told_ready_ = false;
  net::Timer ready_limit_;
  std::unique_ptr<HandoverPort> port_;
  std::unique_ptr<control::Feeder> feeder_;
  net::Timer feeder_end_;
  Generations generations_;
  net::Timer keep_state_;
  std::unique_ptr<Retirement> retirement_;
  // for connections that are being answered
  const std::shared_ptr<std::size_t> questions_ = std::make_shared<std::size_t>(0);
  net::Timer tick_;
  net::LagMeter lag_{loop_};
  Supervision supervision_;
  net::Timer end_anyway_;
  std::optional<AppEnd> app_end_;       // in a drain that waits for it
  net::MonotonicTime terminated_at_{};  // the last signal to stop
  bool hurrying_ = false;               // there has been another one
  std::vector<std::unique_ptr<net::Signals>> signals_;
};

}  // namespace mooring::sidecar
