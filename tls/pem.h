// Certificates and private keys out of PEM text (RFC 7468), strictly: no block is lost without a
// word. Byte order marks, indentation and line ends of CR alone are taken.
//
// Pure functions of their input. Error messages say what is wrong, not where the text came from:
// the caller, who knows, puts that in front. No message ever holds bytes of a key.
#pragma once

#include <string_view>
#include <vector>

#include "authz/result.h"
#include "tls/boringssl.h"

namespace mooring::tls {

// ReadCertificates parses every CERTIFICATE block, in order; at least one. Blocks of other kinds
// and text around blocks are passed over; a damaged block, or one with bytes after its certificate,
// is an error.
Result<std::vector<bssl::UniquePtr<X509>>> ReadCertificates(std::string_view pem);

// ReadPrivateKey parses the one private key in `pem`: PKCS#8, SEC1 or PKCS#1, unencrypted.
Result<bssl::UniquePtr<EVP_PKEY>> ReadPrivateKey(std::string_view pem);

}  // namespace mooring::tls
