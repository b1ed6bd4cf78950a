// Probes: the probes that are under way on one worker for one service.
//
// A probe is nobody's connection. What escapes from one, a shortage of memory most often, ends all
// of them here; what they were to find out is asked again by the next. Owned by a Host; its loop's
// thread.
#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <optional>

#include "proxy/data/host.h"
#include "proxy/data/probe.h"
#include "proxy/data/upstream.h"
#include "proxy/net/loop.h"

namespace mooring::data {

class Probes final : public Probe::Owner, public net::Keeper {
 public:
  static constexpr std::size_t kMost = 32;

  // Host must outlive it.
  explicit Probes(Host& host) : host_(host) {}
  Probes(const Probes&) = delete;
  Probes& operator=(const Probes&) = delete;

  // BeginDue tries the ejected endpoint that is due there, BeginRegular the one whose
  // probe_interval is over. False: none is, or kMost are under way. The result goes to the
  // upstream.
  bool BeginDue(const std::shared_ptr<Upstream>& upstream) noexcept {
    return Begin(upstream, &Upstream::DueProbe);
  }
  bool BeginRegular(const std::shared_ptr<Upstream>& upstream) noexcept {
    return Begin(upstream, &Upstream::DueRegularly);
  }
  // End gives up those under way.
  void End() noexcept { under_way_.clear(); }

 private:
  bool Begin(const std::shared_ptr<Upstream>& upstream,
             std::optional<Lease> (Upstream::*due)(net::MonotonicTime now)) noexcept;
  void OnOver(Probe& probe) override;
  void OnEscaped() noexcept override;

  Host& host_;
  std::list<Probe> under_way_;
};

}  // namespace mooring::data
