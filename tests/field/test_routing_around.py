"""Upstreams that route around failure: of four instances one is bad, in each of the ways in which instances are, and every client
gets through to a good one without waiting for it."""

import os
import signal

from lib import apps, certs, check, namespaces
from lib.case import now, reduced, slowness
from lib.instances import CLOSING, GOOD, SILENT, SLOW, Hole, Instance
from lib.mooring import Mooring
from lib.ports import free_port
from lib.static import identity_files

EXPECTED_SECONDS = 60

ATTEMPT_DELAY = 0.25
# A search that waited for its share of this would take a third of it.
CONNECT_TIMEOUT = 30.0
AT_ONCE = 3.0    # seconds that are no wait for anybody, on a busy machine
# Probes go with the searches, one a second at most.
BACK_WITHIN = 1.0


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

    def sidecar(self, default="allow"):
        """sidecar is an instance that is a process of its own, whose intentions say `default` of everybody: (mooring, app)."""
        app = apps.App(self.case, apps.echo)
        mooring = Mooring.from_yaml(self.case, {
            "service": "db", "identity": identity_files(self.case, self.authority, "db"),
            "public_listener": {"address": "127.0.0.1:0", "local_app": f"127.0.0.1:{app.port}"},
            "intentions": {"default": default}}, name="db")
        return mooring, app

    def calls_with(self, bad, others=()):
        """calls_with starts web's sidecar, for which `bad` is the address of the fourth instance."""
        self.bad = bad
        self.mooring = Mooring.from_yaml(self.case, {
            "service": "web", "identity": identity_files(self.case, self.authority, "web"),
            "upstreams": [{"service": "db", "listen": "127.0.0.1:0", "endpoints": [*(g.address for g in self.good), *others, bad],
                           "connect_timeout": f"{CONNECT_TIMEOUT:.0f}s", **self.upstream}]}, name="web")
        self.address = self.mooring.upstream("db")
        return self

    def call(self):
        """call is a client that gets through: the seconds that it took."""
        started = now()
        client = apps.Client(None, self.address, seconds=CONNECT_TIMEOUT)
        try:
            check.equal(client.send(b"ping").receive(4), b"ping", "echo of a good instance")
        finally:
            client.close()
        return now() - started

    def endpoint(self):
        """endpoint is what /status says of the bad one."""
        return next(each for each in self.endpoints() if each["address"] == self.bad)

    def endpoints(self):
        return self.mooring.status()["upstreams"][0]["endpoint_details"]

    def routes_around(self, waits, reason):
        """routes_around asserts all that holds whatever is bad about the bad one. waits: seconds for which a client that meets
        it may be kept waiting; reason: what attempts at it fail for."""
        met = [self.call()]
        while self.endpoint()["state"] not in ("ejected", "probation"):
            met.append(self.call())
            check.below(len(met), 500, "clients until the bad one is ejected")
        check.below(max(met), waits + AT_ONCE * slowness(), "seconds of the client that waited longest")
        check.equal(self.mooring.attempts_failed(), {reason: 3}, "attempts that failed until then")
        before = self.endpoint()["attempts"]
        count = self.case.scale(200, 2000)
        later = [self.call() for _ in range(count)]
        check.below(self.endpoint()["attempts"] - before, count / 100, f"first attempts at it, of {count}, once it was ejected")
        check.below(max(later), AT_ONCE * slowness(), "seconds of the client that waited longest once it was ejected")
        dials = sum(each["attempts"] for each in self.endpoints())
        check.true(dials <= 1.2 * (len(met) + count), f"{dials} dials for {len(met) + count} connections")


def test_row_61_a_black_hole_is_not_waited_for(case):
    namespaces.own_network(case, "a black hole")
    around = Around(case)
    bad = around.instance()
    Hole(bad.port)
    around.calls_with(bad.address).routes_around(ATTEMPT_DELAY, "connect_timeout")
    check.equal(bad.came, 0, "connections at the black hole")


def test_row_62_one_that_refuses_costs_no_wait(case):
    Around(case).calls_with(f"127.0.0.1:{free_port()}").routes_around(0, "connect_refused")


def test_row_63_one_with_another_identity_gets_no_byte(case):
    around = Around(case)
    bad = around.instance("other")
    around.calls_with(bad.address).routes_around(0, "san_mismatch")
    check.true(bad.came > 0, "the wrong one was met")
    check.equal(bad.received, 0, "bytes at the wrong one")


def test_row_61_one_that_takes_connections_and_says_nothing_is_not_waited_for(case):
    around = Around(case)
    bad = around.instance(mode=SILENT)
    around.calls_with(bad.address).routes_around(ATTEMPT_DELAY, "handshake_timeout")


def test_row_61_a_slow_one_is_not_waited_for(case):
    around = Around(case)
    bad = around.instance(mode=SLOW, delay=10.0)
    around.calls_with(bad.address).routes_around(ATTEMPT_DELAY, "handshake_timeout")
    check.equal(bad.received, 0, "bytes at the slow one, which was overtaken")


def test_row_61_one_that_is_stopped_is_not_waited_for(case):
    around = Around(case)
    stopped, app = around.sidecar()
    around.calls_with("{}:{}".format(*stopped.public))
    os.kill(stopped.pid, signal.SIGSTOP)
    case.undo(lambda: os.kill(stopped.pid, signal.SIGCONT))
    around.routes_around(ATTEMPT_DELAY, "handshake_timeout")
    check.equal(app.count(), 0, "connections at its app")


