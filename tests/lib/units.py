"""The units of examples/systemd, and what systemd says of units."""

import shutil
import subprocess
from pathlib import Path

from lib import check
from lib.case import slowness

FOLDER = Path(__file__).resolve().parents[2] / "examples/systemd"


def analyze(*arguments):
    """analyze is systemd-analyze with its exit code and all that it says."""
    if not shutil.which("systemd-analyze"):
        raise check.Skip("systemd-analyze is not here (package systemd)")
    return subprocess.run(["systemd-analyze", *arguments], text=True, capture_output=True, timeout=60 * slowness(), check=False)


def systemd_analyze(*arguments):
    return analyze(*arguments).stdout
