// pem: certificates and keys as text, from the agent, from files, in an editor's form.
//
// The first byte says how: text as it is, by each of its readers; or blocks of choices, of which
// it is known what has to come out.
#include "tls/pem.h"

#include <openssl/base64.h>

#include <string>
#include <vector>

#include "tests/fuzz/targets.h"
#include "tests/unit/mint.h"

namespace mooring::fuzz {
namespace {

bool IsBase64(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' ||
         c == '/';
}

// CheckSilence: a message repeats nothing that looks like a part of a key.
void CheckSilence(const std::string& message, std::string_view secret) {
  FUZZ_REQUIRE(!message.empty() && message.size() < 4000, message);
  constexpr std::size_t kTelling = 24;
  std::size_t run = 0;
  for (std::size_t i = 0; i < secret.size(); ++i) {
    run = IsBase64(secret[i]) ? run + 1 : 0;
    if (run < kTelling) continue;
    const std::string_view part = secret.substr(i + 1 - kTelling, kTelling);
    FUZZ_REQUIRE(message.find(part) == std::string::npos, message);
  }
}

void ReadAsCertificates(std::string_view text) {
  const auto read = tls::ReadCertificates(text);
  if (read) FUZZ_REQUIRE(!read.value().empty(), text);
  if (!read) CheckSilence(read.error().message, text);
  const auto bundle = tls::TrustBundle::Make("td.consul", std::vector{std::string(text)});
  if (!bundle) return;
  FUZZ_REQUIRE(read.has_value() && bundle.value()->size() <= read.value().size(), text);
}

void ReadAsKey(std::string_view text) {
  const auto key = tls::ReadPrivateKey(text);
  if (!key) CheckSilence(key.error().message, text);
}

void ReadAsPair(std::string_view certificates, std::string_view key) {
  const auto made = tls::Credentials::Make(certificates, key);
  if (!made) return CheckSilence(made.error().message, key);
  FUZZ_REQUIRE(tls::ReadPrivateKey(key).has_value(), certificates);
  const auto& credentials = *made.value();
  FUZZ_REQUIRE(credentials.chain_length() >= 1 && credentials.chain_length() <= tls::kMaxChain,
               credentials.id().Uri());
  FUZZ_REQUIRE(authz::ParseServiceId(credentials.id().Uri()).has_value(), credentials.id().Uri());
}

struct Samples {
  mint::Minted root = mint::Mint(mint::Ca("root"));
  mint::Minted leaf = mint::Mint(mint::Leaf("spiffe://td.consul/ns/default/dc/dc1/svc/web"), &root);
  mint::Minted stranger = mint::Mint(mint::Ca("stranger"));
};

const Samples& Made() {
  static const Samples& samples = *new Samples;
  return samples;
}

// Block is one block of PEM in the form that the script chooses.
std::string Block(Script* script, const std::string& label, Input der) {
  std::vector<std::uint8_t> encoded(der.size() / 3 * 4 + 5);
  const std::size_t size = EVP_EncodeBlock(encoded.data(), der.data(), der.size());
  const std::string_view base64 = TextOf(Input(encoded).first(size));
  const std::string end = script->OneOf(std::array<const char*, 4>{"\n", "\r\n", "\r", "\n  "});
  std::string text = script->OneOf(std::array<const char*, 4>{"", "\xef\xbb\xbf", "  ", "\t"});
  text += "-----BEGIN " + label + "-----" + end;
  for (std::size_t at = 0; at < base64.size(); at += 64)
    text += std::string(base64.substr(at, 64)) + end;
  return text + "-----END " + label + "-----\n";
}

void MakeAndRead(Script* script) {
  const Samples& made = Made();
  std::string text;
  std::size_t certificates = 0;
  bool damaged = false;
  for (std::size_t blocks = 0; !script->AtEnd() && blocks < 8; ++blocks) {
    const std::uint8_t what = script->Byte();
    const Input chosen = what % 4 == 3 ? script->Piece() : Input(made.leaf.der);
    const Input der = what % 4 == 1 ? Input(made.root.der) : chosen;
    // Some text may stand around blocks. It begins no block, and ends its line.
    if ((what & 64U) != 0) text += "# a comment: -----END\n\n";
    if (der.empty()) continue;
    const bool is_certificate = (what & 128U) == 0;
    text += Block(script, is_certificate ? "CERTIFICATE" : "PUBLIC KEY", der);
    if (!is_certificate) continue;
    ++certificates;
    damaged = damaged || tls::ParseDer(der) == nullptr;
  }
  const auto read = tls::ReadCertificates(text);
  const bool good = certificates > 0 && !damaged;
  FUZZ_REQUIRE(read.has_value() == good, text + (read ? "" : read.error().message));
  if (good) FUZZ_REQUIRE(read.value().size() == certificates, text);
}

}  // namespace

void pem(Input input) {
  Script script(input);
  switch (script.Below(5)) {
    case 0: ReadAsCertificates(TextOf(script.Rest())); break;
    case 1: ReadAsKey(TextOf(script.Rest())); break;
    case 2: {
      const std::string_view certificates = TextOf(script.Bytes(script.Number16()));
      ReadAsPair(certificates, TextOf(script.Rest()));
      break;
    }
    case 3: MakeAndRead(&script); break;
    default: {
      // A good pair with a few bytes of it changed.
      std::string certificates = Made().leaf.pem;
      std::string key = (script.Flag() ? Made().stranger : Made().leaf).key_pem;
      for (int left = 0; !script.AtEnd() && left < 8; ++left) {
        std::string& text = script.Flag() ? key : certificates;
        text[script.Number16() % text.size()] = static_cast<char>(script.Byte());
      }
      ReadAsPair(certificates, key);
    }
  }
  FUZZ_REQUIRE(ERR_peek_error() == 0, "nothing is left in the queue of errors");
}

}  // namespace mooring::fuzz
