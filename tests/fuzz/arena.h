// Arena: memory that is put back to how it was, so that what took long to make, a connection with
// its handshake done, is there anew for each input.
//
//   Arena::Making        while one lives, this thread's `new` and BoringSSL's memory come from it
//   Arena::Keep()        what has been made till now is what Restore goes back to
//   Arena::Running       while one lives, BoringSSL's memory alone comes from it
//   Arena::Restore()     after what was made, and has been used, is destroyed, too
//
// What `new` gives while an input runs is ordinary memory, which AddressSanitizer watches. So the
// objects that were kept and used have to be destroyed before Restore: what they have taken since
// is freed by that, and they themselves are back afterwards. One in a process, one thread.
#pragma once

#include <cstddef>

namespace mooring::fuzz {

class Arena final {
 public:
  class Making final {
   public:
    Making();
    ~Making();
    Making(const Making&) = delete;
    Making& operator=(const Making&) = delete;
  };
  class Running final {
   public:
    Running();
    ~Running();
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;
  };
  static void Keep();
  static void Restore();
};

}  // namespace mooring::fuzz
