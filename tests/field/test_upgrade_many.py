"""Upgrades of a process with many upstreams, and of one with many services, at one real agent: nobody notices them, the agent
neither, and tokens that the operator changes meanwhile are followed. With one service: test_upgrade.py."""

import http.client
import json
import threading

from field.service import tcp_check
from field.test_agent_connections import mounted
from field.test_agent_services import allowed
from lib import apps, check, sockets, traffic
from lib.case import now, slowness
from lib.consul import Consul
from lib.crowd import raise_file_limit, say
from lib.generations import TAKE_OVER, Sidecar, handover_dir
from lib.mooring import Mooring
from lib.ports import free_port

EXPECTED_SECONDS = 30
ONE = 8  # connections to the agent that one service may have (README)
RATE = 20  # new connections a second


def upgrades(case):
    return case.scale(2, 5)


class Replaced(Sidecar):
    """A process that is upgraded, with all its generations. counted: (when, connections to the agent of all of them together)."""

    def __init__(self, case, agent, name, budget, **settings):
        self.name, self.agent, self.budget, self.counted = name, agent, budget, []
        first = Mooring.from_yaml(case, {
            "agent": {"address": agent.address}, "admin": {"address": f"127.0.0.1:{free_port()}"},
            "handover_dir": handover_dir(case, name), "drain_quiet": "0s", "drain_time": "1s", **settings},
            name=name, level="INFO", seconds=30)
        super().__init__(case, first)
        self.pids, self._ended = [first.pid], threading.Event()
        check.true(self.connections()[first.pid] > 0, "it has connections to the agent")
        self._thread = threading.Thread(target=self._count, daemon=True)
        self._thread.start()
        case.undo(self._stop)

    def start(self, *words, env=None):
        successor = super().start(*words, env=env)
        self.pids.append(successor.pid)
        return successor

    def connections(self):
        """connections is how many each process has to the agent: all of them at one moment."""
        there = sockets.to_port(self.agent.port)
        return {pid: len(there & sockets.of_process(pid)) for pid in list(self.pids)}

    def _count(self):
        while not self._ended.wait(0.005):
            begun = now()
            self.counted.append((begun, sum(self.connections().values())))

    def most(self, since, until=float("inf")):
        """most is how many connections to the agent they had together at a time."""
        return max((count for when, count in list(self.counted) if since <= when < until), default=0)

    def _stop(self):
        self._ended.set()
        self._thread.join(10)

    def asks_alone(self):
        """asks_alone waits until the newest is the only one with connections to the agent."""
        check.within(lambda: all(pid == self.newest.pid or not count for pid, count in self.connections().items()),
                     f"no old generation of {self.name} has a connection to the agent", 5 * slowness())

    def replace(self, load, before=lambda: None):
        """replace upgrades it under the load; before() is called once the successor has been started."""
        begun = now()
        successor = self.start(TAKE_OVER)
        before()
        self.serves(successor, 30)
        served = now()
        self.asks_alone()
        alone = now()
        for _ in range(self.case.scale(10, 60)):
            load.moved()
        together, after = self.most(begun, alone), self.most(alone)
        check.true(together <= 2 * self.budget, f"{self.name}: {together} connections to the agent during the hand-over, of {self.budget}")
        check.true(0 < after <= self.budget, f"{self.name}: {after} connections to the agent after it, of {self.budget}")
        return (f"{served - begun:.2f} s until it served, {alone - served:.2f} s more until it was alone at the agent, with {together} "
                f"connections together, then {after} at most of {self.budget}")

    def memory(self):
        """memory is that of each generation in MiB, the newest first, by the kernel and by /status."""
        def mebibytes(size):
            return f"{size / 2 ** 20:.1f}"
        rows = self.generations()
        for row in rows:
            check.true(row["resident_bytes"] > 1 << 20 and row["connections"] > 0, f"a row of {self.name}: {row}")
        return ", ".join([mebibytes(self.newest.process.resident()), *(mebibytes(row["resident_bytes"]) for row in rows)])


