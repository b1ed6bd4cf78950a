#include "tests/unit/mint.h"

#include <openssl/bn.h>
#include <openssl/digest.h>
#include <openssl/ec_key.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include <array>
#include <cstdio>
#include <cstdlib>

namespace mooring::mint {
namespace {

void Check(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "mint: %s failed: %s\n", what, tls::TakeErrors().c_str());
  std::abort();
}

bssl::UniquePtr<EVP_PKEY> EcKey(int curve) {
  const bssl::UniquePtr<EC_KEY> ec(EC_KEY_new_by_curve_name(curve));
  bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  Check(ec && EC_KEY_generate_key(ec.get()) == 1 && EVP_PKEY_set1_EC_KEY(key.get(), ec.get()) == 1,
        "EC key");
  return key;
}

// RSA keys are slow to make and their value never matters: one of each size, certified again and
// again.
bssl::UniquePtr<EVP_PKEY> RsaKey(int bits) {
  static std::vector<std::pair<int, bssl::UniquePtr<EVP_PKEY>>> made;
  for (const auto& [size, key] : made) {
    if (size == bits) return bssl::UpRef(key);
  }
  const bssl::UniquePtr<RSA> rsa(RSA_new());
  const bssl::UniquePtr<BIGNUM> exponent(BN_new());
  bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  Check(BN_set_word(exponent.get(), RSA_F4) == 1 &&
            RSA_generate_key_ex(rsa.get(), bits, exponent.get(), nullptr) == 1 &&
            EVP_PKEY_set1_RSA(key.get(), rsa.get()) == 1,
        "RSA key");
  made.emplace_back(bits, bssl::UpRef(key));
  return key;
}

bssl::UniquePtr<EVP_PKEY> NewKey(KeyKind kind) {
  switch (kind) {
    case KeyKind::kP224: return EcKey(NID_secp224r1);
    case KeyKind::kP256: return EcKey(NID_X9_62_prime256v1);
    case KeyKind::kP384: return EcKey(NID_secp384r1);
    case KeyKind::kP521: return EcKey(NID_secp521r1);
    case KeyKind::kEd25519: {
      std::array<std::uint8_t, 32> seed;
      RAND_bytes(seed.data(), seed.size());
      return bssl::UniquePtr<EVP_PKEY>(
          EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed.data(), seed.size()));
    }
    case KeyKind::kRsa1024: return RsaKey(1024);
    case KeyKind::kRsa2048: return RsaKey(2048);
    case KeyKind::kRsa4096: return RsaKey(4096);
  }
  std::abort();
}

void Add(X509* certificate, int nid, void* value, bool critical) {
  Check(X509_add1_ext_i2d(certificate, nid, value, critical ? 1 : 0, 0) == 1, "extension");
}

GENERAL_NAME* NewName(int type, const std::string& value) {
  GENERAL_NAME* name = GENERAL_NAME_new();
  ASN1_STRING* text =
      ASN1_STRING_type_new(type == GEN_IPADD ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);
  Check(ASN1_STRING_set(text, value.data(), static_cast<int>(value.size())) == 1, "name");
  GENERAL_NAME_set0_value(name, type, text);
  return name;
}

void AddSans(X509* certificate, const Recipe& recipe) {
  if (recipe.sans.empty()) return;
  const bssl::UniquePtr<GENERAL_NAMES> names(GENERAL_NAMES_new());
  for (const auto& [type, value] : recipe.sans) {
    Check(bssl::PushToStack(names.get(), bssl::UniquePtr<GENERAL_NAME>(NewName(type, value))),
          "SAN");
  }
  Add(certificate, NID_subject_alt_name, names.get(), recipe.common_name.empty());
}

void AddConstraints(X509* certificate, const Recipe& recipe) {
  if (recipe.ca) {
    const bssl::UniquePtr<BASIC_CONSTRAINTS> constraints(BASIC_CONSTRAINTS_new());
    constraints->ca = *recipe.ca ? 0xFF : 0;
    if (recipe.path_length >= 0) {
      constraints->pathlen = ASN1_INTEGER_new();
      Check(ASN1_INTEGER_set(constraints->pathlen, recipe.path_length) == 1, "path length");
    }
    Add(certificate, NID_basic_constraints, constraints.get(), true);
  }
  if (!recipe.permitted_uri.empty()) {
    const bssl::UniquePtr<NAME_CONSTRAINTS> constraints(NAME_CONSTRAINTS_new());
    GENERAL_SUBTREE* subtree = GENERAL_SUBTREE_new();
    GENERAL_NAME_free(subtree->base);
    subtree->base = NewName(GEN_URI, recipe.permitted_uri);
    constraints->permittedSubtrees = sk_GENERAL_SUBTREE_new_null();
    Check(sk_GENERAL_SUBTREE_push(constraints->permittedSubtrees, subtree) != 0, "subtree");
    Add(certificate, NID_name_constraints, constraints.get(), true);
  }
}

