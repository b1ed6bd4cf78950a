"""examples/outage, with an outage as short as the steps in it allow."""

import os
import subprocess
import sys
from pathlib import Path

from faults.subject import only_mooring
from lib import check
from lib.case import peer_binary, slowness

EXPECTED_SECONDS = 20
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "outage" / "outage.py"


def test_the_outage_example_keeps_its_promises_and_leaves_nothing(case):
    only_mooring("the example runs Mooring alone")
    done = subprocess.run([sys.executable, "-B", EXAMPLE, "--mooring", os.environ["MOORING_BIN"], "--seconds",
                           str(case.scale(4, 30)), "--consul", peer_binary("consul")], text=True, capture_output=True, timeout=120 * slowness(),
                          env={**os.environ, "TMPDIR": str(case.directory)}, check=False)
    check.equal(done.returncode, 0, done.stdout + done.stderr)
    check.true("every promise was kept" in done.stdout, done.stdout)
    check.equal([name for name in os.listdir(case.directory) if name.startswith("mooring-outage-")], [],
                "folders left behind")


test_the_outage_example_keeps_its_promises_and_leaves_nothing.limit = 150
