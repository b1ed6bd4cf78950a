"""Runs bench-load against a pair of sidecars, and the whole interleaved series of measurements."""

import contextlib
import copy
import json
import subprocess
import sys
import time

import modes
from calm import Calm, is_calm
from crowd import Crowd
from processes import Processes, prepare, stopped, tree

PATIENCE = 120  # seconds after which a run of bench-load is taken for hung
WARM_UP = 20  # seconds in which a pair has to begin to work
SETTLE = 0.5  # seconds after thousands of connections were closed at once


class Failed(Exception):
    """A measurement that came to nothing, and why."""


class Pair:
    """One peer, started."""

    def __init__(self, peer, place):
        self.peer, self.place = peer, place

    def warm_up(self, driver):
        """warm_up returns why the pair does not work, or None."""
        try:
            self.peer.start(self.place)
        except (OSError, RuntimeError) as error:
            return str(error)
        reason = self._works(driver, "out")
        if reason is None and self.peer.tls:
            reason = self._works(driver, "in")
        return reason

    @contextlib.contextmanager
    def twin(self, driver):
        """twin is a context: another pair of the same peer."""
        processes = Processes()
        twin = Pair(copy.copy(self.peer), self.place.twin(processes))
        try:
            if reason := twin.warm_up(driver):
                raise Failed(f"a second pair did not start: {reason}")
            yield twin
        finally:
            processes.stop()

    def _works(self, driver, side):
        deadline = time.monotonic() + WARM_UP
        while True:
            if ended := self.place.ended():
                return f"the process of side {ended[0]} has ended"
            try:
                answer = driver.load(self, ("connect", "--connections", 2), side, warm=0, seconds=0.1)
                if answer["count"] > 0 and answer["errors"] == 0:
                    return None
                reason = answer.get("last_error", "no byte came back")
            except Failed as error:
                reason = str(error)
            if time.monotonic() > deadline:
                return f"side {side}: {reason}"
            time.sleep(0.1)


class Driver:
    """Measures pairs with bench-load. The settings are those of bench/run: warm, seconds, idle, crowd, windows, patience."""

    def __init__(self, program, settings):
        self.program, self.settings = program, settings
        self.warm, self.seconds = settings.warm, settings.seconds
        self._calm = Calm(settings.patience)

    def load(self, pair, arguments, side, warm, seconds):
        """load is one run of bench-load and its answer."""
        return run(self._command(pair, arguments, side, warm, seconds))

    def _command(self, pair, arguments, side, warm, seconds):
        place = pair.place
        words = [str(word).format(idle=self.settings.idle, crowd=self.settings.crowd) for word in arguments]
        argv = [self.program, *words, "--port", place.outbound if side == "out" else place.inbound, "--warm", warm,
                "--seconds", seconds]
        if side == "in":
            chain, key, roots, expected = pair.peer.caller(place)
            argv += ["--tls", "--certificate", chain, "--key", key, "--roots", roots, "--expect", expected]
        for group, roots in place.roots().items():
            if (side, group) != ("in", "out"):
                pids = [pid for root in roots for pid in tree(root)]
                argv += ["--cpu", f"{group}={','.join(map(str, pids))}"]
        return argv

    def measure(self, pair, mode):
        """measure is one measurement, or the calmest of several."""
        if mode.side == "in" and not pair.peer.tls:
            return None
        seconds = round(self.seconds * mode.share, 3)
        if mode.name == "idle-9000":
            record = self._crowded(pair, mode, seconds)
        elif mode.calm:
            record = self._calmest(pair, mode, seconds)
        else:
            record = self._once(pair, mode, seconds)
        if mode.once:
            time.sleep(SETTLE)
        return record

    def _once(self, pair, mode, seconds):
        """_once is one measurement: the figures, and beside them what bench-load said."""
        answer = self.load(pair, mode.arguments, mode.side, self.warm, seconds)
        return {"figures": modes.figures(mode, answer), "errors": answer["errors"], "stolen": answer.get("stolen", 0),
                "answer": answer}

    def _calmest(self, pair, mode, seconds):
        record = self._calm.measure(mode.name, lambda: self._once(pair, mode, seconds))
        more = {"stolen_percent": 100 * record["stolen"], "p99_first_us": record["first"]["figures"].get("p99_us")}
        return {**record, "figures": {**record["figures"], **more}}

    def _crowded(self, pair, mode, seconds):
        """_crowded is windows of requests beside held connections and, in turn with them, through a twin that holds none,
        while the first pair is stopped: machines change their speed within seconds, and both shall see the same."""
        wanted, most = self.settings.windows, 3 * self.settings.windows  # half as many again, where some were disturbed
        beside, alone = [], []
        with pair.twin(self) as twin, Crowd(self._command(pair, mode.arguments, mode.side, self.warm, seconds)) as crowd:
            for number in range(most):
                if number % 4 in (0, 3):
                    beside.append(self._once(pair, modes.ALONE, seconds))
                else:
                    with stopped(pair.place.pids()):
                        alone.append(self._once(twin, modes.ALONE, seconds))
                if all(sum(map(is_calm, records)) >= wanted for records in (beside, alone)):
                    break
        answers = [crowd.last, *(record["answer"] for record in alone + beside)]
        answer = {"opened": crowd.opened, "last": crowd.last}
        if texts := [said["last_error"] for said in answers if "last_error" in said]:
            answer["last_error"] = texts[0]
        return {"figures": modes.crowded(alone, beside, crowd.last["held"]), "errors": sum(said["errors"] for said in answers),
                "answer": answer, "alone": alone, "beside": beside}

    def cipher(self):
        """cipher is the cost of the AEAD alone, sealing and opening, in CPU-seconds per GB."""
        return run([self.program, "aead", "--seconds", 0.3])["cpu_per_gb"]


