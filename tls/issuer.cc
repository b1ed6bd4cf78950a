#include "tls/issuer.h"

#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/digest.h>
#include <openssl/ec_key.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>

#include "authz/text.h"
#include "tls/boringssl.h"

namespace mooring::tls {
namespace {

constexpr auto kRootLifetime = std::chrono::hours(24 * 365 * 10);
constexpr auto kBackdating = std::chrono::minutes(1);  // for peers whose clocks are behind
constexpr std::size_t kMaxCommonName = 64;             // RFC 5280 appendix A, ub-common-name

Error Failed(const char* step) {
  return {ErrorCode::kInternal,
          std::string("a certificate cannot be made (") + step + "): " + TakeErrors()};
}

bssl::UniquePtr<EVP_PKEY> NewKey() {
  const bssl::UniquePtr<EC_KEY> ec(EC_KEY_new_by_curve_name(NID_X9_62_prime256v1));
  bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  if (!ec || !key || EC_KEY_generate_key(ec.get()) != 1 ||
      EVP_PKEY_set1_EC_KEY(key.get(), ec.get()) != 1) {
    return nullptr;
  }
  return key;
}

bool SetSerial(X509* certificate) {
  std::array<std::uint8_t, 16> bytes;
  RAND_bytes(bytes.data(), bytes.size());
  bytes[0] = static_cast<std::uint8_t>((bytes[0] & 0x7FU) | 0x40U);  // positive and of full length
  const bssl::UniquePtr<BIGNUM> number(BN_bin2bn(bytes.data(), bytes.size(), nullptr));
  return number && BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr;
}

bool SetCommonName(X509_NAME* name, std::string_view text) {
  text = text.substr(0, kMaxCommonName);
  const std::string copy(text);
  return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                    reinterpret_cast<const std::uint8_t*>(copy.data()),
                                    static_cast<int>(copy.size()), -1, 0) == 1;
}

bool SetTimes(X509* certificate, WallTime from, WallTime until) {
  using Clock = std::chrono::system_clock;
  return ASN1_TIME_set(X509_getm_notBefore(certificate), Clock::to_time_t(from)) != nullptr &&
         ASN1_TIME_set(X509_getm_notAfter(certificate), Clock::to_time_t(until)) != nullptr;
}

bool Add(X509* certificate, int nid, void* value, bool critical) {
  return value != nullptr && X509_add1_ext_i2d(certificate, nid, value, critical ? 1 : 0, 0) == 1;
}

bool AddBasicConstraints(X509* certificate, bool is_ca) {
  const bssl::UniquePtr<BASIC_CONSTRAINTS> constraints(BASIC_CONSTRAINTS_new());
  if (!constraints) return false;
  constraints->ca = is_ca ? 0xFF : 0;
  return Add(certificate, NID_basic_constraints, constraints.get(), true);
}

bool AddKeyUsage(X509* certificate, std::span<const int> bits) {
  const bssl::UniquePtr<ASN1_BIT_STRING> usage(ASN1_BIT_STRING_new());
  if (!usage) return false;
  for (const int bit : bits) {
    if (ASN1_BIT_STRING_set_bit(usage.get(), bit, 1) != 1) return false;
  }
  return Add(certificate, NID_key_usage, usage.get(), true);
}

bool AddExtendedKeyUsage(X509* certificate) {
  const bssl::UniquePtr<EXTENDED_KEY_USAGE> usages(sk_ASN1_OBJECT_new_null());
  if (!usages) return false;
  for (const int nid : {NID_server_auth, NID_client_auth}) {
    // Static objects: pushing them shares nothing that would need freeing.
    if (sk_ASN1_OBJECT_push(usages.get(), OBJ_nid2obj(nid)) == 0) return false;
  }
  return Add(certificate, NID_ext_key_usage, usages.get(), false);
}

bool AddUri(X509* certificate, const std::string& uri, bool critical) {
  const bssl::UniquePtr<GENERAL_NAMES> names(GENERAL_NAMES_new());
  bssl::UniquePtr<GENERAL_NAME> name(GENERAL_NAME_new());
  bssl::UniquePtr<ASN1_IA5STRING> text(ASN1_IA5STRING_new());
  if (!names || !name || !text ||
      ASN1_STRING_set(text.get(), uri.data(), static_cast<int>(uri.size())) != 1) {
    return false;
  }
  GENERAL_NAME_set0_value(name.get(), GEN_URI, text.release());
  return bssl::PushToStack(names.get(), std::move(name)) &&
         Add(certificate, NID_subject_alt_name, names.get(), critical);
}

std::vector<std::uint8_t> KeyId(const X509* certificate) {
  std::array<std::uint8_t, EVP_MAX_MD_SIZE> digest;
  unsigned int length = 0;
  if (X509_pubkey_digest(certificate, EVP_sha256(), digest.data(), &length) != 1) return {};
  return {digest.begin(), digest.begin() + length};
}

bool AddKeyIds(X509* certificate, std::span<const std::uint8_t> own,
               std::span<const std::uint8_t> issuer) {
  const bssl::UniquePtr<ASN1_OCTET_STRING> subject_id(ASN1_OCTET_STRING_new());
  const bssl::UniquePtr<AUTHORITY_KEYID> authority(AUTHORITY_KEYID_new());
  if (!subject_id || !authority) return false;
  authority->keyid = ASN1_OCTET_STRING_new();
  return authority->keyid != nullptr &&
         ASN1_OCTET_STRING_set(subject_id.get(), own.data(), static_cast<int>(own.size())) == 1 &&
         ASN1_OCTET_STRING_set(authority->keyid, issuer.data(), static_cast<int>(issuer.size())) ==
             1 &&
         Add(certificate, NID_subject_key_identifier, subject_id.get(), false) &&
         Add(certificate, NID_authority_key_identifier, authority.get(), false);
}

std::string BioText(BIO* bio) {
  const std::uint8_t* data = nullptr;
  std::size_t length = 0;
  if (BIO_mem_contents(bio, &data, &length) != 1) return {};
  return {data, data + length};
}

std::string CertificatePem(X509* certificate) {
  const bssl::UniquePtr<BIO> bio(BIO_new(BIO_s_mem()));
  if (!bio || PEM_write_bio_X509(bio.get(), certificate) != 1) return {};
  return BioText(bio.get());
}

// SEC1 form, as Consul writes leaf keys.
std::string KeyPem(EVP_PKEY* key) {
  const bssl::UniquePtr<BIO> bio(BIO_new(BIO_s_mem()));
  EC_KEY* ec = EVP_PKEY_get0_EC_KEY(key);
  if (!bio || ec == nullptr ||
      PEM_write_bio_ECPrivateKey(bio.get(), ec, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return {};
  }
  return BioText(bio.get());
}

}  // namespace

struct Issuer::Impl {
  std::string trust_domain;
  bssl::UniquePtr<EVP_PKEY> key;
  bssl::UniquePtr<X509> root;
  std::vector<std::uint8_t> key_id;
  std::string root_pem;
  std::string root_id;
};

Issuer::Issuer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Issuer::~Issuer() = default;

Result<std::unique_ptr<Issuer>> Issuer::Make(std::string_view trust_domain) {
  if (!authz::IsTrustDomain(trust_domain)) {
    return Invalid("\"" + authz::Shortened(trust_domain) + "\" is not a trust domain");
  }
  ERR_clear_error();
  auto impl = std::make_unique<Impl>();
  impl->trust_domain = trust_domain;
  impl->key = NewKey();
  impl->root.reset(X509_new());
  if (!impl->key || !impl->root) return Failed("key");
  X509* root = impl->root.get();
  const WallTime now = std::chrono::system_clock::now();
  constexpr std::array kUsage = {5, 6};  // keyCertSign, cRLSign (RFC 5280 4.2.1.3)
  if (X509_set_version(root, X509_VERSION_3) != 1 || !SetSerial(root) ||
      !SetTimes(root, now - kBackdating, now + kRootLifetime) ||
      X509_set_pubkey(root, impl->key.get()) != 1) {
    return Failed("fields");
  }
  impl->key_id = KeyId(root);
  impl->root_id = HexWithColons(impl->key_id);
  // The key's ID in the name keeps two roots of one trust domain apart by name too.
  if (impl->key_id.empty() ||
      !SetCommonName(X509_get_subject_name(root),
                     "Mooring dev CA " + impl->root_id.substr(0, 23)) ||
      X509_set_issuer_name(root, X509_get_subject_name(root)) != 1) {
    return Failed("name");
  }
  if (!AddBasicConstraints(root, true) || !AddKeyUsage(root, kUsage) ||
      !AddKeyIds(root, impl->key_id, impl->key_id) ||
      !AddUri(root, "spiffe://" + impl->trust_domain, false)) {
    return Failed("extensions");
  }
  if (X509_sign(root, impl->key.get(), EVP_sha256()) == 0) return Failed("signature");
  impl->root_pem = CertificatePem(root);
  if (impl->root_pem.empty()) return Failed("PEM");
  return std::unique_ptr<Issuer>(new Issuer(std::move(impl)));
}

const std::string& Issuer::root_pem() const { return impl_->root_pem; }
const std::string& Issuer::root_id() const { return impl_->root_id; }
const std::string& Issuer::trust_domain() const { return impl_->trust_domain; }

Result<IssuedLeaf> Issuer::Issue(const authz::ServiceId& id, std::chrono::seconds lifetime,
                                 LeafName name) const {
  const std::string uri = id.Uri();
  if (auto parsed = authz::ParseServiceId(uri); !parsed) return parsed.error();
  if (id.trust_domain != impl_->trust_domain) {
    return Invalid("this CA signs for " + impl_->trust_domain + ", not for " + uri);
  }
  if (lifetime <= std::chrono::seconds(0))
    return Invalid("the lifetime of a leaf must be positive");

  ERR_clear_error();
  const bssl::UniquePtr<EVP_PKEY> key = NewKey();
  const bssl::UniquePtr<X509> leaf(X509_new());
  if (!key || !leaf) return Failed("key");
  const WallTime now = std::chrono::system_clock::now();
  WallTime root_end;
  if (!ReadTime(X509_get0_notAfter(impl_->root.get()), &root_end)) return Failed("root");
  const WallTime until = lifetime < root_end - now ? now + lifetime : root_end;
  constexpr std::array kUsage = {0, 2, 4};  // digitalSignature, keyEncipherment, keyAgreement
  if (X509_set_version(leaf.get(), X509_VERSION_3) != 1 || !SetSerial(leaf.get()) ||
      !SetTimes(leaf.get(), now - kBackdating, until) ||
      X509_set_pubkey(leaf.get(), key.get()) != 1 ||
      (name == LeafName::kCommonName &&
       !SetCommonName(X509_get_subject_name(leaf.get()), id.service)) ||
      X509_set_issuer_name(leaf.get(), X509_get_subject_name(impl_->root.get())) != 1) {
    return Failed("fields");
  }
  const std::vector<std::uint8_t> key_id = KeyId(leaf.get());
  if (key_id.empty() || !AddBasicConstraints(leaf.get(), false) ||
      !AddKeyUsage(leaf.get(), kUsage) || !AddExtendedKeyUsage(leaf.get()) ||
      !AddKeyIds(leaf.get(), key_id, impl_->key_id) ||
      !AddUri(leaf.get(), uri, name == LeafName::kSanOnly)) {
    return Failed("extensions");
  }
  if (X509_sign(leaf.get(), impl_->key.get(), EVP_sha256()) == 0) return Failed("signature");

  IssuedLeaf issued;
  issued.certificate_pem = CertificatePem(leaf.get());
  issued.private_key_pem = KeyPem(key.get());
  issued.serial = SerialText(leaf.get());
  if (issued.certificate_pem.empty() || issued.private_key_pem.empty() ||
      !ReadTime(X509_get0_notBefore(leaf.get()), &issued.not_before) ||
      !ReadTime(X509_get0_notAfter(leaf.get()), &issued.not_after)) {
    return Failed("PEM");
  }
  return issued;
}

}  // namespace mooring::tls
