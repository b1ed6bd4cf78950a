// Private to tls/ and the unit tests: BoringSSL's headers, and small helpers for what they declare.
//
// No header that another room includes may include this one, so that BoringSSL stays replaceable
// and its names stay out of the rest. Ownership is BoringSSL's own: bssl::UniquePtr owns,
// bssl::UpRef shares.
#pragma once

#include <openssl/base.h>
// OpenSSL's headers bear the same names; compiled against them, code that looks right would not be.
#ifndef OPENSSL_IS_BORINGSSL
#error "Mooring needs BoringSSL: the headers found are OpenSSL's"
#endif
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/pool.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

// Debian's copy of 2022, which the build takes only when asked for by name, has newer names' old
// forms.
#if BORINGSSL_API_VERSION < 20
#define SSL_CTX_set1_groups_list SSL_CTX_set1_curves_list
#define SSL_get_group_id SSL_get_curve_id
#define SSL_get_group_name SSL_get_curve_name
#define X509_STORE_CTX_set0_trusted_stack X509_STORE_CTX_trusted_stack
#endif

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tls/identity.h"

namespace mooring::tls {

// TakeErrors empties this thread's BoringSSL error queue and says what stood in it, oldest first.
// Left there, an error would be blamed on the next call, of another connection perhaps.
std::string TakeErrors();

// ClearErrors empties it. If a lack of memory stood in it, that is std::bad_alloc, as it is for us:
// else what there was no memory to read would be judged as wrong, or as not there.
void ClearErrors();

// NameText is a distinguished name for people, printable and bounded.
std::string NameText(const X509_NAME* name);

// HexWithColons writes bytes as "0a:ff".
std::string HexWithColons(std::span<const std::uint8_t> bytes);

// SerialText is a certificate's serial number as Consul prints it: lower-case hex bytes with
// colons.
std::string SerialText(const X509* certificate);

// ReadTime converts a certificate's time; false if it is not a valid one, in GMT (RFC 5280
// 4.1.2.5).
bool ReadTime(const ASN1_TIME* time, WallTime* out);
// EndOf is when a certificate is over that names `last` as its end: that second is still its own.
WallTime EndOf(WallTime last);

// ParseDer parses exactly one certificate that fills `der`; null otherwise.
bssl::UniquePtr<X509> ParseDer(std::span<const std::uint8_t> der);

// WeakKey says why a certificate's key is too weak or of a kind that we do not take; null if it is
// good: RSA of at least 2048 bits (RFC 9325 4.5), ECDSA on P-256, P-384 or P-521, Ed25519.
const char* WeakKey(X509* certificate);

}  // namespace mooring::tls
