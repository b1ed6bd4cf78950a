// Host name verification for the agent's API over https: what Consul's own tools do, not SPIFFE.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "tls/boringssl.h"
#include "tls/https_options.h"

namespace mooring::tls {

// LoadHttpsRoots reads the certificates that an agent's certificate must lead to: options.ca_file,
// else options.ca_path, else the system's. Blocks on files; errors name the file.
Result<bssl::UniquePtr<X509_STORE>> LoadHttpsRoots(const HttpsOptions& options);

// LoadClientPair makes `ctx` show the certificate of options.client_cert, if there is one.
Status LoadClientPair(const HttpsOptions& options, SSL_CTX* ctx);

// NotHttps says what `came`, the first bytes of an answer that is no TLS, means, and what to do.
const char* NotHttps(std::string_view came);

// JudgeHost judges a server's chain, DER, leaf first: path to `roots`, server authentication, and
// `host` (DNS name or IP address literal) among its SANs; the subject's common name is not a host
// name (RFC 9525 section 2). The Judgement's id stays empty.
Judgement JudgeHost(X509_STORE* roots, std::span<const std::span<const std::uint8_t>> chain,
                    const std::string& host, WallTime now);

}  // namespace mooring::tls