class Checks:
    """Every state in which an agent's checks were, one after the other: {check's ID: status}."""

    def __init__(self, case, agent):
        self.states, self._agent, self._ended = [], agent, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        case.undo(self._stop)
        check.within(lambda: self.states, "the checks have been seen", 5 * slowness())

    def _stop(self):
        self._ended.set()
        self._thread.join(5)

    def _run(self):
        index, connection = 0, http.client.HTTPConnection(self._agent.address, timeout=20)
        headers = {"X-Consul-Token": self._agent.token} if self._agent.token else {}
        while not self._ended.is_set():
            try:
                connection.request("GET", f"/v1/health/state/any?wait=1s&index={index}", headers=headers)
                answer = connection.getresponse()
                states, index = json.loads(answer.read()), answer.headers["X-Consul-Index"]
            except (OSError, http.client.HTTPException, ValueError):
                connection.close()
                self._ended.wait(0.1)
                continue
            self.states.append({f"{one['ServiceID']} {one['CheckID']}": one["Status"] for one in states})

    def never_moved(self):
        for state in self.states:
            check.equal(state, self.states[0], "the agent's checks")
        bad = {name: status for name, status in self.states[0].items() if status != "passing"}
        check.equal(bad, {}, "checks that do not pass")
        check.true(len(self.states[0]) > 2, f"there are checks: {self.states[0]}")


class World:
    """house is a process with services s0, s1, ..., each of which calls the next; many is one with a single service and so many
    upstreams: these services, and others that have no instance. Load goes through every upstream that leads somewhere. acl: each
    has a token of its own in a file."""

    def __init__(self, case, services, upstreams, acl=None):
        raise_file_limit()
        self.case, self.agent = case, Consul(case, acl=acl)
        if acl:
            self.agent.intention("*", "*", "allow")
        self.app = traffic.App(case)
        self.names = [f"s{n}" for n in range(services)]
        self.accessors, self.ports = {}, {}  # of tokens; public ones
        self.rotate()
        calls = mounted(self.names, 91)
        upstream = mounted([*self.names, *(f"none{n}" for n in range(upstreams - services))], 92)
        for n, name in enumerate(self.names):
            following = self.names[(n + 1) % services]
            self._register(name, {following: calls[name]})
        self._register("many", upstream)
        self.house = Replaced(case, self.agent, "house", allowed(services), services=[
            {"proxy_id": f"{name}-proxy", **self._token(name)} for name in self.names])
        self.many = Replaced(case, self.agent, "many", ONE, services=[{"proxy_id": "many-proxy", **self._token("many")}])
        addresses = [*calls.values(), *(upstream[name] for name in self.names)]
        # Not before: the agent would look at a port that nobody has opened yet.
        for name, port in self.ports.items():
            self.agent.put("/v1/agent/check/register", {**tcp_check(port, "1s"), "ID": f"{name}-port", "ServiceID": f"{name}-proxy"})
        for address in addresses:
            check.within(lambda a=address: apps.ping(a), f"{address} is served", 10 * slowness())
        self.checks = Checks(case, self.agent)
        self.load = traffic.Load(case, addresses, [self.app], (upgrades(case) + 1) * len(addresses))
        self.each = len(addresses)
        self.load.pace(RATE)
        self.load.moved()
        self.unharmed("before the first upgrade")

    def _register(self, name, upstreams):
        port = self.ports[name] = free_port()
        self.agent.register({"ID": name, "Name": name, "Address": "127.0.0.1", "Port": self.app.port})
        self.agent.register({
            "Kind": "connect-proxy", "ID": f"{name}-proxy", "Name": f"{name}-sidecar-proxy", "Address": "127.0.0.1", "Port": port,
            "Proxy": {"DestinationServiceName": name, "DestinationServiceID": name, "LocalServiceAddress": "127.0.0.1",
                      "LocalServicePort": self.app.port, "Config": {"bind_address": "127.0.0.1"}, "Upstreams": [
                          {"DestinationName": up, "LocalBindAddress": host, "LocalBindPort": number}
                          for up, (host, number) in upstreams.items()]}})

    def _token_path(self, name):
        return self.case.directory / f"{name}.token"

    def _token(self, name):
        return {"token_file": str(self._token_path(name))} if self.agent.token else {}

    def rotate(self):
        """rotate puts another token into each file, and returns those that were there before."""
        before = dict(self.accessors)
        for name in [*self.names, "many"] if self.agent.token else []:
            secret, self.accessors[name] = self.agent.service_token(name)
            self.case.write(self._token_path(name).name, secret)
        return before

    def delete(self, accessors):
        for accessor in accessors.values():
            self.agent.delete_token(accessor)

    def one_session_each(self):
        """one_session_each has a session through each port end and another begin, which is the newest generation's then."""
        self.load.replace(self.each)

    def unharmed(self, what):
        seen = self.load.report()
        check.true(seen.faultless() and seen.made, f"{what}: nothing fails; {seen}")

    def all_are_cut_by_a_deny(self):
        """all_are_cut_by_a_deny asserts it of every session, whichever generation has it, within a second; returns the seconds."""
        self.load.pace(0)
        self.load.moved()
        check.equal(self.load.report().cut, {}, "sessions that were cut before")
        size, cut = self.load.open(), len(self.load.cuts)
        denied = now()
        self.agent.intention("*", "*", "deny")
        check.within(lambda: not self.load.open(), "every session is cut", 10 * slowness())
        check.equal(len(self.load.cuts) - cut, size, "sessions that were cut")
        last = max(when for when, _ in self.load.cuts) - denied
        check.below(last, 1.0 * slowness(), f"seconds from the deny to the last cut, of {size} sessions")
        return last