def run(argv):
    # A session of its own, so that Ctrl-C does not look like a failure of the measurement.
    try:
        done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, timeout=PATIENCE,
                              check=False, start_new_session=True, preexec_fn=prepare)
    except subprocess.TimeoutExpired:
        raise Failed(f"no answer within {PATIENCE} s") from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"bench-load ended with {done.returncode}"]
        raise Failed(lines[0])
    return json.loads(done.stdout)


class Series:
    """results: mode -> peer -> one record a window; None where a peer has no part, {"failed": why} where it failed."""

    def __init__(self, driver, pairs, wanted, rounds):
        self.driver, self.pairs, self.rounds = driver, pairs, rounds
        self.wanted = wanted
        self.results = {mode.name: {pair.peer.name: [] for pair in pairs} for mode in wanted}
        self.cipher = []
        self._begun = time.monotonic()

    def run(self):
        self._once("first")
        for number in range(self.rounds):
            self.cipher.append(self.driver.cipher())
            # There and back, so that whatever drifts within a round falls on each peer alike.
            order = self.pairs if number % 2 == 0 else self.pairs[::-1]
            for mode in self.wanted:
                for _ in range(0 if mode.once else mode.windows):
                    for pair in order:
                        self._record(pair, mode)
            self._say(f"round {number + 1} of {self.rounds}")
        self._once("last")

    def _once(self, when):
        for mode in self.wanted:
            if mode.once == when:
                for pair in self.pairs:
                    self._record(pair, mode)
                self._again(mode)
                self._say(mode.name)

    def _again(self, mode):
        """_again gives a second turn, behind the others, to those whom a disturbance left without a figure: it lasts minutes."""
        for pair in self.pairs:
            records = self.results[mode.name][pair.peer.name]
            if modes.is_disturbed(records[-1]):
                first = records.pop()
                self._record(pair, mode)
                records[-1]["errors"] = records[-1].get("errors", 0) + first["errors"]

    def _record(self, pair, mode):
        try:
            record = self.driver.measure(pair, mode)
        except (Failed, RuntimeError) as error:
            record = {"failed": str(error)}
            print(f"bench: {pair.peer.name}, {mode.name}: {error}", file=sys.stderr, flush=True)
        self.results[mode.name][pair.peer.name].append(record)

    def _say(self, what):
        print(f"bench: {time.monotonic() - self._begun:4.0f} s  {what} done", file=sys.stderr, flush=True)
