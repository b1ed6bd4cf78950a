#include "tls/leaf_rules.h"

#include <openssl/asn1.h>
#include <openssl/nid.h>

namespace mooring::tls {
namespace {

Judgement Refuse(Refusal refusal, std::string detail) { return {refusal, std::move(detail), {}}; }

}  // namespace

std::vector<std::string> CertificateUris(const X509* certificate) {
  std::vector<std::string> uris;
  const bssl::UniquePtr<GENERAL_NAMES> names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  ClearErrors();
  if (!names) return uris;
  for (const GENERAL_NAME* name : names.get()) {
    if (name->type != GEN_URI) continue;
    const ASN1_IA5STRING* uri = name->d.uniformResourceIdentifier;
    const unsigned char* data = ASN1_STRING_get0_data(uri);
    uris.emplace_back(data, data + ASN1_STRING_length(uri));
  }
  return uris;
}

Judgement CheckLeaf(X509* leaf) {
  const std::uint32_t flags = X509_get_extension_flags(leaf);
  ClearErrors();
  if ((flags & EXFLAG_INVALID) != 0) {
    return Refuse(Refusal::kMalformed, "an extension is damaged or stands there twice");
  }
  if ((flags & EXFLAG_CA) != 0) return Refuse(Refusal::kLeafRules, "it is a CA certificate");
  if ((flags & EXFLAG_KUSAGE) == 0) return Refuse(Refusal::kLeafRules, "it has no key usage");
  const std::uint32_t usage = X509_get_key_usage(leaf);
  if ((usage & X509v3_KU_KEY_CERT_SIGN) != 0) {
    return Refuse(Refusal::kLeafRules, "its key usage has keyCertSign");
  }
  if ((usage & X509v3_KU_CRL_SIGN) != 0) {
    return Refuse(Refusal::kLeafRules, "its key usage has cRLSign");
  }
  if ((usage & X509v3_KU_DIGITAL_SIGNATURE) == 0) {
    return Refuse(Refusal::kLeafRules, "its key usage lacks digitalSignature");
  }
  if (const char* weak = WeakKey(leaf)) return Refuse(Refusal::kLeafRules, weak);

  const std::vector<std::string> uris = CertificateUris(leaf);
  if (uris.size() != 1) {
    return Refuse(Refusal::kLeafRules,
                  "it has " + std::to_string(uris.size()) + " URI SANs, not exactly one");
  }
  Result<authz::ServiceId> id = authz::ParseServiceId(uris.front());
  if (!id) return Refuse(Refusal::kNotSpiffe, id.error().message);
  return {Refusal::kNone, {}, *std::move(id)};
}

}  // namespace mooring::tls
