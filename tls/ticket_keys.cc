#include "tls/ticket_keys.h"

#include <openssl/rand.h>

#include <algorithm>
#include <utility>

#include "tls/ticket_rules.h"

namespace mooring::tls {
namespace {

constexpr std::chrono::seconds kSeals{kTicketSeconds};
constexpr std::chrono::seconds kOpens = 2 * kSeals;

}  // namespace

std::shared_ptr<const TicketKeys::Key> TicketKeys::NewKey(Time now) {
  auto key = std::make_shared<Key>();
  key->made_at = now;
  // A random nonce of 96 bits under one key is good for 2^32 tickets (NIST SP 800-38D 8.3); a key
  // seals for two hours.
  const EVP_AEAD* aead = EVP_aead_aes_256_gcm();
  std::array<std::uint8_t, 32> secret{};
  RAND_bytes(key->name.data(), key->name.size());
  RAND_bytes(secret.data(), secret.size());
  const bool made = EVP_AEAD_CTX_init(key->aead.get(), aead, secret.data(), secret.size(),
                                      EVP_AEAD_DEFAULT_TAG_LENGTH, nullptr) == 1;
  OPENSSL_cleanse(secret.data(), secret.size());
  return made ? key : nullptr;
}

std::shared_ptr<const TicketKeys::Key> TicketKeys::ForSealing(Time now) {
  const std::lock_guard lock(mutex_);
  if (!current_ || now - current_->made_at >= kSeals) {
    std::shared_ptr<const Key> next = NewKey(now);
    if (!next) return nullptr;
    previous_ = std::exchange(current_, std::move(next));
  }
  return current_;
}

std::shared_ptr<const TicketKeys::Key> TicketKeys::ForOpening(std::span<const std::uint8_t> name,
                                                              Time now) {
  const std::lock_guard lock(mutex_);
  for (std::shared_ptr<const Key>* key : {&current_, &previous_}) {
    if (*key && now - (*key)->made_at >= kOpens) key->reset();
    if (*key && std::equal(name.begin(), name.end(), (*key)->name.begin(), (*key)->name.end()))
      return *key;
  }
  return nullptr;
}

std::size_t TicketKeys::Seal(std::span<const std::uint8_t> session, std::span<std::uint8_t> ticket,
                             Time now) {
  if (ticket.size() < session.size() + kOverhead) return 0;
  const std::shared_ptr<const Key> key = ForSealing(now);
  if (!key) return 0;
  std::copy(key->name.begin(), key->name.end(), ticket.begin());
  const std::span<std::uint8_t> nonce = ticket.subspan(kNameSize, kNonceSize);
  const std::span<std::uint8_t> sealed = ticket.subspan(kNameSize + kNonceSize);
  RAND_bytes(nonce.data(), nonce.size());
  std::size_t length = 0;
  if (EVP_AEAD_CTX_seal(key->aead.get(), sealed.data(), &length, sealed.size(), nonce.data(),
                        nonce.size(), session.data(), session.size(), key->name.data(),
                        key->name.size()) != 1) {
    ERR_clear_error();
    return 0;
  }
  return kNameSize + kNonceSize + length;
}

std::size_t TicketKeys::Open(std::span<const std::uint8_t> ticket, std::span<std::uint8_t> session,
                             Time now) {
  if (ticket.size() < kOverhead) return 0;
  const std::span<const std::uint8_t> name = ticket.first(kNameSize);
  const std::span<const std::uint8_t> nonce = ticket.subspan(kNameSize, kNonceSize);
  const std::span<const std::uint8_t> sealed = ticket.subspan(kNameSize + kNonceSize);
  const std::shared_ptr<const Key> key = ForOpening(name, now);
  if (!key) return 0;
  std::size_t length = 0;
  if (EVP_AEAD_CTX_open(key->aead.get(), session.data(), &length, session.size(), nonce.data(),
                        nonce.size(), sealed.data(), sealed.size(), name.data(),
                        name.size()) != 1) {
    ERR_clear_error();  // a stranger's bytes
    return 0;
  }
  return length;
}

}  // namespace mooring::tls
