"""Where Consul says to go: redirect, subsets and failover of a service-resolver, as a real agent compiles them."""

import time

from faults.peers import FarService
from lib import apps, certs, check
from lib.case import slowness
from lib.mesh import Mesh

EXPECTED_SECONDS = 18
KNOWN = 8  # seconds in which a change of the chain is seen: it is polled every 3 s, of the agent's cache


def setup_module(case):
    global mesh
    mesh = Mesh(case)


class Instance(FarService):
    """An instance that proves to be of `service`, in the catalog with that Meta."""

    def __init__(self, case, service, proves=None, **meta):
        super().__init__(case, certs.from_agent(mesh.consul.leaf(proves or service)), mesh.consul.roots_pem())
        self.service, self.meta = service, meta
        self.identifier = f"{service}-proxy-{self.port}"
        mesh.consul.register({"ID": service, "Name": service, "Address": "127.0.0.1"})
        self.register()

    def register(self, **checks):
        mesh.consul.register({
            "Kind": "connect-proxy", "ID": self.identifier, "Name": f"{self.service}-sidecar-proxy", "Address": "127.0.0.1",
            "Port": self.port, "Meta": self.meta,
            "Proxy": {"DestinationServiceName": self.service, "DestinationServiceID": self.service},
            "Check": {"CheckID": self.identifier, "Name": "by hand", "TTL": "1h", "Status": "passing"}})

    def say(self, status):
        mesh.consul.put(f"/v1/agent/check/update/{self.identifier}", {"Status": status, "Output": "said so"})


class Route:
    """web's sidecar, with that upstream."""

    def __init__(self, case, upstream, *flags):
        self.case, self.name = case, upstream
        self.outbound = mesh.outbound(case, "mooring", mesh.name("web"), upstream, flags=flags)

    def goes_to(self, *instances):
        """goes_to tells whether a new connection comes out at one of them."""
        before = [far.app.count() for far in instances]
        return apps.ping(self.outbound.address) and [far.app.count() for far in instances] != before

    def comes_to(self, instance, what, seconds=KNOWN):
        check.within(lambda: self.goes_to(instance), what, seconds * slowness())

    def status(self):
        return next(one for one in self.outbound.program.status()["upstreams"] if one["name"] == self.name)


def resolver(name, **fields):
    mesh.consul.put("/v1/config", {"Kind": "service-resolver", "Name": name, **fields})


def no_resolver(name):
    mesh.consul.call("DELETE", f"/v1/config/service-resolver/{name}")


def test_a_redirect_is_followed_with_the_other_services_identity_and_name(case):
    old, new = mesh.name("old"), mesh.name("new")
    target = Instance(case, new)
    resolver(old, Redirect={"Service": new})
    route = Route(case, old)
    check.true(route.goes_to(target), "the first connection goes where the redirect leads")
    status = route.status()
    check.equal((status["spiffe_id"], status["sni"]), (mesh.consul.uri(new), f"{new}.default.dc1.internal.{mesh.consul.trust_domain}"),
                "whom it must prove to be")
    own = Instance(case, old)
    no_resolver(old)
    route.comes_to(own, "without the redirect its own instances are called")
    resolver(old, Redirect={"Service": new})
    route.comes_to(target, "and with it the others again")


def test_a_chain_that_leads_elsewhere_is_waited_on_and_a_change_is_followed_within_a_second(case):
    old, new, newer = mesh.name("old"), mesh.name("new"), mesh.name("newer")
    first, second = Instance(case, new), Instance(case, newer)
    resolver(old, Redirect={"Service": new})
    route = Route(case, old)
    check.true(route.goes_to(first), "connections go where the redirect leads")

    def asks():
        return next(one["asks"] for one in route.outbound.program.status()["watches"] if one["name"] == f"chain:{old}")

    check.within(lambda: asks() == "blocking", "the chain is waited on", KNOWN * slowness())
    for target, name in ((second, newer), (first, new)):
        resolver(old, Redirect={"Service": name})
        began = time.monotonic()
        check.within(lambda target=target: route.goes_to(target), "connections go where it leads now", 4 * slowness(), step=0.02)
        check.true(time.monotonic() - began < 1.0 * slowness(), "within a second")
    agent = route.outbound.program.status()["agent"]
    check.true(agent["connections"] <= 7, f"connections to the agent: {agent['connections']}")


def test_an_instance_of_the_redirects_source_does_not_do_for_its_target(case):
    old, new = mesh.name("old"), mesh.name("new")
    wrong = Instance(case, new, proves=old)
    resolver(old, Redirect={"Service": new})
    route = Route(case, old)
    data, end = apps.Client(case, route.outbound.address).send(b"secret").drain()
    check.equal((data, end in ("eof", "reset")), (b"", True), "what the app gets")
    check.true(route.outbound.program.attempts_failed().get("san_mismatch"), "counted as san_mismatch")
    check.true(all(seen.received == 0 for seen in wrong.app.seen), "no byte reached it")


