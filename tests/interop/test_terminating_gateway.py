"""What is outside of the mesh, behind a terminating gateway: a real Envoy with the service's own leaf certificate, which the
catalog names in place of a sidecar."""

from lib import apps, check
from lib.envoy import Envoy
from lib.mesh import Mesh
from lib.mooring import Mooring

EXPECTED_SECONDS = 8


def setup_module(case):
    global mesh
    mesh = Mesh(case)


class Outside:
    """A service that no sidecar stands beside: in the catalog by its address alone, and linked to a terminating gateway."""

    def __init__(self, case, identity=None):
        self.consul = mesh.consul
        self.service, self.gateway, self.web = mesh.name("legacy"), mesh.name("gateway"), mesh.name("web")
        self.app = apps.App(case, apps.echo)
        self.consul.put("/v1/catalog/register", {
            "Node": f"{self.service}-node", "Address": "127.0.0.1",
            "Service": {"Service": self.service, "Port": self.app.address[1]}})
        self.consul.put("/v1/config", {"Kind": "terminating-gateway", "Name": self.gateway,
                                       "Services": [{"Name": self.service}]})
        self.case, self.identity = case, identity
        self.numbers = 0

    def start_gateway(self):
        """start_gateway is one more gateway, which asks the intentions of now."""
        leaf = self.consul.leaf(self.identity) if self.identity else None
        envoy = Envoy(self.case, self.consul, self.service, app=self.app.address, by_sni=True,
                      identity=(leaf["CertPEM"], leaf["PrivateKeyPEM"]) if leaf else None)
        self.numbers += 1
        envoy.identifier = f"{self.gateway}-{self.numbers}"
        self.consul.register({"Kind": "terminating-gateway", "ID": envoy.identifier, "Name": self.gateway, "Address": "127.0.0.1",
                              "Port": envoy.port})
        return envoy

    def caller(self):
        return Mooring.connect_proxy(self.case, "-http-addr", self.consul.address, "-service", self.web,
                                     "-upstream", f"{self.service}:127.0.0.1:0")


def test_a_call_goes_through_whichever_gateway_there_is(case):
    outside = Outside(case)
    first = outside.start_gateway()
    mooring = outside.caller()
    address = mooring.upstream(outside.service)
    apps.echo_works(case, address)
    client = apps.Client(case, address).send(b"half")
    check.equal(client.finish().drain(), (b"half", "eof"), "a half-close passes")
    second = outside.start_gateway()
    outside.consul.deregister(first.identifier)
    first.close()
    check.within(lambda: apps.ping(address), "the next gateway is used", 5)
    check.within(second.access_log, "by the second one", 5)
    rows = next(one for one in mooring.status()["upstreams"] if one["name"] == outside.service)["endpoint_details"]
    check.equal([row["instance"]["id"] for row in rows], [second.identifier], "its instance in /status")


def test_a_gateway_that_denies_is_told_as_a_denial(case):
    outside = Outside(case)
    outside.consul.intention(outside.web, outside.service, "deny")
    outside.start_gateway()
    mooring = outside.caller()
    data, end = apps.Client(case, mooring.upstream(outside.service)).send(b"secret").drain()
    check.equal((data, end in ("eof", "reset")), (b"", True), "what the app gets")
    check.true(all(seen.received == 0 for seen in outside.app.seen), "no byte reached what is outside")


def test_a_gateway_that_proves_another_service_gets_no_byte(case):
    outside = Outside(case, identity=mesh.name("other"))
    outside.start_gateway()
    mooring = outside.caller()
    data, end = apps.Client(case, mooring.upstream(outside.service)).send(b"secret").drain()
    check.equal((data, end in ("eof", "reset")), (b"", True), "what the app gets")
    check.true(mooring.attempts_failed().get("san_mismatch"), f"counted as san_mismatch: {mooring.attempts_failed()}")
    check.true(all(seen.received == 0 for seen in outside.app.seen), "no byte reached what is outside")
