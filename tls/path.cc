#include "tls/path.h"

#include <openssl/nid.h>
#include <openssl/obj.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

namespace mooring::tls {
namespace {

// Bounds on what one chain may cost. Name comparisons are cheap, but certificates of one name that
// all "issue" each other have more orders than anyone can try; a judged path costs a signature
// check or a few (BoringSSL begins at the root, so a stranger's chain costs one). After the first
// path no signature by a root is asked twice. Honest chains need a few of each: with 100 roots and
// the longest chain, about 1000 comparisons and one path a root of the same name.
constexpr int kMaxComparisons = 4096;
constexpr int kMaxPaths = 32;

int PurposeId(Purpose purpose) {
  return purpose == Purpose::kPeerIsClient ? X509_PURPOSE_SSL_CLIENT : X509_PURPOSE_SSL_SERVER;
}

Refusal RefusalOf(int error, int depth) {
  switch (error) {
    case X509_V_ERR_INVALID_PURPOSE:
    case X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION:
      return depth == 0 ? Refusal::kLeafRules : Refusal::kUnknownCa;
    case X509_V_ERR_INVALID_EXTENSION: return Refusal::kMalformed;
    case X509_V_ERR_CERT_CHAIN_TOO_LONG: return Refusal::kChainTooLong;
    default: return Refusal::kUnknownCa;
  }
}

// SHA-1 and older: collisions are practical, so whoever gets one certificate signed can own
// another.
bool WeakSignature(const X509* certificate) {
  constexpr std::array kWeak = {NID_sha1WithRSAEncryption, NID_ecdsa_with_SHA1,
                                NID_md5WithRSAEncryption, NID_md4WithRSAEncryption,
                                NID_dsaWithSHA1};
  for (const int nid : kWeak) {
    if (X509_get_signature_nid(certificate) == nid) return true;
  }
  return false;
}

// CheckTimes says whether every certificate is valid at `now`, and when all of them are. BoringSSL
// would leave out the last second of a certificate, which belongs to it (RFC 5280 4.1.2.5).
Path CheckTimes(const STACK_OF(X509) * chain, WallTime now) {
  Path all{Refusal::kNone, {}, {WallTime::min(), WallTime::max()}};
  for (std::size_t i = 0; i < sk_X509_num(chain); ++i) {
    const X509* certificate = sk_X509_value(chain, i);
    const auto refuse = [certificate](Refusal refusal, const char* why) {
      return Path{refusal, why + NameText(X509_get_subject_name(certificate)), {}};
    };
    WallTime from;
    WallTime last;
    if (!ReadTime(X509_get0_notBefore(certificate), &from) ||
        !ReadTime(X509_get0_notAfter(certificate), &last)) {
      return refuse(Refusal::kMalformed, "its dates cannot be read: ");
    }
    if (now < from) return refuse(Refusal::kNotYetValid, "certificate is not yet valid: ");
    if (now >= EndOf(last)) return refuse(Refusal::kExpired, "certificate has expired: ");
    all.valid.from = std::max(all.valid.from, from);
    all.valid.until = std::min(all.valid.until, EndOf(last));
  }
  return all;
}

// ExtensionTwice: some extension stands there more than once (RFC 5280 4.2). BoringSSL looks at
// those that it knows.
bool ExtensionTwice(const X509* certificate) {
  std::vector<std::span<const std::uint8_t>> ids;
  for (int i = 0; i < X509_get_ext_count(certificate); ++i) {
    const ASN1_OBJECT* id = X509_EXTENSION_get_object(X509_get_ext(certificate, i));
    ids.emplace_back(OBJ_get0_data(id), OBJ_length(id));
  }
  std::ranges::sort(
      ids, [](const auto& a, const auto& b) { return std::ranges::lexicographical_compare(a, b); });
  return std::ranges::adjacent_find(ids, [](const auto& a, const auto& b) {
           return std::ranges::equal(a, b);
         }) != ids.end();
}

// AnchorFault says what of a root's own statements is against this path. To BoringSSL an anchor is
// a name and a key (RFC 5280 6.1.1 d). A certificate from a list of roots states its limits like
// any other, and whoever signed it meant them.
std::string AnchorFault(const X509* root, long intermediates, Purpose purpose) {
  const long allowed = X509_get_pathlen(root);
  if (allowed >= 0 && intermediates > allowed) {
    return "this root allows " + std::to_string(allowed) + " intermediates, the path has " +
           std::to_string(intermediates);
  }
  if ((X509_get_extension_flags(root) & EXFLAG_CRITICAL) != 0)
    return "this root has a critical extension that is not known";
  // Nothing is written to it, whatever the signature of older releases says.
  if (X509_check_purpose(const_cast<X509*>(root), PurposeId(purpose), 1) != 1)
    return "this root's extended key usage does not cover the peer's role";
  return {};
}

// CheckStrength adds what X509_verify_cert leaves out: key sizes, hashes, extensions that stand
// there twice, and what the anchor itself allows.
Path CheckStrength(const STACK_OF(X509) * chain, Purpose purpose) {
  const std::size_t length = sk_X509_num(chain);
  long intermediates = 0;  // those that count: not self-issued (RFC 5280 6.1.4 l)
  for (std::size_t i = 0; i < length; ++i) {
    X509* certificate = sk_X509_value(chain, i);
    const bool is_anchor = i + 1 == length;
    const Refusal refusal = i == 0 ? Refusal::kLeafRules : Refusal::kUnknownCa;
    const auto refuse = [&](const std::string& why) {
      return Path{refusal, NameText(X509_get_subject_name(certificate)) + ": " + why, {}};
    };
    if (const char* weak = WeakKey(certificate)) return refuse(weak);
    if (!is_anchor && WeakSignature(certificate))
      return refuse("its signature uses SHA-1 or older");
    if (ExtensionTwice(certificate)) return refuse("an extension stands there twice");
    if (is_anchor) {
      const std::string fault = AnchorFault(certificate, intermediates, purpose);
      if (!fault.empty()) return refuse(fault);
    }
    if (i > 0 && (X509_get_extension_flags(certificate) & EXFLAG_SI) == 0) ++intermediates;
  }
  return {Refusal::kNone, {}, {}};
}

class Search final {
 public:
  Search(std::span<const bssl::UniquePtr<X509>> sent, std::span<const bssl::UniquePtr<X509>> roots,
         X509_STORE* no_store, Purpose purpose, WallTime now)
      : sent_(sent),
        roots_(roots),
        no_store_(no_store),
        purpose_(purpose),
        now_(now),
        used_(sent.size(), false) {}

