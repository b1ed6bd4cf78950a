"""A service-resolver that leads to another datacenter: two real agents that know each other over the WAN."""

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


def test_a_redirect_to_the_other_datacenter(case):
    far = Instance(case, both.dc2, "moved")
    both.dc1.put("/v1/config", {"Kind": "service-resolver", "Name": "moved", "Redirect": {"Datacenter": "dc2"}})
    mooring = caller(case, both.dc1, "moved")
    check.within(lambda: comes_out_at(mooring.upstream("moved"), far), "connections go to dc2", 5 * slowness())
    status = status_of(mooring, "moved")
    check.equal((status["spiffe_id"], status["sni"]),
                (both.dc1.uri("moved", "dc2"), f"moved.default.dc2.internal.{both.dc1.trust_domain}"), "its identity")
