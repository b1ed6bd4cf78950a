// IdentitySource: where our leaf certificate and the roots come from, the agent or files, as one
// matching set.
//
// Roots take effect as soon as they are known to be whole: holding a removed root would admit whom
// it should not. A new leaf takes effect only once the roots in force believe it; until then the
// old one stays, as it does when a pair does not match. Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "authz/consul/api.h"
#include "proxy/config/settings.h"
#include "proxy/control/agent.h"
#include "proxy/control/watch.h"
#include "proxy/data/snapshot.h"
#include "tls/offer.h"

namespace mooring::control {

class IdentitySource {
 public:
  using OnChange = std::function<void()>;
  virtual ~IdentitySource() = default;
  virtual void Start() = 0;
  // SetOffers says what contexts made from now on offer; those in force are made anew at once, of
  // the same leaf and roots.
  virtual void SetOffers(const tls::Offers& offers) = 0;
  // Retire is for an old generation: it proves itself to nobody new, so no leaf is asked for any
  // more. Roots are still followed.
  virtual void Retire() = 0;
  // Current is null until leaf and roots are in.
  virtual std::shared_ptr<const data::Identity> Current() const = 0;
  // Missing says what is still missing, for /ready; empty when Current is not null.
  virtual std::string Missing() const = 0;
  // older than max_stale: nobody new may be believed
  virtual bool RootsTooOld() const { return false; }
  virtual std::vector<const Watch*> Watches() const { return {}; }
};

// Pairing puts a leaf and roots together by the rule above; shared by both sources.
class Pairing final {
 public:
  // Each returns an error if the pair is not (or not yet) good; the set in force is then what it
  // was.
  Status SetRoots(std::shared_ptr<const tls::TrustBundle> roots);
  Status SetLeaf(std::shared_ptr<const tls::Credentials> leaf);
  Status SetOffers(const tls::Offers& offers);
  const std::shared_ptr<const data::Identity>& current() const { return current_; }
  bool has_roots() const { return roots_ != nullptr; }
  bool has_leaf() const { return newest_leaf_ != nullptr; }

 private:
  Status Combine();

  std::shared_ptr<const tls::TrustBundle> roots_;
  std::shared_ptr<const tls::Credentials> newest_leaf_;
  tls::Offers offers_;
  std::shared_ptr<const data::Identity> current_;
};

// AgentIdentity watches /v1/agent/connect/ca/roots and .../leaf/<service>.
std::unique_ptr<IdentitySource> MakeAgentIdentity(net::Loop& loop, log::Log& log, Agent& agent,
                                                  std::string service, const tls::Offers& offers,
                                                  IdentitySource::OnChange on_change);

// FileIdentitySource reads three PEM files and looks at them again every second. `trust domain` is
// the leaf's.
std::unique_ptr<IdentitySource> MakeFileIdentity(net::Loop& loop, log::Log& log,
                                                 config::FileIdentity files,
                                                 const tls::Offers& offers,
                                                 IdentitySource::OnChange on_change);

// CheckFileIdentity reads the files once, for `mooring validate` and the start: the error names the
// file.
Status CheckFileIdentity(const config::FileIdentity& files);

}  // namespace mooring::control
