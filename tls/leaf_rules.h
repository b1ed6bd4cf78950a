// The rules that an X509-SVID leaf keeps whoever signed it, for peers' certificates and for our
// own.
//
// Knows no roots and no time. Source: SPIFFE X509-SVID specification sections 2, 4 and 5.2.
#pragma once

#include "tls/boringssl.h"

namespace mooring::tls {

// CheckLeaf judges a leaf by its own content: not a CA and without its key usages, key usage
// present with digitalSignature, a key of sufficient size, exactly one URI SAN, a canonical SPIFFE
// service ID. An absent BasicConstraints says "not a CA" (RFC 5280 4.2.1.9). Extended key usage is
// not judged here. The Judgement holds kNone and the ID, or kMalformed, kLeafRules or kNotSpiffe.
Judgement CheckLeaf(X509* leaf);

// CertificateUris lists the URI SANs with every byte they hold, NUL included.
std::vector<std::string> CertificateUris(const X509* certificate);

}  // namespace mooring::tls
