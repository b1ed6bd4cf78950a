"""System calls of a sidecar under traffic, made to fail one at a time (strace's injection), and what each costs.

One process is at both ends: web calls web, so that each stream goes through the outbound side, mutual TLS and the inbound side of
one worker. The agent is scripted, changes all the time and hangs up now and then; what it says is kept on disk; the admin
port is asked. Which calls there are is traced, in each thread by its name, and never written down from memory.
"""

import contextlib
import http.client
import threading
from collections import Counter
from dataclasses import dataclass, field

from faults.fallible import ERRORS, UNFALLIBLE, errors
from lib import agent as scripted
from lib import check, statefile, streams
from lib.case import now, slowness
from lib.mooring import Mooring
from lib.ports import free_port
from lib.strace import Injected, Traced, threads

SERVICE = "web"
SLOW = 2  # streams that live through all faults but those that meet them
AT_ONCE, RATE = 8, 60.0
MET = 1.5  # seconds in which a call is to be met again
CALM = 20.0


class Changes:
    """The control plane's life: intentions and leaves that change, connections that the agent ends, questions of the admin port."""

    def __init__(self, api, mooring):
        self.api, self.mooring, self.count = api, mooring, 0
        self._ending = threading.Event()
        self._changing = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        turn = 0
        while not self._ending.wait(0.08):
            turn += 1
            with self._changing:
                self.change()
                if turn % 6 == 0:
                    self.api.rotate_leaf(SERVICE)
                if turn % 10 == 0:
                    self.api.hang_up()
            if turn % 3 == 0:
                with contextlib.suppress(OSError, http.client.HTTPException):  # a fault of the admin port's costs its question
                    self.mooring.admin("/metrics", timeout=2)

    def change(self):
        self.count += 1
        self.api.set_intentions(scripted.intention(SERVICE, SERVICE, "allow", Description=str(self.count)))

    def rest(self):
        """rest holds the changes until what it returns is released."""
        self._changing.acquire()
        return self._changing

    def stop(self):
        self._ending.set()
        self._thread.join()


@dataclass
class Outcome:
    """What became of faults of one call in one thread. lost: by how. most: streams that one fault cost. missed: what must not be."""
    thread: str
    call: str
    errors: list = field(default_factory=list)
    faults: int = 0
    unmet: int = 0
    most: int = 0
    lost: Counter = field(default_factory=Counter)
    missed: list = field(default_factory=list)


