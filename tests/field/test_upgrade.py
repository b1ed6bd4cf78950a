"""Upgrades in a mesh: an old generation obeys what Consul says, asks the agent for nothing, and the catalog notices nothing."""

import time

from field.service import Catalog
from lib import apps, certs, check, sockets, tlspeer
from lib.case import slowness
from lib.consul import Consul
from lib.generations import Sidecar, handover_dir
from lib.mooring import Mooring
from lib.ports import free_port

EXPECTED_SECONDS = 40
FLAGS = ("-drain-quiet", "0s", "-drain-time", "1s", "-drain-delay", "0s")


def setup_module(case):
    global consul
    consul = Consul(case)


class Inbound(Sidecar):
    """The sidecar of a service before an app that echoes, registered by itself, at a fixed port."""

    def __init__(self, case, service, *flags, agent=None):
        self.service, self.public = service, ("127.0.0.1", free_port())
        app = apps.App(case, apps.echo)
        self.directory = handover_dir(case)
        super().__init__(case, Mooring.connect_proxy(
            case, "-http-addr", (agent or consul).address, "-service", service, "-service-addr", f"127.0.0.1:{app.address[1]}",
            "-listen", f"127.0.0.1:{self.public[1]}", "-register", "-admin-addr", f"127.0.0.1:{free_port()}",
            "-handover-dir", self.directory, "-state-dir", case.directory / "state", *FLAGS, *flags))

    def caller(self, leaf):
        peer = tlspeer.connect(self.case, self.public, leaf, consul.roots_pem())
        peer.handshake()
        check.equal(peer.send(b"ping").receive(4), b"ping", "echo")
        return peer


def to_agent(pid):
    """to_agent is how many TCP connections of that process lead to the agent."""
    return len(sockets.to_port(consul.port) & sockets.of_process(pid))


def test_a_deny_cuts_sessions_of_all_generations_within_a_second(case):
    sidecar = Inbound(case, "up-deny")
    leaf = certs.from_agent(consul.leaf("web"))
    sessions = [sidecar.caller(leaf)]
    for _ in range(2):
        sidecar.upgrade()
        sessions.append(sidecar.caller(leaf))
    sidecar.wait_generations(2)
    check.within(lambda: to_agent(sidecar.first.pid) == 0, "an old generation has no connection to the agent", 5 * slowness())
    for peer in sessions:
        check.equal(peer.send(b"more").receive(4), b"more", "echo before")
    began = time.monotonic()
    consul.intention("web", "up-deny", "deny")
    for number, peer in enumerate(sessions):
        check.equal(peer.receive(1), b"", f"session {number} ends")
    took = time.monotonic() - began
    check.true(took < 1.0 * slowness(), f"cut after {took:.2f} s, a second is allowed")
    consul.intention("web", "up-deny", "allow")
    check.equal(sidecar.first.process.wait(10), 0, "exit code of the first")
    sidecar.wait_generations(0)


def test_the_catalog_and_the_check_notice_nothing_of_an_upgrade(case):
    sidecar = Inbound(case, "up-catalog")
    check.within(lambda: consul.instances("up-catalog"), "it is in the catalog", 5 * slowness())
    catalog = Catalog(case, consul, "up-catalog", name="{}-proxy")
    check.within(lambda: catalog.states, "the catalog has been seen", 5 * slowness())
    for _ in range(3):
        sidecar.upgrade()
    # The heartbeats are the newest's: what an old one took with it would be seen by now.
    check.within(lambda: sidecar.first.process.popen.poll() == 0, "the first has ended", 10 * slowness())
    catalog.stop()
    states = {str(sorted(state.items())) for _, state in catalog.states}
    check.equal(len(states), 1, f"states of the catalog: {states}")
    check.true(all("critical" not in str(state) and state for _, state in catalog.states), str(states))
    check.equal([line for line in sidecar.first.process.stderr().splitlines() if "watch failed" in line], [],
                "nothing has failed by being asked of another end")
    sidecar.newest.stop()
    check.within(lambda: not consul.instances("up-catalog"), "the newest takes the entry out at its end", 5 * slowness())


def test_an_old_generation_asks_the_agent_itself_when_the_newest_is_killed_and_is_fed_again_by_the_next(case):
    sidecar = Inbound(case, "up-killed")
    leaf = certs.from_agent(consul.leaf("web"))
    session = sidecar.caller(leaf)
    killed = sidecar.upgrade()
    sidecar.wait_generations(1)
    killed.kill()
    sidecar.wait_log("nobody feeds this old generation; asking the agent")
    check.within(lambda: to_agent(sidecar.first.pid) > 0, "it asks the agent", 10 * slowness())
    check.equal(session.send(b"more").receive(4), b"more", "the session goes on")
    # As a manager starts it again: by itself, and not as a successor.
    sidecar.serves(sidecar.start())
    sidecar.wait_generations(1)
    check.within(lambda: to_agent(sidecar.first.pid) == 0, "it is fed again", 10 * slowness())
    began = time.monotonic()
    consul.intention("web", "up-killed", "deny")
    check.equal(session.receive(1), b"", "the session is cut")
    check.true(time.monotonic() - began < 1.0 * slowness(), "within a second")
    check.equal(sidecar.first.process.wait(10), 0, "exit code of the first")


def test_an_upgrade_while_the_agent_is_away_serves_from_the_state_directory(case):
    own = Consul(case)
    sidecar = Inbound(case, "up-away", agent=own)
    leaf, roots = certs.from_agent(own.leaf("web")), own.roots_pem()

    def call():
        peer = tlspeer.connect(case, sidecar.public, leaf, roots)
        peer.handshake()
        check.equal(peer.send(b"ping").receive(4), b"ping", "echo")
        return peer

    session = call()
    check.within(lambda: sidecar.status()["state_file"]["private_key"], "state is saved, with the key", 10 * slowness())
    own.kill()
    sidecar.upgrade()
    check.equal(session.send(b"more").receive(4), b"more", "the session goes on")
    call()
