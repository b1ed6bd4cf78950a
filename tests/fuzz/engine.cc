// The entry of one target, FUZZ_TARGET, for libFuzzer, and for AFL++, which takes the same one.
#include "tests/fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  mooring::fuzz::FUZZ_TARGET({data, size});
  return 0;
}
