// The fixtures of the unit tests are written with doctest's assertions. Here one that does not hold
// is a finding, or a fixture that could not be made: either way it ends the process.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include "tests/fuzz/fixtures.h"
#include "tests/fuzz/fuzz.h"

namespace mooring::fuzz {

void AllowFixtures() {
  static doctest::Context& context = *new doctest::Context;
  context.setAsDefaultForAssertsOutOfTestCases();
  context.setAssertHandler([](const doctest::AssertData& data) {
    if (data.m_failed) Find(data.m_expr, data.m_decomp.c_str(), data.m_file, data.m_line);
  });
}

}  // namespace mooring::fuzz
