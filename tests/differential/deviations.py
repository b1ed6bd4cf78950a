"""Tables of deviations: `| of | how | mutation | why |`, the middle two patterns of a shell, several are alternatives."""

import fnmatch
import re

from lib import check


class Table:
    def __init__(self, path):
        self.rows = []
        for line in path.read_text().splitlines():
            if line.startswith("| ") and not line.startswith(("| of", "| ---")):
                cells = [cell.strip() for cell in line.strip("|").split("|")]
                row = {"line": line, "of": cells[0], "used": 0, "how": re.findall(r"`([^`]+)`", cells[1]),
                       "mutations": re.findall(r"`([^`]+)`", cells[2])}
                check.true(len(cells) == 4 and all(cells) and row["how"] and row["mutations"], f"four cells in {line}")
                self.rows.append(row)

    def explains(self, of, how, mutations):
        found = [row for row in self.rows
                 if row["of"] in (of, "both") and any(fnmatch.fnmatchcase(how, pattern) for pattern in row["how"])
                 and any(fnmatch.fnmatchcase(one, pattern) for one in mutations for pattern in row["mutations"])]
        for row in found:
            row["used"] += 1
        return bool(found)

    def unused(self, of=None):
        return [row["line"] for row in self.rows if not row["used"] and of in (None, row["of"]) or
                of and row["of"] == "both" and not row["used"]]
