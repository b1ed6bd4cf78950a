"""How the programs of this folder print what they measured."""

import statistics
import sys

NAMES = {"mooring": "Mooring", "go": "Consul's"}


def table(title, header, rows):
    print(f"\n{title}\n")
    print("| " + " | ".join(header) + " |")
    print("|" + " --- |" * len(header))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |", flush=True)


def counted(records):
    """counted adds up dicts of numbers: "3 eof, 2 reset"."""
    total = {}
    for record in records:
        for how, number in record.items():
            total[how] = total.get(how, 0) + number
    return ", ".join(f"{number} {how}" for how, number in sorted(total.items())) or "-"


def longest(values):
    """longest is "median / maximum", in seconds."""
    values = list(values)
    return f"{statistics.median(values):.2f} / {max(values):.2f}" if values else "-"


def say(text):
    print(text, file=sys.stderr, flush=True)


def close(case):
    """close undoes the case, says what went wrong in that, and answers it: a list of lines. What was said is kept then."""
    problems = case.close()
    for problem in problems:
        say(f"while cleaning up: {problem}")
    if problems:
        say(f"the logs are in {case.directory}")
    else:
        case.forget()
    return problems
