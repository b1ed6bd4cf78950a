"""What public suites say that we should do, and the tables of what we do otherwise, each with its reason.

A suite's table is NAME.md beside this file: `| test | we | why |`, the first two cells patterns of a shell (several are
alternatives). Either way an unexpected verdict fails: one that differs and has no row, and a row that nothing needs.
"""

import fnmatch
import re
from pathlib import Path

HERE = Path(__file__).parent


class Row:
    def __init__(self, line):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        self.line, self.used = line, 0
        self.tests, self.verdicts = (re.findall(r"`([^`]+)`", cell) for cell in cells[:2])
        if len(cells) != 3 or not self.tests or not self.verdicts or not cells[2]:
            raise ValueError(f"a row is | `test` | `verdict` | why |, not {line}")

    def explains(self, test, verdict):
        return (any(fnmatch.fnmatchcase(test, pattern) for pattern in self.tests)
                and any(fnmatch.fnmatchcase(verdict, pattern) for pattern in self.verdicts))


def rows(suite):
    lines = (HERE / f"{suite}.md").read_text().splitlines()
    return [Row(line) for line in lines if line.startswith("| ") and not line.startswith(("| test", "| ---"))]


class Results:
    """The verdicts of one suite. faults: what nobody expects."""

    def __init__(self, suite):
        self.suite, self.rows = suite, rows(suite)
        self.count = self.deviations = 0
        self.faults = []

    def add(self, test, verdict, agrees):
        """add takes one verdict: a line of text, and whether it is what the suite wants."""
        self.count += 1
        if agrees:
            return
        found = [row for row in self.rows if row.explains(test, verdict)]
        for row in found:
            row.used += 1
        if found:
            self.deviations += 1
        else:
            self.faults.append(f"{test}: {verdict}")

    def close(self, whole=True):
        """close adds the rows that explain nothing; whole=False: only a part of the suite was asked."""
        if whole:
            self.faults += [f"a row that explains nothing: {row.line}" for row in self.rows if not row.used]

    def text(self):
        good = self.count - self.deviations - sum(not fault.startswith("a row ") for fault in self.faults)
        return (f"{self.count} tests: {good} as the suite wants, {self.deviations} otherwise for a reason in "
                f"tests/suites/{self.suite}.md, {len(self.faults)} unexpected")