def test_a_subset_is_asked_for_by_its_filter_and_may_want_only_who_passes(case):
    db = mesh.name("db")
    first, second = Instance(case, db, version="1"), Instance(case, db, version="2")
    subsets = {"v1": {"Filter": "Service.Meta.version == 1"}, "v2": {"Filter": "Service.Meta.version == 2", "OnlyPassing": True}}
    resolver(db, DefaultSubset="v1", Subsets=subsets)
    route = Route(case, db)
    check.true(all(route.goes_to(first) for _ in range(6)), "every connection goes to the default subset")
    check.equal(route.status()["spiffe_id"], mesh.consul.uri(db), "the identity is the service's")
    resolver(db, DefaultSubset="v2", Subsets=subsets)
    route.comes_to(second, "another default subset is followed")
    check.true(all(route.goes_to(second) for _ in range(6)), "every connection goes there")
    second.say("warning")
    check.within(lambda: not route.status()["endpoints"], "who warns is not of a subset that wants only who passes", 5 * slowness())
    resolver(db, DefaultSubset="v1", Subsets=subsets)
    first.say("warning")
    route.comes_to(first, "and is of one that does not")


def test_failover_to_another_service_and_back_within_a_second_of_the_agents_word(case):
    db, spare = mesh.name("db"), mesh.name("spare")
    first, second = Instance(case, db), Instance(case, spare)
    resolver(db, Failover={"*": {"Service": spare}})
    route = Route(case, db)
    held = apps.Client(case, route.outbound.address)
    check.equal(held.send(b"held").receive(4), b"held", "a session")
    check.true(all(route.goes_to(first) for _ in range(4)), "connections go to the service itself")
    first.say("critical")
    began = time.monotonic()
    check.within(lambda: route.goes_to(second), "connections go to the one that stands in", 4 * slowness(), step=0.02)
    took = time.monotonic() - began
    check.true(took < 1.0 * slowness(), f"within a second (it took {took:.2f} s)")
    status = route.status()
    check.equal(status["spiffe_id"], mesh.consul.uri(spare), "which proves its own identity")
    check.true("no healthy instance" in status["catalog"]["failed_over"], f"why: {status['catalog']}")
    check.equal([target["active"] for target in status["catalog"]["targets"]], [False, True], "targets")
    check.true("degraded" in route.outbound.program.admin("/ready")[1], "said behind ready")
    check.equal(held.send(b"held").receive(4), b"held", "the session goes on")
    first.say("passing")
    route.comes_to(first, "connections are back", 4)
    check.equal(route.status()["catalog"]["failed_over"], "", "and that is said")
    second.say("critical")
    check.true(route.goes_to(first), "the other one does not matter now")


def test_failback_waits_for_failback_delay(case):
    db, spare = mesh.name("db"), mesh.name("spare")
    first, second = Instance(case, db), Instance(case, spare)
    resolver(db, Failover={"*": {"Service": spare}})
    route = Route(case, db, "-failback-delay", "2s")
    check.true(route.goes_to(first), "connections go to the service itself")
    first.say("critical")
    route.comes_to(second, "failed over at once", 3)
    first.say("passing")
    began = time.monotonic()
    check.within(lambda: len([one for one in route.status()["catalog"]["targets"] if one["healthy"]]) == 2, "both are healthy", 3)
    route.comes_to(first, "back in the end", 6)
    check.true(time.monotonic() - began > 1.5, "not before it has stayed")


def test_what_a_chain_has_beyond_l4_is_said_once_and_not_done_in_part(case):
    shop = mesh.name("shop")
    own = Instance(case, shop, version="1")
    mesh.consul.put("/v1/config", {"Kind": "service-defaults", "Name": shop, "Protocol": "http"})
    resolver(shop, Subsets={"v1": {"Filter": "Service.Meta.version == 1"}})
    mesh.consul.put("/v1/config", {"Kind": "service-splitter", "Name": shop, "Splits": [
        {"Weight": 90, "ServiceSubset": "v1"}, {"Weight": 10}]})
    route = Route(case, shop)
    check.true(route.goes_to(own), "connections go to the upstream's own instances")
    program = route.outbound.program
    program.wait_log(f"part of a discovery chain is not followed.*upstream={shop}.*splitter")
    check.true("splitter" in program.admin("/ready")[1], f"said behind ready: {program.admin('/ready')}")
