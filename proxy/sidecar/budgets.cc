// What connections may hold: found at the start, said in the log, shown in /status. And the
// workers, who share it.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "proxy/control/connection_budget.h"
#include "proxy/data/admission.h"
#include "proxy/sidecar/memory_limit.h"
#include "proxy/sidecar/sidecar.h"

namespace mooring::sidecar {
namespace {

std::string MiB(std::size_t bytes) { return std::to_string(bytes >> 20) + "MiB"; }

MemoryLimit LimitOf(const config::Settings& settings) {
  if (settings.memory_limit) return {*settings.memory_limit, "memory_limit"};
  return FindMemoryLimit();
}

data::Limits LimitsOf(const config::Settings& settings, std::size_t memory) {
  // Nobody says how much there is: the kernel alone limits.
  data::Limits limits =
      memory == 0 ? data::Limits::None() : data::Limits::FromMemory(memory, settings.workers);
  if (settings.handshake_memory) {
    limits.handshake_memory = std::min(*settings.handshake_memory, limits.memory);
    limits.handshakes = std::max<std::size_t>(limits.handshake_memory / data::kHandshakeCost, 1);
  }
  if (settings.max_handshakes) limits.handshakes = *settings.max_handshakes;
  if (settings.buffer_memory)
    limits.buffer_memory = std::min(*settings.buffer_memory, limits.memory);
  limits.connections = settings.max_total_connections;
  limits.rate_per_address = settings.rate_per_address;
  limits.burst_per_address = settings.burst_per_address;
  limits.agent_connections = control::ConnectionBudget::Limit(
      settings.agent.max_connections, static_cast<unsigned>(settings.services.size()));
  return limits;
}

}  // namespace

data::Limits Sidecar::LimitsInForce() const {
  return LimitsOf(settings_, LimitOf(settings_).bytes);
}

// StartWorkers is content with fewer than configured, but not with none.
Status Sidecar::StartWorkers() {
  const MemoryLimit memory = LimitOf(settings_);
  const data::Limits limits = LimitsOf(settings_, memory.bytes);
  admission_ = std::make_shared<data::Admission>(limits, settings_.workers);
  log_.Info("sidecar", "memory",
            {{"limit", memory.bytes == 0 ? "unknown" : MiB(memory.bytes)},
             {"from", memory.source},
             {"connections_at_once", limits.memory / data::kConnectionCost},
             {"handshakes_at_once", limits.handshakes},
             {"handshake_memory", MiB(limits.handshake_memory)},
             {"buffer_memory", MiB(limits.buffer_memory)}});
  // With a listener of either direction: the rest is not known yet.
  const auto files = static_cast<std::int64_t>(net::FileLimit());
  const data::Shares shares =
      data::Shares::Of(files, settings_.workers, 1, 1, limits.agent_connections);
  log_.Info("sidecar", "open files",
            {{"limit", files},
             {"connections_at_once", (files - shares.reserved) / data::kDescriptorsEach},
             {"of_one_direction", shares.inbound / data::kDescriptorsEach},
             {"reserved", shares.reserved}});
  for (unsigned i = 0; i < settings_.workers; ++i) {
    try {
      auto worker = std::make_unique<data::Worker>(admission_);
      for (const auto& service : services_)
        worker->AddService(service->log(),
                           {service->traffic(), recorder_->reports(), service->number()});
      worker->Start();
      workers_.push_back(std::move(worker));
    } catch (const std::system_error& error) {
      if (workers_.empty()) return Error{ErrorCode::kUnavailable, net::Explain(error)};
      log_.Warn("sidecar", "fewer workers than configured",
                {{"workers", workers_.size()},
                 {"configured", settings_.workers},
                 {"error", net::Explain(error)}});
      break;
    }
  }
  return Ok();
}

std::string Sidecar::AdmissionJson() const {
  const data::Limits limits = admission_->limits();
  const data::Shares shares = admission_->shares();
  std::int64_t shed = 0;
  for (const auto& service : services_) shed += service->HandshakesShed();
  const auto descriptors = [this](data::ListenerKind kind) {
    return admission_->connections(kind) * data::kDescriptorsEach;
  };
  const data::Cap& all = *admission_->all();
  nlohmann::json connections{{"limit", nullptr}, {"open", all.count()}, {"refused", all.refused()}};
  if (const auto most = all.limit()) connections["limit"] = *most;
  nlohmann::json rate;
  if (const data::AddressRate* each = admission_->address_rate()) {
    rate = {{"a_second", each->rate()},
            {"burst", each->burst()},
            {"addresses", each->remembered()},
            {"refused", each->refused()}};
  }
  return nlohmann::json{
      {"connections", connections},
      {"rate_per_address", rate},
      {"memory", {{"limit", limits.memory}, {"connection", data::kConnectionCost}}},
      {"buffers", {{"limit", limits.buffer_memory}, {"held", admission_->buffers().kept()}}},
      {"handshakes",
       {{"limit", limits.handshakes},
        {"under_way", admission_->handshakes()},
        {"memory_limit", limits.handshake_memory},
        {"held", admission_->handshake_bytes()},
        {"ended_to_make_room", shed}}},
      {"descriptors",
       {{"reserved", shares.reserved},
        {"inbound",
         {{"share", shares.inbound}, {"held", descriptors(data::ListenerKind::kPublic)}}},
        {"outbound",
         {{"share", shares.outbound}, {"held", descriptors(data::ListenerKind::kUpstream)}}}}}}
      .dump();
}

}  // namespace mooring::sidecar
