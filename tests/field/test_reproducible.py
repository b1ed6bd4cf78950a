"""Two builds of the packages, in folders and surroundings that differ, are the same byte by byte. With --full alone:
one of the two compiles everything, whatever ccache has."""

import shutil
import subprocess
from pathlib import Path

from lib import check

EXPECTED_SECONDS = 900
ROOT = Path(__file__).resolve().parents[2]


def test_two_builds_are_the_same(case):
    if case.reduced:
        raise check.Skip("--full builds the packages twice")
    if not shutil.which("dh"):
        raise check.Skip("no debhelper here: it builds the packages")
    done = subprocess.run([ROOT / "examples/packaging/reproducible"], stdout=subprocess.PIPE, text=True, check=False)
    check.equal(done.returncode, 0, f"examples/packaging/reproducible: {done.stdout}")


test_two_builds_are_the_same.limit = 7200
