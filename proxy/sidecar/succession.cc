// The process between its predecessor and its successor: who serves, and what passes from one to
// the other. How that is said is handover/offer.h's; an old generation's life is retirement.h's.
//
//   successor    Prepares everything, with the predecessor's sockets, and serves nobody. When it is
//                ready it says so, the predecessor stops accepting, and it begins to serve.
//   serving      The normal state. It feeds old generations, and offers its own place.
//   retired      Its connections end between exchanges. It touches neither the agent's catalog, nor
//                the state directory, nor the admin port.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "proxy/config/environment.h"
#include "proxy/sidecar/sidecar.h"
#include "proxy/version.h"

namespace mooring::sidecar {
namespace {

using handover::Message;
using net::milliseconds;

constexpr milliseconds kReadyWithin{60'000};
// The predecessor says when it has let go of the state directory; this is for one that cannot.
constexpr milliseconds kKeepAnyway{10'000};
// Those before us ask here until they have found the newest. It feeds us meanwhile, so they lose no
// answer that is under way.
constexpr milliseconds kFeedsOn{5'000};
constexpr std::size_t kStandard = 3;

net::UniqueFd Duplicate(int fd) { return net::UniqueFd(fcntl(fd, F_DUPFD_CLOEXEC, 0)); }

// OwnFile is the file that this process runs, which may have been replaced since.
std::string OwnFile() {
  std::array<char, PATH_MAX> path{};
  const ssize_t length = readlink("/proc/self/exe", path.data(), path.size());
  std::string file(path.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
  constexpr std::string_view kDeleted = " (deleted)";
  if (file.ends_with(kDeleted)) file.resize(file.size() - kDeleted.size());
  return file;
}

}  // namespace

void Sidecar::TakePredecessor(handover::Offered offered) {
  handover::Offer& offer = offered.offer;
  role_ = Role::kSuccessor;
  shared_.waits = true;
  generation_ = offer.generation + 1;
  hello_.fields = {
      {"generation", offer.generation}, {"pid", offer.pid}, {"version", offer.version}};
  standard_ = std::move(offer.standard);
  for (handover::Offer::Documents& documents : offer.documents)
    shared_.handed.emplace(std::move(documents.of), std::move(documents.fd));
  predecessor_ = std::make_unique<handover::Channel>(
      loop_, std::move(offered.channel),
      handover::Channel::Callbacks{
          [this](const Message& message) { OnPredecessor(message); },
          [this](const std::string& why) { GiveUpSuccession("the predecessor: " + why); }});
  ready_limit_.Start(kReadyWithin);
}

// FindPlace is for who has not taken over: another process that serves there is another sidecar, or
// was not meant to stay.
Status Sidecar::FindPlace() {
  if (!place_) return Ok();
  const auto there = place_->Connect(handover::kSocket);
  if (!there && there.error().code != ErrorCode::kNotFound) return there.error();
  pid_t pid = 0;
  if (!there || !handover::IsOurs(there->get(), &pid)) return OpenPlace();
  return Invalid("process " + std::to_string(pid) + " serves at the hand-over directory " +
                 settings_.handover_dir +
                 " already: -take-over takes its place; another sidecar wants another directory "
                 "(handover_dir)");
}

// OpenPlace is for who serves from now on.
Status Sidecar::OpenPlace() {
  if (!place_) return Ok();
  auto port = HandoverPort::Open(loop_, log_, *place_, *this);
  if (!port) return port.error();
  if (link_) {
    auto feed = place_->Listen(handover::kFeed);
    if (!feed) return feed.error();
    feeder_ = std::make_unique<control::Feeder>(loop_, *link_, std::move(*feed));
  }
  port_ = std::move(*port);  // the last: whoever finds it finds the other, too
  return Ok();
}

void Sidecar::LookAtSuccession() {
  if (role_ != Role::kSuccessor || told_ready_ || exiting_ || !NotReady().empty()) return;
  told_ready_ = true;
  predecessor_->Send({"ready"});
}

void Sidecar::OnPredecessor(const Message& message) {
  if (role_ != Role::kSuccessor) return;
  if (message.kind == "yours" && told_ready_) Serve();
  if (message.kind == "refused") GiveUpSuccession("the predecessor: " + message.Text("why"));
}

void Sidecar::GiveUpSuccession(const std::string& why) {
  if (role_ != Role::kSuccessor || exiting_) return;
  std::vector<std::string> missing = NotReady();
  if (told_ready_) missing.clear();
  Fatal("cannot take over: " + why, missing);
}

void Sidecar::Serve() {
  ready_limit_.Stop();
  role_ = Role::kServing;
  shared_.waits = false;
  shared_.handed.clear();
  inherited_.UseStore(supervision_.socket());
  // First of all: nobody takes clients at the moment.
  for (const auto& service : services_) service->StartAccepting();
  // From here on what goes to standard error goes where the predecessor's went.
  for (std::size_t i = 0; i < standard_.size() && i < kStandard; ++i)
    (void)dup2(standard_[i].get(), static_cast<int>(i));
  if (!standard_.empty()) {
    log_.MoveTo(STDERR_FILENO);
    if (access_log_) access_log_->Reopen();
  }
  standard_.clear();
  log_.Info("sidecar", "serving in the predecessor's place",
            {{"generation", generation_}, {"predecessor", hello_.Number("pid")}});
  // Before it is said: those whom the predecessor sends on come here at once.
  if (Status opened = OpenPlace(); !opened)
    log_.Err("sidecar", "no successor can take over from this process",
             {{"error", opened.error().message}});
  predecessor_->Send({"serving"});
  ServeAdmin();
  generations_.Add(std::move(predecessor_), hello_);
  keep_state_.Start(kKeepAnyway);
  supervision_.Begin();
  TellManager();
}

void Sidecar::KeepState() {
  keep_state_.Stop();
  for (const auto& service : services_) service->Keep();
}

nlohmann::json Sidecar::About() const {
  // Whoever starts a successor cannot read it in /proc, where no core of this process may be had.
  std::error_code no_folder;
  nlohmann::json about{{"pid", getpid()},
                       {"version", kVersion},
                       {"generation", generation_},
                       {"arguments", settings_.arguments},
                       {"managed", supervision_.there()},
                       {"folder", std::filesystem::current_path(no_folder).string()},
                       {"environment", nlohmann::json::array()},
                       {"file", OwnFile()}};
  for (const auto& [name, value] : config::OwnEnvironment())
    about["environment"].push_back(name + '=' + value);
  struct stat file {};
  if (stat("/proc/self/exe", &file) == 0) {
    about["device"] = file.st_dev;
    about["inode"] = file.st_ino;
    about["size"] = file.st_size;
  }
  return about;
}

nlohmann::json Sidecar::ReloadNow() { return JsonOf(Reload("mooring reload")); }

std::string Sidecar::WhyNoSuccessor() const {
  if (role_ == Role::kRetired) return "this process has been succeeded already";
  if (draining_ || exiting_) return "this process ends";
  return {};
}

handover::Offer Sidecar::MakeOffer() const {
  handover::Offer offer;
  offer.generation = generation_;
  offer.pid = getpid();
  offer.version = kVersion;
  offer.notify_socket = supervision_.environment().notify_socket;
  offer.watchdog_period = supervision_.environment().watchdog_period;
  for (std::size_t i = 0; i < kStandard; ++i)
    offer.standard.push_back(Duplicate(static_cast<int>(i)));
  const auto add = [&offer](const net::Inherited::Socket& socket) {
    offer.sockets.push_back({Duplicate(socket.fd.get()), socket.name});
  };
  for (const auto& service : services_) {
    for (const net::Inherited::Socket* socket : service->Sockets()) add(*socket);
    if (auto documents = service->Documents()) offer.documents.push_back(std::move(*documents));
  }
  for (const AdminPort& port : admin_ports_) add(port.socket);
  return offer;
}

void Sidecar::StopAccepting(std::function<void()> done) {
  const std::shared_ptr<void> last(nullptr, [done = std::move(done)](void*) { done(); });
  for (const auto& service : services_) service->StopAccepting([last] {});
}

void Sidecar::StartAccepting() {
  for (const auto& service : services_) service->StartAccepting();
}

void Sidecar::Retire(pid_t successor, std::unique_ptr<handover::Channel> channel) {
  role_ = Role::kRetired;
  draining_ = true;
  tick_.Stop();
  supervision_.HandTo(successor);
  // Those before us go to the newest by themselves.
  generations_.Tell("moved");
  generations_.Clear();
  port_.reset();
  feeder_end_.Start(kFeedsOn);
  admin_.reset();
  metrics_.reset();
  admin_ports_.clear();
  bool left = true;
  std::vector<data::ServiceHost*> hosts;
  for (const auto& service : services_) {
    left = service->Retire() && left;
    for (data::ServiceHost* host : service->hosts()) hosts.push_back(host);
  }
  // Those that a reload has removed go on with their own drain.
  for (const auto& service : leaving_) {
    for (data::ServiceHost* host : service->hosts()) hosts.push_back(host);
  }
  const Retirement::Limits limits{.spread = settings_.drain_time,
                                  .quiet = settings_.drain_quiet,
                                  .longest = settings_.generation_max,
                                  .drain = settings_.drain_time};
  retirement_ = std::make_unique<Retirement>(
      loop_, log_, *place_, std::move(hosts), limits, Retirement::Self{generation_, kVersion},
      std::move(channel), static_cast<Retirement::Owner&>(*this));
  if (left) retirement_->SayLeft();
  retirement_->Begin();
}

void Sidecar::TakeGeneration(std::unique_ptr<handover::Channel> channel, const Message& hello) {
  generations_.Add(std::move(channel), hello);
}

observe::Counts Sidecar::Counted() const {
  observe::Exposition out(observe::Format::kPrometheus);
  Measure(&out);
  observe::Counts counted = out.Counted();
  // Those who live tell the newest themselves.
  for (const auto& [family, samples] : generations_.carried().Ended()) {
    for (const auto& [sample, value] : samples) counted[family][sample] += value;
  }
  return counted;
}

void Sidecar::FollowFeed(const char* name) {
  if (link_) link_->FollowFeed(place_->PathOf(name));
}

void Sidecar::AskAgent() {
  if (link_) link_->AskAgent();
}

void Sidecar::FeedOthers() {
  if (!link_) return;
  feeder_end_.Stop();
  auto feed = place_->Listen(handover::kOldFeed);
  if (feed) {
    feeder_ = std::make_unique<control::Feeder>(loop_, *link_, std::move(*feed));
  } else {
    log_.Warn("sidecar", "other old generations cannot be fed", {{"error", feed.error().message}});
  }
}

void Sidecar::StopFeeding() {
  place_->Remove(handover::kOldFeed);
  feeder_end_.Start(kFeedsOn);
}

void Sidecar::OnRetired() {
  if (feeder_) place_->Remove(handover::kOldFeed);
  confinement_.SayRefused(log_);  // nothing has looked since it was retired
  Exit(0);
}

void Sidecar::OnGenerationEnd() {
  if (keep_state_.running()) KeepState();
  if (draining_ && AllDrained()) EndDrained();
}

}  // namespace mooring::sidecar
