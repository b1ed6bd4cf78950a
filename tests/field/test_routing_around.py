"""Upstreams that route around failure: of four instances one is bad, in each of the ways in which instances are, and every client
gets through to a good one without waiting for it."""

from lib import apps, certs, check
from lib.instances import CLOSING, Instance
from lib.mooring import Mooring
from lib.static import identity_files

EXPECTED_SECONDS = 3
CONNECT_TIMEOUT = 30.0


class Around:
    """Three good instances of db, one that the test makes bad, and web's sidecar, which calls them."""

    def __init__(self, case, greeting=b"", **upstream):
        self.case = case
        self.authority = certs.Authority()
        self.good = [self.instance(greeting=greeting) for _ in range(3)]
        self.upstream = upstream
        self.mooring = self.bad = None

    def instance(self, service="db", **options):
        return Instance(self.case, self.authority.leaf(service), self.authority.pem, **options)

    def calls_with(self, bad):
        """calls_with starts web's sidecar, for which `bad` is the address of the fourth instance."""
        self.bad = bad
        self.mooring = Mooring.from_yaml(self.case, {
            "service": "web", "identity": identity_files(self.case, self.authority, "web"),
            "upstreams": [{"service": "db", "listen": "127.0.0.1:0", "endpoints": [*(g.address for g in self.good), bad],
                           "connect_timeout": f"{CONNECT_TIMEOUT:.0f}s", **self.upstream}]}, name="web")
        self.address = self.mooring.upstream("db")
        return self


def test_row_64_a_client_that_waits_for_the_server_is_taken_to_another(case):
    around = Around(case, greeting=b"hello", early_close="2s")
    bad = around.instance(mode=CLOSING)
    around.calls_with(bad.address)
    for _ in range(case.scale(20, 200)):
        client = apps.Client(None, around.address)
        check.equal(client.receive(5), b"hello", "greeting of a good instance")
        client.close()
    check.true(bad.came > 0, "the bad one was met")
    check.equal(set(around.mooring.attempts_failed()), {"closed_early"}, "why attempts failed")
