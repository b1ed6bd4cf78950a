"""Streams through two sidecars of a real Consul while all is changed that an operator changes: files, upgrades, authorities, the agent.

What must hold at the end: not a byte is lost, and neither memory nor descriptors of any process grow with the number of streams.
"""

import contextlib
import itertools
import signal
import statistics
import time
from dataclasses import dataclass

from field.test_reload import variants
from lib import check, streams
from lib.case import now, slowness
from lib.consul import Consul
from lib.generations import TAKE_OVER, handover_dir
from lib.mooring import Mooring, yaml_text
from lib.ports import free_port

# At churn 1, seconds between two of a kind; churn 10 makes each a tenth.
RELOADS, ROTATIONS, RESTARTS = 40.0, 400.0, 600.0
SAMPLES = 0.5  # seconds between two looks at a process
# A process is judged once it has lived so long, and by what came after the first third of its life: pools, arenas and caches are full
# then. Shorter ones are shown and not judged: their lines are all noise.
JUDGED = 60.0
# What one stream may leave behind, in bytes and in descriptors. The smallest thing that a stream owns for itself is its record, about
# half a KiB, and it has four descriptors: a leak in one stream of eight is above both.
LEFT_BYTES, LEFT_DESCRIPTORS = 64, 0.02


@dataclass
class Line:
    """Growth by the stream: the median of the slopes between any two samples, and what two thirds of them reach at least, which is judged.

    A step of a pool or a cache, which comes once, is in half of the slopes at most; a leak is in all of them. (After Theil and Sen.)
    """
    growth: float
    least: float
    first: float
    last: float

    @classmethod
    def through(cls, samples):
        # A thousand of them say as much, and their pairs are to be counted.
        samples = [*samples[::1 + len(samples) // 1000], samples[-1]]
        slopes = sorted((w - v) / (t - s) for (s, v), (t, w) in itertools.combinations(samples, 2) if t != s) or [0.0]
        return cls(statistics.median(slopes), slopes[len(slopes) // 3], samples[0][1], samples[-1][1])


def slope(pairs):
    """slope is that of the least squares through (x, y); 0 where x never moves."""
    mean_x, mean_y = statistics.fmean(x for x, _ in pairs), statistics.fmean(y for _, y in pairs)
    spread = sum((x - mean_x) ** 2 for x, _ in pairs)
    return sum((x - mean_x) * (y - mean_y) for x, y in pairs) / spread if spread else 0.0


def without(samples, by):
    """without are samples (at, value) less what goes up and down with a third thing: of both only what does not grow with `at` is
    compared, so that a leak, which does, stays in."""
    def rest(values):
        growth = slope([(at, value) for (at, _), value in zip(samples, values)])
        return [value - growth * at for (at, _), value in zip(samples, values)]

    ours, theirs = rest([value for _, value in samples]), rest(by)
    share = slope(list(zip(theirs, ours)))
    base = by[0]
    return [(at, value - share * (other - base)) for (at, value), other in zip(samples, by)]


class Watched:
    """A process and the samples of it: (when, streams begun by then, bytes of its own, descriptors)."""

    def __init__(self, name, process):
        self.name, self.process, self.samples = name, process, []

    def look(self, streams_begun):
        with contextlib.suppress(OSError):  # it has ended
            self.samples.append((now(), streams_begun, self.process.anonymous(), len(self.process.descriptors())))
            if not self.samples[-1][2]:
                self.samples.pop()

    def lived(self):
        return self.samples[-1][0] - self.samples[0][0] if len(self.samples) > 1 else 0.0

    def is_judged(self):
        return self.lived() >= JUDGED

    def lines(self):
        """lines are those of memory and descriptors by the stream, over what was sampled while it was the newest and warm."""
        warm = [one for one in self.samples if one[0] >= self.samples[0][0] + self.lived() / 3]
        files = [files for *_, files in warm]
        # More streams that are open at once take more memory, and give it back when they end.
        return (Line.through(without([(begun, memory) for _, begun, memory, _ in warm], files)),
                Line.through([(begun, files) for _, begun, _, files in warm]))


class Side:
    """One sidecar by a file that is changed, and its successors."""

    def __init__(self, case, name, settings):
        self.case, self.name = case, name
        self.settings = {"admin": {"address": f"127.0.0.1:{free_port()}"}, "log_level": "INFO", "drain_delay": "0s", "drain_time": "0s",
                         "allow_core": True, "handover_dir": handover_dir(case, f"handover-{name}"), "drain_quiet": "0s",
                         "state_dir": str(case.directory / f"state-{name}"), **settings}
        self.path = self.write()
        self.first = self.newest = Mooring(case, ["proxy", "-config", self.path], name=name)
        self.first._admin = self.first.listener("admin")
        self.reloads = 0

    def write(self):
        return self.case.write(f"{self.name}.yaml", yaml_text(self.settings) + "\n")

    def status(self):
        return self.first.status()

    def reload(self):
        self.write()
        before = self.status()["reload"]
        self.newest.process.send(signal.SIGHUP)
        count = before["good"] + before["refused"]

        def over():
            said = self.status()["reload"]
            return said["good"] + said["refused"] > count and said

        last = check.within(over, f"{self.name}'s reload is over", 20 * slowness(), step=0.02)["last"]
        check.true(last["outcome"] != "refused", f"{self.name}: {last}")
        self.reloads += 1

    def upgrade(self):
        """upgrade has a successor take over. (lib/generations.py does it for flags.)"""
        successor = Mooring(self.case, ["proxy", "-config", self.path, TAKE_OVER], ready=False, name=f"{self.name}-successor")
        successor._admin = self.first._admin

        def serves():
            with contextlib.suppress(OSError):
                return self.status()["pid"] == successor.pid
            return False

        check.within(serves, f"the successor of {self.name} serves", 30 * slowness(), step=0.02)
        self.newest = successor
        return successor


class Soak:
    """web calls payment, each with a sidecar. churn: how many times as fast as usual all is changed; rate: new streams a second."""

    def __init__(self, case, seconds, churn=10.0, rate=100.0, at_once=40, slow=10, say=print):
        self.case, self.seconds, self.churn, self.rate, self.say = case, seconds, churn, rate, say
        self.at_once, self.slow = at_once, slow
        # As on a VM: the agent is a client's, and the server with the authority stands elsewhere.
        self.server = Consul(case, node_name="server")
        self.consul = Consul(case, keep_state=True, server=False, bootstrap_expect=0, node_name="vm", data_dir=str(case.directory / "vm"),
                             retry_join=[f"127.0.0.1:{self.server.ports['serf_lan']}"])
        self.app = streams.App(case)
        agent = {"agent": {"address": self.consul.address}}
        self.payment = Side(case, "payment", {**agent, "services": [self.service("payment")]})
        listen = free_port()
        self.web = Side(case, "web", {**agent, "services": [
            {"service": "web", "upstreams": [{"service": "payment", "listen": f"127.0.0.1:{listen}"}]}]})
        check.within(lambda: self.web.status()["services"] and self.consul.instances("payment"), "payment is in the catalog", 20)
        self.streams = streams.Streams(case, ("127.0.0.1", listen), self.app, slow_life=min(20.0, seconds / 4))
        self.total, self.begun = streams.Seen(), 0
        self.watched = {side: Watched(f"{side.name} 1", side.newest.process) for side in (self.payment, self.web)}
        self.past, self.done = [], {"reloads": 0, "rotations": 0, "agent restarts": 0, "upgrades": 0, "intentions": 0}

    def service(self, name):
        """service is for variants(), which adds one and takes it away."""
        return {"service": name, "register": True, "public_listener": {"address": f"127.0.0.1:{free_port()}",
                                                                       "local_app": f"127.0.0.1:{self.app.port}"}}

    # What is changed.

    def reload(self):
        # Four kinds of changes in a circle, each undone the next time.
        step, on = self.steps[self.done["reloads"] % len(self.steps)], self.done["reloads"] // len(self.steps) % 2 == 0
        step(on)
        for side in (self.payment, self.web):
            side.reload()
        self.done["reloads"] += 1

    def rotate(self):
        self.server.rotate_root()
        self.done["rotations"] += 1

    def restart(self):
        self.consul.restart()
        self.done["agent restarts"] += 1

    def intend(self):
        number = self.done["intentions"]
        self.consul.intention(f"other-{number % 20}", "payment", "deny" if number % 2 else "allow")
        self.done["intentions"] += 1

    def upgrade(self):
        for side in (self.payment, self.web):
            self.past.append(self.watched[side])
            side.upgrade()
            number = 1 + sum(one.name.startswith(side.name) for one in self.past)
            self.watched[side] = Watched(f"{side.name} {number}", side.newest.process)
        self.done["upgrades"] += 1

    # The course.

    def look(self):
        seen = self.streams.report()
        self.begun += seen.begun
        self.total.add(seen)
        for one in self.watched.values():
            one.look(self.begun)

    def run(self, least=0.0):
        """run takes the course's seconds, and goes on until so many bytes have moved; it returns how long it took."""
        self.steps = variants(self)
        began = now()
        pauses = {self.reload: RELOADS, self.rotate: ROTATIONS, self.restart: RESTARTS, self.intend: RELOADS}
        # Each has its own offset, so that they meet each other in all ways; short courses have each once at least.
        due = {act: began + min(pause / self.churn, self.seconds * (0.2 + 0.15 * number))
               for number, (act, pause) in enumerate(pauses.items())}
        upgrades = [began + self.seconds * share for share in (1 / 3, 2 / 3)]
        self.streams.keep(self.at_once, self.slow, self.rate)
        told = began
        while now() < began + self.seconds or self.total.moved < least:
            self.look()
            for act, when in due.items():
                if now() >= when:
                    act()
                    due[act] = now() + pauses[act] / self.churn
            if upgrades and now() >= upgrades[0]:
                upgrades.pop(0)
                self.upgrade()
            if now() - told > 30:
                told = now()
                self.say(f"{told - began:.0f} s: {self.total.whole} streams, {self.total.moved / 1e9:.1f} GB, lost {self.total.lost}, "
                         f"{self.done}")
            check.true(not self.total.silent(), f"streams that were lost silently: {self.total}")
            time.sleep(SAMPLES)
        took = now() - began
        self.streams.settle(60 + self.seconds / 4)
        self.total.add(self.streams.report(quiet=True))
        return took

    def manners(self):
        words = ("both ways", "half-closed by the caller", "half-closed by the app", "reset by the caller", "reset by the app")
        return ", ".join(f"{count} {words[manner]}" for manner, count in sorted(self.total.by_manner.items()))

    def processes(self):
        return [*self.past, *self.watched.values()]

    def judges(self):
        """judges says whether any process has lived long enough for what it grows by to mean something."""
        return any(one.is_judged() for one in self.processes())

    def verdict(self):
        """verdict is what went wrong; and rows, as HEADER says."""
        wrong, rows = [], []
        if self.total.lost:
            wrong.append(f"streams were lost: {self.total.lost}, {self.total.missing} bytes of theirs")
        if not self.total.whole:
            wrong.append(f"no stream was whole: {self.total}")
        if undone := [what for what, count in self.done.items() if not count]:
            wrong.append(f"never done: {', '.join(undone)}")
        for one in self.processes():
            if one.lived() < 5:
                continue
            memory, files = one.lines()
            judged = one.is_judged()
            streams_seen = one.samples[-1][1] - one.samples[0][1]
            rows.append([one.name, f"{one.lived():.0f} s", streams_seen, f"{memory.first / (1 << 20):.1f} / {memory.last / (1 << 20):.1f}",
                         f"{memory.growth:+.1f} ({memory.least:+.1f})", f"{files.first:.0f} / {files.last:.0f}",
                         f"{files.growth:+.5f} ({files.least:+.5f})", "yes" if judged else "too short"])
            if judged and memory.least > LEFT_BYTES:
                wrong.append(f"{one.name} grows by {memory.least:.1f} bytes a stream at least, {LEFT_BYTES} are allowed")
            if judged and files.least > LEFT_DESCRIPTORS:
                wrong.append(f"{one.name} grows by {files.least:.4f} descriptors a stream at least, {LEFT_DESCRIPTORS} are allowed")
        if not self.judges() and self.seconds >= 4 * JUDGED:  # three of each side, and what lies between
            wrong.append("no process could be watched for a minute")
        return wrong, rows


HEADER = ["process", "watched", "streams", "own MiB, warm / at last", "bytes a stream (at least)", "descriptors", "a stream (at least)",
          "judged"]
