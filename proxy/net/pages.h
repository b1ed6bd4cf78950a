// Pages: memory that costs only where it has been touched, and can be given back without being
// lost.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace mooring::net {

class Pages final {
 public:
  explicit Pages(std::size_t size);  // throws std::bad_alloc
  ~Pages();
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

  std::span<std::uint8_t> bytes() { return {data_, size_}; }
  std::size_t size() const { return size_; }
  // GiveBack forgets what lies behind the first `keep` bytes; it reads as zeros, and costs nothing
  // until it is written.
  void GiveBack(std::size_t keep);

 private:
  std::uint8_t* data_;
  std::size_t size_;
};

}  // namespace mooring::net
