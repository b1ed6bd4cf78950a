"""Two datacenters of real Consul agents on one machine, joined over the WAN: dc1 has the authority, dc2 an intermediate of it."""

from faults.peers import FarService
from lib import apps, certs, check
from lib.case import slowness
from lib.consul import Consul
from lib.mooring import Mooring

NAMES = ("dc1", "dc2")


class Datacenters:
    """dc1 and dc2 are Consuls that know each other; both issue leaf certificates of one trust domain."""

    def __init__(self, case, **options):
        common = {"acl": "allow", "replicates": True, "primary_datacenter": NAMES[0], **options}
        self.dc1 = Consul(case, datacenter=NAMES[0], **common)
        wan = f"127.0.0.1:{self.dc1.ports['serf_wan']}"
        self.dc2 = Consul(case, datacenter=NAMES[1], node_name="n2", retry_join_wan=[wan], **common)
        check.within(self._joined, "each datacenter asks the other, and dc2 issues leaf certificates", 60 * slowness(), step=0.3)

    def _joined(self):
        try:
            asked = self.dc1.get("/v1/catalog/nodes?dc=dc2") and self.dc2.get("/v1/catalog/nodes?dc=dc1")
            return asked and self.dc2.leaf("probe") and self.dc2.trust_domain == self.dc1.trust_domain
        except (OSError, ValueError, KeyError):
            return False


class Instance(FarService):
    """An instance of `service` in that datacenter."""

    def __init__(self, case, consul, service, advertised_port=None):
        super().__init__(case, certs.from_agent(consul.leaf(service)), consul.roots_pem())
        self.consul, self.service = consul, service
        self.identifier = f"{service}-proxy-{self.port}"
        consul.register({"ID": service, "Name": service, "Address": "127.0.0.1"})
        consul.register({
            "Kind": "connect-proxy", "ID": self.identifier, "Name": f"{service}-sidecar-proxy", "Address": "127.0.0.1",
            "Port": advertised_port or self.port, "Proxy": {"DestinationServiceName": service, "DestinationServiceID": service},
            "Check": {"CheckID": self.identifier, "Name": "by hand", "TTL": "1h", "Status": "passing"}})

    def say(self, status):
        self.consul.put(f"/v1/agent/check/update/{self.identifier}", {"Status": status, "Output": "said so"})


def caller(case, consul, upstream, *flags):
    """caller is web's sidecar with that upstream."""
    return Mooring.connect_proxy(case, "-http-addr", consul.address, "-token", consul.token, "-service", "web",
                                 "-upstream", f"{upstream}:127.0.0.1:0", *flags)


def comes_out_at(address, far):
    """comes_out_at tells whether a new connection comes out at that instance."""
    before = far.app.count()
    return apps.ping(address) and far.app.count() != before


def status_of(mooring, upstream):
    return next(one for one in mooring.status()["upstreams"] if one["name"] == upstream)
