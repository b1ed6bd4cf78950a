"""A service-resolver that leads to another datacenter: two real agents that know each other over the WAN."""

import hashlib
import os
import threading
import time

from lib import apps, check
from lib.case import slowness
from lib.two_datacenters import Datacenters, Instance, caller, comes_out_at, status_of

EXPECTED_SECONDS = 40


def setup_module(case):
    global both
    both = Datacenters(case)


setup_module.limit = 120


def test_failover_to_the_other_datacenter_and_back_with_a_session_under_way(case):
    near, far = Instance(case, both.dc1, "db"), Instance(case, both.dc2, "db")
    both.dc1.put("/v1/config", {"Kind": "service-resolver", "Name": "db", "Failover": {"*": {"Datacenters": ["dc2"]}}})
    mooring = caller(case, both.dc1, "db")
    address = mooring.upstream("db")
    check.true(all(comes_out_at(address, near) for _ in range(4)), "connections go to our own datacenter")
    held = apps.Client(case, address)
    check.equal(held.send(b"held").receive(4), b"held", "a session")
    near.say("critical")
    began = time.monotonic()
    check.within(lambda: comes_out_at(address, far), "connections go to dc2", 4 * slowness(), step=0.02)
    check.true(time.monotonic() - began < 1.0 * slowness(), "within a second")
    check.equal(status_of(mooring, "db")["spiffe_id"], both.dc1.uri("db", "dc2"), "whom it proves to be")
    check.equal(held.send(b"held").receive(4), b"held", "the session goes on")
    away = apps.Client(case, address)
    check.equal(away.send(b"away").receive(4), b"away", "a session with dc2")
    near.say("passing")
    check.within(lambda: comes_out_at(address, near), "connections are back", 4 * slowness())
    check.equal(away.send(b"away").receive(4), b"away", "the session with dc2 goes on")


class Transfer:
    """Bytes both ways over one connection, at a pace, until finish(): as they come back they are put beside what was sent."""

    def __init__(self, case, address):
        self.client = apps.Client(case, address, seconds=60)
        self.sent, self.received = hashlib.sha256(), hashlib.sha256()
        self.count = self.back = 0
        self.ended = threading.Event()
        self.failed = None
        self.threads = [threading.Thread(target=self.run, args=(part,), daemon=True) for part in (self.send, self.receive)]
        for thread in self.threads:
            thread.start()
        case.undo(self.ended.set)

    def run(self, part):
        try:
            part()
        except OSError as error:
            self.failed = repr(error)

    def send(self):
        while not self.ended.wait(0.01):
            chunk = os.urandom(64 << 10)
            self.client.socket.sendall(chunk)
            self.sent.update(chunk)
            self.count += len(chunk)
        self.client.finish()

    def receive(self):
        while chunk := self.client.socket.recv(1 << 18):
            self.received.update(chunk)
            self.back += len(chunk)

    def moves_on(self, what):
        """moves_on waits until a megabyte more has come back."""
        before = self.back
        check.within(lambda: self.failed or self.back > before + (1 << 20), f"bytes come back: {what}", 20 * slowness())
        check.equal(self.failed, None, f"the transfer: {what}")

    def finish(self):
        self.ended.set()
        for thread in self.threads:
            thread.join(60)
        check.equal(self.failed, None, "the transfer")
        check.equal((self.back, self.received.hexdigest()), (self.count, self.sent.hexdigest()), "bytes that came back")
        return self.count


def test_a_long_transfer_goes_on_whole_through_failover_and_back_where_it_began(case):
    near, far = Instance(case, both.dc1, "files"), Instance(case, both.dc2, "files")
    both.dc1.put("/v1/config", {"Kind": "service-resolver", "Name": "files", "Failover": {"*": {"Datacenters": ["dc2"]}}})
    mooring = caller(case, both.dc1, "files")
    address = mooring.upstream("files")
    check.true(comes_out_at(address, near), "connections go to our own datacenter")
    here = Transfer(case, address)
    here.moves_on("before")
    there = None
    for turn in range(case.scale(2, 10)):
        near.say("critical")
        check.within(lambda: comes_out_at(address, far), "new connections go to dc2", 4 * slowness(), step=0.02)
        here.moves_on(f"of the one to dc1, failed over, turn {turn}")
        there = there or Transfer(case, address)
        there.moves_on(f"of the one to dc2, turn {turn}")
        near.say("passing")
        check.within(lambda: comes_out_at(address, near), "new connections are back", 4 * slowness(), step=0.02)
        here.moves_on(f"of the one to dc1, back, turn {turn}")
        there.moves_on(f"of the one to dc2, back, turn {turn}")
    sent = here.finish(), there.finish()
    # One to each instance that moved so much: neither was begun anew elsewhere.
    for instance, count in zip((near, far), sent):
        moved = [seen.received for seen in instance.app.seen if seen.received > 1 << 20]
        check.equal(moved, [count], f"long transfers at {instance.identifier}")


test_a_long_transfer_goes_on_whole_through_failover_and_back_where_it_began.limit = 120


def test_a_redirect_to_the_other_datacenter(case):
    far = Instance(case, both.dc2, "moved")
    both.dc1.put("/v1/config", {"Kind": "service-resolver", "Name": "moved", "Redirect": {"Datacenter": "dc2"}})
    mooring = caller(case, both.dc1, "moved")
    check.within(lambda: comes_out_at(mooring.upstream("moved"), far), "connections go to dc2", 5 * slowness())
    status = status_of(mooring, "moved")
    check.equal((status["spiffe_id"], status["sni"]),
                (both.dc1.uri("moved", "dc2"), f"moved.default.dc2.internal.{both.dc1.trust_domain}"), "its identity")
