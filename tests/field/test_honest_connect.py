"""An upstream without a healthy instance: its port refuses, within a second of Consul's knowing, and is nobody else's meanwhile."""

import json
import os
import socket
import sys

from lib import apps, check
from lib.case import Process, slowness
from lib.consul import Consul
from lib.mesh import Mesh
from lib.metrics import scrape
from lib.mooring import Mooring, run
from lib.ports import free_port

EXPECTED_SECONDS = 20

# Another program that wants the port: it tries every way to bind it until its standard input ends, and says how often it tried and
# which way it got there. Our own user's SO_REUSEPORT is left out: net/refusing_port.h says why.
THIEF = """
import os, socket, sys
port, user = int(sys.argv[1]), int(sys.argv[2])
if user:
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
os.set_blocking(0, False)
ways = [(host, address, reuse_port) for host in ("127.0.0.1", "0.0.0.0", "::", "::ffff:127.0.0.1") for address in (0, 1)
        for reuse_port in ((0, 1) if user else (0,))]
tries, got = 0, []
print("begun", flush=True)
while True:
    try:
        if os.read(0, 1) == b"":
            break
    except BlockingIOError:
        pass
    for host, address, reuse_port in ways:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as thief:
            thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, address)
            thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, reuse_port)
            tries += 1
            try:
                thief.bind((host, port))
                got.append((host, address, reuse_port))
            except OSError:
                pass
print(f"tries {tries} got {got}", flush=True)
"""
NOBODY = 65534


class Thief:
    def __init__(self, case, port, user):
        ours, theirs = os.pipe()
        self.end = theirs
        self.process = Process(case, [sys.executable, "-c", THIEF, port, user], f"thief-{user or 'own'}", stdin=ours)
        os.close(ours)
        case.undo(self.stop)
        self.process.wait_log("begun")

    def stop(self):
        if self.end is not None:
            os.close(self.end)
            self.end = None

    def never_had_it(self):
        self.stop()
        said = self.process.wait_log(r"tries (\d+) got (.*)", 10)
        check.true(int(said[1]) > 0, f"it has tried: {said[0]}")
        check.equal(said[2], "[]", "ways by which another program bound the port")


class World:
    """World is web, with an upstream db that has one instance, and the port where web finds it."""

    def __init__(self, case, *flags, behaviour=apps.echo):
        self.mesh = Mesh(case)
        self.consul = self.mesh.consul
        self.app = apps.App(case, behaviour)
        inbound = Mooring.connect_proxy(case, "-http-addr", self.consul.address, "-service", "db", "-service-addr",
                                        f"127.0.0.1:{self.app.port}", "-listen", "127.0.0.1:0", name="mooring-db")
        self.instance = inbound.public[1]
        self.port = free_port()
        self.identifier = self.consul.register_proxy("db", self.instance)
        self.web = Mooring.connect_proxy(case, "-http-addr", self.consul.address, "-service", "web", "-upstream",
                                         f"db:127.0.0.1:{self.port}", *flags, name="mooring-web")
        self.address = self.web.upstream("db")
        check.within(lambda: apps.ping(self.address), "it serves", 5 * slowness())

    def listed(self, count):
        """listed waits until Consul knows so many healthy instances."""
        check.within(lambda: len(self.consul.instances("db")) == count, f"Consul knows {count}", 5 * slowness(), step=0.002)

    def leaves(self):
        self.consul.deregister(self.identifier)
        self.listed(0)

    def comes(self):
        self.consul.register_proxy("db", self.instance)
        self.listed(1)

    def listener(self):
        return next(one for one in self.web.status()["listeners"] if one["name"] == "upstream:db")


def answer(address):
    """answer is what connect says."""
    with socket.socket() as client:
        client.settimeout(5)
        try:
            client.connect(address)
        except ConnectionRefusedError:
            return "refused"
        return "taken"


def refuses(address, seconds=1.0):
    check.within(lambda: answer(address) == "refused", "the port refuses", seconds * slowness(), step=0.005)


def serves(address, seconds=1.0):
    check.within(lambda: apps.ping(address), "the upstream serves", seconds * slowness(), step=0.005)


def test_row_59_its_port_refuses_while_nobody_is_healthy_and_nobody_else_gets_it(case):
    world = World(case)
    thieves = [Thief(case, world.port, 0)] + ([Thief(case, world.port, NOBODY)] if os.geteuid() == 0 else [])
    live = apps.Client(case, world.address)
    live.socket.sendall(b"ping")
    check.equal(live.socket.recv(4), b"ping", "one that lives through it")
    for _ in range(case.scale(5, 100)):
        world.leaves()
        refuses(world.address)
        live.socket.sendall(b"more")
        check.equal(live.socket.recv(4), b"more", "it lives")
        world.comes()
        serves(world.address)
        # Critical is as good as gone.
        world.consul.put(f"/v1/agent/service/maintenance/{world.identifier}?enable=true")
        world.listed(0)
        refuses(world.address)
        world.consul.put(f"/v1/agent/service/maintenance/{world.identifier}?enable=false")
        world.listed(1)
        serves(world.address)
    for thief in thieves:
        thief.never_had_it()


test_row_59_its_port_refuses_while_nobody_is_healthy_and_nobody_else_gets_it.limit = 120


