"""What an old generation is told by the newest process, and by another old one where there is no newest."""

import http.client
import signal
import socket
from pathlib import Path

from lib import agent as scripted
from lib import apps, check, sockets, tlspeer
from lib.case import slowness
from lib.generations import Sidecar, handover_dir
from lib.mooring import Mooring
from lib.ports import free_port

EXPECTED_SECONDS = 12
MESH = "/v1/config/mesh/mesh"


class Fed(Sidecar):
    """The sidecar of `db`, and of further services, each with the upstream `store`; web may call it. Its sessions are never idle."""

    def __init__(self, case, services=("db",), env=None, **settings):
        self.api = scripted.Agent(case)
        self.api.set_instances("store", ("127.0.0.1", free_port()))
        app = apps.App(case, apps.echo)
        self.public = ("127.0.0.1", free_port())
        self.directory = handover_dir(case)
        listed = [{"service": name, "public_listener": {"address": f"127.0.0.1:{free_port() if number else self.public[1]}",
                                                        "local_app": f"127.0.0.1:{app.address[1]}"},
                   "upstreams": [{"service": "store", "listen": f"127.0.0.1:{free_port()}"}]} for number, name in enumerate(services)]
        super().__init__(case, Mooring.from_yaml(case, {
            "services": listed, "agent": {"address": self.api.address}, "handover_dir": self.directory,
            "admin": {"address": f"127.0.0.1:{free_port()}"}, "drain_quiet": "0s", **settings}, env=env))

    def caller(self):
        peer = tlspeer.connect(self.case, self.public, self.api.authority.leaf("web"), self.api.authority.pem)
        peer.handshake()
        check.equal(peer.send(b"ping").receive(4), b"ping", "echo")
        return peer

    def to_agent(self, *mooring):
        """to_agent is how many TCP connections those processes have to the agent."""
        lead = sockets.to_port(self.api.port)
        return sum(len(lead & sockets.of_process(one.pid)) for one in mooring)

    def feed(self, path, how):
        """feed asks the newest as an old generation does that knows nothing yet."""
        connection = http.client.HTTPConnection("feed", timeout=10 * slowness())
        connection.sock = socket.socket(socket.AF_UNIX)
        self.case.owns(connection)
        connection.sock.connect(str(Path(self.directory, "feed.sock")))
        connection.request("GET", path, headers={"X-Mooring-Question": how})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def test_who_knows_nothing_is_told_what_the_agent_says_now_and_not_what_it_said_before(case):
    sidecar = Fed(case, ("db", "cart"))
    sidecar.api.wait_asked(MESH)
    # The newest polls it every thirty seconds, and both of its services know what it was.
    sidecar.api.set_entry("mesh", "mesh", Meta={"which": "now"})
    status, entry = sidecar.feed(MESH, f"none one-token none unmarked 0 {MESH} ")
    check.equal(status, 200, entry)
    check.true("now" in entry, f"the entry of now: {entry}")


def test_the_token_of_an_old_generation_makes_the_budget_of_connections_no_larger(case):
    sidecar = Fed(case, env={"CONSUL_HTTP_TOKEN": "first-token"})
    most = sidecar.status()["agent"]["max_connections"]
    session = sidecar.caller()
    for number in range(2):
        sidecar.upgrade(env={"CONSUL_HTTP_TOKEN": f"token-{number}"})
        session.send(b"more")
        check.equal(session.receive(4), b"more", "echo")
        check.within(lambda: sidecar.to_agent(sidecar.first) == 0, "the old generation is fed", 10 * slowness())
        # Its questions are asked by its own token.
        asked = len(sidecar.api.requests)
        sidecar.api.touch("intentions")
        check.within(lambda before=asked: any(one.token == "first-token" for one in sidecar.api.requests[before:]),
                     "its question", 10 * slowness())
        check.equal(sidecar.status()["agent"]["max_connections"], most, "connections that there may be")


def test_old_generations_without_a_newest_share_the_connections_of_one(case):
    sidecar = Fed(case)
    most = sidecar.status()["agent"]["max_connections"]
    sessions, processes = [sidecar.caller()], [sidecar.newest]
    for _ in range(3):
        processes.append(sidecar.upgrade())
        sessions.append(sidecar.caller())
    sidecar.wait_generations(3)
    old = processes[:3]
    check.within(lambda: sidecar.to_agent(*old) == 0, "the newest feeds all", 10 * slowness())
    processes[3].kill()
    sidecar.wait_log("nobody feeds this old generation; asking the agent")
    feeding = check.within(lambda: [one for one in old if sidecar.to_agent(one)], "one asks the agent", 10 * slowness())
    check.equal(len(feeding), 1, "who asks the agent")
    check.within(lambda: sidecar.first.process.stderr().count("another old generation feeds this one") == 2,
                 "the other two are fed by it", 10 * slowness())
    # Whoever feeds ends: another does, and a deny reaches who is left.
    feeding[0].kill()
    left = [one for one in old if one is not feeding[0]]
    check.within(lambda: sum(sidecar.to_agent(one) > 0 for one in left) == 1, "another asks the agent", 10 * slowness())
    check.true(sidecar.to_agent(*left) <= most, f"connections to the agent, of {most}")
    for session, process in zip(sessions[:3], old, strict=True):
        if process in left:
            check.equal(session.send(b"more").receive(4), b"more", "echo")
    sidecar.api.set_intentions(scripted.intention("web", "db", "deny"))
    for session, process in zip(sessions[:3], old, strict=True):
        if process in left:
            check.equal(session.receive(1), b"", "a session of those who are left is cut")
    for process in left:
        process.process.wait(10 * slowness())


def test_old_generations_go_to_the_next_newest_and_leave_the_one_that_fed_them(case):
    sidecar = Fed(case)
    processes = [sidecar.newest]
    sessions = [sidecar.caller()]
    processes.append(sidecar.upgrade())
    sessions.append(sidecar.caller())
    sidecar.wait_generations(1)
    processes.append(sidecar.upgrade())
    sidecar.wait_generations(2)
    old = processes[:2]
    processes[2].kill()
    check.within(lambda: sum(sidecar.to_agent(one) > 0 for one in old) == 1, "one asks the agent", 10 * slowness())
    sidecar.serves(sidecar.start())
    sidecar.wait_generations(2)
    check.within(lambda: sidecar.to_agent(*old) == 0, "the next feeds both", 10 * slowness())
    check.within(lambda: not Path(sidecar.directory, "old-feed.sock").exists(), "nothing is left of it", 10 * slowness())
    sidecar.api.set_intentions(scripted.intention("web", "db", "deny"))
    for session in sessions:
        check.equal(session.receive(1), b"", "a session is cut")


def test_a_successor_is_ready_while_the_agent_has_not_taken_its_registration_yet(case):
    api = scripted.Agent(case)
    app = apps.App(case, apps.echo)
    sidecar = Sidecar(case, Mooring.connect_proxy(
        case, "-http-addr", api.address, "-service", "db", "-service-addr", f"127.0.0.1:{app.address[1]}", "-register",
        "-listen", f"127.0.0.1:{free_port()}", "-admin-addr", f"127.0.0.1:{free_port()}", "-handover-dir", handover_dir(case)))
    register = api.fault("/v1/agent/service/register", hang=True)
    sidecar.upgrade()
    api.wait_asked("/v1/agent/service/register", count=2)
    check.equal(sidecar.newest.admin("/ready"), (200, "ready\n"), "/ready")
    api.lift(register)
    check.within(lambda: sidecar.status()["registered"], "registered", 10 * slowness())
    sidecar.newest.process.send(signal.SIGTERM)

