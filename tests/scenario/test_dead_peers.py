"""A peer that has died ends both legs in seconds; one that is silent, or reads nothing, ends neither.

Dead means here: in a network namespace behind a link that is taken down, so that nobody answers.
"""

import re
import shutil
import subprocess
import sys
import threading

from lib import apps, certs, check, namespaces, tlspeer
from lib.case import reduced
from lib.check import Skip
from lib.mooring import Mooring
from lib.static import Static, identity_files

EXPECTED_SECONDS = 45 if reduced() else 150

ECHO = """
import socket, sys
server = socket.create_server((sys.argv[1], 7007))
print('up', flush=True)
while True:
    one, _ = server.accept()
    data = one.recv(100)
    one.sendall(data)
    keep = globals().setdefault('kept', []); keep.append(one)
"""


class Far(namespaces.Neighbour):
    """A neighbour with an echo application at port 7007."""

    def __init__(self, case, number):
        super().__init__(case, number)
        self.app = self.run([sys.executable, "-c", ECHO, self.host], "far-app")
        check.within(lambda: "up" in self.app.stdout(), "the far application is up", 10)
        self.address = f"{self.host}:7007"


def kept(far):
    if shutil.which("ss") is None:
        raise Skip("ss (iproute2) is not installed")
    return subprocess.run(["ss", "-tanH", "dst", far.address], capture_output=True, text=True, check=True).stdout


def through(case, far):
    authority = certs.Authority()
    mooring = Mooring.from_yaml(case, {
        "service": "payment", "identity": identity_files(case, authority, "payment"),
        "public_listener": {"address": "127.0.0.1:0", "local_app": far.address},
        "intentions": {"default": "allow"}})
    caller = tlspeer.connect(case, mooring.public, authority.leaf("web"), authority.pem, seconds=60)
    caller.handshake()
    check.equal(caller.send(b"ping").receive(4), b"ping", "echo from afar")
    return mooring, caller


def test_both_legs_have_keepalive_at_15_seconds(case):
    if shutil.which("ss") is None:
        raise Skip("ss (iproute2) is not installed")
    static = Static(case)
    caller = static.caller()
    check.equal(caller.send(b"ping").receive(4), b"ping", "echo")

    def timers():
        said = subprocess.run(["ss", "-tnopH", "state", "established"], capture_output=True, text=True,
                              check=True).stdout
        mine = [line for line in said.splitlines() if f"pid={static.mooring.pid}," in line and "admin" not in line]
        legs = [line for line in mine if f":{static.public[1]} " in line or f":{static.app.port} " in line]
        return legs if len(legs) == 2 and all("timer:(keepalive" in line for line in legs) else None

    for line in check.within(timers, "both legs have a keepalive timer", 5):
        seconds = re.search(r"timer:\(keepalive,(?:(\d+)sec|([\d.]+)(?:ms|sec))", line)
        check.true(seconds is not None, line)
        check.true(float(seconds.group(1) or 0) <= 15, line)


def long():
    if reduced():
        raise Skip("takes most of a minute: tests/run --full runs it")


def test_an_idle_connection_to_a_dead_app_ends_at_the_caller_too(case):
    far = Far(case, 7)
    mooring, caller = through(case, far)
    far.die()
    check.true(caller.reset_within(60), "the caller is reset")
    mooring.wait_idle()


def test_data_under_way_to_a_dead_app_ends_the_caller_too(case):
    long()
    far = Far(case, 8)
    mooring, caller = through(case, far)
    far.die()
    caller.send(b"is anybody there?")
    check.true(caller.reset_within(60), "the caller is reset")
    mooring.wait_idle()
    check.equal(kept(far), "", "what the kernel still tries to send to the dead one")


def test_an_app_that_reads_nothing_for_long_keeps_its_connection(case):
    """TCP_USER_TIMEOUT alone would end it after 30 s of a zero window."""
    long()
    def reads_late(app, seen):
        seen.go.wait(100)
        app.read_to_end(seen)

    static = Static(case, behaviour=reads_late)
    caller = static.caller(seconds=150)
    total = 32 << 20  # more than the kernel's buffers on the way hold
    sender = threading.Thread(target=lambda: caller.send(b"x" * total).notify(), daemon=True)
    sender.start()
    check.stays(lambda: static.mooring.active("inbound") == 1, "the stalled connection lives", 50)
    static.app.connection().go.set()
    sender.join(60)
    check.within(lambda: static.app.connection().received == total, "every byte arrives", 30)


# Seconds; these wait for the kernel's own timers.
test_an_idle_connection_to_a_dead_app_ends_at_the_caller_too.limit = 90
test_data_under_way_to_a_dead_app_ends_the_caller_too.limit = 90
test_an_app_that_reads_nothing_for_long_keeps_its_connection.limit = 150
