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
