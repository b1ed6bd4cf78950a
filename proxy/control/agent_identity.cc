#include <utility>

#include "authz/text.h"
#include "proxy/control/identity_source.h"
#include "proxy/net/retry_pause.h"
#include "tls/cleanse.h"

namespace mooring::control {
namespace {

using net::milliseconds;

// A leaf that is not good yet (its root has not arrived, our clock is behind) is tried again.
constexpr net::RetryPause::Bounds kRetryLeaf{milliseconds(250), milliseconds(2'000)};

class AgentIdentity final : public IdentitySource {
 public:
  AgentIdentity(net::Loop& loop, log::Log& log, Agent& agent, const std::string& service,
                const tls::Offers& offers, OnChange on_change)
      : loop_(loop),
        log_(log),
        service_(service),
        on_change_(std::move(on_change)),
        roots_(loop, log, agent, RootsOptions(),
               [this](const http::Response& response) { return TakeRoots(response.body); }),
        leaf_(loop, log, agent, LeafOptions(service),
              [this](const http::Response& response) { return TakeLeaf(response.body); }),
        retry_(loop, [this] {
          TryAgain();  // Settle stops it, unless memory runs out before
          Settle(pairing_.SetLeaf(leaf_value_));
        }) {
    (void)pairing_.SetOffers(offers);  // with neither leaf nor roots there is nothing to fail
  }

  void Start() override {
    roots_.Start();
    leaf_.Start();
  }

  void SetOffers(const tls::Offers& offers) override { Settle(pairing_.SetOffers(offers)); }

  void Retire() override {
    retired_ = true;
    leaf_.Stop();
    retry_.Stop();
  }

  std::shared_ptr<const data::Identity> Current() const override { return pairing_.current(); }

  std::string Missing() const override {
    if (pairing_.current()) return {};
    if (!pairing_.has_roots()) return Because("no CA roots yet", roots_);
    if (!pairing_.has_leaf()) return Because("no leaf certificate yet", leaf_);
    return complaint_;
  }

  bool RootsTooOld() const override { return roots_.TooOld(); }
  std::vector<const Watch*> Watches() const override { return {&roots_, &leaf_}; }

 private:
  static Watch::Options RootsOptions() {
    Watch::Options options;
    options.name = "roots";
    options.own = AgentConnections::Own::kRoots;
    options.path = "/v1/agent/connect/ca/roots";
    options.any_token = true;  // open to every one, and to none
    options.rewinds = Watch::Options::Rewinds::kWait;
    return options;
  }

  static Watch::Options LeafOptions(const std::string& service) {
    Watch::Options options;
    options.name = "leaf";
    options.own = AgentConnections::Own::kLeaf;
    options.path = "/v1/agent/connect/ca/leaf/" + authz::PercentEncoded(service);
    options.needs = "service:write on \"" + service + "\"";
    options.secret = true;
    return options;
  }

  static std::string Because(const char* what, const Watch& watch) {
    return watch.state().last_error.empty() ? what
                                            : std::string(what) + ": " + watch.state().last_error;
  }

  Status TakeRoots(const std::string& body) {
    auto document = authz::ParseRoots(body);
    if (!document) return document.error();
    if (document->trust_domain == trust_domain_ && document->pems == root_pems_) return Ok();
    auto bundle = tls::TrustBundle::Make(document->trust_domain, document->pems);
    if (!bundle) return bundle.error();
    trust_domain_ = document->trust_domain;
    root_pems_ = std::move(document->pems);
    log_.Info("control", "CA roots taken up",
              {{"trust_domain", trust_domain_}, {"count", (*bundle)->size()}});
    Settle(pairing_.SetRoots(*bundle));
    return Ok();
  }

  Status TakeLeaf(const std::string& body) {
    auto document = authz::ParseLeaf(body);
    if (!document) return document.error();
    if (document->certificate_pem == certificate_pem_) {
      tls::Cleanse(&document->private_key_pem);
      return Ok();
    }
    auto credentials = tls::Credentials::Make(document->certificate_pem, document->private_key_pem);
    tls::Cleanse(&document->private_key_pem);
    if (!credentials) return credentials.error();
    if ((*credentials)->id().service != service_) {
      return Invalid("the agent's leaf certificate is for " + (*credentials)->id().Uri() +
                     ", not for " + service_);
    }
    certificate_pem_ = document->certificate_pem;
    leaf_value_ = *credentials;
    Settle(pairing_.SetLeaf(leaf_value_));
    return Ok();
  }

  void Settle(const Status& verdict) {
    if (!verdict && retired_) {
      // the roots have moved on, and our last leaf has not: nobody sees it any more
    } else if (!verdict) {
      if (!retry_.running()) TryAgain();
      if (complaint_ != verdict.error().message) {
        log_.Warn("control", "leaf certificate not taken up yet",
                  {{"error", verdict.error().message}});
      }
      complaint_ = verdict.error().message;
    } else {
      complaint_.clear();
      pause_.Succeeded();
      retry_.Stop();
    }
    if (pairing_.current() == announced_) return;
    if (pairing_.current() && (!announced_ || announced_->leaf != pairing_.current()->leaf)) {
      const tls::Credentials& leaf = *pairing_.current()->leaf;
      log_.Info("control", "leaf certificate taken up",
                {{"spiffe_id", leaf.id().Uri()}, {"serial", leaf.serial()}});
    }
    announced_ = pairing_.current();
    on_change_();
  }

  void TryAgain() { retry_.Start(pause_.Failed(kRetryLeaf, loop_.now())); }

  net::Loop& loop_;
  log::Log& log_;
  const std::string service_;
  const OnChange on_change_;
  Pairing pairing_;
  std::shared_ptr<const data::Identity> announced_;
  std::string trust_domain_;
  std::vector<std::string> root_pems_;
  std::string certificate_pem_;
  std::shared_ptr<const tls::Credentials> leaf_value_;
  std::string complaint_;
  bool retired_ = false;
  Watch roots_;
  Watch leaf_;
  net::RetryPause pause_;
  net::Timer retry_;
};

}  // namespace

std::unique_ptr<IdentitySource> MakeAgentIdentity(net::Loop& loop, log::Log& log, Agent& agent,
                                                  std::string service, const tls::Offers& offers,
                                                  IdentitySource::OnChange on_change) {
  return std::make_unique<AgentIdentity>(loop, log, agent, service, offers, std::move(on_change));
}

}  // namespace mooring::control