def test_row_64_one_that_closes_after_its_handshake_is_ejected_where_that_is_asked_for(case):
    # Clients that speak first have sent their bytes to it, unless its end came sooner: those are lost, until it is ejected.
    around = Around(case, early_close="500ms")
    bad = around.instance(mode=CLOSING)
    around.calls_with(bad.address)
    lost = 0
    while around.endpoint()["ejections"] < 2:
        lost += not apps.ping(around.address)
    check.below(lost, 4, "clients whose bytes went to it")
    check.equal(around.mooring.attempts_failed(), {"closed_early": 3}, "attempts that failed")
    check.true(around.endpoint()["probes_failed"] > 0, "a probe has seen it close, too")


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


def test_row_59_with_one_good_instance_left_every_client_gets_through(case):
    namespaces.own_network(case, "a black hole")
    around = Around(case)
    hole, other = around.instance(), around.instance("other")
    Hole(hole.port)
    around.good[1:] = [other, hole]
    around.calls_with(f"127.0.0.1:{free_port()}")
    took = [around.call() for _ in range(case.scale(100, 1000))]
    # On the way to the good one all three may be met.
    check.below(max(took), ATTEMPT_DELAY + AT_ONCE * slowness(), "seconds of the client that waited longest")
    check.equal(other.received, 0, "bytes at the wrong one")


def test_row_60_a_short_failure_is_over_a_second_after_the_ejection(case):
    around = Around(case)
    bad = around.instance(mode=SILENT)
    around.calls_with(bad.address)
    back_after_ejection(around, bad)


def test_row_60_a_long_failure_is_over_a_second_after_the_ejection(case):
    # Here it comes to its third length; a full run has the longest.
    around = Around(case)
    bad = around.instance(mode=SILENT)
    around.calls_with(bad.address)
    while around.endpoint()["ejections"] < 3:
        around.call()
    back_after_ejection(around, bad)


test_row_60_a_long_failure_is_over_a_second_after_the_ejection.limit = 90


def test_row_60_the_longest_ejection_is_30_seconds_and_their_jitter_and_over_a_second_later(case):
    """In a full run: after a night of failures an ejection is as long as it gets, from the first one on where eject_time says so."""
    if reduced():
        raise check.Skip("a full run: it takes 30 to 38 s")
    around = Around(case, eject_time="30s")
    bad = around.instance(mode=SILENT)
    around.calls_with(bad.address)
    back_after_ejection(around, bad, lasts=(29.0, 37.6))


test_row_60_the_longest_ejection_is_30_seconds_and_their_jitter_and_over_a_second_later.limit = 90


def back_after_ejection(around, bad, lasts=None):
    """back_after_ejection makes the bad one good in the middle of an ejection, and asserts when it is back. lasts: the seconds
    that are left of it then, at least and at most."""
    while around.endpoint()["state"] != "ejected":
        around.call()
    bad.mode = GOOD
    left = around.endpoint()["ejected_seconds_left"]
    ends = now() + left
    least, most = lasts or (0, around.endpoint()["ejections"] * 1.25 + 0.1)
    check.true(least <= left <= most, f"{left} s are left of its ejection, at least {least} and at most {most}")
    while around.endpoint()["state"] in ("ejected", "probation"):
        around.call()
    late = now() - ends
    check.true(-0.1 < late < BACK_WITHIN + slowness(), f"it was back {late:.2f} s after the end of its ejection")
    check.within(lambda: around.call() and bad.received, "clients are with it again", 10 * slowness())


def test_row_60_without_traffic_the_first_connection_after_an_ejection_has_it_tried(case):
    around = Around(case)
    bad = around.instance(mode=SILENT)
    around.calls_with(bad.address)
    while around.endpoint()["state"] != "ejected":
        around.call()
    bad.mode = GOOD
    check.within(lambda: around.endpoint()["state"] == "probation", "its ejection is over", 5 * slowness())
    came = bad.came
    check.stays(lambda: bad.came == came, "nobody tries it unasked", 0.3)
    around.call()
    check.within(lambda: around.endpoint()["state"] == "ok", "it is back", BACK_WITHIN * slowness())
    check.equal((bad.came - came, bad.received), (1, 0), "connections and bytes of clients at it meanwhile")
    check.equal(around.endpoint()["probes"] - around.endpoint()["probes_failed"], 1, "probes that were good")


def test_probe_interval_finds_a_bad_one_before_a_client_does(case):
    around = Around(case, probe_interval="1s")
    bad = around.instance(mode=SILENT)
    around.calls_with(bad.address)
    check.within(lambda: around.good[0].came >= 2, "a good one is tried again and again", 10 * slowness())
    check.equal(sum(each.received for each in around.good), 0, "bytes at those that were tried")
    check.equal(around.endpoint()["attempts"], 0, "attempts of clients")


def test_where_one_denies_us_one_other_is_asked_and_nobody_is_to_blame(case):
    around = Around(case)
    denying = [around.sidecar("deny") for _ in range(3)]
    addresses = ["{}:{}".format(*mooring.public) for mooring, _ in denying]
    around.good.clear()
    around.calls_with(addresses[0], addresses[1:])
    count = 5
    for _ in range(count):
        # It waits for the server: what it sent could not be taken back.
        check.equal(apps.Client(None, around.address).drain(), (b"", "reset"), "end of a client that is denied")
    check.equal(around.mooring.closed("outbound"), {"denied": count}, "why connections ended")
    check.equal(around.mooring.attempts_failed(), {"denied": 2 * count}, "attempts")
    check.equal([each["state"] for each in around.endpoints() if each["failures"] or each["state"] == "ejected"], [], "endpoints to blame")
    check.equal(sum(app.count() for _, app in denying), 0, "connections at the apps")
