// Targets: all of them, each a function named as its corpus, its dictionary and its program are.
#pragma once

#include "tests/fuzz/fuzz.h"

// One more is an entry here, in meson.build and in README.md.
#define FUZZ_TARGETS(each)                                                                     \
  each(admin) each(certificates) each(chains) each(connection) each(decisions) each(documents) \
      each(flags) each(handover) each(http) each(pem) each(record) each(session) each(spiffe)  \
          each(state) each(yaml)

namespace mooring::fuzz {

#define FUZZ_DECLARE(name) void name(Input input);
FUZZ_TARGETS(FUZZ_DECLARE)
#undef FUZZ_DECLARE

}  // namespace mooring::fuzz
