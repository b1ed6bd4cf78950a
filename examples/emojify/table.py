"""Runs of the story beside each other, as a table in Markdown: what differs between them, and the figures.

Run: table.py NAME=RESULTS.json ...
"""

import json
import re
import sys

FIGURE = re.compile(r"\d ms|\bs:|failed|lost|times")


def rows(runs):
    """rows are (step, what, one cell a run). A run that has not got as far as others has none there."""
    for number, step in enumerate(runs[0]["steps"], 1):
        steps = [next((one for one in run["steps"] if one["number"] == number), {"checks": []}) for run in runs]
        seen = list(dict.fromkeys(check["what"] for one in steps for check in one["checks"]))
        for what in seen:
            checks = [next((check for check in one["checks"] if check["what"] == what), None) for one in steps]
            if worth_it(checks):
                yield number, what, [cell(check) for check in checks]


def worth_it(checks):
    return any(check is None or not check["kept"] or FIGURE.search(check["seen"]) for check in checks)


def cell(check):
    if check is None:
        return "-"
    text = re.sub(r" \([a-z_]+: \d+.*?\)", "", check["seen"].split("\n")[0]).replace("|", "/")
    short = text if len(text) <= 80 else text[:77] + "..."
    if "figure" in check:
        return short
    if check["kept"] and not FIGURE.search(short):
        return "yes"
    return ("yes" if check["kept"] else "**no**") + (f": {short}" if short else "")


def main():
    runs = []
    for word in sys.argv[1:]:
        name, _, path = word.partition("=")
        with open(path, encoding="utf-8") as file:
            runs.append({"name": name, **json.load(file)})
    if not runs:
        sys.exit(__doc__)
    print("| step | what | " + " | ".join(run["name"] for run in runs) + " |")
    print("| --- " * (2 + len(runs)) + "|")
    for number, what, cells in rows(runs):
        print(f"| {number} | {what} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