  Path Run() {
    X509* leaf = sent_.front().get();
    best_.detail =
        "no path to a trusted root: its issuer is " + NameText(X509_get_issuer_name(leaf));
    Extend(leaf);
    return best_;
  }

 private:
  // Extend tries every way on from `last`, the end of path_. True: stop searching.
  bool Extend(X509* last) {
    for (const auto& root : roots_) {
      if (--comparisons_ < 0) return true;
      if (X509_check_issued(root.get(), last) != X509_V_OK) continue;
      if (Try(root.get()) || --paths_ == 0) return true;
    }
    for (std::size_t i = 1; i < sent_.size(); ++i) {
      if (used_[i]) continue;
      if (--comparisons_ < 0) return true;
      if (X509_check_issued(sent_[i].get(), last) != X509_V_OK) continue;
      used_[i] = true;
      path_.push_back(sent_[i].get());
      if (Extend(sent_[i].get())) return true;
      path_.pop_back();
      used_[i] = false;
    }
    return false;
  }

  // Try has BoringSSL judge the leaf over path_ to `root`. True: it is good.
  bool Try(X509* root) {
    Path judged = tried_ && !EndIsSigned(root) ? BadSignature() : Judge(root);
    if (judged.refusal == Refusal::kNone) {
      best_ = std::move(judged);
      return true;
    }
    // Of several failures, the first that says more than "unknown CA" explains best: an expired
    // leaf is expired, though its issuer's namesake failed too.
    if (!tried_ || best_.refusal == Refusal::kUnknownCa) best_ = std::move(judged);
    tried_ = true;
    return false;
  }

