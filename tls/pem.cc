#include "tls/pem.h"

#include <openssl/bytestring.h>
#include <openssl/ec_key.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <limits>
#include <optional>
#include <string>

#include "tls/cleanse.h"

namespace mooring::tls {
namespace {

struct Block {
  std::string kind;  // "CERTIFICATE"
  bool encrypted = false;
  bssl::UniquePtr<std::uint8_t> data;  // OPENSSL_free, which wipes: it may be a key
  std::size_t size = 0;

  std::span<const std::uint8_t> bytes() const { return {data.get(), size}; }
};

constexpr std::string_view kBegin = "-----BEGIN ";
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

// Plain is `pem` with what editors and YAML put around lines taken away: byte order marks, blanks
// before a line, line ends of CR alone. BoringSSL reads over a block whose BEGIN line does not
// begin a line by itself, without a word.
std::string Plain(std::string_view pem) {
  std::string text;
  text.reserve(pem.size());  // all at once: it may hold a key, and no copy of it may stay behind
  bool at_start = true;
  while (!pem.empty()) {
    if (at_start && pem.starts_with(kByteOrderMark)) {
      pem.remove_prefix(kByteOrderMark.size());
      continue;
    }
    const char next = pem.front();
    pem.remove_prefix(1);
    if (at_start && (next == ' ' || next == '\t')) continue;
    at_start = next == '\n' || next == '\r';
    text += at_start ? '\n' : next;
  }
  return text;
}

// HidesBlock: a BEGIN line stands behind something else in its line, as after a file whose last
// line end is missing.
bool HidesBlock(std::string_view text) {
  for (std::size_t at = text.find(kBegin); at != std::string_view::npos;
       at = text.find(kBegin, at + 1)) {
    if (at > 0 && text[at - 1] != '\n') return true;
  }
  return false;
}

// BlockReader takes PEM text apart.
class BlockReader final {
 public:
  explicit BlockReader(std::string_view pem)
      : text_(Plain(pem)),
        hides_block_(HidesBlock(text_)),
        bio_(text_.size() <= std::numeric_limits<int>::max()
                 ? BIO_new_mem_buf(text_.data(), static_cast<int>(text_.size()))
                 : nullptr) {}
  ~BlockReader() { Cleanse(&text_); }
  BlockReader(const BlockReader&) = delete;
  BlockReader& operator=(const BlockReader&) = delete;

  // Next gives the next block, nothing at the end; an Error for a damaged one, and for one that
  // would be passed over.
  Result<std::optional<Block>> Next() {
    ERR_clear_error();
    char* kind = nullptr;
    char* header = nullptr;
    std::uint8_t* data = nullptr;
    long size = 0;
    if (!bio_) return Error{ErrorCode::kInternal, "PEM text cannot be read"};
    if (hides_block_)
      return Invalid("a BEGIN line of PEM does not begin a line; is a line end missing before it?");
    if (PEM_read_bio(bio_.get(), &kind, &header, &data, &size) != 1) {
      const std::uint32_t last = ERR_peek_last_error();
      const bool at_end =
          ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
      const std::string reason = TakeErrors();
      if (at_end) return std::optional<Block>();
      return Invalid("a PEM block is damaged (" + reason + ")");
    }
    const bssl::UniquePtr<char> kind_owner(kind);
    const bssl::UniquePtr<char> header_owner(header);
    Block block;
    block.kind = kind;
    block.encrypted = std::string_view(header).find("ENCRYPTED") != std::string_view::npos;
    block.data.reset(data);
    block.size = static_cast<std::size_t>(size);
    return std::optional<Block>(std::move(block));
  }

 private:
  std::string text_;
  bool hides_block_;
  bssl::UniquePtr<BIO> bio_;
};

bool IsKey(const std::string& kind) { return kind.ends_with("PRIVATE KEY"); }

bssl::UniquePtr<EVP_PKEY> ParseKey(const Block& block) {
  CBS cbs;
  CBS_init(&cbs, block.data.get(), block.size);
  bssl::UniquePtr<EVP_PKEY> key;
  if (block.kind == "PRIVATE KEY") {
    key.reset(EVP_parse_private_key(&cbs));
  } else if (block.kind == "EC PRIVATE KEY") {
    const bssl::UniquePtr<EC_KEY> ec(EC_KEY_parse_private_key(&cbs, nullptr));
    key.reset(EVP_PKEY_new());
    if (!ec || !key || EVP_PKEY_set1_EC_KEY(key.get(), ec.get()) != 1) return nullptr;
  } else if (block.kind == "RSA PRIVATE KEY") {
    const bssl::UniquePtr<RSA> rsa(RSA_parse_private_key(&cbs));
    key.reset(EVP_PKEY_new());
    if (!rsa || !key || EVP_PKEY_set1_RSA(key.get(), rsa.get()) != 1) return nullptr;
  }
  if (CBS_len(&cbs) != 0) return nullptr;
  return key;
}

}  // namespace

Result<std::vector<bssl::UniquePtr<X509>>> ReadCertificates(std::string_view pem) {
  std::vector<bssl::UniquePtr<X509>> certificates;
  BlockReader reader(pem);
  while (true) {
    Result<std::optional<Block>> next = reader.Next();
    if (!next) return next.error();
    const std::optional<Block>& block = *next;
    if (!block) break;
    if (block->kind != "CERTIFICATE") continue;
    bssl::UniquePtr<X509> certificate = ParseDer(block->bytes());
    if (!certificate) {
      return Invalid("certificate number " + std::to_string(certificates.size() + 1) +
                     " is damaged, or has bytes after its end");
    }
    certificates.push_back(std::move(certificate));
  }
  if (certificates.empty()) return Invalid("there is no certificate in PEM form");
  return certificates;
}

Result<bssl::UniquePtr<EVP_PKEY>> ReadPrivateKey(std::string_view pem) {
  bssl::UniquePtr<EVP_PKEY> key;
  BlockReader reader(pem);
  while (true) {
    Result<std::optional<Block>> next = reader.Next();
    if (!next) return next.error();
    const std::optional<Block>& block = *next;
    if (!block) break;
    if (!IsKey(block->kind)) continue;  // `openssl ecparam -genkey` writes EC PARAMETERS first
    if (block->encrypted || block->kind == "ENCRYPTED PRIVATE KEY") {
      return Invalid(
          "the private key is encrypted: give it unencrypted, readable by this user only");
    }
    if (key) return Invalid("there is more than one private key");
    ClearErrors();
    key = ParseKey(*block);
    if (!key) {
      return Invalid("the private key (" + block->kind +
                     ") is damaged or of a kind that is not supported (" + TakeErrors() + ")");
    }
  }
  if (!key) return Invalid("there is no private key in PEM form");
  return key;
}

}  // namespace mooring::tls
