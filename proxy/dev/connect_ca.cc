#include "proxy/dev/connect_ca.h"

#include <algorithm>
#include <utility>

#include "authz/rfc3339.h"
#include "proxy/dev/identifier.h"

namespace mooring::dev {
namespace {

// A leaf whose renewal fails is tried again after this; it has a third of its life left.
constexpr net::milliseconds kRetry{5'000};
// The issuer backdates leafs by a minute (see tls/issuer.h) and its roots live for ten years.
constexpr std::chrono::hours kRootLifetime{10 * 365 * 24};
// Any local program may ask for any name; this bounds what that can pile up.
constexpr std::size_t kMaxLeaves = 10'000;

}  // namespace

Result<std::unique_ptr<ConnectCa>> ConnectCa::Make(net::Loop& loop, Index& index,
                                                   std::string datacenter,
                                                   std::chrono::seconds leaf_lifetime, Like like,
                                                   std::function<void()> on_change) {
  auto issuer = tls::Issuer::Make(NewUuid() + ".consul");
  if (!issuer) return issuer.error();
  return std::unique_ptr<ConnectCa>(new ConnectCa(loop, index, *std::move(issuer),
                                                  std::move(datacenter), leaf_lifetime, like,
                                                  std::move(on_change)));
}

ConnectCa::ConnectCa(net::Loop& loop, Index& index, std::unique_ptr<tls::Issuer> issuer,
                     std::string datacenter, std::chrono::seconds leaf_lifetime, Like like,
                     std::function<void()> on_change)
    : loop_(loop),
      index_(index),
      issuer_(std::move(issuer)),
      datacenter_(std::move(datacenter)),
      leaf_lifetime_(leaf_lifetime),
      like_(like),
      on_change_(std::move(on_change)),
      roots_index_(index.Next()),
      made_at_(std::chrono::system_clock::now()),
      renewal_(loop, [this] { OnTimer(); }) {}

Json ConnectCa::RootsDocument() const {
  const std::string& domain = trust_domain();
  const Json root = {{"ID", issuer_->root_id()},
                     {"Name", "Mooring dev CA Root Cert"},
                     {"SerialNumber", 1},
                     {"SigningKeyID", issuer_->root_id()},
                     {"ExternalTrustDomain", domain.substr(0, domain.find('.'))},
                     {"NotBefore", authz::Rfc3339(made_at_)},
                     {"NotAfter", authz::Rfc3339(made_at_ + kRootLifetime)},
                     {"RootCert", issuer_->root_pem()},
                     {"IntermediateCerts", nullptr},
                     {"Active", true},
                     {"PrivateKeyType", "ec"},
                     {"PrivateKeyBits", 256},
                     {"CreateIndex", roots_index_},
                     {"ModifyIndex", roots_index_}};
  return {{"ActiveRootID", issuer_->root_id()},
          {"TrustDomain", domain},
          {"Roots", Json::array({root})}};
}

authz::ServiceId ConnectCa::IdOf(const std::string& service) const {
  return {.trust_domain = trust_domain(),
          .partition = "",
          .ns = "default",
          .datacenter = datacenter_,
          .service = service};
}

Status ConnectCa::EnsureLeaf(const std::string& service) {
  if (leaves_.contains(service)) return Ok();
  if (!authz::IsPathSegment(service)) {
    return Invalid(
        "\"" + service +
        "\" cannot be a service name in a SPIFFE ID: use letters, digits, '.', '-' and '_'");
  }
  if (leaves_.size() >= kMaxLeaves) {
    return Error{ErrorCode::kUnavailable, "mooring dev keeps no more than 10000 leaf certificates"};
  }
  Status renewed = Renew(service);
  if (renewed) StartTimer();
  return renewed;
}

Status ConnectCa::Renew(const std::string& service) {
  auto issued =
      issuer_->Issue(IdOf(service), leaf_lifetime_,
                     like_ == Like::kOld ? tls::LeafName::kCommonName : tls::LeafName::kSanOnly);
  if (!issued) return issued.error();
  Leaf& leaf = leaves_[service];
  leaf.issued = *std::move(issued);
  leaf.modify_index = index_.Next();
  if (leaf.create_index == 0) leaf.create_index = leaf.modify_index;
  leaf.renew_at = loop_.now() + std::chrono::milliseconds(leaf_lifetime_) * 2 / 3;
  return Ok();
}

void ConnectCa::OnTimer() {
  bool renewed = false;
  for (auto& [service, leaf] : leaves_) {
    if (leaf.renew_at > loop_.now()) continue;
    if (Renew(service)) {
      renewed = true;
    } else {
      leaf.renew_at = loop_.now() + kRetry;
    }
  }
  StartTimer();
  if (renewed) on_change_();
}

void ConnectCa::StartTimer() {
  const auto next = std::min_element(
      leaves_.begin(), leaves_.end(),
      [](const auto& a, const auto& b) { return a.second.renew_at < b.second.renew_at; });
  if (next == leaves_.end()) return;
  const auto left = std::chrono::ceil<net::milliseconds>(next->second.renew_at - loop_.now());
  renewal_.Start(std::max(left, net::milliseconds{1}));
}

Json ConnectCa::LeafDocument(const std::string& service) const {
  const Leaf& leaf = leaves_.at(service);
  return {{"SerialNumber", leaf.issued.serial},
          {"CertPEM", leaf.issued.certificate_pem},
          {"PrivateKeyPEM", leaf.issued.private_key_pem},
          {"Service", service},
          {"ServiceURI", IdOf(service).Uri()},
          {"ValidAfter", authz::Rfc3339(leaf.issued.not_before)},
          {"ValidBefore", authz::Rfc3339(leaf.issued.not_after)},
          {"CreateIndex", leaf.create_index},
          {"ModifyIndex", leaf.modify_index}};
}

std::uint64_t ConnectCa::LeafIndex(const std::string& service) const {
  return leaves_.at(service).modify_index;
}

}  // namespace mooring::dev
