"""What may grow: held connections, endpoints of an upstream, intentions, services of a process. One class a family; run() is one round,
and leaves its figures in the rows."""

import time

from calm import Calm, is_calm
from growth_mesh import Held
from growth_table import Row

HELD = (0, 100, 1000, 4000, 9000)
HELD_QUICK = HELD[:-1]
ENDPOINTS = (1, 10, 100, 500, 5000)
MANY_ENDPOINTS = ENDPOINTS[2:]  # where what one takes shows beside what the process does
UPSTREAMS = (10, 100, 500)
RULES = (1, 10, 100, 1000)
SERVICES = (2, 5, 20, 40)
CALLERS = 32   # connections that ask and answer
MESSAGE = 256  # bytes of a question, and of its answer
OPENERS = 16   # connections that are opened and closed at a time
QUIET = 0.05   # share of a core that proxies may use and still count as idle
LOOK = 0.2     # seconds over which that is looked at
PATIENCE = 10.0  # seconds until they must be idle
CALM_SECONDS = 60  # of repeats, where the machine's other guests disturb


class Driver:
    """Runs the load of one window and turns its figures into microseconds. Counts what failed."""

    def __init__(self, mesh, window):
        self.mesh, self._window, self._calm = mesh, window, Calm(CALM_SECONDS)
        self.errors = 0

    def request(self, port, processes):
        """request returns the CPU time of one question with its answer, and the 99th percentile of its latency, or None
        for that if no window was calm."""
        done = self._calm.measure("request", lambda: self._run("request", port, processes, "--size", str(MESSAGE),
                                                                connections=CALLERS))
        return cost(done), done["p99_us"] if is_calm(done) else None

    def connect(self, port, processes, *flags):
        """connect returns the CPU time of one connection: opened, used for a byte there and back, closed."""
        return cost(self._run("connect", port, processes, *flags, connections=OPENERS))

    def _run(self, mode, port, processes, *flags, connections):
        done = self.mesh.load(mode, port, {"proxies": processes}, *flags, connections=connections,
                              window=self._window)
        self.errors += done["errors"]
        return done


def cost(done):
    if not done["count"]:
        raise RuntimeError(f"nothing was done in a whole window: {done}")
    return done["cpu"]["proxies"] / done["count"] * 1e6


def ordered(sizes, turn):
    """ordered is the sizes upwards in one round and downwards in the next, so that a drift favours none."""
    return sizes if turn % 2 == 0 else sizes[::-1]


class HeldConnections:
    """A pair of Moorings with connections held open beside the load."""

    def __init__(self, driver, sizes):
        loaded = sizes[1:]
        self._driver, self._sizes = driver, sizes
        self._opening = Row("CPU of opening a connection, from 0 to N", "us of the pair", loaded)
        self._connect = Row("CPU of a new connection beside N held", "us of the pair", loaded)
        self._request = Row("CPU of a request beside N held", "us of the pair", loaded)
        self._p99 = Row("p99 of requests beside N held", "us", sizes)
        self.rows = [self._opening, self._connect, self._request, self._p99]
        self._inbound = driver.mesh.inbound()
        self._outbound = driver.mesh.outbound([f"127.0.0.1:{self._inbound.port}"])
        self._pair = [self._outbound, self._inbound]
        driver.connect(self._outbound.port, self._pair)  # the first window pays for what only the first one needs

    def run(self, turn):
        held = Held(self._outbound.port)
        opening = 0.0
        upwards = turn % 2 == 0
        for size in self._sizes:
            opening += self._grow(held, size)
            if size:
                self._opening.add(size, opening / size * 1e6)
            if upwards:
                self._measure(size)
        for size in reversed(self._sizes):
            held.shrink(size)
            self._settle()
            if not upwards:
                self._measure(size)

    def _grow(self, held, size):
        before = self._cpu()
        held.grow(size)
        self._settle()
        return self._cpu() - before

    def _settle(self):
        """_settle waits until what was opened or closed gives the pair no more work."""
        for _ in range(int(PATIENCE / LOOK)):
            before = self._cpu()
            time.sleep(LOOK)
            if self._cpu() - before < QUIET * LOOK:
                return
        raise RuntimeError(f"the proxies are still busy {PATIENCE:.0f} s after connections were opened or closed")

    def _cpu(self):
        return sum(process.cpu() for process in self._pair)

    def _measure(self, size):
        cpu, p99 = self._driver.request(self._outbound.port, self._pair)
        self._p99.add(size, p99)
        if size:
            self._request.add(size, cpu)
            self._connect.add(size, self._driver.connect(self._outbound.port, self._pair))


