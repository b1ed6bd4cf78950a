"""Instances of another datacenter behind real Envoys as mesh gateways, which pass TLS on by the name in SNI and see none of it."""

import hashlib
import os
import time

from lib import apps, check
from lib.case import slowness
from lib.envoy import Gateway
from lib.mooring import Mooring
from lib.two_datacenters import Datacenters, Instance, caller, comes_out_at, status_of

EXPECTED_SECONDS = 25
MEBIBYTES = 100


def setup_module(case):
    global both
    both = Datacenters(case)


setup_module.limit = 120


class Gateways:
    """A service of dc2, and gateways of both datacenters, registered under `name`. Its instance gives no other way in: the
    catalog has an address of it at which nobody listens."""

    def __init__(self, case, service, mode, name="mesh-gateway"):
        self.case, self.service, self.name = case, service, name
        self.far = Instance(case, both.dc2, service, advertised_port=1)
        self.sni = f"{service}.default.dc2.internal.{both.dc1.trust_domain}"
        both.dc1.put("/v1/config", {"Kind": "service-resolver", "Name": service, "Redirect": {"Datacenter": "dc2"}})
        both.dc1.put("/v1/config", {"Kind": "service-defaults", "Name": service, "MeshGateway": {"Mode": mode}})
        self.numbers = 0

    def start(self, consul, routes, wan=False):
        gateway = Gateway(self.case, routes)
        self.numbers += 1
        gateway.identifier = f"{self.service}-gateway-{self.numbers}"
        # Of a remote one the LAN address leads nowhere from here.
        own = {"Address": "127.0.0.1", "Port": 1 if wan else gateway.port}
        tagged = {"TaggedAddresses": {"wan": {"Address": "127.0.0.1", "Port": gateway.port}}} if wan else {}
        consul.register({"Kind": "mesh-gateway", "ID": gateway.identifier, "Name": self.name, **own, **tagged})
        gateway.consul = consul
        self.case.undo(lambda: self.take_out(gateway))
        return gateway

    def take_out(self, gateway):
        """take_out ends its entry in the catalog, which the next test would find."""
        consul, gateway.consul = gateway.consul, None
        if consul:
            consul.deregister(gateway.identifier)

    def of_dc2(self, **options):
        return self.start(both.dc2, {self.sni: [("127.0.0.1", self.far.port)]}, **options)

    def of_dc1(self, beyond):
        return self.start(both.dc1, {f"*.dc2.internal.{both.dc1.trust_domain}": [beyond.address]})


def passes_bytes(case, address):
    data = os.urandom(1 << 20) * MEBIBYTES
    client = apps.Client(case, address, seconds=60)
    sender = apps.Sender(client, data, finish=True)
    echoed, end = client.drain(seconds=120)
    sender.done(60)
    check.equal((len(echoed), hashlib.sha256(echoed).hexdigest(), end), (len(data), hashlib.sha256(data).hexdigest(), "eof"),
                f"{MEBIBYTES} MiB and a half-close through gateways")


def test_local_mode_goes_through_a_gateway_of_our_own_datacenter(case):
    gateways = Gateways(case, "ledger", "local")
    beyond = gateways.of_dc2()
    near = gateways.of_dc1(beyond)
    mooring = caller(case, both.dc1, "ledger")
    address = mooring.upstream("ledger")
    check.within(lambda: comes_out_at(address, gateways.far), "a call goes through", 5 * slowness())
    check.true(near.passed() >= 1, "by our own datacenter's gateway")
    status = status_of(mooring, "ledger")
    check.equal((status["spiffe_id"], status["sni"]), (both.dc1.uri("ledger", "dc2"), gateways.sni), "the identity is the target's")
    passes_bytes(case, address)
    held = apps.Client(case, address)
    check.equal(held.send(b"held").receive(4), b"held", "a session")
    second = gateways.of_dc1(beyond)
    gateways.take_out(near)
    near.close()
    check.within(lambda: comes_out_at(address, gateways.far) and second.passed(), "the next gateway is used", 5 * slowness())
    gateways.take_out(second)
    check.within(lambda: not status_of(mooring, "ledger")["endpoints"], "without a gateway there is no way", 5 * slowness())
    ready = mooring.admin("/ready")[1]
    check.true("no healthy mesh gateway mesh-gateway in our own datacenter" in ready, f"said behind ready: {ready}")


test_local_mode_goes_through_a_gateway_of_our_own_datacenter.limit = 150


def test_remote_mode_goes_to_a_gateway_of_theirs_by_its_wan_address(case):
    gateways = Gateways(case, "vault", "remote", name="edge")
    beyond = gateways.of_dc2(wan=True)
    mooring = caller(case, both.dc1, "vault", "-mesh-gateway-service", "edge")
    address = mooring.upstream("vault")
    check.within(lambda: comes_out_at(address, gateways.far), "a call goes through", 5 * slowness())
    check.true(beyond.passed() >= 1, "by their gateway")
    gateways.far.say("critical")
    check.within(lambda: not status_of(mooring, "vault")["endpoints"], "no instance behind it: nobody is called", 5 * slowness())


def test_a_gateway_that_leads_to_another_service_gets_no_byte(case):
    gateways = Gateways(case, "safe", "remote", name="liar")
    other = Instance(case, both.dc2, "other")
    gateways.start(both.dc2, {gateways.sni: [("127.0.0.1", other.port)]}, wan=True)
    mooring = caller(case, both.dc1, "safe", "-mesh-gateway-service", "liar")
    check.within(lambda: status_of(mooring, "safe")["endpoints"], "its gateway is known", 5 * slowness())
    data, end = apps.Client(case, mooring.upstream("safe")).send(b"secret").drain()
    check.equal((data, end in ("eof", "reset")), (b"", True), "what the app gets")
    check.true(mooring.attempts_failed().get("san_mismatch"), f"counted as san_mismatch: {mooring.attempts_failed()}")
    check.true(all(seen.received == 0 for seen in other.app.seen), "no byte reached it")


def test_a_deny_in_one_datacenter_cuts_a_session_that_came_through_gateways_in_the_other(case):
    app = apps.App(case, apps.echo)
    inbound = Mooring.connect_proxy(case, "-http-addr", both.dc2.address, "-token", both.dc2.token, "-service", "till",
                                    "-service-addr", f"127.0.0.1:{app.address[1]}", "-listen", "127.0.0.1:0", name="till")
    gateways = Gateways(case, "till", "local")
    gateways.far.app.close()
    beyond = gateways.start(both.dc2, {gateways.sni: [inbound.public]})
    gateways.of_dc1(beyond)
    mooring = caller(case, both.dc1, "till")
    address = mooring.upstream("till")
    check.within(lambda: apps.ping(address), "a call goes through", 5 * slowness())
    held = apps.Client(case, address)
    check.equal(held.send(b"held").receive(4), b"held", "a session")
    both.dc1.intention("web", "till", "deny")
    # What dc1 knows dc2 hears by its own replication; from there on it is a second.
    heard = check.within(lambda: [time.monotonic()] if any(
        one["DestinationName"] == "till" for one in both.dc2.get("/v1/connect/intentions") or []) else None,
        "dc2 has the intention", 40 * slowness(), step=0.02)[0]
    held.drain(seconds=10)
    check.true(time.monotonic() - heard < 1.0 * slowness(), "cut within a second")
    check.true(not apps.ping(address), "and nobody new gets in")


test_a_deny_in_one_datacenter_cuts_a_session_that_came_through_gateways_in_the_other.limit = 90
