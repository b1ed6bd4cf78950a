// Kept: what a target makes once, in the arena, and has anew for each input.
//
// A World may have `void Spend()`, which destroys what the input has used, and nothing else of it:
// to destroy all of it can take longer than the input.
#pragma once

#include <cstring>
#include <new>

#include "tests/fuzz/arena.h"
#include "tests/fuzz/fixtures.h"

namespace mooring::fuzz {

// One in a process, as the arena is; static, since its memory has to stay where it is.
template <typename World>
class Kept final {
 public:
  // Run has `input` use the world, which is spent, or destroyed, and put back afterwards.
  template <typename Input>
  void Run(const Input& input) {
    if (!made_) Make();
    auto* world = reinterpret_cast<World*>(memory_);
    {
      const Arena::Running running;
      input(*world);
      if constexpr (requires { world->Spend(); }) {
        world->Spend();
      } else {
        world->~World();
      }
    }
    Arena::Restore();
    std::memcpy(memory_, kept_, sizeof kept_);
  }

 private:
  void Make() {
    made_ = true;
    AllowFixtures();
    const Arena::Making making;
    new (memory_) World;
    std::memcpy(kept_, memory_, sizeof kept_);
    Arena::Keep();
  }

  alignas(World) unsigned char memory_[sizeof(World)];
  alignas(World) unsigned char kept_[sizeof(World)];
  bool made_ = false;
};

}  // namespace mooring::fuzz
