"""One restart of a sidecar, measured from outside: who was served meanwhile, what pooled sessions and the agent saw."""

import itertools
from dataclasses import dataclass, field

from field.service import Catalog, Instance, tcp_check
from lib import apps, check
from lib.callers import Pool, Stream
from lib.case import now, slowness

_numbers = itertools.count(1)


def slow(app, seen):
    """slow answers each question of four bytes with the same; `w3.0` after three seconds."""
    while question := seen.connection.recv(4):
        if question[:1] == b"w":
            seen.go.wait(float(question[1:]))
        seen.connection.sendall(question)


DRAINED = 3.0  # seconds in which a drain is over that waits for no exchange


def rarely(port):
    """rarely are checks that do not fall into a restart's gap, which would be the agent's doing."""
    return [tcp_check(port, "10m")]


def often(port):
    return [tcp_check(port, "1s")]


def drained(instance, started, seconds=DRAINED):
    """drained asserts that the process ends that many seconds after its SIGTERM at `started`, and returns when."""
    gone = instance.wait_exit()
    check.below(gone - started, seconds * slowness(), "seconds from SIGTERM to the end")
    return gone


def asked(case, mesh, question):
    """asked is a connection that has asked and awaits the answer; an application has the question."""
    before = [app.count() for app in mesh.apps]
    client = apps.Client(case, mesh.address, seconds=40).send(question)
    check.within(lambda: [app.count() for app in mesh.apps] != before, "the question is at the application",
                 5 * slowness())
    return client


@dataclass
class Restart:
    """Times in seconds. `ended` of the pool counts how its sessions ended: eof, reset, open."""
    unserved: float = 0.0  # the longest time without an answered new connection
    failed: int = 0
    unexcused: int = 0  # of them, those during which the machine let the callers run
    calls: int = 0
    stalled: float = 0.0  # of `unserved`, at most that much is the machine's doing
    exit: float = 0.0  # from SIGTERM to the end of the process
    served_after: float = 0.0  # from the start of the next process to its first answer
    ended: dict = field(default_factory=dict)
    pool_gone: float = 0.0  # from SIGTERM to the end of the last pooled session
    maintenance: bool = False  # was seen in the catalog
    maintenance_left: bool = False  # is there after the end of the process
    check_failed: bool = False  # a check of the agent's was critical
    why: dict = field(default_factory=dict)  # failed calls, by what they saw
    started: float = 0.0  # when the next process was, on the clock of case.now()


class Mesh:
    """Service db in `count` instances, service web with db as its upstream, and calls from web to db all the time.
    inbound, outbound: kinds of the sidecars. checks, flags: see Instance. calls=False leaves the calls out."""

    def __init__(self, case, consul, inbound="mooring", outbound="mooring", count=1, checks=None, flags=(),
                 behaviour=apps.echo, calls=True):
        number = next(_numbers)
        self.case = case
        self.apps = [apps.App(case, behaviour) for _ in range(count)]
        self.databases = [Instance(case, consul, f"db{number}", n + 1, app, checks=checks, flags=flags)
                          for n, app in enumerate(self.apps)]
        self.db = self.databases[0]
        self.web = Instance(case, consul, f"web{number}", upstreams=[self.db.service], checks=checks, flags=flags)
        self.catalogs = {name: Catalog(case, consul, name) for name in (self.db.service, self.web.service)}
        for instance in self.databases:
            instance.start(inbound)
        self.web.start(outbound)
        self.address = self.web.port_of(self.db.service)
        for instance in [*self.databases, self.web]:
            instance.wait_listening()
        for instance in self.databases:
            instance.wait_passing()
        check.within(lambda: apps.ping(self.address), "a call goes through", 15 * slowness(), step=0.05)
        self.stream = Stream(case, self.address) if calls else None

    def side(self, name):
        """side is the sidecar under test: inbound is db's, outbound web's."""
        return {"inbound": self.db, "outbound": self.web}[name]

    def catalog(self, instance):
        return self.catalogs[instance.service]

    def steady(self):
        """steady waits until all instances are passing and calls have been served for a second."""
        for instance in self.databases:
            instance.wait_passing()
        self.stream.wait_calm()

    def restart(self, instance, kind=None, pool=6, idle=0.5, end=None, away=0.0):
        """restart ends the instance's sidecar and starts it again, as `kind`, under calls and a pool that has been
        idle for `idle` seconds. end(instance) ends it, by default SIGTERM and waiting. away: seconds until the
        start."""
        record = Restart()
        sessions = Pool(self.case, self.address, pool)
        quiet = now() + idle
        check.within(lambda: now() >= quiet, "the pool is idle", idle + 1)
        started = instance.terminate() if end is None else now()
        gone = instance.wait_exit() if end is None else end(instance)
        record.maintenance_left = instance.in_maintenance()
        if away:
            check.within(lambda: now() >= gone + away, "it stays away", away + 1, step=0.05)
        record.started = again = instance.start(kind or instance.kind)
        served = self.stream.wait_served(again, 60)
        instance.wait_listening()
        self.stream.wait_calm(seconds=60)
        over = now()
        record.exit, record.served_after = gone - started, served - again
        record.unserved, record.stalled = self.stream.unserved(started, over), self.stream.stalled(started, over)
        failed = self.stream.failed(started - self.stream.deadline, over)
        record.failed, record.calls = len(failed), len(self.stream.since(started))
        record.unexcused = len(self.stream.unexcused(failed))
        for call in failed:
            record.why[call.outcome] = record.why.get(call.outcome, 0) + 1
        ends = [(when, how) for when, how in sessions.ends() if when < over]
        record.ended = sessions.counts()
        record.pool_gone = max((when - started for when, _ in ends), default=0.0)
        sessions.close()
        record.maintenance = self.catalog(instance).was_in_maintenance(instance, started, over)
        record.check_failed = self.catalog(instance).check_failed(instance, started, over)
        return record
