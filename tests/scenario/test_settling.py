"""Which tests `tests/run` runs once more: unit tests that failed, by doctest's own words; others by what they say."""

import os
import subprocess

from lib import check, runner

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


def test_what_no_luck_excuses_is_not_run_again(case):
    for text in ("mooring ended with -11 before it was told to end, not 0", "mooring ended with -31 on SIGTERM, not 0",
                 "ERROR: AddressSanitizer: heap-use-after-free", "x: lost silently {'silent: an end': 1}", "Torn: 9 bytes after the last"):
        check.true(runner.STANDS.search(text), text)
    for text in ("a call: not within 5.0 s", "db (pid 7, ended with -9): out", "mooring ended with 1 on SIGTERM, not 0"):
        check.true(not runner.STANDS.search(text), text)


def settled(second):
    """settled is a run in which tests `a` and `b` of one file have failed, after the second one; second: what that saw."""
    class Stub(runner.Run):
        def go(self, modules):
            for test, failed in second.items():
                if failed:
                    self.counts["fail"] += 1
                    self.failed.append(("file", test, failed))
                else:
                    self.passed.add(("file", test))

    run = Stub(1)
    run.failed = [("file", "a", "late"), ("file", "b", "ended with -11")]
    run.counts["fail"] = 2
    run.settle([("file", ["a", "b"], 0)])
    return run


def test_a_second_run_that_finds_something_else_does_not_make_it_good(case):
    run = settled({"a": None})
    check.equal((run.counts["ok"], run.counts["fail"], [one[1] for one in run.failed]), (1, 1, ["b"]), "one passed alone, one stands")
    run = settled({"a": None, "(shared parts)": "ended with -11"})
    check.equal((run.counts["fail"], [one[1] for one in run.failed]), (2, ["b", "(shared parts)"]), "what the second run found stands")
