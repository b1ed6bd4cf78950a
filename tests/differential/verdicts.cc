// verdicts: how we judge a peer's certificates, as a filter, for comparing it with other programs.
//
// A line of standard input is an object {"roots", "chain", "domain", "role", "now"}: certificates
// as base64 of their DER (the chain as sent, leaf first), the trust domain, "client" or "server"
// for what the peer is, seconds since 1970. A line of standard output answers each: `accept
// SPIFFE-ID`, `refuse REASON: DETAIL`, or `error WHY` for a question that cannot be read. With
// "path": true the question is of RFC 5280 alone: neither leaf rules nor SPIFFE ID, and `accept`
// stands by itself. Exits with 0 at the end of its input. Knows no sockets.
#include <chrono>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "proxy/log/escape.h"
#include "tests/filter.h"
#include "tls/boringssl.h"
#include "tls/identity.h"
#include "tls/path.h"

namespace {

namespace tls = mooring::tls;
using Bytes = std::vector<std::uint8_t>;

std::vector<Bytes> Decode(const nlohmann::json& list) {
  std::vector<Bytes> all;
  for (const auto& entry : list) {
    const auto text = entry.get<std::string>();
    Bytes der(text.size());
    std::size_t length = 0;
    if (EVP_DecodeBase64(der.data(), &length, der.size(),
                         reinterpret_cast<const std::uint8_t*>(text.data()), text.size()) != 1)
      throw std::invalid_argument("no base64");
    der.resize(length);
    all.push_back(std::move(der));
  }
  return all;
}

// Pem is for TrustBundle::Make, which takes what an agent sends.
std::string Pem(std::string text) {
  constexpr std::size_t kLine = 64;
  for (std::size_t at = kLine; at < text.size(); at += kLine + 1) text.insert(at, "\n");
  return "-----BEGIN CERTIFICATE-----\n" + text + "\n-----END CERTIFICATE-----\n";
}

std::string Refused(tls::Refusal refusal, const std::string& detail) {
  return std::string("refuse ") + tls::RefusalName(refusal) + ": " + mooring::log::Plain(detail);
}

std::string JudgePath(const std::vector<Bytes>& roots, const std::vector<Bytes>& chain,
                      tls::Purpose purpose, tls::WallTime now) {
  std::vector<bssl::UniquePtr<X509>> anchors;
  std::vector<bssl::UniquePtr<X509>> sent;
  for (const Bytes& der : roots) anchors.push_back(tls::ParseDer(der));
  for (const Bytes& der : chain) sent.push_back(tls::ParseDer(der));
  for (const auto* list : {&anchors, &sent}) {
    for (const auto& certificate : *list) {
      if (!certificate) return Refused(tls::Refusal::kMalformed, "it does not parse");
    }
  }
  if (sent.empty() || sent.size() > tls::kMaxChain)
    return Refused(tls::Refusal::kChainTooLong, std::to_string(sent.size()) + " certificates");
  const bssl::UniquePtr<X509_STORE> no_store(X509_STORE_new());
  const tls::Path path = tls::FindPath(sent, anchors, no_store.get(), purpose, now);
  return path.refusal == tls::Refusal::kNone ? "accept" : Refused(path.refusal, path.detail);
}

std::string Answer(const std::string& line) {
  const nlohmann::json question = nlohmann::json::parse(line);
  const auto purpose = question.at("role").get<std::string>() == "client"
                           ? tls::Purpose::kPeerIsClient
                           : tls::Purpose::kPeerIsServer;
  const tls::WallTime now{std::chrono::seconds(question.at("now").get<std::int64_t>())};
  const std::vector<Bytes> chain = Decode(question.at("chain"));
  if (question.value("path", false))
    return JudgePath(Decode(question.at("roots")), chain, purpose, now);

  std::vector<std::string> pems;
  for (const auto& root : question.at("roots")) pems.push_back(Pem(root.get<std::string>()));
  const auto bundle = tls::TrustBundle::Make(question.at("domain").get<std::string>(), pems);
  if (!bundle) return "refuse roots: " + bundle.error().message;
  const std::vector<std::span<const std::uint8_t>> sent(chain.begin(), chain.end());
  const tls::Judgement judgement = (*bundle)->Judge(sent, purpose, now);
  return judgement.refusal == tls::Refusal::kNone ? "accept " + judgement.id.Uri()
                                                  : Refused(judgement.refusal, judgement.detail);
}

}  // namespace

int main() {
  mooring::tests::AnswerEachLine(Answer);
  return 0;
}
