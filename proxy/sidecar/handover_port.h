// HandoverPort: where the process that serves is found by its successor, by old generations and by
// `mooring reload`; all of them our own user's.
//
//   about               -> about {pid, version, generation, arguments, ...}
//   reload              -> reloaded {...}             reload.h
//   generation {...}       an old generation wants to be fed (generations.h)
//   take_over {...}     -> offer, ...                 handover/offer.h
//
// One successor at a time. Until it serves, its end or its silence leaves us serving as before.
// Control loop only.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "proxy/handover/channel.h"
#include "proxy/handover/offer.h"
#include "proxy/handover/place.h"
#include "proxy/log/log.h"
#include "proxy/net/listener.h"
#include "proxy/net/loop.h"

namespace mooring::sidecar {

class HandoverPort final {
 public:
  class Owner {
   public:
    virtual nlohmann::json About() const = 0;
    virtual nlohmann::json ReloadNow() = 0;
    // WhyNoSuccessor is why none can be had now; empty: one can.
    virtual std::string WhyNoSuccessor() const = 0;
    virtual handover::Offer MakeOffer() const = 0;
    // StopAccepting leaves the sockets as they are, and calls `done` once nobody takes clients any
    // more. StartAccepting undoes it.
    virtual void StopAccepting(std::function<void()> done) = 0;
    virtual void StartAccepting() = 0;
    // Retire: the successor serves. It may destroy the port.
    virtual void Retire(pid_t successor, std::unique_ptr<handover::Channel> channel) = 0;
    virtual void TakeGeneration(std::unique_ptr<handover::Channel> channel,
                                const handover::Message& hello) = 0;

   protected:
    ~Owner() = default;
  };

  // Open listens at the place, whoever has done so before. The place outlives the port.
  static Result<std::unique_ptr<HandoverPort>> Open(net::Loop& loop, log::Log& log,
                                                    const handover::Place& place, Owner& owner);
  HandoverPort(const HandoverPort&) = delete;
  HandoverPort& operator=(const HandoverPort&) = delete;

  bool HasSuccessor() const { return successor_ != nullptr; }  // one is taking over
  // LetGo takes the name away, so that nobody comes any more; a successor under way is given up.
  void LetGo();

 private:
  // Phase is how far the successor has come.
  enum class Phase { kNone, kOffered, kStopping, kYours };
  struct Visitor {
    pid_t pid = 0;
    std::unique_ptr<handover::Channel> channel;
  };

  HandoverPort(net::Loop& loop, log::Log& log, const handover::Place& place, Owner& owner,
               net::UniqueFd listening);
  void Accept(net::UniqueFd fd);
  void Take(Visitor* visitor, const handover::Message& message);
  void OfferPlace(Visitor* visitor, const handover::Message& message);
  void OnReady(Visitor* visitor);
  void OnServing(Visitor* visitor);
  void OnEnd(Visitor* visitor, const std::string& why);
  void GiveUpSuccessor(const std::string& why);
  // Leave has the visitor gone after the event; its channel may be somebody else's by then.
  void Leave(Visitor* visitor);

  net::Loop& loop_;
  log::Log& log_;
  const handover::Place& place_;
  Owner& owner_;
  std::list<Visitor> visitors_;
  Visitor* successor_ = nullptr;
  Phase phase_ = Phase::kNone;
  net::Timer late_;  // the successor
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  net::Acceptor acceptor_;
};

}  // namespace mooring::sidecar