class Course:
    """The sidecar, its traffic and its control plane; a test that has one ends it by stop()."""

    def __init__(self, case, **words):
        self.case = case
        self.api = scripted.Agent(case)
        self.app = streams.App(case)
        public, upstream = free_port(), free_port()
        self.api.set_instances(SERVICE, ("127.0.0.1", public))
        directory = case.directory / "state"
        self.mooring = Mooring.connect_proxy(
            case, "-http-addr", self.api.address, "-service", SERVICE, "-service-addr", f"127.0.0.1:{self.app.port}", "-listen",
            f"127.0.0.1:{public}", "-upstream", f"{SERVICE}:{upstream}", "-state-dir", directory, "-workers", "1", level="INFO")
        self.state = statefile.of_service(directory, SERVICE)
        self.streams = streams.Streams(case, ("127.0.0.1", upstream), self.app, slow_life=3600.0, patience=8.0 * slowness(), **words)
        self.total = streams.Seen()
        self.streams.keep(AT_ONCE, SLOW, RATE)
        self.changes = Changes(self.api, self.mooring)
        case.undo(self.changes.stop)

    def traced(self, seconds=5.0):
        """traced are the (thread's name, call) pairs that traffic and changes make, with how many there were."""
        saved = self.saves()
        trace = Traced(self.case, self.mooring.process)
        names, begun = threads(self.mooring.pid), now()
        check.within(lambda: now() - begun > seconds and self.saves() != saved, "some traffic, and a save", 20 * slowness())
        names |= threads(self.mooring.pid)
        found = Counter()
        for (thread, call), count in trace.calls().items():
            found[names.get(thread, "?"), call] += count
        return found

    def saves(self):
        with contextlib.suppress(OSError):
            return self.state.stat().st_ino
        return None

    def one(self, outcome, error, when):
        """one makes the when-th next call of the outcome's fail with this error, and adds what that was to the outcome."""
        numbers = [number for number, name in threads(self.mooring.pid).items() if name == outcome.thread]
        if not numbers:
            outcome.unmet += 1
            return
        self.streams.keep(AT_ONCE, SLOW, RATE)
        injected = Injected(self.case, self.mooring.process, outcome.call, error, when, thread=numbers[0])
        begun = now()
        while not injected.count() and now() - begun < MET * slowness() and self.mooring.process.running():
            threading.Event().wait(0.005)
        injected.detach()
        faults = injected.count()
        injected.output.unlink(missing_ok=True)
        if not faults:
            outcome.unmet += 1
            return
        outcome.faults += faults
        if error not in outcome.errors:
            outcome.errors.append(error)
        what = f"{error}, {outcome.call} number {when} of {outcome.thread}"
        if not self.mooring.process.running():
            outcome.missed.append(f"{what}: {self.mooring.process.describe()}")
            check.fail(outcome.missed[-1])
        try:
            statefile.read(self.state)
        except statefile.Torn as torn:
            outcome.missed.append(f"{what}: on disk {torn}")
        try:
            self.calm()
        except AssertionError as wrong:
            outcome.missed.append(f"{what}: {wrong}")
        seen = self.streams.report(quiet=True)
        self.total.add(seen)
        outcome.most = max(outcome.most, seen.cost())
        outcome.lost.update(seen.lost)
        if seen.cost() > faults:
            outcome.missed.append(f"{what}: cost {seen.lost}")
        if seen.silent():
            outcome.missed.append(f"{what}: lost silently {seen.silent()}")

    def calm(self):
        """calm returns once the streams under way are over, the slow ones move and nothing of the others is left."""
        self.streams.settle(CALM, slow=SLOW)
        before = dict(self.streams.slow)

        def moving():
            self.streams.look()
            return all(got > before.get(number, 0) for number, got in self.streams.slow.items())

        check.within(moving, "the slow streams go on", 5 * slowness(), step=0.02)

        def alone():
            held = self.mooring.status()["connections"]
            return held["inbound"]["active"] == held["outbound"]["active"] == SLOW

        check.within(alone, f"nothing is held but the {SLOW} slow streams", 5 * slowness(), step=0.02)

    def saved(self, seconds=30.0):
        """saved asserts that the state on disk is whole, and what the agent says now, soon after the last change."""
        resting = self.changes.rest()
        try:
            self.changes.change()
            wanted = str(self.changes.count)

            def current():
                intentions = statefile.read(self.state).document("intentions").body.decode()
                return f'"Description": "{wanted}"' in intentions or f'"Description":"{wanted}"' in intentions

            check.within(current, "the state on disk is what the agent says", seconds * slowness(), step=0.05)
        finally:
            resting.release()

    def group(self, thread, call, whens=(1,)):
        """group makes the calls of one kind in one thread fail, each error in turn, and returns the outcome."""
        outcome = Outcome(thread, call)
        for error in errors(thread, call):
            for when in whens:
                if outcome.faults or outcome.unmet < 3:  # one that is rare is not waited for again and again
                    self.one(outcome, error, when)
        try:
            self.saved()
        except (AssertionError, statefile.Torn) as wrong:
            outcome.missed.append(f"after {call} of {thread}: {wrong}")
        return outcome

    def stop(self):
        """stop ends the traffic in order: what was lost by then is no fault's, and must be nothing."""
        self.changes.stop()
        self.streams.keep(0)
        self.streams.hurry()
        self.streams.settle(CALM)
        return self.total.add(self.streams.report(quiet=True))


def unknown(found):
    """unknown are traced calls that fallible.py does not know."""
    return sorted({call for _, call in found} - set(ERRORS) - set(UNFALLIBLE))
