#include "proxy/control/service_defaults.h"

#include <utility>

#include "authz/consul/api.h"
#include "authz/text.h"

namespace mooring::control {
namespace {

constexpr net::milliseconds kPoll{300'000};

Watch::Options WatchOptions(const std::string& service) {
  Watch::Options options;
  options.name = "service_defaults";
  options.path = "/v1/config/service-defaults/" + authz::PercentEncoded(service);
  options.blocking = Watch::Blocking::kNone;
  options.poll_interval = kPoll;
  options.keep = false;
  options.needs = "service:read on \"" + service + "\"";
  options.is_absent = [](const http::Response& response) {
    return response.status == 404 || response.status == 403;
  };
  return options;
}

}  // namespace

ServiceDefaults::ServiceDefaults(net::Loop& loop, log::Log& log, Agent& agent, std::string service)
    : log_(log),
      service_(std::move(service)),
      watch_(loop, log, agent, WatchOptions(service_),
             [this](const http::Response& response) { return Take(response); }) {}

Status ServiceDefaults::Take(const http::Response& response) {
  const auto mode = authz::ParseMutualTlsMode(response.body);
  if (!mode) return mode.error();
  const bool was_permissive = std::exchange(permissive_, *mode == "permissive");
  if (permissive_ && !was_permissive) {
    log_.Warn("config", "configuration",
              {{"warning",
                "service-defaults " + service_ +
                    ": MutualTLSMode permissive is not obeyed; callers without TLS are refused"}});
  }
  return Ok();
}

}  // namespace mooring::control
