// Wire: the ciphertext of one call on a Session, in and out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <utility>
#include <vector>

namespace mooring::tls {

// Unzeroed is std::allocator, but resize leaves what it adds as it is: it is about to be
// overwritten.
template <typename T>
struct Unzeroed : std::allocator<T> {
  template <typename U>
  struct rebind {
    using other = Unzeroed<U>;
  };
  template <typename U>
  void construct(U* at) noexcept {
    ::new (static_cast<void*>(at)) U;
  }
  template <typename U, typename... Args>
  void construct(U* at, Args&&... args) {
    ::new (static_cast<void*>(at)) U(std::forward<Args>(args)...);
  }
};
using WireBytes = std::vector<std::uint8_t, Unzeroed<std::uint8_t>>;

// Append is insert at the end, as one copy.
inline void Append(WireBytes& to, std::span<const std::uint8_t> bytes) {
  if (bytes.empty()) return;
  const std::size_t before = to.size();
  to.resize(before + bytes.size());
  std::memcpy(to.data() + before, bytes.data(), bytes.size());
}

// `in` shrinks as bytes are taken; what is left after a call is for the next one (kept by the
// caller). Records to be sent are appended to `out`, which never refuses: the caller sends or keeps
// them after every call, the failing ones included (they then hold the alert).
struct Wire {
  std::span<const std::uint8_t> in;
  WireBytes& out;
};

}  // namespace mooring::tls
