#include "tls/https.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "authz/ip_literal.h"
#include "authz/text.h"
#include "tls/pem.h"

namespace mooring::tls {
namespace {

namespace fs = std::filesystem;

// Where systems keep their roots, in the order in which we ask: Debian and its kin, Fedora and its
// kin, SUSE, Alpine and the BSDs.
constexpr std::array kSystemFiles = {
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
};

// FileText holds a file's bytes, which may be a key, and wipes them.
class FileText final {
 public:
  FileText() = default;
  ~FileText() { OPENSSL_cleanse(text_.data(), text_.size()); }
  FileText(const FileText&) = delete;
  FileText& operator=(const FileText&) = delete;

  Status Read(const std::string& path) {
    std::error_code error;
    if (fs::is_directory(path, error)) return Invalid(path + ": is a directory, a file is wanted");
    errno = 0;
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    const std::streamoff size = file ? std::streamoff(file.tellg()) : -1;
    // In one piece: growing would leave copies of a key behind.
    if (size >= 0 && size <= kMaxBytes) {
      text_.resize(static_cast<std::size_t>(size));
      file.seekg(0);
      file.read(text_.data(), size);
    }
    if (!file || size < 0) return Invalid(path + ": cannot be read: " + std::strerror(errno));
    if (size > kMaxBytes) return Invalid(path + ": larger than 16 MiB, that is no PEM file");
    return Ok();
  }
  std::string_view text() const { return text_; }

 private:
  static constexpr std::streamoff kMaxBytes = 16 << 20;
  std::string text_;
};

Status AddFile(const std::string& path, X509_STORE* store) {
  FileText file;
  if (Status read = file.Read(path); !read) return read;
  auto certificates = ReadCertificates(file.text());
  if (!certificates) return Invalid(path + ": " + certificates.error().message);
  for (const auto& certificate : *certificates) {
    if (X509_STORE_add_cert(store, certificate.get()) != 1) {
      return Error{ErrorCode::kInternal,
                   path + ": a certificate cannot be taken up: " + TakeErrors()};
    }
  }
  return Ok();
}

Status AddDirectory(const std::string& path, X509_STORE* store) {
  std::error_code error;
  std::vector<std::string> files;
  for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
    if (it->is_regular_file(error)) files.push_back(it->path().string());
    if (error) break;
  }
  if (error) return Invalid(path + ": cannot be listed: " + error.message());
  if (files.empty()) return Invalid(path + ": holds no files");
  std::sort(files.begin(), files.end());
  for (const std::string& file : files) {
    if (Status added = AddFile(file, store); !added) return added;
  }
  return Ok();
}

Status AddPath(const std::string& path, X509_STORE* store) {
  std::error_code error;
  return fs::is_directory(path, error) ? AddDirectory(path, store) : AddFile(path, store);
}

Status AddSystemRoots(X509_STORE* store) {
  // The two variables that OpenSSL, Go and others share.
  if (const char* file = std::getenv("SSL_CERT_FILE"); file != nullptr && *file != '\0') {
    return AddFile(file, store);
  }
  if (const char* directory = std::getenv("SSL_CERT_DIR");
      directory != nullptr && *directory != '\0') {
    return AddPath(directory, store);
  }
  std::error_code error;
  for (const char* file : kSystemFiles) {
    if (fs::exists(file, error)) return AddFile(file, store);
  }
  return Invalid(
      "no file of trusted roots was found on this system: name the agent's CA (-ca-file, "
      "CONSUL_CACERT)");
}

Refusal RefusalOf(int error) {
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED: return Refusal::kExpired;
    case X509_V_ERR_CERT_NOT_YET_VALID: return Refusal::kNotYetValid;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH: return Refusal::kWrongIdentity;
    case X509_V_ERR_INVALID_PURPOSE: return Refusal::kLeafRules;
    default: return Refusal::kUnknownCa;
  }
}

}  // namespace

Result<bssl::UniquePtr<X509_STORE>> LoadHttpsRoots(const HttpsOptions& options) {
  bssl::UniquePtr<X509_STORE> store(X509_STORE_new());
  if (!store) return Error{ErrorCode::kInternal, "out of memory"};
  Status loaded = !options.ca_file.empty()   ? AddFile(options.ca_file, store.get())
                  : !options.ca_path.empty() ? AddPath(options.ca_path, store.get())
                                             : AddSystemRoots(store.get());
  if (!loaded) return loaded.error();
  return store;
}

