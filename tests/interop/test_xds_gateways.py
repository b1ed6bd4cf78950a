"""Mesh and terminating gateways whose Envoys Consul itself configures, over xDS; Mooring calls through them, and is called."""

import hashlib
import os
import time

from lib import apps, check, consul_version
from lib.case import slowness
from lib.mooring import Mooring
from lib.two_datacenters import Datacenters, Instance, caller, comes_out_at, status_of
from lib.xds import XdsGateway

EXPECTED_SECONDS = 20
MEBIBYTES = 8
LEARNS = 30  # seconds in which a gateway has heard of a service or an instance, by its own datacenter's servers


def setup_module(case):
    consul_version.needs(1, 14)  # the first with xDS on a port of its own
    global both, near, beyond
    both = Datacenters(case, xds=True)
    beyond = XdsGateway(case, both.dc2, "mesh", "mesh-gateway")
    near = XdsGateway(case, both.dc1, "mesh", "mesh-gateway")


setup_module.limit = 150


def gateway_mode(service, mode):
    """gateway_mode has dc1's callers of the service go to dc2, through gateways by that mode."""
    both.dc1.put("/v1/config", {"Kind": "service-resolver", "Name": service, "Redirect": {"Datacenter": "dc2"}})
    both.dc1.put("/v1/config", {"Kind": "service-defaults", "Name": service, "Protocol": "tcp", "MeshGateway": {"Mode": mode}})


def passes_bytes(case, address, what):
    data = os.urandom(1 << 20) * MEBIBYTES
    client = apps.Client(case, address, seconds=60)
    sender = apps.Sender(client, data, finish=True)
    echoed, end = client.drain(seconds=60)
    sender.done(60)
    check.equal((len(echoed), hashlib.sha256(echoed).hexdigest(), end), (len(data), hashlib.sha256(data).hexdigest(), "eof"),
                f"{MEBIBYTES} MiB and a half-close {what}")


def test_local_mode_and_the_next_gateway_when_one_is_killed(case):
    far = Instance(case, both.dc2, "ledger")
    gateway_mode("ledger", "local")
    mooring = caller(case, both.dc1, "ledger")
    address = mooring.upstream("ledger")
    before = near.passed(), beyond.passed()
    check.within(lambda: comes_out_at(address, far), "a call goes through", LEARNS * slowness())
    check.true(near.passed() > before[0] and beyond.passed() > before[1], "by a gateway of each datacenter")
    check.equal(status_of(mooring, "ledger")["spiffe_id"], both.dc1.uri("ledger", "dc2"), "whom it has proven to be")
    passes_bytes(case, address, "through two gateways")
    second = XdsGateway(case, both.dc1, "mesh", "mesh-gateway")
    check.within(lambda: len(status_of(mooring, "ledger")["endpoints"]) == 2, "both gateways are known", LEARNS * slowness())
    check.within(lambda: comes_out_at(address, far) and second.passed(), "the second is used as well", LEARNS * slowness())
    held = apps.Client(case, address)
    check.equal(held.send(b"held").receive(4), b"held", "a session")
    second.kill()  # its entry in the catalog stays, and its checks have not run yet
    check.true(all(comes_out_at(address, far) for _ in range(6)), "every call goes on through the one that is left")


test_local_mode_and_the_next_gateway_when_one_is_killed.limit = 150


def test_remote_mode_goes_straight_to_a_gateway_of_theirs(case):
    far = Instance(case, both.dc2, "vault")
    gateway_mode("vault", "remote")
    mooring = caller(case, both.dc1, "vault")
    address = mooring.upstream("vault")
    before = near.passed(), beyond.passed()
    check.within(lambda: comes_out_at(address, far), "a call goes through", LEARNS * slowness())
    check.equal((near.passed(), beyond.passed() > before[1]), (before[0], True), "by their gateway alone")
    passes_bytes(case, address, "through their gateway")
    far.say("critical")
    check.within(lambda: not status_of(mooring, "vault")["endpoints"], "no instance behind it: nobody is called", 10 * slowness())


def test_a_deny_in_one_datacenter_cuts_what_came_through_the_gateways_to_the_other(case):
    app = apps.App(case, apps.echo)
    inbound = Mooring.connect_proxy(case, "-http-addr", both.dc2.address, "-token", both.dc2.token, "-service", "till",
                                    "-service-addr", f"127.0.0.1:{app.address[1]}", "-listen", "127.0.0.1:0", name="till")
    both.dc2.register_proxy("till", inbound.public[1])
    gateway_mode("till", "local")
    mooring = caller(case, both.dc1, "till")
    address = mooring.upstream("till")
    check.within(lambda: apps.ping(address), "a call goes through", LEARNS * slowness())
    held = apps.Client(case, address)
    check.equal(held.send(b"held").receive(4), b"held", "a session")
    both.dc1.intention("web", "till", "deny")
    heard = check.within(lambda: [time.monotonic()] if any(
        one["DestinationName"] == "till" for one in both.dc2.get("/v1/connect/intentions") or []) else None,
        "dc2 has the intention", 60 * slowness(), step=0.02)[0]
    held.drain(seconds=10)
    check.true(time.monotonic() - heard < 1.0 * slowness(), "cut within a second of dc2's knowing")
    check.true(not apps.ping(address), "and nobody new gets in")


test_a_deny_in_one_datacenter_cuts_what_came_through_the_gateways_to_the_other.limit = 150


class Outside:
    """A service without a sidecar, and terminating gateways that stand in for it."""

    def __init__(self, case, service):
        self.case, self.service, self.name = case, service, f"{service}-gateway"
        self.app = apps.App(case, apps.echo)
        both.dc1.put("/v1/catalog/register", {"Node": f"{service}-node", "Address": "127.0.0.1",
                                              "Service": {"Service": service, "Port": self.app.address[1]}})
        both.dc1.put("/v1/config", {"Kind": "terminating-gateway", "Name": self.name, "Services": [{"Name": service}]})

    def gateway(self):
        return XdsGateway(self.case, both.dc1, "terminating", self.name)


def test_a_terminating_gateway_and_the_next_when_one_is_killed(case):
    outside = Outside(case, "legacy")
    first = outside.gateway()
    mooring = caller(case, both.dc1, "legacy")
    address = mooring.upstream("legacy")
    check.within(lambda: apps.ping(address), "a call goes through", LEARNS * slowness())
    check.equal(status_of(mooring, "legacy")["spiffe_id"], both.dc1.uri("legacy"), "it proves to be the service itself")
    passes_bytes(case, address, "through a terminating gateway")
    second = outside.gateway()
    check.within(lambda: apps.ping(address) and second.passed(), "the second is used as well", LEARNS * slowness())
    first.kill()
    check.true(all(apps.ping(address) for _ in range(6)), "every call goes on through the one that is left")


test_a_terminating_gateway_and_the_next_when_one_is_killed.limit = 120


def test_an_intention_holds_at_a_terminating_gateway(case):
    outside = Outside(case, "billing")
    outside.gateway()
    mooring = caller(case, both.dc1, "billing")
    address = mooring.upstream("billing")
    check.within(lambda: apps.ping(address), "a call goes through", LEARNS * slowness())
    both.dc1.intention("web", "billing", "deny")
    check.within(lambda: not apps.ping(address), "denied", LEARNS * slowness())
    received = sum(seen.received for seen in outside.app.seen)
    data, end = apps.Client(case, address).send(b"secret").drain()
    check.equal((data, end in ("eof", "reset")), (b"", True), "what the app gets")
    check.equal(sum(seen.received for seen in outside.app.seen), received, "bytes that have reached what is outside")
