"""bench/run on a small scale: that it measures, reports and leaves nothing, not what it finds."""

import json
import os
import subprocess
from pathlib import Path

from lib import check
from lib.case import slowness
from lib.ports import free_port

EXPECTED_SECONDS = 15
RUN = Path(__file__).resolve().parents[2] / "bench/run"
MODES = "stream,request,connect,in-connect,in-resume,mixed,idle"


def test_the_benchmark_measures_mooring_without_an_error_and_writes_its_report(case):
    mooring = Path(os.environ["MOORING_BIN"])
    load = mooring.parent / "bench/bench-load"
    if not load.exists():
        raise check.Skip(f"no {load.name} beside the program; it is built with the unit tests, not with sanitizers")
    done = subprocess.run(
        [RUN, "--mooring", mooring, "--load", load, "--peers", "floor", "--modes", MODES, "--rounds", "1", "--seconds",
         "0.2", "--quick", "--port", str(free_port()), "--out", case.directory / "out"],
        text=True, capture_output=True, timeout=60 * slowness(), env={**os.environ, "TMPDIR": str(case.directory)},
        check=False)
    check.equal(done.returncode, 0, done.stdout + done.stderr)
    results = json.loads((case.directory / "out/results.json").read_text())["results"]
    check.equal(sorted(results), sorted(MODES.split(",")), "modes with results")
    for mode, peers in results.items():
        check.true(peers["mooring"] and all(entry["errors"] == 0 for entry in peers["mooring"]),
                   f"{mode} without errors: {peers['mooring']}")
        check.true(all(entry["figures"].get("cpu", 1) > 0 for entry in peers["mooring"]), f"{mode}: CPU was counted")
    resumed = results["in-resume"]["mooring"][0]["figures"]["resumed"]
    check.true(resumed > 0.9, f"tickets are taken: {resumed}")
    check.true("<svg" in (case.directory / "out/report.html").read_text(), "the report has pictures")
