"""What a process knows of the agent's answers passes to its successor where no state directory has it, and no key does."""

import array
import os
import re
import socket

from faults.peers import FarService
from lib import agent as scripted
from lib import apps, check, tlspeer
from lib.case import slowness
from lib.generations import TAKE_OVER, Sidecar, handover_dir
from lib.mooring import Mooring
from lib.ports import free_port
from lib.static import identity_files

EXPECTED_SECONDS = 8
LEAF = "/v1/agent/connect/ca/leaf/*"


class Stateless(Sidecar):
    """The sidecar of `db` with the upstream `store`, without a state directory. web may call it, mallory may not.
    Its identity is the agent's or, with files, its own."""

    def __init__(self, case, files=False):
        self.api = scripted.Agent(case)
        self.api.set_intentions(scripted.intention("mallory", "db", "deny"))
        self.far = FarService(case, self.api.authority.leaf("store"), self.api.authority.pem)
        self.api.set_instances("store", self.far.address)
        app = apps.App(case, apps.echo)
        self.public, self.upstream = ("127.0.0.1", free_port()), ("127.0.0.1", free_port())
        self.directory = handover_dir(case)
        settings = {"service": "db", "agent": {"address": self.api.address}, "handover_dir": self.directory,
                    "admin": {"address": f"127.0.0.1:{free_port()}"}, "drain_quiet": "0s",
                    "public_listener": {"address": f"127.0.0.1:{self.public[1]}", "local_app": f"127.0.0.1:{app.address[1]}"},
                    "upstreams": [{"service": "store", "listen": f"127.0.0.1:{self.upstream[1]}"}]}
        if files:
            settings["identity"] = identity_files(case, self.api.authority, "db")
        super().__init__(case, Mooring.from_yaml(case, settings))

    def calls(self, caller):
        """calls tells whether that service is let in, and asserts that what it says comes back then."""
        peer = tlspeer.connect(self.case, self.public, self.api.authority.leaf(caller), self.api.authority.pem)
        try:
            peer.handshake()
            return peer.send(b"ping").receive(4) == b"ping"
        except OSError:
            return False
        finally:
            peer.close()

    def serves(self, successor=None, seconds=20):
        if successor is not None:
            super().serves(successor, seconds)
        check.true(self.calls("web"), "web is let in")
        check.true(not self.calls("mallory"), "mallory is not")
        check.true(apps.ping(self.upstream), "echo through the upstream")
        return successor

    def sources(self):
        return {watch["name"]: watch["source"] for watch in self.status()["watches"]}


def test_a_successor_serves_by_them_while_the_agent_is_away_if_its_identity_comes_from_files(case):
    sidecar = Stateless(case, files=True)
    sidecar.serves()
    sidecar.api.stop()
    said = re.compile(r"\[WARN\].*serving by what the predecessor has handed over.*watch=\"?intentions.*age_seconds")
    logs = [sidecar.first.process]
    for number in (2, 3):  # and what it was handed it hands on
        successor = sidecar.upgrade()
        logs.append(successor.process)
        check.equal(sidecar.status()["generation"], number, "generation")
        sources = {name: source for name, source in sidecar.sources().items() if source != "none"}
        check.true("intentions" in sources and set(sources.values()) == {"predecessor"}, f"sources in /status: {sources}")
        # In its own log, or in the one that goes on in its place: it may serve before the line is written.
        check.within(lambda: sum(len(said.findall(log.stderr())) for log in logs) >= number - 1, "it says so", 10 * slowness())
        check.equal(successor.admin("/ready")[0], 200, "/ready")


def test_a_successor_serves_by_them_while_the_agent_has_its_leaf_certificate_and_nothing_else(case):
    sidecar = Stateless(case)
    sidecar.serves()
    sidecar.api.fault("/v1/*", status=500, body=b"No cluster leader")
    sidecar.api.faults.append(sidecar.api.faults.pop(0))
    leaf = sidecar.api.fault(LEAF)  # the first that fits: as without a fault
    leaf.times = None
    sidecar.upgrade()
    sources = sidecar.sources()
    check.equal((sources["leaf"], sources["intentions"]), ("agent", "predecessor"), f"sources in /status: {sources}")
    sidecar.api.lift()
    check.within(lambda: set(sidecar.sources().values()) == {"agent"}, "all comes from the agent again", 20 * slowness())
    sidecar.serves()


def test_no_key_passes(case):
    sidecar = Stateless(case)
    successor = socket.socket(socket.AF_UNIX)
    case.undo(successor.close)
    successor.settimeout(10 * slowness())
    successor.connect(f"{sidecar.directory}/handover.sock")
    text = b'{"kind":"take_over"}'
    successor.sendall(len(text).to_bytes(4, "big") + text)
    heard, passed = b"", array.array("i")
    while b'"kind":"sockets"' not in heard:
        data, ancillary, _, _ = successor.recvmsg(65536, socket.CMSG_SPACE(64 * passed.itemsize), socket.MSG_CMSG_CLOEXEC)
        check.true(data, f"the offer is whole: {heard}")
        heard += data
        for _, _, descriptors in ancillary:
            passed.frombytes(descriptors)
    for fd in passed:
        case.undo(lambda fd=fd: os.close(fd))
    names = [os.readlink(f"/proc/self/fd/{fd}") for fd in passed]
    documents = [os.pread(fd, 1 << 24, 0) for fd, name in zip(passed, names) if "memfd:mooring-documents" in name]
    check.equal(len(documents), 1, f"documents among {names}")
    check.true(b"intentions /v1/" in documents[0] and b"roots /v1/" in documents[0], "what is known is there")
    check.true(b"PRIVATE KEY" not in documents[0] + heard and b"leaf /v1/" not in documents[0], "no key passes")


def test_a_successor_for_another_agent_takes_none_of_them(case):
    sidecar = Stateless(case, files=True)
    path = next(word for word in sidecar.first.process.argv if word.endswith(".yaml"))
    with open(path) as file:
        text = file.read()
    with open(path, "w") as file:
        file.write(text.replace(sidecar.api.address, scripted.Agent(case).address))
    successor = sidecar.start(TAKE_OVER)
    successor.wait_log("the predecessor's documents are not used.*it was saved from the agent")
    super(Stateless, sidecar).serves(successor)
    check.true(sidecar.calls("mallory"), "the other agent denies nobody")
