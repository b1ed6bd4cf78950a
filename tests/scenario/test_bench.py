"""bench/run on a small scale: that it measures, reports and leaves nothing, not what it finds."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from lib import check
from lib.case import slowness
from lib.ports import free_port

BENCH = Path(__file__).resolve().parents[2] / "bench"
sys.path.append(str(BENCH / "lib"))
import calm  # noqa: E402
import measure  # noqa: E402
import modes  # noqa: E402
import outcome  # noqa: E402

EXPECTED_SECONDS = 26
RUN = BENCH / "run"
MODES = "stream,request,connect,in-connect,in-resume,mixed,idle,idle-9000"


def test_the_benchmark_measures_mooring_without_an_error_and_writes_its_report(case):
    mooring = Path(os.environ["MOORING_BIN"])
    load = mooring.parent / "bench/bench-load"
    if not load.exists():
        raise check.Skip(f"no {load.name} beside the program; it is built with the unit tests, not with sanitizers")
    done = subprocess.run(
        [RUN, "--mooring", mooring, "--load", load, "--peers", "floor", "--modes", MODES, "--rounds", "1", "--seconds",
         "0.2", "--quick", "--crowd", "50", "--windows", "3", "--port", str(free_port()), "--out", case.directory / "out"],
        text=True, capture_output=True, timeout=80 * slowness(), env={**os.environ, "TMPDIR": str(case.directory)},
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
    window = results["request"]["mooring"][0]
    check.true(0 <= window["stolen"] <= 1 and 1 <= window["tries"] <= 4, f"what was stolen is known: {window}")
    beside = results["idle-9000"]["mooring"][0]
    check.equal(beside["figures"]["held"], 50, "connections held")
    check.true(beside["beside"] and beside["alone"], f"windows beside them, and without: {beside}")
    check.true("<svg" in (case.directory / "out/report.html").read_text(), "the report has pictures")


# Where the machine's other guests disturb, windows are measured again.
test_the_benchmark_measures_mooring_without_an_error_and_writes_its_report.limit = 90


def _measured(stolen, seconds=60.0):
    """_measured is what Calm makes of tries of which so much was stolen, and how many of them it asked for."""
    tries = iter([{"stolen": share, "errors": 1, "number": number} for number, share in enumerate(stolen)])
    return calm.Calm(seconds).measure("request", lambda: next(tries))


def test_a_disturbed_window_is_measured_again_and_the_calmest_try_counts(_):
    found = _measured([0.0, 0.0])
    check.equal((found["number"], found["tries"]), (0, 1), "a calm window is left as it is")
    found = _measured([0.3, 0.1, 0.01, 0.0])
    check.equal((found["number"], found["tries"], found["errors"]), (2, 3, 3), "until one is calm; errors count in all")
    check.equal(found["first"]["number"], 0, "the first try stands beside it")
    found = _measured([0.3, 0.2, 0.1, 0.4, 0.0])
    check.equal((found["number"], found["tries"]), (2, 4), "not for ever: the calmest of four")
    found = _measured([0.3, 0.0], seconds=0)
    check.equal((found["number"], found["tries"]), (0, 1), "not without patience")


def _windows(*p99s, stolen=0.0):
    return [{"stolen": stolen, "figures": {"p99_us": p99, "p50_us": 1, "rate": 1, "cpu": 1}} for p99 in p99s]


def test_a_crowd_is_judged_by_calm_windows_and_by_enough_of_them(_):
    disturbed = _windows(9000, 9000, 9000, 9000, stolen=0.5)
    found = modes.crowded(_windows(100, 300, 200) + disturbed, _windows(220, 210, 250) + disturbed, 50)
    check.equal(found["p99_share"], 1.1, "median beside the crowd to median alone")
    check.equal(found["windows"], 3, "calm windows on the poorer side")
    found = modes.crowded(_windows(100, 300, 200), _windows(220, 210) + disturbed, 50)
    check.equal(found, {"held": 50, "windows": 2}, "too few calm windows make no figure")


def test_a_ratio_over_calm_rounds_wants_both_calm_and_enough_of_them(_):
    mine = [*_windows(100, 200, 300), *_windows(9000, stolen=0.5), None, *_windows(400)]
    other = [*_windows(200, 200, 200), *_windows(1000), *_windows(200), *_windows(200, stolen=0.5)]
    results = {"request": {"mooring": mine, "other": other, "few": other[:2] + other[5:]}}
    found = outcome.Outcome(results, ["mooring", "other", "few"], "mooring", set())
    check.equal(found.ratio("request", "other", "p99_us"), (1.5, 0.5, 9.0), "all rounds")
    check.equal(found.calm_ratio("request", "other", "p99_us"), (1.0, 0.5, 1.5), "calm rounds")
    check.equal(found.calm_ratio("request", "few", "p99_us"), None, "too few of them")
    check.equal(found.calm_ratio("stream", "other", "cpu"), None, "a mode that was not measured")


class _Script:
    """A driver whose records are written beforehand, for each peer in turn."""

    def __init__(self, **records):
        self.records, self.calls = {name: iter(made) for name, made in records.items()}, []

    def cipher(self):
        return 0.1

    def measure(self, pair, _):
        self.calls.append(pair.peer.name)
        return next(self.records[pair.peer.name])


class _Quiet(measure.Series):
    def _say(self, what):
        """Nothing: standard error is the whole run's."""


def test_who_was_disturbed_beside_a_crowd_gets_a_second_turn_behind_the_others(_):
    good = {"figures": {"p99_share": 1.0}, "errors": 1}
    poor = {"figures": {"windows": 2}, "errors": 2}
    names = ("a", "b", "c")
    driver = _Script(a=[dict(poor), dict(good)], b=[dict(good)], c=[dict(poor), dict(poor)])
    pairs = [SimpleNamespace(peer=SimpleNamespace(name=name)) for name in names]
    crowd = [mode for mode in modes.ALL if mode.name == "idle-9000"]
    series = _Quiet(driver, pairs, crowd, rounds=1)
    series.run()
    check.equal(driver.calls, ["a", "b", "c", "a", "c"], "turns")
    found = {name: [(record["figures"], record["errors"]) for record in series.results["idle-9000"][name]] for name in names}
    check.equal(found, {"a": [({"p99_share": 1.0}, 3)], "b": [({"p99_share": 1.0}, 1)], "c": [({"windows": 2}, 4)]},
                "one record each, with the errors of both turns")
