"""Tables of what we do otherwise than others, in documents beside the tests, each row with its reason.

The last column is `why`. Of the others each cell has patterns of a shell in backquotes, several are alternatives, or
one word without them, of which `both` is any.
"""

import fnmatch
import re

from lib import check


def _cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


class Row:
    """line: as it stands; section: the heading above it, without its ##; patterns: of each column; used: how often it
    explained something."""

    def __init__(self, line, columns, section):
        cells = _cells(line)
        check.true(len(cells) == len(columns) and all(cells), f"{len(columns)} cells, none of them empty, in {line}")
        self.line, self.section, self.used = line, section, 0
        self.patterns = [re.findall(r"`([^`]+)`", cell) or ["*" if cell == "both" else cell] for cell in cells[:-1]]

    def explains(self, *seen):
        """explains takes for each column a text, or several of which one has to fit."""
        return all(any(fnmatch.fnmatchcase(text, pattern) for pattern in patterns
                       for text in ([column] if isinstance(column, str) else column))
                   for patterns, column in zip(self.patterns, seen, strict=True))


class Table:
    """The rows of all tables of a document."""

    def __init__(self, path):
        self.rows, section, columns = [], None, ()
        lines = path.read_text().splitlines()
        for line, following in zip(lines, [*lines[1:], ""]):
            if line.startswith("## "):
                section = line[3:]
            elif following.startswith("| ---"):
                columns = _cells(line)
                check.equal(columns[-1], "why", f"the last column of {line}")
            elif line.startswith("| ") and not line.startswith("| ---"):
                self.rows.append(Row(line, columns, section))

    def explains(self, *seen, section=None):
        """explains says whether some row does, of that section alone if it is named, and counts those that do."""
        found = [row for row in self.rows if section in (None, row.section) and row.explains(*seen)]
        for row in found:
            row.used += 1
        return bool(found)

    def unused(self, first=None):
        """unused are the rows that explained nothing; first: of those alone whose first column is this."""
        return [row.line for row in self.rows if not row.used
                and (first is None or any(fnmatch.fnmatchcase(first, one) for one in row.patterns[0]))]
