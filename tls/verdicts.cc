#include "tls/verdicts.h"

#include <openssl/sha.h>

#include <algorithm>

#include "tls/boringssl.h"

namespace mooring::tls {

Verdicts::Key Verdicts::KeyOf(std::span<const std::span<const std::uint8_t>> chain,
                              Purpose purpose) {
  SHA256_CTX hash;
  SHA256_Init(&hash);
  const auto role = static_cast<std::uint8_t>(purpose);
  SHA256_Update(&hash, &role, sizeof role);
  for (const std::span<const std::uint8_t> certificate : chain) {
    // With its length, so that no two lists of certificates are the same bytes.
    const std::uint64_t length = certificate.size();
    SHA256_Update(&hash, &length, sizeof length);
    SHA256_Update(&hash, certificate.data(), certificate.size());
  }
  Key key;
  SHA256_Final(key.data(), &hash);
  return key;
}

std::optional<authz::ServiceId> Verdicts::Find(const Key& key, WallTime now) const {
  const std::lock_guard lock(mutex_);
  const auto found = good_.find(key);
  if (found == good_.end() || now < found->second.valid.from || now >= found->second.valid.until)
    return std::nullopt;
  return found->second.id;
}

void Verdicts::Remember(const Key& key, const authz::ServiceId& id, TimeSpan valid) {
  const std::lock_guard lock(mutex_);
  // Room to remember the order in comes first: what is in good_ alone would never go again.
  if (order_.size() == order_.capacity())
    order_.reserve(std::min(kMost, std::max<std::size_t>(16, 2 * order_.size())));
  const auto [entry, added] = good_.insert_or_assign(key, Good{id, valid});
  if (!added) return;
  if (order_.size() < kMost) {
    order_.push_back(key);
    return;
  }
  good_.erase(order_[next_]);
  order_[next_] = key;
  next_ = (next_ + 1) % kMost;
}

}  // namespace mooring::tls
