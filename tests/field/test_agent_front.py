"""What stands between us and the agent: a front with a short read timeout or a small limit on bodies, a clock that differs."""

import email.utils
import re
import socket
import threading
import time

from lib import agent as scripted
from lib import check
from lib.case import slowness
from lib.consul import Consul
from lib.mooring import Mooring

EXPECTED_SECONDS = 20


class Front:
    """Stands before an agent as nginx does: an answer that does not come within `seconds` is a 504, or with
    gateway=False the connection is closed."""

    def __init__(self, case, agent_port, seconds, gateway=True):
        self.agent_port, self.seconds, self.gateway = agent_port, seconds, gateway
        self.cut = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()
        case.undo(self.listener.close)

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with client, socket.create_connection(("127.0.0.1", self.agent_port)) as agent:
            agent.settimeout(self.seconds)
            try:
                while request := client.recv(65536):
                    agent.sendall(request)
                    try:
                        self.answer(agent, client)
                    except TimeoutError:
                        self.cut += 1
                        if self.gateway:
                            client.sendall(b"HTTP/1.1 504 Gateway Time-out\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                        return
            except OSError:
                return

    @staticmethod
    def answer(agent, client):
        """answer passes one answer on: a head with a length, or chunks."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += Front.more(agent)
        head, body = data.split(b"\r\n\r\n", 1)
        if length := re.search(rb"(?i)content-length: *(\d+)", head):
            while len(body) < int(length.group(1)):
                body += Front.more(agent)
        else:
            while not body.endswith(b"0\r\n\r\n"):
                body += Front.more(agent)
        client.sendall(head + b"\r\n\r\n" + body)

    @staticmethod
    def more(agent):
        data = agent.recv(65536)
        if not data:
            raise ConnectionError("the agent has closed")
        return data


def goes_on_with_shorter_waits(case, gateway):
    consul = Consul(case)
    front = Front(case, consul.port, 3, gateway)
    subject = Mooring.connect_proxy(case, "-http-addr", front.address, "-service", "web", "-upstream", "db:127.0.0.1:0")
    subject.wait_log(r"\[WARN\].*ends a waiting question early: shorter ones from now on: after_ms=3\d\d\d wait_ms=2[23]\d\d", 20)
    # What was under way is cut still; after that nothing is.
    check.within(lambda: all(watch["state"] == "ok" for watch in subject.status()["watches"]), "every watch is well",
                 10 * slowness())
    cut = front.cut
    check.stays(lambda: front.cut <= cut + 2, "no more than two that were under way are cut", 5)
    consul.register_proxy("db", 9)
    check.within(lambda: subject.status()["upstreams"][0]["endpoints"], "a change is seen", 5 * slowness())
    check.equal(len([line for line in subject.lines("WARN") if "shorter ones from now on" in line]), 1, "lines about it")


def test_a_gateway_that_times_out_makes_the_waits_shorter_and_is_said_once(case):
    goes_on_with_shorter_waits(case, True)


def test_a_front_that_closes_what_waits_makes_the_waits_shorter(case):
    goes_on_with_shorter_waits(case, False)


def test_a_body_that_is_too_large_for_what_stands_before_the_agent_is_named(case):
    api = scripted.Agent(case)
    api.fault("/v1/agent/service/register", status=413, body=b"<html>413 Request Entity Too Large</html>")
    subject = Mooring.connect_proxy(case, "-http-addr", api.address, "-service", "web", "-service-addr", "127.0.0.1:1",
                                    "-listen", "127.0.0.1:0", "-register", ready=False)
    subject.wait_log("413.*what we sent is larger than the agent, or what stands before it, takes.*client_max_body_size")


def test_a_clock_that_differs_from_the_agents_is_said_while_it_does(case):
    api = scripted.Agent(case)
    fault = api.fault("*", headers={"Date": email.utils.formatdate(time.time() + 45, usegmt=True)})
    subject = Mooring.connect_proxy(case, "-http-addr", api.address, "-service", "web", "-upstream", "db:127.0.0.1:0")
    subject.wait_log(r"\[WARN\].*our clock and the agent's differ.*ahead_seconds=-4[45]")
    check.true(re.search(r"our clock is 4[45] s behind the agent's", subject.admin("/ready")[1]), "/ready says so")
    check.equal(len([line for line in subject.lines("WARN") if "our clock" in line]), 1, "lines about it")
    api.lift(fault)
    api.touch("roots")
    subject.wait_log(r"our clock and the agent's agree again")
    check.equal(subject.admin("/ready")[1], "ready\n", "/ready")
