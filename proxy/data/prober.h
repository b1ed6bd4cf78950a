// Prober: tries the endpoints of those upstreams that ask for it (UpstreamRules::probe_interval),
// whether anybody calls or not.
//
// All workers look; an endpoint is tried by the one that is the first to find it due. Where no
// upstream asks for it, nothing runs. Owned by a Host; its loop's thread.
#pragma once

#include "proxy/data/host.h"
#include "proxy/data/probes.h"
#include "proxy/net/loop.h"

namespace mooring::data {

class Prober final {
 public:
  // Host and probes must outlive it.
  Prober(Host& host, Probes& probes);
  Prober(const Prober&) = delete;
  Prober& operator=(const Prober&) = delete;

  // Follow looks whether the newest snapshot has an upstream that asks for it.
  void Follow();
  bool running() const { return look_.running(); }
  void Stop() { look_.Stop(); }

 private:
  void Look();

  Host& host_;
  Probes& probes_;
  net::Timer look_;
};

}  // namespace mooring::data
