#include "proxy/sidecar/handover_port.h"

#include <nlohmann/json.hpp>
#include <utility>

namespace mooring::sidecar {
namespace {

using handover::Message;
using net::milliseconds;

constexpr std::size_t kVisitors = 64;
// A successor that waits for the agent may take long; it costs nothing but that no other can come.
constexpr milliseconds kReady{120'000};
constexpr milliseconds kServes{5'000};  // it is ready, and nobody takes clients meanwhile

}  // namespace

Result<std::unique_ptr<HandoverPort>> HandoverPort::Open(net::Loop& loop, log::Log& log,
                                                         const handover::Place& place,
                                                         Owner& owner) {
  auto listening = place.Listen(handover::kSocket);
  if (!listening) return listening.error();
  return std::unique_ptr<HandoverPort>(
      new HandoverPort(loop, log, place, owner, std::move(*listening)));
}

HandoverPort::HandoverPort(net::Loop& loop, log::Log& log, const handover::Place& place,
                           Owner& owner, net::UniqueFd listening)
    : loop_(loop),
      log_(log),
      place_(place),
      owner_(owner),
      late_(loop, [this] { GiveUpSuccessor("it has not become ready in time"); }),
      acceptor_(loop, std::move(listening),
                {.on_accept = [this](net::UniqueFd fd,
                                     const net::SocketAddress&) { Accept(std::move(fd)); },
                 .on_pause = [](int) {},
                 .has_room = [this] { return visitors_.size() < kVisitors; }}) {}

void HandoverPort::LetGo() {
  if (successor_ != nullptr) GiveUpSuccessor("this process ends");
  place_.Remove(handover::kSocket);
}

void HandoverPort::Accept(net::UniqueFd fd) {
  pid_t pid = 0;
  if (!handover::IsOurs(fd.get(), &pid)) {
    log_.WriteRationed(log::Level::kWarn, "sidecar", "another user at the hand-over socket",
                       {"another user", "handover"}, {});
    return;
  }
  Visitor& visitor = visitors_.emplace_back();
  visitor.pid = pid;
  visitor.channel = std::make_unique<handover::Channel>(
      loop_, std::move(fd),
      handover::Channel::Callbacks{
          [this, &visitor](const Message& message) { Take(&visitor, message); },
          [this, &visitor](const std::string& why) { OnEnd(&visitor, why); }});
}

void HandoverPort::Take(Visitor* visitor, const Message& message) {
  if (message.kind == "about") {
    visitor->channel->Send({"about", owner_.About()});
  } else if (message.kind == "reload") {
    visitor->channel->Send({"reloaded", owner_.ReloadNow()});
  } else if (message.kind == "generation") {
    auto channel = std::move(visitor->channel);
    Leave(visitor);
    owner_.TakeGeneration(std::move(channel), message);
  } else if (message.kind == "take_over") {
    OfferPlace(visitor, message);
  } else if (message.kind == "ready" && visitor == successor_ && phase_ == Phase::kOffered) {
    OnReady(visitor);
  } else if (message.kind == "serving" && visitor == successor_ && phase_ == Phase::kYours) {
    OnServing(visitor);
  }
}

void HandoverPort::OfferPlace(Visitor* visitor, const Message& message) {
  std::string why = owner_.WhyNoSuccessor();
  if (why.empty() && successor_ != nullptr)
    why = "process " + std::to_string(successor_->pid) + " is taking over already";
  if (!why.empty()) {
    visitor->channel->Send({"refused", {{"why", why}}});
    return;
  }
  successor_ = visitor;
  phase_ = Phase::kOffered;
  late_.Start(kReady);
  log_.Info("sidecar", "a successor has come; serving until it is ready",
            {{"pid", visitor->pid}, {"version", message.Text("version")}});
  for (Message& part : handover::MessagesOf(owner_.MakeOffer()))
    visitor->channel->Send(std::move(part));
}

void HandoverPort::OnReady(Visitor* visitor) {
  phase_ = Phase::kStopping;
  late_.Start(kServes);
  owner_.StopAccepting([this, visitor, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired() || successor_ != visitor || phase_ != Phase::kStopping) return;
    phase_ = Phase::kYours;
    visitor->channel->Send({"yours"});
  });
}

void HandoverPort::OnServing(Visitor* visitor) {
  late_.Stop();
  successor_ = nullptr;
  phase_ = Phase::kNone;
  const pid_t pid = visitor->pid;
  auto channel = std::move(visitor->channel);
  Leave(visitor);
  owner_.Retire(pid, std::move(channel));
}

void HandoverPort::OnEnd(Visitor* visitor, const std::string& why) {
  if (visitor == successor_) GiveUpSuccessor(why);
  Leave(visitor);
}

void HandoverPort::GiveUpSuccessor(const std::string& why) {
  late_.Stop();
  log_.Warn("sidecar", "the successor does not take over; serving on",
            {{"pid", successor_->pid}, {"reason", why}});
  const bool stopped = phase_ == Phase::kStopping || phase_ == Phase::kYours;
  Visitor* const was = std::exchange(successor_, nullptr);
  phase_ = Phase::kNone;
  if (stopped) owner_.StartAccepting();
  was->channel->Send({"refused", {{"why", why}}});
  Leave(was);
}

void HandoverPort::Leave(Visitor* visitor) {
  loop_.Defer([this, visitor, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired()) return;
    visitors_.remove_if([visitor](const Visitor& one) { return &one == visitor; });
    acceptor_.Resume();
  });
}

}  // namespace mooring::sidecar