Status LoadClientPair(const HttpsOptions& options, SSL_CTX* ctx) {
  if (options.client_cert.empty() && options.client_key.empty()) return Ok();
  if (options.client_key.empty()) {
    return Invalid(options.client_cert +
                   ": a client certificate needs its key too (-client-key, "
                   "CONSUL_CLIENT_KEY)");
  }
  if (options.client_cert.empty()) {
    return Invalid(options.client_key +
                   ": a client key needs its certificate too (-client-cert, "
                   "CONSUL_CLIENT_CERT)");
  }
  FileText certificate_file;
  FileText key_file;
  if (Status read = certificate_file.Read(options.client_cert); !read) return read;
  if (Status read = key_file.Read(options.client_key); !read) return read;
  auto certificates = ReadCertificates(certificate_file.text());
  if (!certificates) return Invalid(options.client_cert + ": " + certificates.error().message);
  auto key = ReadPrivateKey(key_file.text());
  if (!key) return Invalid(options.client_key + ": " + key.error().message);

  std::vector<bssl::UniquePtr<CRYPTO_BUFFER>> chain;
  std::vector<CRYPTO_BUFFER*> borrowed;
  for (const auto& certificate : *certificates) {
    std::uint8_t* der = nullptr;
    const int length = i2d_X509(certificate.get(), &der);
    const bssl::UniquePtr<std::uint8_t> owner(der);
    if (length <= 0) return Error{ErrorCode::kInternal, options.client_cert + ": " + TakeErrors()};
    chain.emplace_back(CRYPTO_BUFFER_new(der, static_cast<std::size_t>(length), nullptr));
    borrowed.push_back(chain.back().get());
  }
  if (SSL_CTX_set_chain_and_key(ctx, borrowed.data(), borrowed.size(), key->get(), nullptr) != 1) {
    return Invalid(options.client_key + ": cannot be used with " + options.client_cert + ": " +
                   TakeErrors());
  }
  return Ok();
}

const char* NotHttps(std::string_view came) {
  return came.starts_with("HTTP/") ? "the agent speaks plain HTTP here: use http://"
                                   : "no TLS is spoken here: is this the agent's HTTPS port?";
}

Judgement JudgeHost(X509_STORE* roots, std::span<const std::span<const std::uint8_t>> chain,
                    const std::string& host, WallTime now) {
  if (chain.empty()) return {Refusal::kNoCertificate, "the server showed no certificate", {}};
  if (chain.size() > kMaxChain)
    return {Refusal::kChainTooLong, "the server sent too many certificates", {}};
  const bssl::UniquePtr<STACK_OF(X509)> hints(sk_X509_new_null());
  bssl::UniquePtr<X509> leaf;
  for (const std::span<const std::uint8_t> der : chain) {
    bssl::UniquePtr<X509> certificate = ParseDer(der);
    if (!certificate) return {Refusal::kMalformed, "a certificate does not parse", {}};
    if (!leaf) {
      leaf = std::move(certificate);
    } else if (!hints || !bssl::PushToStack(hints.get(), std::move(certificate))) {
      return {Refusal::kUnknownCa, "out of memory", {}};
    }
  }
  const bssl::UniquePtr<X509_STORE_CTX> ctx(X509_STORE_CTX_new());
  if (!ctx || X509_STORE_CTX_init(ctx.get(), roots, leaf.get(), hints.get()) != 1) {
    ClearErrors();
    return {Refusal::kUnknownCa, "out of memory", {}};
  }
  X509_VERIFY_PARAM* param = X509_STORE_CTX_get0_param(ctx.get());
  X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER);
  X509_VERIFY_PARAM_set_depth(param, static_cast<int>(kMaxChain));
  X509_VERIFY_PARAM_set_time(param, std::chrono::system_clock::to_time_t(now));
  // As Go's and so Consul's tools do: what the operator lists is trusted, self-signed or not.
  X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
  X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  const int named = authz::IsIpLiteral(host)
                        ? X509_VERIFY_PARAM_set1_ip_asc(param, host.c_str())
                        : X509_VERIFY_PARAM_set1_host(param, host.data(), host.size());
  if (host.empty() || named != 1) {
    ClearErrors();
    return {Refusal::kWrongIdentity, "\"" + authz::Shortened(host) + "\" is not a host name", {}};
  }
  if (X509_verify_cert(ctx.get()) == 1) {
    ClearErrors();
    return {};
  }
  ClearErrors();
  const int error = X509_STORE_CTX_get_error(ctx.get());
  std::string detail = X509_verify_cert_error_string(error);
  const X509* culprit = X509_STORE_CTX_get_current_cert(ctx.get());
  if (culprit != nullptr) detail += ": " + NameText(X509_get_subject_name(culprit));
  if (RefusalOf(error) == Refusal::kWrongIdentity) detail += ", wanted " + authz::Shortened(host);
  return {RefusalOf(error), std::move(detail), {}};
}

}  // namespace mooring::tls
