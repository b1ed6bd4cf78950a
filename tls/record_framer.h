// RecordFramer: knows where in a stream of TLS records (RFC 8446 5.1) somebody else's reading has
// got to.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

namespace mooring::tls {

class RecordFramer final {
 public:
  // Pass follows bytes that have been read.
  void Pass(std::span<const std::uint8_t> bytes) {
    while (!bytes.empty()) {
      const std::size_t step = std::min(bytes.size(), header_ < kHeader ? std::size_t{1} : body_);
      if (header_ < kHeader) {
        if (header_ >= 3) body_ = body_ << 8U | bytes.front();
        ++header_;
      } else {
        body_ -= step;
      }
      if (header_ == kHeader && body_ == 0) header_ = 0;
      bytes = bytes.subspan(step);
    }
  }
  // Left is how many bytes can be read without reading beyond the record under way; 0 between two
  // records.
  std::size_t Left() const {
    if (header_ == 0) return 0;
    return header_ < kHeader ? kHeader - header_ : body_;
  }

 private:
  static constexpr std::size_t kHeader = 5;
  std::size_t header_ = 0;  // bytes passed of the header
  std::size_t body_ = 0;    // of the length field, then bytes left
};

}  // namespace mooring::tls