void AddUsages(X509* certificate, const Recipe& recipe) {
  if (!recipe.key_usage.empty()) {
    const bssl::UniquePtr<ASN1_BIT_STRING> usage(ASN1_BIT_STRING_new());
    for (const int bit : recipe.key_usage) {
      Check(ASN1_BIT_STRING_set_bit(usage.get(), bit, 1) == 1, "key usage");
    }
    Add(certificate, NID_key_usage, usage.get(), true);
  }
  if (!recipe.extended.empty()) {
    const bssl::UniquePtr<EXTENDED_KEY_USAGE> usages(sk_ASN1_OBJECT_new_null());
    for (const int nid : recipe.extended) {
      Check(sk_ASN1_OBJECT_push(usages.get(), OBJ_nid2obj(nid)) != 0, "extended key usage");
    }
    Add(certificate, NID_ext_key_usage, usages.get(), false);
  }
}

std::vector<std::uint8_t> KeyId(const X509* certificate) {
  std::array<std::uint8_t, EVP_MAX_MD_SIZE> digest;
  unsigned int length = 0;
  Check(X509_pubkey_digest(certificate, EVP_sha256(), digest.data(), &length) == 1, "key ID");
  return {digest.begin(), digest.begin() + length};
}

void AddKeyIds(X509* certificate, const X509* issuer) {
  const std::vector<std::uint8_t> own = KeyId(certificate);
  const std::vector<std::uint8_t> above = KeyId(issuer);
  const bssl::UniquePtr<ASN1_OCTET_STRING> subject_id(ASN1_OCTET_STRING_new());
  Check(ASN1_OCTET_STRING_set(subject_id.get(), own.data(), static_cast<int>(own.size())) == 1,
        "SKI");
  Add(certificate, NID_subject_key_identifier, subject_id.get(), false);
  const bssl::UniquePtr<AUTHORITY_KEYID> authority(AUTHORITY_KEYID_new());
  authority->keyid = ASN1_OCTET_STRING_new();
  Check(ASN1_OCTET_STRING_set(authority->keyid, above.data(), static_cast<int>(above.size())) == 1,
        "AKI");
  Add(certificate, NID_authority_key_identifier, authority.get(), false);
}

void AddUnknown(X509* certificate, bool critical) {
  const bssl::UniquePtr<ASN1_OBJECT> object(OBJ_txt2obj("1.3.6.1.4.1.55555.1", 1));
  const bssl::UniquePtr<ASN1_OCTET_STRING> data(ASN1_OCTET_STRING_new());
  constexpr std::array<std::uint8_t, 2> kNull = {5, 0};
  Check(ASN1_OCTET_STRING_set(data.get(), kNull.data(), kNull.size()) == 1, "unknown extension");
  const bssl::UniquePtr<X509_EXTENSION> extension(
      X509_EXTENSION_create_by_OBJ(nullptr, object.get(), critical ? 1 : 0, data.get()));
  Check(X509_add_ext(certificate, extension.get(), -1) == 1, "unknown extension");
}

void WriteOffset(ASN1_TIME* time) {
  const std::uint8_t* data = ASN1_STRING_get0_data(time);
  std::string text(data, data + ASN1_STRING_length(time));
  text.replace(text.size() - 1, 1, "+0000");
  Check(ASN1_STRING_set(time, text.data(), static_cast<int>(text.size())) == 1, "offset");
}

std::string Text(BIO* bio) {
  const std::uint8_t* data = nullptr;
  std::size_t length = 0;
  Check(BIO_mem_contents(bio, &data, &length) == 1, "PEM");
  return {data, data + length};
}

}  // namespace

Recipe Leaf(const std::string& uri) {
  Recipe recipe;
  recipe.sans = {{GEN_URI, uri}};
  recipe.extended = {NID_client_auth, NID_server_auth};
  return recipe;
}

Recipe Ca(const std::string& common_name) {
  Recipe recipe;
  recipe.common_name = common_name;
  recipe.ca = true;
  recipe.key_usage = {5, 6};
  return recipe;
}

