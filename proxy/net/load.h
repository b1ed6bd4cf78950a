// Load: how much the reads of one stream bring. Scheduling goes by it (turn.h), and so does the
// size of the next read.
//
// Four levels, each more than the one before it:
//   kLight   its reads have all been small lately: a stream of messages
//   kMedium  neither light nor heavy
//   kHeavy   its last read was large enough that it has to share the loop's turns
//   kBulk    its reads are so large that the next one will probably bring a full burst again
//
// A stream begins as light. One large read is enough to make it heavy. It takes many small reads in
// a row to make it light again, because a bulk stream that is read faster than its source sends has
// small reads in between.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "proxy/net/burst.h"

namespace mooring::net {

enum class Load : std::uint8_t { kLight, kMedium, kHeavy, kBulk };

class LoadMeter final {
 public:
  // of a plain leg as of a TLS leg
  static constexpr std::size_t kFullBurst = kReadBurst / kRecord * kRecordPayload;
  // bytes, from here on
  static constexpr std::size_t kHeavyRead = 16384;
  // bytes, up to here
  static constexpr std::size_t kSmallRead = 4096;
  // small ones in a row
  static constexpr std::uint8_t kLightReads = 16;

  // Note is for every read of the socket; `bytes` as they came, ciphertext on a TLS leg.
  void Note(std::size_t bytes) {
    small_reads_ = bytes > kSmallRead ? 0 : std::min<std::uint8_t>(small_reads_ + 1, kLightReads);
    // A full burst makes a bulk stream and a trickle ends one. In between, sizes vary with who was
    // quicker, reader or source.
    const bool bulk = bytes >= kFullBurst || (load_ == Load::kBulk && bytes >= kFullBurst / 4);
    if (bulk) {
      load_ = Load::kBulk;
    } else if (bytes >= kHeavyRead) {
      load_ = Load::kHeavy;
    } else {
      load_ = small_reads_ == kLightReads ? Load::kLight : Load::kMedium;
    }
  }
  Load load() const { return load_; }

 private:
  Load load_ = Load::kLight;
  std::uint8_t small_reads_ = kLightReads;
};
static_assert(LoadMeter::kFullBurst / 4 >= LoadMeter::kHeavyRead, "a bulk stream is a heavy one");

}  // namespace mooring::net
