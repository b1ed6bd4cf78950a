#include <algorithm>

#include "authz/text.h"
#include "tls/boringssl.h"
#include "tls/credentials_impl.h"
#include "tls/leaf_rules.h"
#include "tls/path.h"
#include "tls/pem.h"
#include "tls/trust_bundle_impl.h"
#include "tls/verdicts.h"

namespace mooring::tls {
namespace {

// Of the extensions that BoringSSL knows.
constexpr char kDamaged[] = "has an extension that is damaged or stands there twice";

bool Damaged(const X509* certificate) {
  const bool damaged = (X509_get_extension_flags(certificate) & EXFLAG_INVALID) != 0;
  ClearErrors();
  return damaged;
}

Judgement JudgeOnce(TrustBundle::Impl& bundle,
                    std::span<const std::span<const std::uint8_t>> as_sent, Purpose purpose,
                    WallTime now) {
  std::vector<std::span<const std::uint8_t>> chain;
  for (const std::span<const std::uint8_t> der : as_sent) {
    const bool known = std::any_of(chain.begin(), chain.end(), [der](const auto& earlier) {
      return std::ranges::equal(earlier, der);
    });
    if (!known) chain.push_back(der);
    if (chain.size() > kMaxChain) break;  // the rest cannot help
  }
  if (chain.empty()) return {Refusal::kNoCertificate, "the peer showed no certificate", {}};
  if (chain.size() > kMaxChain) {
    return {Refusal::kChainTooLong,
            "the peer sent " + std::to_string(as_sent.size()) + " certificates; at most " +
                std::to_string(kMaxChain) + " different ones are taken",
            {}};
  }
  const Verdicts::Key key = Verdicts::KeyOf(chain, purpose);
  if (auto id = bundle.verdicts.Find(key, now)) return {Refusal::kNone, {}, *std::move(id)};

  std::vector<bssl::UniquePtr<X509>> sent;
  for (const std::span<const std::uint8_t> der : chain) {
    sent.push_back(ParseDer(der));
    if (!sent.back()) {
      return {Refusal::kMalformed,
              "certificate number " + std::to_string(sent.size()) + " does not parse",
              {}};
    }
  }
  if (Damaged(sent.front().get()))
    return {Refusal::kMalformed, std::string("the leaf ") + kDamaged, {}};
  // The path first: what a leaf that nobody we trust has signed says about itself is not worth
  // reading.
  Path path = FindPath(sent, bundle.roots, bundle.no_store.get(), purpose, now);
  if (path.refusal != Refusal::kNone) return {path.refusal, std::move(path.detail), {}};

  Judgement judgement = CheckLeaf(sent.front().get());
  if (judgement.refusal != Refusal::kNone) return judgement;
  // A signer speaks for its own trust domain alone (SPIFFE Trust Domain and Bundle section 2).
  if (judgement.id.trust_domain != bundle.trust_domain) {
    judgement.refusal = Refusal::kForeignTrustDomain;
    judgement.detail = judgement.id.Uri() + " is not of the trust domain " + bundle.trust_domain;
    judgement.detail = authz::Shortened(judgement.detail, 400);
    return judgement;
  }
  bundle.verdicts.Remember(key, judgement.id, path.valid);
  return judgement;
}

}  // namespace

const char* RefusalName(Refusal refusal) {
  switch (refusal) {
    case Refusal::kNone: return "none";
    case Refusal::kNoCertificate: return "no_client_certificate";
    case Refusal::kMalformed: return "certificate_malformed";
    case Refusal::kChainTooLong: return "chain_too_long";
    case Refusal::kUnknownCa: return "unknown_ca";
    case Refusal::kExpired: return "cert_expired";
    case Refusal::kNotYetValid: return "cert_not_yet_valid";
    case Refusal::kLeafRules: return "leaf_rules";
    case Refusal::kNotSpiffe: return "not_a_service_id";
    case Refusal::kForeignTrustDomain: return "foreign_trust_domain";
    case Refusal::kWrongIdentity: return "san_mismatch";
  }
  return "none";
}

TrustBundle::TrustBundle(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TrustBundle::~TrustBundle() = default;

Result<std::shared_ptr<const TrustBundle>> TrustBundle::Make(
    std::string_view trust_domain, std::span<const std::string> root_pems) {
  if (!authz::IsTrustDomain(trust_domain)) {
    return Invalid("\"" + authz::Shortened(trust_domain) + "\" is not a trust domain");
  }
  if (root_pems.empty()) return Invalid("there are no roots: nobody could be believed");

  auto impl = std::make_unique<Impl>();
  impl->trust_domain = trust_domain;
  impl->no_store.reset(X509_STORE_new());
  if (!impl->no_store) return Error{ErrorCode::kInternal, "out of memory"};
  for (std::size_t i = 0; i < root_pems.size(); ++i) {
    auto certificates = ReadCertificates(root_pems[i]);
    if (!certificates) {
      return Invalid("root number " + std::to_string(i + 1) + ": " + certificates.error().message);
    }
    for (bssl::UniquePtr<X509>& root : *certificates) {
      // Also fills the extension cache, so that threads that judge find it ready.
      const bool is_ca = X509_check_ca(root.get()) == 1;
      ClearErrors();
      const auto refuse = [&](const char* why) {
        return Invalid("root number " + std::to_string(i + 1) + ", " +
                       NameText(X509_get_subject_name(root.get())) + ", " + why);
      };
      if (Damaged(root.get())) return refuse(kDamaged);
      if (!is_ca) return refuse("is not a CA certificate");
      const bool known = std::any_of(
          impl->roots.begin(), impl->roots.end(),
          [&](const auto& earlier) { return X509_cmp(earlier.get(), root.get()) == 0; });
      if (!known) impl->roots.push_back(std::move(root));
    }
  }
  return std::shared_ptr<const TrustBundle>(new TrustBundle(std::move(impl)));
}

Judgement TrustBundle::Judge(std::span<const std::span<const std::uint8_t>> as_sent,
                             Purpose purpose, WallTime now) const {
  Judgement judgement = JudgeOnce(*impl_, as_sent, purpose, now);
  // What BoringSSL has noted of a certificate that it cannot read, be it only in looking for who
  // issued what, is said by now. Left there it would be the reason of this thread's next failure.
  ClearErrors();
  return judgement;
}

bool TrustBundle::Includes(const TrustBundle& other) const {
  if (other.impl_->trust_domain != impl_->trust_domain) return false;
  return std::all_of(
      other.impl_->roots.begin(), other.impl_->roots.end(), [this](const auto& theirs) {
        return std::any_of(impl_->roots.begin(), impl_->roots.end(), [&theirs](const auto& ours) {
          return X509_cmp(ours.get(), theirs.get()) == 0;
        });
      });
}

const std::string& TrustBundle::trust_domain() const { return impl_->trust_domain; }
std::size_t TrustBundle::size() const { return impl_->roots.size(); }

Judgement JudgeOwn(const Credentials& leaf, const TrustBundle& roots, WallTime now) {
  std::vector<std::span<const std::uint8_t>> chain;
  for (const auto& certificate : leaf.impl().chain) {
    chain.emplace_back(CRYPTO_BUFFER_data(certificate.get()), CRYPTO_BUFFER_len(certificate.get()));
  }
  Judgement judgement = roots.Judge(chain, Purpose::kPeerIsServer, now);
  if (judgement.refusal != Refusal::kNone) return judgement;
  return roots.Judge(chain, Purpose::kPeerIsClient, now);
}

}  // namespace mooring::tls
