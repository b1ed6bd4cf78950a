// TicketKeys: what an accepting context seals its tickets with. Made at random and known to nobody
// else, so tickets end with the context, that is with the leaf and the roots.
//
// A key seals for kTicketSeconds and opens for twice as long, which is the life of the last ticket
// that it sealed; then it is forgotten, and with it go the TLS 1.2 sessions that it could have
// opened (RFC 5077 5.5). Any thread.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>

#include <openssl/aead.h>

#include "tls/boringssl.h"

namespace mooring::tls {

class TicketKeys final {
 public:
  using Time = std::chrono::steady_clock::time_point;

  static constexpr std::size_t kNameSize = 16;
  static constexpr std::size_t kNonceSize = 12;
  // bytes that a ticket is longer than its session
  static constexpr std::size_t kOverhead = kNameSize + kNonceSize + 16;

  // Seal writes the ticket of a serialized session, kOverhead longer, and returns its length; 0: it
  // could not be made. `ticket` does not overlap `session`.
  std::size_t Seal(std::span<const std::uint8_t> session, std::span<std::uint8_t> ticket, Time now);
  // Open is the reverse; 0: not a ticket of ours, changed, or of a key that is forgotten.
  std::size_t Open(std::span<const std::uint8_t> ticket, std::span<std::uint8_t> session, Time now);

 private:
  struct Key {
    std::array<std::uint8_t, kNameSize> name{};
    bssl::ScopedEVP_AEAD_CTX aead;
    Time made_at;
  };
  static std::shared_ptr<const Key> NewKey(Time now);
  std::shared_ptr<const Key> ForSealing(Time now);
  std::shared_ptr<const Key> ForOpening(std::span<const std::uint8_t> name, Time now);

  std::mutex mutex_;
  std::shared_ptr<const Key> current_;
  std::shared_ptr<const Key> previous_;
};

}  // namespace mooring::tls
