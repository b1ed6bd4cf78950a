"""What public suites say that we should do, and the tables of what we do otherwise, each with its reason.

A suite's table is NAME.md beside this file, `| test | we | why |`, as lib/deviations.py reads it. Either way an
unexpected verdict fails: one that differs and has no row, and a row that nothing needs.
"""

from pathlib import Path

from lib.deviations import Table

HERE = Path(__file__).parent


class Results:
    """The verdicts of one suite. faults: what nobody expects."""

    def __init__(self, suite):
        self.suite, self.table = suite, Table(HERE / f"{suite}.md")
        self.count = self.deviations = 0
        self.faults = []

    def add(self, test, verdict, agrees):
        """add takes one verdict: a line of text, and whether it is what the suite wants."""
        self.count += 1
        if agrees:
            return
        if self.table.explains(test, verdict):
            self.deviations += 1
        else:
            self.faults.append(f"{test}: {verdict}")

    def close(self, whole=True):
        """close adds the rows that explain nothing; whole=False: only a part of the suite was asked."""
        if whole:
            self.faults += [f"a row that explains nothing: {line}" for line in self.table.unused()]

    def text(self):
        good = self.count - self.deviations - sum(not fault.startswith("a row ") for fault in self.faults)
        return (f"{self.count} tests: {good} as the suite wants, {self.deviations} otherwise for a reason in "
                f"tests/suites/{self.suite}.md, {len(self.faults)} unexpected")