  // EndIsSigned says whether `root` has signed the end of path_; each pair is asked once. The first
  // path does without: most are good, and BoringSSL asks the same.
  bool EndIsSigned(X509* root) {
    X509* const last = End();
    const auto [known, is_new] = signed_.try_emplace({last, root}, false);
    if (is_new) {
      EVP_PKEY* const key = X509_get0_pubkey(root);
      known->second = key != nullptr && X509_verify(last, key) == 1;
      ClearErrors();
    }
    return known->second;
  }

  Path BadSignature() const {
    return {Refusal::kUnknownCa,
            X509_verify_cert_error_string(X509_V_ERR_CERT_SIGNATURE_FAILURE) + std::string(": ") +
                NameText(X509_get_subject_name(End())),
            {}};
  }

  X509* End() const { return path_.empty() ? sent_.front().get() : path_.back(); }

  Path Judge(X509* root) const {
    const bssl::UniquePtr<STACK_OF(X509)> anchors(sk_X509_new_null());
    const bssl::UniquePtr<STACK_OF(X509)> hints(sk_X509_new_null());
    const bssl::UniquePtr<X509_STORE_CTX> ctx(X509_STORE_CTX_new());
    bool ready = anchors && hints && ctx && bssl::PushToStack(anchors.get(), bssl::UpRef(root));
    for (X509* intermediate : path_) {
      ready = ready && bssl::PushToStack(hints.get(), bssl::UpRef(intermediate));
    }
    if (!ready ||
        X509_STORE_CTX_init(ctx.get(), no_store_, sent_.front().get(), hints.get()) != 1) {
      ClearErrors();
      return {Refusal::kUnknownCa, "out of memory", {}};
    }
    X509_STORE_CTX_set0_trusted_stack(ctx.get(), anchors.get());
    X509_VERIFY_PARAM* param = X509_STORE_CTX_get0_param(ctx.get());
    X509_VERIFY_PARAM_set_purpose(param, PurposeId(purpose_));
    // "Partial chain" lets an anchor be any certificate of the trusted stack, which holds ours
    // alone.
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_NO_CHECK_TIME);
    // Judge has counted already; versions of BoringSSL differ in whether both ends of the path
    // count here.
    X509_VERIFY_PARAM_set_depth(param, static_cast<int>(kMaxChain));
    const bool good = X509_verify_cert(ctx.get()) == 1;
    ClearErrors();
    if (good) {
      const STACK_OF(X509)* chain = X509_STORE_CTX_get0_chain(ctx.get());
      Path strong = CheckStrength(chain, purpose_);
      return strong.refusal == Refusal::kNone ? CheckTimes(chain, now_) : strong;
    }

    const int error = X509_STORE_CTX_get_error(ctx.get());
    const int depth = X509_STORE_CTX_get_error_depth(ctx.get());
    const X509* culprit = X509_STORE_CTX_get_current_cert(ctx.get());
    std::string detail = X509_verify_cert_error_string(error);
    if (culprit != nullptr) detail += ": " + NameText(X509_get_subject_name(culprit));
    return {RefusalOf(error, depth), std::move(detail), {}};
  }

  std::span<const bssl::UniquePtr<X509>> sent_;
  std::span<const bssl::UniquePtr<X509>> roots_;
  X509_STORE* no_store_;
  Purpose purpose_;
  WallTime now_;
  std::vector<bool> used_;
  std::vector<X509*> path_;  // intermediates between the leaf and where the search stands
  std::map<std::pair<const X509*, const X509*>, bool> signed_;  // (certificate, root)
  int comparisons_ = kMaxComparisons;
  int paths_ = kMaxPaths;
  bool tried_ = false;
  Path best_;
};

}  // namespace

Path FindPath(std::span<const bssl::UniquePtr<X509>> sent,
              std::span<const bssl::UniquePtr<X509>> roots, X509_STORE* no_store, Purpose purpose,
              WallTime now) {
  return Search(sent, roots, no_store, purpose, now).Run();
}

}  // namespace mooring::tls