Minted Mint(const Recipe& recipe, const Minted* issuer, EVP_PKEY* key) {
  Minted minted;
  minted.key = key != nullptr ? bssl::UpRef(key) : NewKey(recipe.key);
  minted.certificate.reset(X509_new());
  X509* certificate = minted.certificate.get();
  const X509* above = issuer != nullptr ? issuer->certificate.get() : certificate;
  EVP_PKEY* signer = issuer != nullptr ? issuer->key.get() : minted.key.get();

  Check(minted.key && X509_set_version(certificate, X509_VERSION_3) == 1 &&
            X509_set_pubkey(certificate, minted.key.get()) == 1,
        "certificate");
  std::uint64_t serial = 0;
  RAND_bytes(reinterpret_cast<std::uint8_t*>(&serial), sizeof(serial));
  Check(ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial) == 1, "serial number");
  if (!recipe.common_name.empty()) {
    Check(
        X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                                   reinterpret_cast<const std::uint8_t*>(recipe.common_name.data()),
                                   static_cast<int>(recipe.common_name.size()), -1, 0) == 1,
        "subject");
  }
  Check(X509_set_issuer_name(certificate, X509_get_subject_name(above)) == 1, "issuer");
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(
      std::chrono::system_clock::now().time_since_epoch());
  Check(ASN1_TIME_set(X509_getm_notBefore(certificate), (now + recipe.from).count()) != nullptr &&
            ASN1_TIME_set(X509_getm_notAfter(certificate), (now + recipe.until).count()) != nullptr,
        "times");
  if (recipe.ends_with_offset) WriteOffset(X509_getm_notAfter(certificate));
  AddConstraints(certificate, recipe);
  AddUsages(certificate, recipe);
  AddSans(certificate, recipe);
  if (recipe.key_ids) AddKeyIds(certificate, above);
  if (recipe.unknown_critical) AddUnknown(certificate, true);
  for (int i = 0; recipe.unknown_twice && i < 2; ++i) AddUnknown(certificate, false);
  const EVP_MD* digest = EVP_PKEY_id(signer) == EVP_PKEY_ED25519 ? nullptr
                         : recipe.sha1                           ? EVP_sha1()
                                                                 : EVP_sha256();
  Check(X509_sign(certificate, signer, digest) != 0, "signature");

  std::uint8_t* der = nullptr;
  const int length = i2d_X509(certificate, &der);
  Check(length > 0, "DER");
  minted.der.assign(der, der + length);
  OPENSSL_free(der);
  const bssl::UniquePtr<BIO> certificate_bio(BIO_new(BIO_s_mem()));
  const bssl::UniquePtr<BIO> key_bio(BIO_new(BIO_s_mem()));
  Check(PEM_write_bio_X509(certificate_bio.get(), certificate) == 1 &&
            PEM_write_bio_PrivateKey(key_bio.get(), minted.key.get(), nullptr, nullptr, 0, nullptr,
                                     nullptr) == 1,
        "PEM");
  minted.pem = Text(certificate_bio.get());
  minted.key_pem = Text(key_bio.get());
  return minted;
}

std::shared_ptr<const tls::TrustBundle> Roots(const std::string& trust_domain,
                                              const std::vector<const Minted*>& roots) {
  std::vector<std::string> pems;
  for (const Minted* root : roots) pems.push_back(root->pem);
  auto bundle = tls::TrustBundle::Make(trust_domain, pems);
  if (!bundle) {
    std::fprintf(stderr, "mint: %s\n", bundle.error().message.c_str());
    std::abort();
  }
  return *std::move(bundle);
}

std::shared_ptr<const tls::Credentials> Own(const Minted& leaf,
                                            const std::vector<const Minted*>& rest) {
  std::string pem = leaf.pem;
  for (const Minted* certificate : rest) pem += certificate->pem;
  auto credentials = tls::Credentials::Make(pem, leaf.key_pem);
  if (!credentials) {
    std::fprintf(stderr, "mint: %s\n", credentials.error().message.c_str());
    std::abort();
  }
  return *std::move(credentials);
}

tls::Judgement Judge(const tls::TrustBundle& roots, const std::vector<const Minted*>& chain,
                     tls::Purpose purpose, tls::WallTime now) {
  std::vector<std::span<const std::uint8_t>> ders;
  for (const Minted* certificate : chain) ders.emplace_back(certificate->der);
  return roots.Judge(ders, purpose, now);
}

}  // namespace mooring::mint
