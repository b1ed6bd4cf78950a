#include <algorithm>
#include <vector>

#include "tls/boringssl.h"
#include "tls/credentials_impl.h"
#include "tls/leaf_rules.h"
#include "tls/pem.h"

namespace mooring::tls {
namespace {

// Neither role would be served by such a leaf: every peer would refuse it in both.
bool UselessForTls(X509* leaf) {
  constexpr std::uint32_t kTls = XKU_SSL_CLIENT | XKU_SSL_SERVER;
  return (X509_get_extended_key_usage(leaf) & kTls) == 0;
}

// OnPaths is the leaf and each certificate that some path from it can pass, in their order, each
// once. A file may hold a whole bundle.
std::vector<X509*> OnPaths(const std::vector<bssl::UniquePtr<X509>>& certificates) {
  std::vector<bool> passed(certificates.size(), false);
  passed[0] = true;
  for (std::vector<std::size_t> reached{0}; !reached.empty();) {
    X509* const last = certificates[reached.back()].get();
    reached.pop_back();
    for (std::size_t i = 1; i < certificates.size(); ++i) {
      if (passed[i] || X509_check_issued(certificates[i].get(), last) != X509_V_OK) continue;
      passed[i] = true;
      reached.push_back(i);
    }
  }
  std::vector<X509*> kept;
  for (std::size_t i = 0; i < certificates.size(); ++i) {
    X509* const one = certificates[i].get();
    const bool known = std::any_of(kept.begin(), kept.end(), [one](const X509* earlier) {
      return X509_cmp(earlier, one) == 0;
    });
    if (passed[i] && !known) kept.push_back(one);
  }
  return kept;
}

}  // namespace

Credentials::Credentials(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Credentials::~Credentials() = default;

Result<std::shared_ptr<const Credentials>> Credentials::Make(std::string_view certificate_pem,
                                                             std::string_view private_key_pem) {
  auto certificates = ReadCertificates(certificate_pem);
  if (!certificates) return Invalid("leaf certificate: " + certificates.error().message);
  auto key = ReadPrivateKey(private_key_pem);
  if (!key) return Invalid("leaf private key: " + key.error().message);

  X509* leaf = certificates->front().get();
  const bssl::UniquePtr<EVP_PKEY> public_key(X509_get_pubkey(leaf));
  const bool matches = public_key && EVP_PKEY_cmp(public_key.get(), key->get()) == 1;
  ERR_clear_error();
  if (!matches) {
    return Invalid("the private key does not match the leaf certificate (serial " +
                   SerialText(leaf) +
                   "): they are from different pairs, or the leaf is not the first certificate");
  }
  Judgement judgement = CheckLeaf(leaf);
  if (judgement.refusal != Refusal::kNone) {
    return Invalid("the leaf certificate (serial " + SerialText(leaf) +
                   ") would be refused by every peer: " + judgement.detail);
  }
  if (UselessForTls(leaf)) {
    return Invalid("the leaf certificate (serial " + SerialText(leaf) +
                   ") is for neither TLS clients nor TLS servers by its extended key usage");
  }

  auto impl = std::make_unique<Impl>();
  if (!ReadTime(X509_get0_notBefore(leaf), &impl->not_before) ||
      !ReadTime(X509_get0_notAfter(leaf), &impl->not_after)) {
    return Invalid("the leaf certificate (serial " + SerialText(leaf) + ") has no valid dates");
  }
  for (X509* certificate : OnPaths(*certificates)) {
    std::uint8_t* der = nullptr;
    const int length = i2d_X509(certificate, &der);
    if (length <= 0) {
      return Error{ErrorCode::kInternal, "a certificate cannot be written out: " + TakeErrors()};
    }
    const bssl::UniquePtr<std::uint8_t> owner(der);
    impl->chain.emplace_back(CRYPTO_BUFFER_new(der, static_cast<std::size_t>(length), nullptr));
    if (!impl->chain.back()) return Error{ErrorCode::kInternal, "out of memory"};
  }
  if (impl->chain.size() > kMaxChain) {
    return Invalid("the leaf certificate comes with " + std::to_string(impl->chain.size() - 1) +
                   " intermediates: peers take " + std::to_string(kMaxChain - 1));
  }
  impl->key = *std::move(key);
  impl->id = std::move(judgement.id);
  impl->serial = SerialText(leaf);
  return std::shared_ptr<const Credentials>(new Credentials(std::move(impl)));
}

const authz::ServiceId& Credentials::id() const { return impl_->id; }
const std::string& Credentials::serial() const { return impl_->serial; }
WallTime Credentials::not_before() const { return impl_->not_before; }
WallTime Credentials::not_after() const { return impl_->not_after; }
bool Credentials::ExpiredAt(WallTime now) const { return now >= EndOf(impl_->not_after); }
std::size_t Credentials::chain_length() const { return impl_->chain.size(); }

}  // namespace mooring::tls