def test_that_it_refuses_is_said_with_the_reason_and_since_when(case):
    world = World(case)
    check.equal(scrape(world.web).value("mooring_listener_refusing", service="web", listener="upstream:db"), 0, "the metric")
    world.leaves()
    refuses(world.address)
    world.web.wait_log(r"listener refuses: name=\"?upstream:db\"? address=\S+ why=\"no healthy instance\"")
    seen = world.listener()
    check.equal((seen["state"], seen["refuses"]["why"]), ("refusing", "no healthy instance"), "/status")
    check.true(0 <= seen["refuses"]["seconds"] < 60, f"since when: {seen}")
    brief = json.loads(world.web.admin("/status?brief=1")[1])
    upstream = next(one for one in brief["service"]["upstreams"]["list"] if one["name"] == "db")
    check.equal(upstream["refuses"]["why"], "no healthy instance", "the page")
    check.equal(scrape(world.web).value("mooring_listener_refusing", service="web", listener="upstream:db"), 1, "the metric")
    host, port = world.web.listener("admin")
    _, said, _ = run("status", "-admin-addr", f"{host}:{port}")
    check.true("refusing for" in said and "no healthy instance" in said, said)
    _, said, _ = run("why", "-admin-addr", f"{host}:{port}", "web", "db")
    check.true("has refused for" in said and "no healthy instance" in said, said)
    world.comes()
    serves(world.address)
    world.web.wait_log("listener takes connections again: name=\"?upstream:db")
    check.equal((world.listener()["state"], world.listener()["refuses"]), ("open", None), "/status")


def test_an_agent_that_is_away_makes_no_port_refuse(case):
    world = World(case)
    world.consul.kill()
    check.within(lambda: any(one["state"] == "retrying" for one in world.web.status()["watches"]), "it is known to be away",
                 10 * slowness())
    check.equal(world.listener()["state"], "open", "the port")
    check.true(apps.ping(world.address), "it serves")


def test_one_whose_answer_is_not_known_yet_takes_connections(case):
    port = free_port()
    Mooring.connect_proxy(case, "-http-addr", f"127.0.0.1:{free_port()}", "-service", "web", "-upstream", f"db:127.0.0.1:{port}",
                          "-connect-timeout", "300ms", ready=False).upstream("db")
    check.equal(answer(("127.0.0.1", port)), "taken", "connect")


def test_with_no_endpoint_reset_it_takes_connections_and_resets_them(case):
    world = World(case, "-no-endpoint", "reset")
    world.leaves()
    check.within(lambda: world.web.status()["upstreams"][0]["endpoints"] == [], "it knows", 5 * slowness())
    check.equal(apps.Client(case, world.address).drain(), (b"", "reset"), "what the app gets")
    world.web.wait_closed("outbound", "no_endpoint")
    check.equal(world.listener()["state"], "open", "the port")


def echo_but_questions(app, seen):
    while data := seen.connection.recv(1 << 16):
        if not data.startswith(b"question"):
            seen.connection.sendall(data)


def test_in_a_drain_it_refuses_and_takes_connections_again_as_before(case):
    world = World(case, "-drain-time", "60s", behaviour=echo_but_questions)
    live = apps.Client(case, world.address)
    live.socket.sendall(b"ping")
    check.equal(live.socket.recv(4), b"ping", "echo")
    live.socket.sendall(b"question")  # an answer that is owed keeps the drain going
    world.web.process.send(15)
    check.within(lambda: world.web.status()["state"] == "draining", "it drains", 5 * slowness())
    world.leaves()
    refuses(world.address)
    world.comes()
    serves(world.address)
    live.close()


def test_a_restart_finds_its_port_with_connections_of_before_in_time_wait(case):
    world = World(case)
    live = apps.Client(case, world.address)
    live.socket.sendall(b"ping")
    check.equal(live.socket.recv(4), b"ping", "echo")
    world.leaves()
    refuses(world.address)
    world.web.stop()  # what is open ends from its side
    again = Mooring.connect_proxy(case, "-http-addr", world.consul.address, "-service", "web", "-upstream",
                                  f"db:127.0.0.1:{world.port}", name="mooring-again")
    refuses(again.upstream("db"), 2.0)
    world.comes()
    serves(world.address)


def test_one_of_many_that_is_asked_in_turn_is_three_seconds_late_at_most(case):
    consul = Consul(case)
    ports = {f"up{n}": free_port() for n in range(10)}
    identifiers = {name: consul.register_proxy(name, 20001) for name in ports}
    flags = [word for name, port in ports.items() for word in ("-upstream", f"{name}:127.0.0.1:{port}")]
    web = Mooring.connect_proxy(case, "-http-addr", consul.address, "-service", "web", *flags, name="mooring-web")

    def polled():
        return [one["name"].removeprefix("upstream:") for one in web.status()["watches"]
                if one["asks"] == "polled" and one["name"].startswith("upstream:")]

    name = check.within(polled, "some upstream is asked in turn", 10 * slowness(), step=0.05)[0]
    address = ("127.0.0.1", ports[name])
    consul.deregister(identifiers[name])
    refuses(address, 3.0)
    check.true(name in polled(), "it was asked in turn")
    consul.register_proxy(name, 20001)
    check.within(lambda: answer(address) == "taken", "it takes connections again", 3.0 * slowness())
