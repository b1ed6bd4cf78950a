"""What public suites say that we should do, and the tables of what we do otherwise, each with its reason.

A suite's table is NAME.md beside this file, `| test | we | why |`, as lib/deviations.py reads it. Either way an
unexpected verdict fails: one that differs and has no row, and a pattern of a row that nothing needs. Under the heading
"Never as the suite wants" are tests that want what would be a hole: to do as they want fails as well.
"""

from pathlib import Path

from lib.deviations import Table

HERE = Path(__file__).parent
NEVER = "Never as the suite wants"
UNNEEDED = "explains nothing: "


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
            if self.table.names(test, NEVER):
                self.faults.append(f"{test}: {verdict}, as the suite wants and we must not")
            return
        if self.table.explains(test, verdict):
            self.deviations += 1
        else:
            self.faults.append(f"{test}: {verdict}")

    def close(self):
        """close adds what explains nothing."""
        self.faults += [f"{UNNEEDED}{line}" for line in self.table.unused()]

    def text(self):
        good = self.count - self.deviations - sum(not fault.startswith(UNNEEDED) for fault in self.faults)
        return (f"{self.count} tests: {good} as the suite wants, {self.deviations} otherwise for a reason in "
                f"tests/suites/{self.suite}.md, {len(self.faults)} unexpected")
