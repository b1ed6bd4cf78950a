"""Load under which something is replaced: an application, new connections at a steady pace, and long sessions whose bytes are
all accounted for. The programs are those of lib/traffic_program.py; all times are those of time.monotonic().
"""

import time
from dataclasses import dataclass, field
from pathlib import Path

from lib import check
from lib.blocks import SIZE
from lib.case import slowness
from lib.child import Child

PROGRAM = Path(__file__).with_name("traffic_program.py")
PAUSE = 0.1  # seconds between two blocks of a session, each way
PATIENCE = 10.0  # seconds of a call
CALLERS = 2  # programs that call: one would be slower than what it calls
AT_ONCE = 16  # calls under way, where it is measured how many a second there can be


class App(Child):
    """The application at the far end. tls: {"chain", "key", "roots"}, paths, where it is called without a sidecar."""

    def __init__(self, case, port=0, tls=None, reuse_port=False):
        super().__init__(case, PROGRAM, "app", {"port": port, "tls": tls, "reuse_port": reuse_port, "pause": PAUSE})
        self.port = self.about["port"]


@dataclass
class Seen:
    """What callers saw. Of new connections: made, served, failed (by what they saw) and the first of these, longest (seconds until
    an answer). Of sessions: done (ended in order, both sides with all that the other had sent), cut (by what was seen), lost
    (bytes that one side had sent and the other never had). late: by how much the load itself was, at most: the machine's doing."""
    made: int = 0
    served: int = 0
    failed: dict = field(default_factory=dict)
    first: list = field(default_factory=list)
    longest: float = 0.0
    done: int = 0
    cut: dict = field(default_factory=dict)
    lost: int = 0
    late: float = 0.0

    def add(self, other):
        for name in ("made", "served", "done", "lost"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for mine, more in ((self.failed, other.failed), (self.cut, other.cut)):
            for how, count in more.items():
                mine[how] = mine.get(how, 0) + count
        self.first = (self.first + other.first)[:5]
        self.longest, self.late = max(self.longest, other.longest), max(self.late, other.late)
        return self

    def faultless(self):
        return not (self.failed or self.cut or self.lost)


class Load:
    """Long sessions, and calls, through address, or in turn through each of several, to the applications behind it: a list, which
    may grow. tls: the caller's files, where the other side is called by TLS."""

    def __init__(self, case, address, apps, sessions, tls=None):
        self.apps, self.size = apps, sessions
        self.cuts = []  # (when, how) of sessions that ended by nobody's wish
        self._seen, self._ends = Seen(), {}  # ends: of sessions that are over at one side only, what that side says
        words = {"addresses": [list(one) for one in (address if isinstance(address, list) else [address])], "tls": tls}
        self._sessions = Child(case, PROGRAM, "sessions", words)
        self._calls = [Child(case, PROGRAM, "calls", {**words, "patience": PATIENCE}) for _ in range(CALLERS)]
        self._calling = 0
        self.fill()

    # Calls.

    def capacity(self, seconds=2.0):
        """capacity is how many calls a second there can be, here, beside the sessions and with the program that makes them."""
        self.report()
        begun = time.monotonic()
        for calls in self._calls:
            calls.do("flat_out", at_once=AT_ONCE // CALLERS)
        time.sleep(seconds)
        self.pace(0)
        seen, took = self.report(), time.monotonic() - begun
        if not seen.faultless():
            check.fail(f"faults while nothing was replaced: {seen}")
        return seen.served / took

    def pace(self, rate):
        """pace has so many calls a second begin, from now on."""
        for calls in self._calls:
            calls.do("pace", rate=rate / CALLERS)

    # Sessions.

    def fill(self):
        """fill opens sessions until there are as many as there were to be, and waits until the application has spoken in each."""
        here = self._look()
        self._sessions.do("open", count=max(0, self.size - here["open"]))

        def steady():
            now = self._look()
            return not now["wanted"] and now["steady"] == now["open"]

        check.within(steady, f"{self.size} sessions are under way", 60 * slowness(), step=0.1)

    def replace(self, count):
        """replace ends the oldest sessions in order and opens as many: the new ones are with whoever accepts by now."""
        self._sessions.do("close", count=count)
        check.within(lambda: not self._look()["ending"], f"{count} sessions have ended", 20 * slowness(), step=0.05)
        self.fill()

    def moved(self):
        """moved returns once each session has had another block of the application's."""
        before = self._look()["blocks"]
        check.within(lambda: self._look()["blocks"] >= before + self.size, "the sessions go on", 20 * slowness(), step=0.1)

    def open(self):
        return self._look()["open"]

    def _look(self):
        here = self._sessions.do("report")
        self._seen.late = max(self._seen.late, here["late"])
        for end in here["ended"]:
            if end["how"] == "done":
                self._seen.done += 1
            else:
                self._seen.cut[end["how"]] = self._seen.cut.get(end["how"], 0) + 1
                self.cuts.append((end["at"], end["how"]))
            self._settle(end, "client")
        return here

    def _settle(self, end, side):
        other = self._ends.pop(end["session"], None)
        if other is None:
            self._ends[end["session"]] = (side, end)
        else:
            for sender, receiver in ((end, other[1]), (other[1], end)):
                self._seen.lost += SIZE * max(0, sender["sent"] - receiver["received"])

    # What was seen.

    def report(self):
        """report is what was seen since the last one."""
        self._look()
        for app in self.apps:
            for end in app.do("report")["ended"]:
                self._settle(end, "application")
        self._calling = 0
        for program in self._calls:
            calls = program.do("report")
            self._calling += calls["open"]
            self._seen.add(Seen(calls["made"], calls["served"], calls["failed"], calls["first"], calls["longest"],
                                late=calls["late"]))
        seen, self._seen = self._seen, Seen()
        return seen

    def stop(self):
        """stop ends all of it in order, and returns what was seen since the last report."""
        seen = Seen()
        self.pace(0)
        self._sessions.do("close", count=self.size)

        def over():
            seen.add(self.report())
            here = self._look()
            return not here["open"] + here["ending"] + self._calling

        check.within(over, "all calls and sessions are over", (PATIENCE + 10) * slowness(), step=0.1)

        def settled():
            seen.add(self.report())
            return not self._ends

        try:
            check.within(settled, "both sides know of each session's end", 5 * slowness(), step=0.1)
        except AssertionError:  # one that was cut before the application has heard its name
            seen.lost += sum(SIZE * end["sent"] for _, end in self._ends.values())
        return seen
