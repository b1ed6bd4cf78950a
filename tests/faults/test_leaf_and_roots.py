"""Certificates go wrong or change: leaves that expire, come too early or do not fit, roots that come and go
(rows 12 to 16). Row 17, no roots at all, is in test_garbled_answers.py."""

import datetime
import ssl
import time

from faults.subject import CALLER, SERVICE, UPSTREAM, Subject, only_mooring
from lib import agent as scripted
from lib import certs, check, clock, tlspeer
from lib.case import now, sanitized, slowness
from lib.certs import HOUR
from lib.consul import Consul

EXPECTED_SECONDS = 60
MIB = 1 << 20
NO_SHIFT = "it asks the kernel for the time, not the C library: its clock cannot be shifted"


def lasting(case, days=30):
    """lasting is a scripted agent with a CA and peers' certificates that outlast every shift of a clock."""
    authority = certs.Authority(lifetime=days * 24 * HOUR)
    api = scripted.Agent(case, authority=authority)
    plain = authority.leaf
    authority.leaf = lambda service, **options: plain(service, **{"lifetime": (days - 1) * 24 * HOUR, **options})
    return api


# Row 12.


def test_row_12_leaf_expires_during_an_outage(case):
    only_mooring(NO_SHIFT)
    api = lasting(case)
    api.set_leaf(SERVICE, api.authority.leaf(SERVICE, lifetime=4 * HOUR))  # three of them are left
    wall = clock.Clock(case)
    subject = Subject.scripted(case, api, env=wall.env)
    held = subject.hold()
    check.equal(subject.status()["leaf"]["expiring"], False, "expiring, with three quarters of its life left")
    api.stop()
    wall.shift(2 * 3600)
    subject.wait_log(r"\[WARN\].*leaf certificate is near its end.*seconds_left=3[56]\d\d")
    check.equal(subject.status()["leaf"]["expiring"], True, "expiring, with a quarter of its life left")
    check.below(subject.status()["leaf"]["seconds_left"], 3601, "seconds left")
    subject.works()
    wall.shift(3 * 3600 + 60)
    subject.refused_inbound()
    subject.refused_outbound()
    for direction in ("inbound", "outbound"):
        subject.program.wait_closed(direction, "leaf_expired")
    held.works()
    subject.wait_log(r"\[ERROR\].*leaf certificate has expired")
    check.equal(subject.program.active("inbound"), 1, "inbound connections left: the one from before")
    api.rotate_leaf(SERVICE)
    api.start()
    check.within(subject.works, "it recovers by itself with a new leaf", 10 * slowness(), step=0.05)


def short_lived(authority, seconds):
    """short_lived is a leaf that ends so many seconds from now, to the second."""
    return authority.leaf(SERVICE, lifetime=HOUR + datetime.timedelta(seconds=seconds + 1))


def test_row_12_leaf_expires_while_everybody_looks_on(case):
    """The same without a shifted clock: the leaf lasts a few seconds."""
    api = scripted.Agent(case)
    life = int(4 * slowness())
    ends = now() + life
    api.set_leaf(SERVICE, short_lived(api.authority, life))
    subject = Subject.scripted(case, api)
    held = subject.hold()
    api.fault("*", status=500, body=b"no cluster leader")
    time.sleep(max(0, ends + 1.1 - now()))
    subject.refused_inbound()
    subject.refused_outbound()
    held.works()
    api.lift()
    api.rotate_leaf(SERVICE)
    check.within(subject.works, "it recovers by itself with a new leaf", 10 * slowness(), step=0.05)


# Row 13.


