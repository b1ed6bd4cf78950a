"""C++ as .clang-format says it, and no line longer than its 100 columns."""

import os
import re
import shutil
import subprocess

from lib import check

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ROOMS = ("authz", "bench", "examples", "proxy", "tests", "tls")
COLUMNS = 100
RELEASE = 14  # another release of clang-format breaks some lines elsewhere


def cpp_files():
    for room in ROOMS:
        for folder, _, names in os.walk(os.path.join(ROOT, room)):
            for name in sorted(names):
                if name.endswith((".cc", ".h")):
                    yield os.path.relpath(os.path.join(folder, name), ROOT)


def raw_lines(text):
    """The numbers of the lines that a raw string stands on: clang-format leaves those as they are."""
    lines = set()
    for found in re.finditer(r'R"\((.*?)\)"', text, re.DOTALL):
        lines.update(range(text.count("\n", 0, found.start()) + 1, text.count("\n", 0, found.end()) + 2))
    return lines


def test_no_line_is_longer_than_a_hundred_columns(case):
    long_ones = []
    for path in cpp_files():
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            text = file.read()
        raw = raw_lines(text)
        long_ones += [f"{path}:{number}" for number, line in enumerate(text.split("\n"), 1)
                      if len(line) > COLUMNS and number not in raw]
    assert not long_ones, f"longer than {COLUMNS} columns: {', '.join(long_ones)}"


def test_every_file_is_formatted_as_the_style_file_says(case):
    program = shutil.which(f"clang-format-{RELEASE}") or shutil.which("clang-format")
    if program is None:
        raise check.Skip("no clang-format here; tests/setup installs it")
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if f"version {RELEASE}." not in version:
        raise check.Skip(f"clang-format {RELEASE} is wanted, this is {version}")
    done = subprocess.run([program, "--dry-run", "-Werror", *cpp_files()], cwd=ROOT, capture_output=True, text=True, check=False)
    places = sorted({line.split(": ")[0] for line in done.stderr.splitlines() if "error:" in line})
    check.equal(places, [], "places to be formatted (clang-format -i FILE)")
