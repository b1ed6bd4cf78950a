#include "tests/fuzz/fuzz.h"

#include <cstdio>
#include <cstdlib>

namespace mooring::fuzz {

void Find(const char* what, std::string_view more, const char* file, int line) {
  std::fprintf(stderr, "FOUND: %s:%d: does not hold: %s\n%.*s\n", file, line, what,
               static_cast<int>(more.size()), more.data());
  std::abort();
}

}  // namespace mooring::fuzz