def test_row_13_leaf_not_yet_valid_by_our_clock(case):
    only_mooring(NO_SHIFT)
    api = lasting(case)
    wall = clock.Clock(case, shift=-40 * 60)
    subject = Subject.scripted(case, api, env=wall.env)
    held, traffic, before = subject.hold(), subject.traffic(), subject.serial()
    api.rotate_leaf(SERVICE, start=datetime.timedelta(minutes=-20))
    subject.wait_log(r"\[WARN\].*leaf certificate not taken up yet.*not_yet_valid")
    check.equal(subject.serial(), before, "the leaf in use")
    traffic.more(6)
    wall.shift(0)
    check.within(lambda: subject.serial() != before, "the new leaf is taken up once it is valid", 5 * slowness(),
                 step=0.05)
    traffic.stop()
    held.works()


def test_row_13_leaf_that_is_valid_in_a_moment(case):
    """By everybody's clock: no caller may meet it before."""
    api = scripted.Agent(case)
    subject = Subject.scripted(case, api)
    before = subject.serial()
    traffic = subject.traffic()
    api.rotate_leaf(SERVICE, start=datetime.timedelta(seconds=3))
    traffic.more(6)
    check.within(lambda: subject.serial() != before, "the new leaf is taken up once it is valid", 8 * slowness(),
                 step=0.05)
    traffic.more(6)
    traffic.stop()


# Row 14.


def test_row_14_leaf_and_key_do_not_fit(case):
    api = scripted.Agent(case)
    subject = Subject.scripted(case, api)
    held, before, first = subject.hold(), subject.serial(), api.leaves[SERVICE]
    good, other = api.authority.leaf(SERVICE), api.authority.leaf(SERVICE)
    stranger = certs.Authority("Stranger")
    middle = len(good.chain_pem) // 2
    for title, wrong in (
            ("another leaf's key", certs.Identity(good.chain_pem, other.key_pem, good.uri)),
            ("no key", certs.Identity(good.chain_pem, "", good.uri)),
            ("half a certificate", certs.Identity(good.chain_pem[:middle], good.key_pem, good.uri)),
            ("another service's leaf", api.authority.leaf("other")),
            ("a leaf of nobody's CA", stranger.leaf(SERVICE)),
            ("a CA's certificate", api.authority.leaf(SERVICE, ca=True))):
        seen = len(api.requests)
        api.set_leaf(SERVICE, wrong)
        check.within(lambda: any("/leaf/" in r.path for r in api.requests[seen:]), f"{title}: taken from the agent",
                     20 * slowness())
        try:
            check.equal(subject.serial(), before, "the leaf in use")
            subject.works()
        except AssertionError as error:
            check.fail(f"{title}: {error}")
        api.set_leaf(SERVICE, first)  # so that the pause before the next try is a short one
        if subject.is_mooring:
            check.within(lambda: subject.watch("leaf")["state"] == "ok", f"{title}: recovery", 10 * slowness())
    api.set_leaf(SERVICE, good)
    check.within(lambda: subject.serial() != before, "a leaf that fits is taken up", 10 * slowness(), step=0.05)
    subject.works()
    held.works()


# Row 15.


def test_row_15_root_rotation_with_a_cross_signed_intermediate(case):
    consul = Consul(case)
    subject = Subject.real(case, consul)
    held, traffic, before = subject.hold(), subject.traffic(), subject.serial()
    old = subject.web
    traffic.more(6)
    consul.rotate_root()
    subject.roots = subject.far.roots = consul.roots_pem()
    # A name that has no leaf yet gets one of the new root at once; the others follow within half a minute.
    check.within(lambda: subject.inbound_works(identity=certs.from_agent(consul.leaf("young"))),
                 "a caller whose chain leads through the new root", 5 * slowness(), step=0.05)
    traffic.more(6)
    check.within(lambda: subject.serial() != before, "the subject's leaf is renewed", 40 * slowness(), step=0.2)
    subject.inbound_works(identity=old)  # the old root is listed, too
    subject.refresh_peers()
    traffic.more(6)
    traffic.stop()
    held.works()


test_row_15_root_rotation_with_a_cross_signed_intermediate.limit = 70


