#include "tls/offer.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "authz/text.h"
#include "tls/boringssl.h"

namespace mooring::tls {
namespace {

// As numbers that can be compared; the older two are known, and not spoken.
enum Rank { kTls10, kTls11, kTls12, kTls13 };

// Nothing for "" and TLS_AUTO, which leave it to us.
Result<std::optional<Rank>> RankOf(const std::string& name, std::string_view where,
                                   const char* key) {
  constexpr std::array<std::pair<std::string_view, Rank>, 4> kRanks{
      {{"TLSv1_0", kTls10}, {"TLSv1_1", kTls11}, {"TLSv1_2", kTls12}, {"TLSv1_3", kTls13}}};
  if (name.empty() || name == "TLS_AUTO") return std::optional<Rank>{};
  for (const auto& [known, rank] : kRanks) {
    if (name == known) return std::optional<Rank>{rank};
  }
  return Invalid(std::string(where) + ": " + key + " is \"" + authz::Shortened(name) +
                 "\", not TLSv1_2, TLSv1_3 or TLS_AUTO");
}

Version VersionOf(Rank rank) { return rank == kTls13 ? Version::kTls13 : Version::kTls12; }

}  // namespace

const char* VersionName(Version version) {
  return version == Version::kTls12 ? "TLSv1.2" : "TLSv1.3";
}

const std::vector<std::string>& OurSuites() {
  static const std::vector<std::string> kSuites{
      "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
      "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",   "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
      "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"};
  return kSuites;
}

const std::vector<std::string>& KnownGroups() {
#if BORINGSSL_API_VERSION < 20  // Debian's copy of 2022 knows no post-quantum group in use today
  static const std::vector<std::string> kGroups{"X25519", "P-256", "P-384"};
#else
  static const std::vector<std::string> kGroups{"X25519MLKEM768", "X25519", "P-256", "P-384"};
#endif
  return kGroups;
}

const std::vector<std::string>& OurGroups() {
  // Whoever has P-384 has P-256, too.
  static const std::vector<std::string> kGroups(KnownGroups().begin(), KnownGroups().end() - 1);
  return kGroups;
}

Result<std::vector<std::string>> ParseGroups(std::string_view list) {
  std::vector<std::string> groups;
  for (std::size_t at = 0; at <= list.size();) {
    const std::size_t comma = std::min(list.find(',', at), list.size());
    std::string_view name = list.substr(at, comma - at);
    at = comma + 1;
    while (name.starts_with(' ')) name.remove_prefix(1);
    while (name.ends_with(' ')) name.remove_suffix(1);
    const std::string quoted = '"' + authz::Shortened(name) + '"';
    if (std::find(KnownGroups().begin(), KnownGroups().end(), name) == KnownGroups().end()) {
      return Invalid(quoted + " is no group that is spoken here; there are " +
                     GroupsText(KnownGroups()));
    }
    if (std::find(groups.begin(), groups.end(), name) != groups.end())
      return Invalid(quoted + " is there twice");
    groups.emplace_back(name);
  }
  return groups;
}

std::string GroupsText(const std::vector<std::string>& groups) {
  std::string text;
  for (const std::string& group : groups) text += (text.empty() ? "" : ", ") + group;
  return text;
}

Result<Offer> Narrow(Offer offer, const authz::TlsParameters& wish, std::string_view where) {
  const auto least = RankOf(wish.min_version, where, "TLSMinVersion");
  if (!least) return least.error();
  const auto most = RankOf(wish.max_version, where, "TLSMaxVersion");
  if (!most) return most.error();
  const std::string place(where);
  if (*most && **most < kTls12) {
    return Invalid(place + ": TLSMaxVersion " + wish.max_version +
                   " leaves nothing: TLSv1_2 is the least that is spoken here");
  }
  if (*least) offer.least = std::max(offer.least, VersionOf(**least));
  if (*most) offer.most = std::min(offer.most, VersionOf(**most));
  if (offer.least > offer.most) {
    return Invalid(place + ": TLSMinVersion " + wish.min_version + " and TLSMaxVersion " +
                   wish.max_version + " leave nothing");
  }
  if (!wish.cipher_suites.empty()) {
    std::erase_if(offer.suites, [&wish](const std::string& ours) {
      return std::find(wish.cipher_suites.begin(), wish.cipher_suites.end(), ours) ==
             wish.cipher_suites.end();
    });
  }
  if (offer.least == Version::kTls12 && offer.suites.empty()) {
    if (offer.most == Version::kTls12) {
      std::string ours;
      for (const std::string& suite : OurSuites()) ours += (ours.empty() ? "" : ", ") + suite;
      return Invalid(
          place +
          ": CipherSuites leave nothing of TLS 1.2, and TLSMaxVersion is TLSv1_2; there are " +
          ours);
    }
    offer.least = Version::kTls13;
  }
  if (offer.least == Version::kTls13) offer.suites.clear();
  return offer;
}

}  // namespace mooring::tls
