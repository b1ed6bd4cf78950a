// Link: one connection of the load generator, plain or with mutual TLS, and how its mode hears of
// it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "authz/spiffe.h"
#include "bench/event_loop.h"
#include "bench/leftover.h"
#include "tls/context.h"
#include "tls/session.h"

namespace mooring::bench {

// Negotiated is what the TLS handshakes came to: parameters of the first, and how many were
// resumed.
struct Negotiated {
  std::string version, cipher, group;
  std::uint64_t handshakes = 0, resumed = 0;
};

// Target is where links go, and who they are there.
struct Target {
  int port = 0;
  std::shared_ptr<const tls::Context> context;  // null: plain TCP
  authz::ServiceId expected;                    // of the server, with TLS
  // names the server's tickets; empty: every handshake is a full one
  std::string resume_at;
  Negotiated negotiated;
  std::string last_failure;
};

class Link;

class LinkUser {
 public:
  LinkUser() = default;
  virtual ~LinkUser() = default;
  LinkUser(const LinkUser&) = delete;
  LinkUser& operator=(const LinkUser&) = delete;

  virtual void OnOpen(Link& link) = 0;  // connected, and the handshake done
  virtual void OnBytes(Link& link, std::span<const std::uint8_t> bytes) = 0;
  virtual void OnRoom(Link& /*link*/) {}  // asked for by WantRoom
  // failed, or ended by the other side; comes at most once, and last
  virtual void OnLost(Link& link) = 0;
};

class Link final : public Handler {
 public:
  // A link that cannot even be dialled says so by Dialled(), not by OnLost.
  Link(EventLoop& loop, Target& target, LinkUser& user, std::size_t slot);
  ~Link() override;

  bool Dialled() const { return fd_ >= 0; }
  std::size_t slot() const { return slot_; }

  // Offer sends what the kernel takes at once, or with TLS all or nothing; it answers how much that
  // was.
  std::size_t Offer(std::span<const std::uint8_t> bytes);
  // Send sends all, later if need be.
  void Send(std::span<const std::uint8_t> bytes);
  // WantRoom asks for OnRoom whenever something can be sent.
  void WantRoom();
  // Close ends the link in good order, and without OnLost.
  void Close();
  // Slim gives memory back that an idle link does not need.
  void Slim() { out_.Free(); }

  void OnEvents(std::uint32_t events) override;

 private:
  enum class Stage { kConnecting, kHandshake, kOpen, kOver };

  void Connected();
  void Receive();
  void ContinueHandshake(tls::Wire& wire);
  void CountHandshake();
  void Decrypt(tls::Wire& wire);
  void Watch();
  void Lost(const std::string& why);

  EventLoop& loop_;
  Target& target_;
  LinkUser& user_;
  const std::size_t slot_;
  int fd_;
  Stage stage_ = Stage::kConnecting;
  bool wants_room_ = false;
  std::uint32_t watched_ = EPOLLOUT;
  std::unique_ptr<tls::Session> session_;
  Leftover out_;
};

}  // namespace mooring::bench