def test_a_process_with_230_upstreams_is_replaced_and_nobody_notices(case):
    world = World(case, case.scale(4, 20), case.scale(40, 230))
    for number in range(upgrades(case)):
        took = world.many.replace(world.load)
        world.unharmed(f"upgrade {number + 1}")
        world.one_session_each()
        say(f"upgrade {number + 1} of one service with {case.scale(40, 230)} upstreams: {took}; MiB of each generation, the newest "
            f"first: {world.many.memory()}")
    world.checks.never_moved()


def test_a_process_with_40_services_is_replaced_and_nobody_notices_until_a_deny_cuts_all_generations(case):
    services = case.scale(8, 40)
    world = World(case, services, services)
    for number in range(upgrades(case)):
        took = world.house.replace(world.load)
        world.unharmed(f"upgrade {number + 1}")
        world.one_session_each()
        say(f"upgrade {number + 1} of {services} services: {took}; MiB of each generation, the newest first: {world.house.memory()}")
    last = world.all_are_cut_by_a_deny()
    say(f"deny at {services} services: {world.load.size} sessions of {len(world.house.pids)} generations were cut within {1000 * last:.0f} ms")
    world.checks.never_moved()


def test_tokens_that_the_operator_changes_during_and_after_an_upgrade_are_followed(case):
    world = World(case, case.scale(6, 20), case.scale(12, 60), acl="deny")
    old = {}
    for replaced in (world.many, world.house):
        took = replaced.replace(world.load, before=lambda: old.update(world.rotate()))
        world.delete(old)
        world.unharmed(f"an upgrade of {replaced.name} while the tokens change")
        world.one_session_each()
        say(f"upgrade of {replaced.name} with tokens: {took}; MiB of each generation, the newest first: {replaced.memory()}")
    world.delete(world.rotate())
    for _ in range(case.scale(10, 60)):
        world.load.moved()
    world.unharmed("tokens that change while generations live beside each other")
    last = world.all_are_cut_by_a_deny()
    say(f"deny with tokens that have changed: {world.load.size} sessions were cut within {1000 * last:.0f} ms")
    world.checks.never_moved()


def test_an_old_generation_that_has_to_ask_the_agent_itself_does_so_with_the_token_of_now_and_within_its_budget(case):
    world = World(case, case.scale(6, 20), case.scale(6, 20), acl="deny")
    house = world.house
    house.replace(world.load)
    world.unharmed("an upgrade")
    world.delete(world.rotate())
    world.load.pace(0)
    house.newest.kill()
    killed = now()
    house.wait_log("nobody feeds this old generation; asking the agent")
    check.within(lambda: house.connections()[house.first.pid], "it asks the agent", 10 * slowness())
    last = world.all_are_cut_by_a_deny()
    most = house.most(killed)
    check.true(most <= house.budget, f"{most} connections to the agent, of {house.budget}")
    say(f"deny, and nobody feeds the old generation of {len(world.names)} services: {world.load.size} sessions were cut within {1000 * last:.0f} ms, "
        f"{most} connections to the agent at most")


for test in [found for name, found in list(globals().items()) if name.startswith("test_")]:
    test.limit = 300
del test
