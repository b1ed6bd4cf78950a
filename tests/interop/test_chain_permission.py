"""What a token needs for an upstream's discovery chain: service:read on the upstream and on each target, by real ACLs."""

import re

from faults.peers import FarService
from lib import apps, certs, check
from lib.case import slowness
from lib.consul import Consul
from lib.mooring import Mooring

EXPECTED_SECONDS = 20


def setup_module(case):
    global consul
    consul = Consul(case, acl="deny")


class Chain:
    """An upstream with a service-resolver, an instance of it and one of its target, and a token that may read some of them."""

    def __init__(self, case, name, may_read=(), **resolver):
        self.case, self.name, self.target = case, name, f"to-{name}"
        resolver = {field: {"Service": self.target} if field == "Redirect" else {"*": {"Service": self.target}}
                    for field in resolver}
        consul.put("/v1/config", {"Kind": "service-resolver", "Name": name, **resolver})
        self.own, self.far = self.instance(name), self.instance(self.target)
        self.policy = consul.put("/v1/acl/policy", {"Name": name, "Rules": self.rules(may_read)})["ID"]
        self.token = consul.put("/v1/acl/token", {"Policies": [{"ID": self.policy}]})["SecretID"]

    def instance(self, service):
        far = FarService(self.case, certs.from_agent(consul.leaf(service)), consul.roots_pem())
        consul.intention("web", service, "allow")
        consul.register_proxy(service, far.port)
        return far

    def rules(self, may_read):
        # By prefix: an instance is listed to who may read its sidecar's own name as well.
        read = "".join(f'service_prefix "{service}" {{ policy = "read" }}\n' for service in may_read)
        return read + 'service "web" { policy = "write" }\nnode_prefix "" { policy = "read" }'

    def grant(self, *services):
        consul.put(f"/v1/acl/policy/{self.policy}", {"ID": self.policy, "Name": self.name, "Rules": self.rules(services)})

    def start(self):
        self.mooring = Mooring.connect_proxy(self.case, "-http-addr", consul.address, "-token", self.token, "-service", "web",
                                             "-upstream", f"{self.name}:127.0.0.1:0", "-connect-timeout", "300ms")
        self.address = self.mooring.upstream(self.name)
        return self.mooring

    def goes_to(self, far):
        before = far.app.count()
        return apps.ping(self.address) and far.app.count() != before

    def said(self, pattern):
        return [line for line in self.mooring.process.whole_lines() if re.search(pattern, line)]

    def says(self, text):
        """says waits until /ready names that, behind its verdict."""
        check.within(lambda: text in self.mooring.admin("/ready")[1], f"/ready says: {text}", 10 * slowness())

    def dials_nobody(self):
        check.true(not apps.ping(self.address), "a call gets through")
        check.equal((self.own.app.count(), self.far.app.count()), (0, 0), "calls that came out somewhere")


def test_service_read_on_the_upstream_and_its_target_is_all_it_needs(case):
    chain = Chain(case, "enough", may_read=("enough", "to-enough"), Redirect=True)
    mooring = chain.start()
    check.true(chain.goes_to(chain.far), "the redirect is followed")
    check.equal(mooring.admin("/ready"), (200, "ready\n"), "/ready")
    check.equal(chain.said("agent refuses"), [], "refusals in the log")


def test_without_it_on_the_upstream_nobody_is_dialled_and_it_is_said_once_with_the_cure(case):
    chain = Chain(case, "secret", may_read=("to-secret",), Redirect=True)
    mooring = chain.start()
    mooring.wait_log(r'agent refuses.*watch=chain:secret.*service:read on \\?"secret\\?"')
    chain.says('service:read on "secret"')
    chain.dials_nobody()
    chain.grant("secret", "to-secret")
    check.within(lambda: chain.goes_to(chain.far), "with the permission the redirect is followed, without a restart", 30 * slowness())
    check.equal(chain.own.app.count(), 0, "calls that came out at the upstream's own instance, past the redirect")
    check.equal(len(chain.said("agent refuses.*watch=chain:secret")), 1, "how often it was said")


def test_without_it_on_a_redirects_target_nobody_is_dialled_and_the_target_is_named(case):
    chain = Chain(case, "moved", may_read=("moved",), Redirect=True)
    chain.start()
    chain.says('service:read on "to-moved"')
    chain.dials_nobody()


def test_without_it_on_a_failover_target_the_service_itself_serves_and_the_target_is_named(case):
    chain = Chain(case, "kept", may_read=("kept",), Failover=True)
    chain.start()
    check.true(chain.goes_to(chain.own), "calls go to the service itself")
    chain.says('service:read on "to-kept"')
    check.true(chain.goes_to(chain.own), "and go on to")
