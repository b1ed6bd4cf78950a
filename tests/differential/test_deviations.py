"""What counts as a deviation that is known, in the tables beside the differential tests and the public suites, and what as a fault."""

from lib import check
from lib.deviations import Table
from suites import lists, tlsfuzzer

EXPECTED_SECONDS = 1

TABLE = """# A table

## one side

| test | we | why |
| --- | --- | --- |
| `a *`, `b` | `refuse *` | A reason. |

## another

| test | we | why |
| --- | --- | --- |
| `c` | both | Another. |
"""


def test_a_row_explains_what_fits_it_and_each_of_its_patterns_has_to_be_needed(case):
    table = Table(case.write("table.md", TABLE))
    check.true(table.explains("a 1", "refuse it"), "a test of the row, with its verdict")
    check.true(not table.explains("a 1", "accept"), "another verdict of the same test")
    check.true(not table.explains("c", "accept", section="one side"), "a row of another section")
    check.equal([line.split(" of ")[0] for line in table.unused()], ["`b`", "`c`"], "patterns that explain nothing")
    check.true(table.explains(["x", "c"], "accept"), "one of several texts is enough")
    check.equal([line.split(" of ")[0] for line in table.unused()], ["`b`"], "patterns that explain nothing")


def test_to_let_in_whom_a_suite_wants_in_and_we_must_not_is_a_fault(case):
    seen = lists.Results("tlsfuzzer")
    seen.add("certificate-request: sanity", "Unexpected message from peer: Alert(fatal, handshake_failure)", False)
    check.equal((seen.faults, seen.deviations), ([], 1), "a caller without a certificate who is refused")
    seen.add("certificate-request: sanity", "passed", True)
    check.equal(len(seen.faults), 1, f"one who is let in: {seen.faults}")


def said(*parts, good, bad):
    return "\n".join([*parts, "", "Test end", "=====", f"TOTAL: {good + bad}", f"PASS: {good}", f"FAIL: {bad}"])


def test_what_a_script_of_tlsfuzzers_says_is_read_as_it_counts_it_itself(case):
    ok, nonces = "sanity ...\nOK\n", "aes-128-gcm Nonce monotonicity..."
    refused = "refused ...\nError while processing\nTraceback\nAssertionError: Unexpected closure from peer\n"
    check.equal(tlsfuzzer.conversations(said(ok, refused, ok, good=2, bad=1)),
                [("sanity", None), ("refused", "Unexpected closure from peer"), ("sanity", None)], "three conversations")
    check.equal(tlsfuzzer.conversations(said(ok, f"{nonces}\nreused nonce! Security vulnerability!", good=1, bad=1))[1],
                (nonces[:-3], "failed"), "a verdict without dots of its own line")
    check.equal(tlsfuzzer.conversations(said('"sanity" repeat 0...\nOK\n', "Duplicated entries in 'random'.", good=1, bad=0))[1],
                ("values", "Duplicated entries in 'random'."), "what is compared at the end")
    for wrong in (said(ok, good=1, bad=1), ok, said(good=0, bad=0)):
        try:
            tlsfuzzer.conversations(wrong)
        except AssertionError:
            continue
        check.fail(f"taken for whole: {wrong}")
