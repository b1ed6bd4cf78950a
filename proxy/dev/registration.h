// Registration: the body of PUT /v1/agent/service/register as values, Connect.SidecarService
// spelled out. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "authz/result.h"
#include "proxy/dev/like.h"
#include "proxy/dev/state.h"

namespace mooring::dev {

struct Registration {
  Service service;
  std::vector<Check> checks;
  bool has_sidecar = false;
  Service sidecar;  // its port may be 0: the caller gives it one, then calls SidecarChecks
  std::vector<Check> sidecar_checks;
};

// ParseRegistration's errors are texts of Consul's agent, which answers them with status 400.
Result<Registration> ParseRegistration(std::string_view body, Like like = Like::kCurrent);

// SidecarChecks are the checks of a sidecar that was registered without any: the public port by
// TCP, and the service that it stands before.
std::vector<Check> SidecarChecks(const Service& sidecar);

}  // namespace mooring::dev