def settled(subject):
    """settled is the process's memory and open files once nothing is under way."""
    def quiet():
        files = len(subject.process.descriptors())
        time.sleep(0.1)
        return files if len(subject.process.descriptors()) == files else None

    files = check.within(quiet, "the number of open files stands still", 10)
    return subject.process.resident(), files


def storm(case, count, rate):
    api = scripted.Agent(case)
    subject = Subject.scripted(case, api, level="INFO")
    held = subject.hold()
    traffic = subject.traffic(0.02)
    for _ in range(10):  # whatever is loaded once
        subject.renews()
    traffic.more(40)
    traffic.stop()
    leaves = [api.authority.leaf(SERVICE) for _ in range(count)]
    memory, files = settled(subject)
    traffic, started = subject.traffic(), now()
    for number, leaf in enumerate(leaves):
        api.set_leaf(SERVICE, leaf)
        if number % 500 == 0:
            held.works()  # its application gives up on a silent peer after a minute
        time.sleep(max(0, started + (number + 1) / rate - now()))
    asked = len([r for r in api.asked("*/leaf/*") if r.at > started])
    took = now() - started
    check.true(not subject.is_mooring or asked < 12 * took + 10, f"{asked} requests for the leaf in {took:.1f} s")
    subject.renews()
    traffic.more(4)
    traffic.stop()
    held.works()
    after, files_after = settled(subject)
    check.true(files_after <= files + 1, f"open files: {files} before, {files_after} after the storm")
    if not sanitized():
        growth = after - memory
        check.below(growth, (6 if subject.is_mooring else 24) * MIB, "bytes by which the process grew")


def test_row_15_storm_of_25_leaves_a_second(case):
    storm(case, case.scale(100, 3000), 25)


test_row_15_storm_of_25_leaves_a_second.limit = 200


def test_row_15_intermediate_that_comes_twice(case):
    """A secondary datacenter's leaves: the leaf, its intermediate, and the intermediate again."""
    api = scripted.Agent(case)
    between = api.authority.intermediate()

    def twice(service):
        leaf = between.leaf(service)
        return certs.Identity(leaf.chain_pem + between.pem, leaf.key_pem, leaf.uri)

    check.equal(twice(SERVICE).chain_pem.count("BEGIN"), 3, "certificates in the chain")
    api.set_leaf(SERVICE, twice(SERVICE))
    subject = Subject.scripted(case, api)
    held = subject.hold()
    subject.web, subject.far.identity = twice(CALLER), twice(UPSTREAM)
    subject.works()
    before = subject.serial()
    api.set_leaf(SERVICE, twice(SERVICE))
    check.within(lambda: subject.serial() != before, "the next of its kind is taken up", 10 * slowness(), step=0.05)
    subject.works()
    held.works()


# Row 16.


class TwoRoots:
    """A subject under two roots, `new` and `old`, with connections both ways under each of them."""

    def __init__(self, case):
        self.old, self.new = certs.Authority("Old Root"), certs.Authority("New Root")
        self.api = scripted.Agent(case, authority=self.old)
        self.api.authority = self.new
        self.api.set_roots(self.new, self.old)
        self.subject = Subject.scripted(case, self.api)
        self.under_old = self.hold(self.old)
        self.under_new = self.hold(self.new)
        self.subject.held.clear()

    def hold(self, authority):
        self.subject.far.identity = authority.leaf(UPSTREAM)
        return self.subject.hold(authority.leaf(CALLER))


def test_row_16_root_removed(case):
    both = TwoRoots(case)
    subject = both.subject
    both.api.set_roots(both.new)
    both.under_old.cut_within(1)
    subject.refused_inbound(both.old.leaf(CALLER))
    subject.far.identity = both.old.leaf(UPSTREAM)
    subject.refused_outbound()
    both.under_new.works()
    subject.far.identity = both.new.leaf(UPSTREAM)
    subject.works()
    if subject.is_mooring:
        for direction in ("inbound", "outbound"):
            subject.program.wait_closed(direction, "root_removed")
            check.equal(subject.closed(direction, "root_removed"), 1, f"{direction} connections cut")


