"""Tables of what we do otherwise than others, in documents beside the tests, each row with its reason.

The last column is `why`. Of the others each cell has patterns of a shell in backquotes, several are alternatives, or
one word without them, of which `both` is any.
"""

import fnmatch
import re

from lib import check


def _cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _fitting(patterns, seen):
    texts = [seen] if isinstance(seen, str) else seen
    return [pattern for pattern in patterns if any(fnmatch.fnmatchcase(text, pattern) for text in texts)]


class Row:
    """line: as it stands; section: the heading above it, without its ##; patterns: of each column; used: those of the
    first column that have explained something."""

    def __init__(self, line, columns, section):
        cells = _cells(line)
        check.true(len(cells) == len(columns) and all(cells), f"{len(columns)} cells, none of them empty, in {line}")
        self.line, self.section, self.used = line, section, set()
        self.patterns = [re.findall(r"`([^`]+)`", cell) or ["*" if cell == "both" else cell] for cell in cells[:-1]]

    def explains(self, *seen):
        """explains takes for each column a text, or several of which one has to fit."""
        fitting = [_fitting(patterns, column) for patterns, column in zip(self.patterns, seen, strict=True)]
        if not all(fitting):
            return False
        self.used.update(fitting[0])
        return True


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
        """explains says whether some row does, of that section alone if it is named. All that do take note of it."""
        return bool([row for row in self.rows if section in (None, row.section) and row.explains(*seen)])

    def names(self, first, section):
        """names says whether a row of the section has this in its first column."""
        return any(row.section == section and _fitting(row.patterns[0], first) for row in self.rows)

    def unused(self, first=None):
        """unused are the patterns of first columns that explained nothing, each with its row; first: of those alone
        that fit this."""
        return [f"`{pattern}` of {row.line}" for row in self.rows for pattern in row.patterns[0]
                if pattern not in row.used and (first is None or fnmatch.fnmatchcase(first, pattern))]