class Endpoints:
    """Outbound Moorings whose upstream has many addresses, all of one inbound Mooring."""

    def __init__(self, driver):
        self._driver = driver
        self._row = Row("CPU of a new connection, upstream with N endpoints", "us of outbound", ENDPOINTS)
        self._memory = Row("memory of one more endpoint, upstream with N endpoints that were met", "KiB of RSS", MANY_ENDPOINTS)
        self._choice = Row("choice of an endpoint among N, by itself", "ns", MANY_ENDPOINTS)
        self.rows = [self._row, self._memory, self._choice]
        port = driver.mesh.inbound(host="0.0.0.0").port
        self._outbounds = {size: driver.mesh.outbound([f"127.0.{i // 250}.{i % 250 + 1}:{port}" for i in range(size)])
                           for size in ENDPOINTS}
        for size, outbound in self._outbounds.items():
            self._meet(outbound, size)

    @staticmethod
    def _meet(outbound, size):
        """_meet connects three times as often as there are endpoints: what counts is the cost of meeting them again."""
        held = Held(outbound.port)
        for _ in range(0, 3 * size, 500):
            held.grow(min(3 * size, 500))
            held.shrink(0)

    def run(self, turn):
        for size in ordered(ENDPOINTS, turn):
            outbound = self._outbounds[size]
            self._row.add(size, self._driver.connect(outbound.port, [outbound]))
        for size in ordered(MANY_ENDPOINTS, turn):
            more = self._outbounds[size].resident() - self._outbounds[1].resident()
            self._memory.add(size, more / 1024 / (size - 1))
            self._choice.add(size, self._driver.mesh.micro(f"choose/least_connections/{size}"))


class Upstreams:
    """Outbound Moorings with many upstreams of one endpoint each, at rest: what one more costs, over what a process of one takes."""

    def __init__(self, driver):
        self._row = Row("memory of one more upstream, process of N upstreams", "KiB of RSS", UPSTREAMS)
        self.rows = [self._row]
        endpoint = f"127.0.0.1:{driver.mesh.inbound().port}"
        self._one = driver.mesh.outbound([endpoint])
        self._processes = {size: driver.mesh.outbound([endpoint], upstreams=size) for size in UPSTREAMS}
        for process in self._processes.values():
            Held(process.port).grow(1)  # the last of them works

    def run(self, turn):
        for size in ordered(UPSTREAMS, turn):
            more = self._processes[size].resident() - self._one.resident()
            self._row.add(size, more / 1024 / (size - 1))


class Intentions:
    """Inbound Moorings with many rules, called by TLS directly; the rule that lets the caller in is the last one."""

    def __init__(self, driver):
        self._driver = driver
        self._row = Row("CPU of a new connection, service with N intentions", "us of inbound", RULES)
        self.rows = [self._row]
        self._inbounds = {size: driver.mesh.inbound(rules=size) for size in RULES}
        for inbound in self._inbounds.values():
            self._connect(inbound)

    def run(self, turn):
        for size in ordered(RULES, turn):
            self._row.add(size, self._connect(self._inbounds[size]))

    def _connect(self, inbound):
        return self._driver.connect(inbound.port, [inbound], *self._driver.mesh.caller_flags())


class Services:
    """Inbound Moorings of many services, at rest: what one more costs, over what a process of one takes."""

    def __init__(self, driver):
        self._row = Row("memory of one more service, process of N services", "KiB of RSS", SERVICES)
        self.rows = [self._row]
        self._one = driver.mesh.services(1)
        self._processes = {size: driver.mesh.services(size) for size in SERVICES}

    def run(self, turn):
        for size in ordered(SERVICES, turn):
            more = self._processes[size].resident() - self._one.resident()
            self._row.add(size, more / 1024 / (size - 1))
