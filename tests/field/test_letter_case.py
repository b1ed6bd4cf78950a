"""An upstream whose name the catalog spells with other letter case: said, and accepted only on order."""

from faults.peers import FarService
from lib import agent as scripted
from lib import apps, check
from lib.mooring import Mooring, yaml_text

EXPECTED_SECONDS = 4


class Spelt:
    """A sidecar of web that calls PAYMENT, which is Payment in the catalog, and so is its identity. A catalog does not look at case."""

    def __init__(self, case, **fields):
        self.case, self.api = case, scripted.Agent(case)
        self.far = FarService(case, self.api.authority.leaf("Payment"), self.api.authority.pem)
        self.api.set_instances("Payment", self.far.address)
        self.api.instances["PAYMENT"] = self.api.instances["Payment"]
        self.mooring = Mooring.from_yaml(case, {
            "service": "web", "agent": {"address": self.api.address},
            "upstreams": [{"service": "PAYMENT", "listen": "127.0.0.1:0", **fields}]})
        self.address = self.mooring.upstream("PAYMENT")


def test_a_name_that_the_catalog_spells_otherwise_is_said_with_the_cure(case):
    spelt = Spelt(case)
    spelt.mooring.wait_log(r"\[WARN\].*the catalog spells an upstream otherwise; write it so: upstream=PAYMENT catalog=Payment")
    check.true("the catalog spells it Payment; write it so" in spelt.mooring.admin("/ready")[1], "/ready says so")
    check.equal(apps.Client(case, spelt.address).drain()[0], b"", "bytes of an identity that is not the name's")
    check.within(lambda: spelt.mooring.attempts_failed().get("san_mismatch"), "the attempt's reason", 5)


def test_any_case_accepts_what_the_catalog_spells_and_warns(case):
    spelt = Spelt(case, any_case=True)
    spelt.mooring.wait_log(r"\[WARN\].*any_case accepts that identity: upstream=PAYMENT catalog=Payment")
    check.equal(spelt.mooring.admin("/ready")[1], "ready\n", "/ready")
    apps.echo_works(case, spelt.address)
    # An identity of yet another spelling is not what the catalog says.
    spelt.far.identity = spelt.api.authority.leaf("PayMent")
    check.equal(apps.Client(case, spelt.address).drain()[0], b"", "bytes of a third spelling")


def test_any_case_of_a_registration_counts_as_well(case):
    spelt = Spelt(case)
    spelt.api.set_proxy("web-proxy", "web", upstreams=[
        {"DestinationType": "service", "DestinationName": "PAYMENT", "LocalBindPort": 0, "LocalBindSocketPath":
         str(case.directory / "up.sock"), "Config": {"any_case": True}}])
    proxy = Mooring.connect_proxy(case, "-http-addr", spelt.api.address, "-proxy-id", "web-proxy", "-confine-folders", case.directory)
    proxy.wait_log("any_case accepts that identity")


def test_any_case_beside_what_names_the_identity_is_refused(case):
    for key, value in (("spiffe_id", "spiffe://t/ns/default/dc/dc1/svc/x"), ("endpoints", ["127.0.0.1:1"])):
        text = yaml_text({"service": "web", "upstreams": [{"service": "db", "listen": "127.0.0.1:1", "any_case": True, key: value}]})
        subject = Mooring.from_yaml(case, text + "\n", ready=False)
        subject.expect_exit = 78
        check.equal(subject.process.wait(10), 78, "exit code")
        check.true(f"upstreams[0].any_case: has no use beside {key}" in subject.process.log(), f"it says why: {subject.process.log()[-500:]}")