def starts_again(both, leader):
    """The agent is killed and starts again; of its log it has read the beginning, when there was but the old root."""
    for _ in range(30):
        both.api.touch("roots")
    check.within(lambda: both.subject.watch("roots")["index"] >= 40, "the index is high", 5 * slowness())
    both.api.stop()
    both.api.rewind()
    both.api.set_roots(both.old)
    both.api.leader = leader
    before = both.subject.watch("roots")["errors"]
    both.api.start()
    check.within(lambda: both.subject.watch("roots")["errors"] >= before + 3, "its old roots are met", 10 * slowness(),
                 step=0.02)


def test_row_16_old_roots_of_a_server_that_has_just_started_cut_nobody(case):
    """A real one shows them for some hundredths of a second, now and then: it depends on what its log holds."""
    only_mooring("it believes them")
    both = TwoRoots(case)
    starts_again(both, leader="")
    both.subject.inbound_works(identity=both.new.leaf(CALLER))
    both.under_new.works()
    both.api.index = 50
    both.api.set_roots(both.new, both.old)
    both.api.leader = scripted.LEADER
    check.within(lambda: both.subject.watch("roots")["state"] == "ok", "the roots are confirmed", 10 * slowness())
    both.subject.inbound_works(identity=both.new.leaf(CALLER))
    both.under_new.works()
    both.under_old.works()
    check.equal(both.subject.closed("inbound", "root_removed"), 0, "connections cut")


def test_row_16_a_root_that_a_cluster_lost_with_its_state_goes_within_10_s(case):
    only_mooring("it believes them at once")
    both = TwoRoots(case)
    starts_again(both, leader=scripted.LEADER)
    both.under_new.cut_within(10)
    both.under_old.works()


def test_row_16_new_connections_under_a_removed_root_are_refused_within_1_s(case):
    both = TwoRoots(case)
    subject, caller = both.subject, both.old.leaf(CALLER)
    subject.inbound_works(identity=caller)
    both.api.set_roots(both.new)
    check.within(lambda: subject.refused_inbound(caller, seconds=0.5), "callers under it are refused",
                 1.0 * slowness(), step=0.02)
    subject.inbound_works(identity=both.new.leaf(CALLER))


def test_row_16_root_removed_while_a_handshake_is_under_way(case):
    """The caller has shown nothing yet when its root goes."""
    both = TwoRoots(case)
    subject = both.subject
    peer = tlspeer.connect(case, subject.public, both.old.leaf(CALLER), subject.roots)
    try:
        peer.tls.do_handshake()
    except ssl.SSLWantReadError:
        peer.flush()
    check.true(peer.pull(5), "the server's half of the handshake arrives")
    both.api.set_roots(both.new)
    check.within(lambda: subject.refused_inbound(both.old.leaf(CALLER), seconds=0.5), "the removal has arrived",
                 5 * slowness(), step=0.02)
    count = subject.app.count()
    try:
        peer.handshake()
        check.equal(peer.send(b"ping").receive(4), b"", "bytes for a caller whose root has gone")
    except tlspeer.Refused:
        pass
    check.equal(subject.app.count(), count, "connections at the application")


def test_row_16_root_removed_and_listed_again(case):
    both = TwoRoots(case)
    subject, caller = both.subject, both.old.leaf(CALLER)
    for _ in range(3):
        both.api.set_roots(both.new)
        check.within(lambda: subject.refused_inbound(caller, seconds=0.5), "refused", 5 * slowness(), step=0.02)
        both.api.set_roots(both.new, both.old)
        check.within(lambda: subject.inbound_works(identity=caller), "let in again", 5 * slowness(), step=0.02)
    both.under_new.works()
