// Scratch: the memory that all streams of one loop read into and write from, so that an idle
// connection needs none of its own.
//
// Its content is valid within one event only: whoever calls into another object gives it up. One a
// loop, on its thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "proxy/net/burst.h"
#include "proxy/net/pages.h"
#include "tls/wire.h"

namespace mooring::net {

class Scratch final {
 public:
  // throws std::bad_alloc
  Scratch() : cipher_(kLargeBurst), plain_(kLargeBurst + 2 * kRecordPayload) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  // cipher is what a socket is read into, whatever the leg speaks.
  std::span<std::uint8_t> cipher() { return cipher_.bytes(); }
  // plain is what records are opened into. It is two records larger than `cipher`, because a burst
  // can also complete a record whose beginning was kept inside the tls::Session.
  std::span<std::uint8_t> plain() { return plain_.bytes(); }
  // out is what records are sealed into.
  tls::WireBytes& out();

  // NoteRead is for every read into `cipher`. Trim gives memory back if none was large between the
  // last two calls of Trim.
  void NoteRead(std::size_t bytes) {
    if (bytes > kReadBurst) large_ = true;
  }
  void Trim();

 private:
  Pages cipher_, plain_;
  tls::WireBytes out_;
  bool large_ = false;  // a large read since the last Trim
  bool trim_due_ = false;
};

}  // namespace mooring::net
