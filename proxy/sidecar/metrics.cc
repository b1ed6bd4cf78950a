// Sidecar::MetricsText: /metrics. What a service says of itself there is service_metrics.cc's.
#include <sys/resource.h>

#include <chrono>

#include "proxy/confine/seccomp.h"
#include "proxy/observe/exposition.h"
#include "proxy/observe/families.h"
#include "proxy/sidecar/memory_limit.h"
#include "proxy/sidecar/sidecar.h"
#include "proxy/version.h"

namespace mooring::sidecar {
namespace {

using observe::Exposition;
namespace family = observe::family;

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

// What the kernel says of the process, by the names that client libraries of Prometheus give it.
void AddProcess(Exposition* out) {
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) == 0)
    out->Add(family::kCpu, {}, Seconds(usage.ru_utime) + Seconds(usage.ru_stime));
  if (const auto resident = ResidentMemory()) out->Add(family::kResident, {}, *resident);
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0)
    out->Add(family::kMaxFiles, {}, static_cast<std::int64_t>(files.rlim_cur));
}

void AddLog(Exposition* out, const log::Log::Report& report) {
  for (std::size_t i = 0; i < log::kLevels; ++i) {
    const char* level = log::LevelName(static_cast<log::Level>(i));
    out->Add(family::kLogDropped, {{"level", level}},
             static_cast<std::int64_t>(report.dropped.of[i]));
  }
  std::int64_t left_out = 0;
  for (const log::LeftOut& topic : report.left_out)
    left_out += static_cast<std::int64_t>(topic.lines);
  out->Add(family::kLogLeftOut, {}, left_out);
}

// What is limited of the process; of a service service_limits.cc has it.
void AddLimits(Exposition* out, data::Admission& admission) {
  const data::Cap& all = *admission.all();
  if (const auto most = all.limit()) {
    const observe::Labels labels{{"limit", "max_total_connections"}};
    out->Add(family::kLimit, labels, *most);
    out->Add(family::kLimitUsed, labels, all.count());
    out->Add(family::kLimitRefused, labels, all.refused());
  }
  if (const data::AddressRate* rate = admission.address_rate()) {
    const observe::Labels labels{{"limit", "rate_per_address"}};
    out->Add(family::kLimit, labels, std::int64_t{rate->rate()});
    out->Add(family::kLimitRefused, labels, rate->refused());
  }
}

double InSeconds(net::milliseconds time) { return std::chrono::duration<double>(time).count(); }

}  // namespace

std::string Sidecar::MetricsText(const std::string& service, observe::Format format) const {
  Exposition out(format, service.empty() ? &generations_.carried() : nullptr);
  if (const Service* one = service.empty() ? nullptr : Find(service)) {
    one->Measure(&out);
    if (settings_.envoy_names) one->MeasureAsEnvoy(&out, /*with_heap=*/true);
    return out.Text();
  }
  Measure(&out);
  return out.Text();
}

void Sidecar::Measure(Exposition* to) const {
  Exposition& out = *to;
  for (const auto& one : services_) one->Measure(&out);
  out.Add(family::kBuild, {{"version", kVersion}}, std::int64_t{1});
  out.Add(family::kStart, {},
          std::chrono::duration<double>(started_wall_.time_since_epoch()).count());
  generations_.Measure(&out);
  AddProcess(&out);
  for (const Confinement::Part& part : confinement_.parts()) {
    out.Add(family::kConfined, {{"part", part.name}}, std::int64_t{part.outcome.holds ? 1 : 0});
  }
  out.Add(family::kRefusedCalls, {}, static_cast<std::int64_t>(confine::RefusedCalls()));
  out.Add(family::kTurnedAway, {}, turned_away_);
  if (admission_) {
    AddLimits(&out, *admission_);
    out.Add(family::kBuffer, {}, static_cast<std::int64_t>(admission_->buffers().kept()));
    out.Add(family::kBufferLimit, {},
            static_cast<std::int64_t>(admission_->limits().buffer_memory));
  }
  if (link_) {
    out.Add(family::kAgentConnections, {}, static_cast<std::int64_t>(link_->connections().open()));
  }
  out.Add(family::kReloads, {{"result", "applied"}}, static_cast<std::int64_t>(reload_.good));
  out.Add(family::kReloads, {{"result", "refused"}}, static_cast<std::int64_t>(reload_.refused));
  out.Add(family::kReloadRefused, {}, std::int64_t{reload_.last && !reload_.last->status ? 1 : 0});
  out.Add(family::kLoopLag, {{"loop", "control"}}, InSeconds(lag_.worst()));
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    const std::string name = "worker-" + std::to_string(i + 1);
    out.Add(family::kLoopLag, {{"loop", name}}, InSeconds(workers_[i]->lag()));
  }
  AddLog(&out, log_.report());
  if (access_log_) {
    out.Add(family::kAccessLogDropped, {},
            static_cast<std::int64_t>(access_log_->dropped() + recorder_->missing()));
  }
  if (settings_.envoy_names) {
    for (const auto& one : services_)
      one->MeasureAsEnvoy(&out, /*with_heap=*/one == services_.front());
  }
}

}  // namespace mooring::sidecar
