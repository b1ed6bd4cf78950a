"""Which unit tests `tests/run` runs once more: those that failed, by doctest's own words."""

import os
import subprocess

from lib import check

LIB = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib")

OUTPUT = """\
===============================================================================
tests/unit/hot_path_test.cc:10:
TEST CASE:  a: only a message

tests/unit/hot_path_test.cc:12: MESSAGE: 3 allocations

2026-11-29T00:00:00.000Z [ERROR] agent: agent refuses: watch=doc
===============================================================================
tests/unit/watch_test.cc:20:
TEST CASE:  b: fails, with a comma
  in a part of it

tests/unit/watch_test.cc:22: ERROR: CHECK( 1 == 2 ) is NOT correct!
  values: CHECK( 1 == 2 )

tests/unit/watch_test.cc:23: ERROR: CHECK( 1 == 3 ) is NOT correct!
===============================================================================
tests/unit/watch_test.cc:40:
TEST CASE:  c: ends in the middle

tests/unit/watch_test.cc:41: FATAL ERROR: REQUIRE( false ) is NOT correct!
===============================================================================
tests/unit/watch_test.cc:50:
TEST CASE:  d: throws

tests/unit/watch_test.cc:50: ERROR: test case THREW exception: none
"""


def test_a_test_that_only_says_something_is_not_taken_for_one_that_failed(case):
    said = subprocess.run(["awk", "-f", os.path.join(LIB, "failed_cases.awk")], input=OUTPUT, capture_output=True, text=True, check=True)
    check.equal(said.stdout.splitlines(), ["b: fails, with a comma", "c: ends in the middle", "d: throws"], "those that failed")
