// A host for what a connection is made of, without a worker.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "proxy/data/host.h"
#include "proxy/data/probes.h"

namespace mooring::test {

// EndpointsAt are endpoints at these addresses that have to prove to be `identity`. They have no
// histories yet.
inline std::vector<data::Endpoint> EndpointsAt(
    const std::vector<net::SocketAddress>& addresses,
    const std::shared_ptr<const authz::ServiceId>& identity) {
  std::vector<data::Endpoint> endpoints;
  for (const net::SocketAddress& address : addresses) {
    data::Endpoint endpoint;
    endpoint.address = address;
    endpoint.identity = identity;
    endpoints.push_back(std::move(endpoint));
  }
  return endpoints;
}

class FakeHost : public data::Host {
 public:
  virtual ~FakeHost() = default;
  net::Loop& loop() override { return loop_; }
  const std::shared_ptr<const data::Snapshot>& snapshot() const override { return snapshot_; }
  log::Log& log() override { return log_; }
  net::MemoryMeter& buffers() override { return buffers_; }
  data::DirectionStats& counters(data::ListenerKind kind) override {
    return kind == data::ListenerKind::kPublic ? stats_.inbound : stats_.outbound;
  }
  data::Traffic& traffic() override { return traffic_; }
  data::Probes& probes() override { return probes_; }
  std::shared_ptr<data::Upstream> UpstreamOf(const std::string&) override { return nullptr; }
  void HandshakeHolds(data::Connection*, std::size_t) override {}
  void Proven(data::Connection*) noexcept override {}
  void NoteLife(data::Report::What what, data::Record*) noexcept override { lived.push_back(what); }
  void Retire(data::Connection*) noexcept override {}
  void StrangerLog(data::CloseReason reason, log::Level, log::Literal, std::string_view,
                   log::Fields) override {
    said.push_back(reason);
  }

  void Know(std::shared_ptr<const data::Snapshot> snapshot) { snapshot_ = std::move(snapshot); }
  void Know(const data::LivePolicy& live) {
    auto snapshot = std::make_shared<data::Snapshot>();
    snapshot->live = live;
    snapshot_ = std::move(snapshot);
  }

  std::vector<data::CloseReason> said;  // the reasons of StrangerLog
  std::vector<data::Report::What> lived;

 private:
  net::Loop loop_;
  net::MemoryMeter buffers_{1U << 30U};
  log::Log log_{log::Level::kError, /*json=*/false};
  data::ServiceStats stats_;
  data::Traffic traffic_;
  data::Probes probes_{*this};
  std::shared_ptr<const data::Snapshot> snapshot_;
};

}  // namespace mooring::test
