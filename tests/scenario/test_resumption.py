"""TLS sessions that resume by tickets: what they save, and that they let in nobody whom a full handshake would not.

Callers and endpoints are played by Python's ssl, each in TLS 1.2 and 1.3. A ticket is only good in the SSLContext that
it came to or from, so each peer keeps one.
"""

import socket
import ssl
import struct

from lib import agent as scripted
from lib import apps, certs, check, clock, tlspeer
from lib.case import slowness
from lib.mesh import PAIR_WITH_ITSELF, PAIRS_WITH_ENVOY, PAIRS_WITH_GO, Mesh, for_pairs
from lib.mooring import Mooring
from lib.static import Static, identity_files

EXPECTED_SECONDS = 20
VERSIONS = ("1.2", "1.3")
HALF_AN_HOUR = certs.HOUR / 2
SHIFT = 2100  # seconds: beyond the life of a leaf with half an hour left, within that of a ticket


def setup_module(case):
    global shared, static
    shared, static = case, Static(case)


def in_both_versions(function):
    """in_both_versions makes two tests of test(case, tls)."""
    for tls in VERSIONS:
        def test(case, tls=tls):
            function(case, tls)

        test.__name__ = f"{function.__name__}__tls{tls.replace('.', '')}"
        globals()[test.__name__] = test


def ending_soon(authority, service):
    return authority.leaf(service, lifetime=certs.HOUR + HALF_AN_HOUR)


class Caller:
    """A TLS client at a public listener."""

    def __init__(self, case, address, identity, roots, tls):
        self.case, self.address = case, address
        self.made = tlspeer.context(False, identity, roots, tls)

    def dial(self, ticket=None):
        """dial returns a Peer whose handshake is the next step."""
        peer = tlspeer.Peer(socket.create_connection(self.address, timeout=10 * slowness()), self.made, False,
                            session=ticket)
        self.case.undo(peer.close)
        return peer

    def call(self, ticket=None):
        """call gets an echo and ends clean, or OpenSSL would not resume: (the ticket it was given, was it resumed)."""
        peer = self.dial(ticket)
        peer.handshake()
        check.equal(peer.send(b"ping").receive(4), b"ping", "echo")
        resumed, given = peer.tls.session_reused, peer.tls.session
        peer.notify().finish()
        check.equal(peer.drain(), (b"", "notify"), "the end after ours")
        peer.close()
        return given, resumed

    def ticket(self):
        given, resumed = self.call()
        check.true(given.has_ticket and not resumed, "a full handshake that gives a ticket")
        return given


def begin(peer):
    """begin sends the ClientHello and waits for the answer, which it leaves unread."""
    try:
        peer.tls.do_handshake()
    except ssl.SSLWantReadError:
        peer.flush()
    check.true(peer.pull(10 * slowness()), "the server's half of the handshake arrives")


def reached(app):
    """reached counts the application's connections, by one of our own that queues up behind all that were made."""
    known = app.count()
    with socket.create_connection(app.address, timeout=10 * slowness()) as marker:
        name = marker.getsockname()
        app.wait(lambda: name in [seen.peer for seen in app.seen[known:]], "our own connection at the application")
    return known + [seen.peer for seen in app.seen[known:]].index(name) + 1


def refused(peer, alert, app):
    """refused asserts that this caller gets that alert and no byte, and the application not even a connection."""
    count = reached(app)
    try:
        peer.handshake()
        check.equal(peer.send(b"ping").drain(), (b"", "alert"), "what a refused caller gets")
    except tlspeer.Refused:
        pass
    check.equal(peer.alert(), alert, "alert")
    check.equal(reached(app), count + 1, "connections at the application, with our own")
    peer.close()


class Endpoint:
    """A TLS server that gives tickets, in the place of an upstream's instance."""

    def __init__(self, case, identity, roots, tls):
        self.listener = tlspeer.Endpoint(case)
        self.address = ("127.0.0.1", self.listener.port)
        self.made = tlspeer.context(True, identity, roots, tls, tickets=True)

    def accept(self):
        return tlspeer.Peer(self.listener.accept_socket(), self.made, True)

    def serve(self, client):
        """serve is one request and its answer, to the end: (the ticket that was offered, was it resumed)."""
        peer = self.accept()
        peer.handshake()
        exchange(client, peer)
        offered, resumed = peer.hello.ticket, peer.tls.session_reused
        client.finish()
        check.equal(peer.drain(), (b"", "notify"), "the end of the request")
        peer.notify().close()
        check.equal(client.drain(), (b"", "eof"), "the end of the answer")
        return offered, resumed

    def give(self, client):
        check.equal(self.serve(client), (b"", False), "ticket and resumption of the first connection")

    def refused(self, client, alert):
        """refused asserts that Mooring comes with a ticket, refuses us with that alert, and does not come again."""
        peer = self.accept()
        try:
            peer.handshake()
            check.equal(peer.drain()[0], b"", "the application's bytes at a server that must be refused")
        except tlspeer.Refused:
            pass
        check.true(peer.hello.ticket, "a ticket was offered")
        check.equal(peer.alert(), alert, "alert")
        check.equal(client.drain(), (b"", "reset"), "end at the application")
        check.true(not self.listener.pending(0.2), "no second attempt")


def exchange(client, peer):
    client.send(b"question")
    check.equal(peer.receive(8), b"question", "request")
    peer.send(b"answer")
    check.equal(client.receive(6), b"answer", "answer")


class Sidecar:
    """A mooring for service `payment` beside a scripted agent: an application that echoes behind its public listener,
    and instances of `db` as given. Trusts `old` and `new`, until drop_old_root(), and is itself of `new`."""

    def __init__(self, case, tls, env=None):
        self.case, self.tls = case, tls
        self.old, self.new = certs.Authority("Old Root"), certs.Authority("New Root")
        self.roots = self.old.pem + self.new.pem
        self.api = scripted.Agent(case, authority=self.new)
        self.api.set_roots(self.new, self.old)
        self.app = apps.App(case, apps.echo)
        self.env = env
        self.mooring = None

    def start(self, *endpoints):
        self.api.set_instances("db", *[endpoint.address for endpoint in endpoints])
        self.mooring = Mooring.connect_proxy(
            self.case, "-http-addr", self.api.address, "-service", "payment", "-service-addr",
            f"127.0.0.1:{self.app.port}", "-listen", "127.0.0.1:0", "-upstream", "db:127.0.0.1:0", env=self.env)
        return self

    def caller(self, identity):
        return Caller(self.case, self.mooring.public, identity, self.roots, self.tls)

    def client(self):
        return apps.Client(self.case, self.mooring.upstream("db"))

    def resumed(self, direction):
        return resumed(self.mooring, direction)

    def until_refused(self, identity, reason):
        """until_refused waits until a change has reached the one worker: a full handshake is refused for it. (One that
        was let in just before is cut, for another reason.)"""
        def look():
            peer = self.caller(identity).dial()
            try:
                peer.handshake()
                peer.send(b"ping").receive(4)
            except tlspeer.Refused:
                pass
            finally:
                peer.close()
            return self.mooring.closed("inbound", reason)

        check.within(look, "the change has arrived", 5 * slowness())

    def drop_old_root(self):
        self.api.set_roots(self.new)
        self.until_refused(self.old.leaf("web"), "unknown_ca")

    def deny_web(self):
        self.api.set_intentions(scripted.intention("web", "payment", "deny"))
        self.until_refused(self.new.leaf("web"), "denied")


def resumed(mooring, direction):
    """resumed is what /status counts."""
    return mooring.status()["connections"][direction]["resumed"]


# As the accepting side.


@in_both_versions
def test_a_caller_resumes_by_the_ticket_of_its_last_call(case, tls):
    caller = Caller(case, static.public, static.web, static.roots, tls)
    before = resumed(static.mooring, "inbound")
    ticket = caller.ticket()
    check.equal(resumed(static.mooring, "inbound"), before, "resumed by /status, after a full handshake")
    for number in range(1, 4):
        given, reused = caller.call(ticket)
        check.true(reused, f"call {number} by ticket is resumed")
        check.equal(resumed(static.mooring, "inbound"), before + number, "resumed by /status")
        ticket = given if tls == "1.3" else ticket  # in TLS 1.2 the one ticket serves again
        check.true(ticket.has_ticket, "a resumed call gives the next ticket")


@in_both_versions
def test_a_resumed_call_carries_much_and_half_closes(case, tls):
    caller = Caller(case, static.public, static.web, static.roots, tls)
    peer = caller.dial(caller.ticket())
    peer.handshake()
    check.true(peer.tls.session_reused, "resumed")
    data = apps.pattern(1_000_000)
    for at in range(0, len(data), 50_000):
        check.equal(peer.send(data[at:at + 50_000]).receive(50_000), data[at:at + 50_000], "echo")
    peer.notify().finish()
    check.equal(peer.drain(), (b"", "notify"), "the end after ours")


@in_both_versions
def test_a_ticket_is_good_at_every_worker(case, tls):
    many = Static(case, workers=2)
    caller = Caller(case, many.public, many.web, many.roots, tls)
    ticket = caller.ticket()
    for _ in range(8):
        given, reused = caller.call(ticket)
        check.true(reused, "resumed")
        ticket = given if tls == "1.3" else ticket
    check.equal(resumed(many.mooring, "inbound"), 8, "resumed by /status")


@in_both_versions
def test_a_changed_ticket_costs_a_full_handshake_and_nothing_else(case, tls):
    """Another mooring's ticket stands for every one that does not open: same name, same CA, another key."""
    twin = Static(case, authority=static.authority)
    caller = Caller(case, twin.public, static.web, static.roots, tls)
    ticket, before = caller.ticket(), resumed(static.mooring, "inbound")
    caller.address = static.public
    _, reused = caller.call(ticket)
    check.true(not reused, "a full handshake")
    check.equal(resumed(static.mooring, "inbound"), before, "resumed by /status")


@in_both_versions
def test_a_caller_denied_since_is_refused(case, tls):
    sidecar = Sidecar(case, tls).start()
    web, friend = sidecar.caller(sidecar.new.leaf("web")), sidecar.caller(sidecar.new.leaf("friend"))
    ticket, friends = web.ticket(), friend.ticket()
    sidecar.deny_web()
    peer = web.dial(ticket)
    refused(peer, "ACCESS_DENIED", sidecar.app)
    check.true(peer.tls.session_reused, "the handshake itself was resumed")
    check.equal(peer.tickets, [], "tickets of a denied caller")
    check.true(friend.call(friends)[1], "a neighbour resumes")


@in_both_versions
def test_a_denied_caller_gets_no_ticket(case, tls):
    denied = Caller(case, static.public, static.authority.leaf("stranger"), static.roots, tls).dial()
    refused(denied, "ACCESS_DENIED", static.app)
    check.equal(denied.tickets, [], "tickets of a denied caller")
    allowed = Caller(case, static.public, static.web, static.roots, tls).dial()
    allowed.handshake()
    check.equal(allowed.send(b"ping").receive(4), b"ping", "echo")
    check.equal(len(allowed.tickets), 1, "tickets of a caller who is let in")
    good_for(allowed.tickets, 2 * 3600)


@in_both_versions
def test_a_caller_denied_during_the_handshake_is_refused(case, tls):
    sidecar = Sidecar(case, tls).start()
    web = sidecar.caller(sidecar.new.leaf("web"))
    peer = web.dial(web.ticket())
    begin(peer)
    sidecar.deny_web()
    refused(peer, "ACCESS_DENIED", sidecar.app)
    check.true(peer.tls.session_reused, "the handshake itself was resumed")
    check.equal(peer.tickets, [], "tickets of a denied caller")


@in_both_versions
def test_a_caller_denied_during_a_full_handshake_gets_no_ticket(case, tls):
    sidecar = Sidecar(case, tls).start()
    peer = sidecar.caller(sidecar.new.leaf("web")).dial()
    begin(peer)
    sidecar.deny_web()
    refused(peer, "ACCESS_DENIED", sidecar.app)
    check.equal(peer.tickets, [], "tickets of a denied caller")


@in_both_versions
def test_a_caller_whose_root_was_removed_is_refused(case, tls):
    sidecar = Sidecar(case, tls).start()
    caller = sidecar.caller(sidecar.old.leaf("web"))
    ticket = caller.ticket()
    sidecar.drop_old_root()
    peer = caller.dial(ticket)
    refused(peer, "UNKNOWN_CA", sidecar.app)
    check.true(not peer.tls.session_reused, "the tickets of before have ended")
    check.equal(sidecar.resumed("inbound"), 0, "resumed by /status")


@in_both_versions
def test_a_caller_whose_root_is_removed_during_the_handshake_is_refused(case, tls):
    sidecar = Sidecar(case, tls).start()
    caller = sidecar.caller(sidecar.old.leaf("web"))
    peer = caller.dial(caller.ticket())
    begin(peer)
    sidecar.drop_old_root()
    refused(peer, "UNKNOWN_CA", sidecar.app)
    check.true(peer.tls.session_reused, "the handshake itself was resumed")


@in_both_versions
def test_a_caller_whose_leaf_has_expired_since_is_refused(case, tls):
    wall = clock.Clock(case)
    sidecar = Sidecar(case, tls, env=wall.env).start()
    short = sidecar.caller(ending_soon(sidecar.new, "web"))
    lasting = sidecar.caller(sidecar.new.leaf("web"))
    ticket, others = short.ticket(), lasting.ticket()
    wall.shift(SHIFT)
    peer = short.dial(ticket)
    refused(peer, "CERTIFICATE_EXPIRED", sidecar.app)
    check.true(peer.tls.session_reused, "the handshake itself was resumed")
    sidecar.mooring.wait_closed("inbound", "cert_expired")
    check.true(lasting.call(others)[1], "a ticket of that age is still in time")


@in_both_versions
def test_a_resumed_session_does_not_outlast_the_leaf_by_resuming_again(case, tls):
    """The next ticket carries the chain of the first handshake, not a new lease."""
    wall = clock.Clock(case)
    sidecar = Sidecar(case, tls, env=wall.env).start()
    caller = sidecar.caller(ending_soon(sidecar.new, "web"))
    ticket = caller.ticket()
    for shift in (600, 1200):
        wall.shift(shift)
        given, reused = caller.call(ticket)
        check.true(reused, f"resumed after {shift} s")
        ticket = given if tls == "1.3" else ticket
    wall.shift(SHIFT)
    refused(caller.dial(ticket), "CERTIFICATE_EXPIRED", sidecar.app)


@in_both_versions
def test_a_ticket_ends_with_our_leaf_and_a_full_handshake_serves(case, tls):
    sidecar = Sidecar(case, tls).start()
    caller = sidecar.caller(sidecar.new.leaf("web"))
    ticket, before = caller.ticket(), sidecar.mooring.status()["leaf"]["serial"]
    sidecar.api.rotate_leaf("payment")
    check.within(lambda: sidecar.mooring.status()["leaf"]["serial"] != before, "the new leaf is in use", 5 * slowness())
    check.within(lambda: not caller.call(ticket)[1], "the old ticket is not resumed", 5 * slowness())
    check.true(caller.call(caller.ticket())[1], "a ticket of the new leaf is")


def with_a_clock_of_its_own(case, tls):
    """with_a_clock_of_its_own is a sidecar whose time the test moves, an endpoint, and a caller with his first ticket."""
    wall = clock.Clock(case)
    sidecar = Sidecar(case, tls, env=wall.env)
    endpoint = Endpoint(case, sidecar.new.leaf("db"), sidecar.roots, tls)
    caller = sidecar.start(endpoint).caller(sidecar.new.leaf("web"))
    return wall, sidecar, endpoint, caller, caller.ticket()


@in_both_versions
def test_a_ticket_is_good_for_two_hours(case, tls):
    wall, sidecar, endpoint, caller, ticket = with_a_clock_of_its_own(case, tls)
    endpoint.give(sidecar.client())
    wall.shift(2 * 3600 - 60)
    check.true(caller.call(ticket)[1], "resumed a minute before")
    wall.shift(2 * 3600 + 60)
    check.true(not caller.call(ticket)[1], "a full handshake a minute after")
    check.equal(endpoint.serve(sidecar.client()), (b"", False), "the ticket of an endpoint, as old")
    check.true(endpoint.serve(sidecar.client())[1], "its new ticket")
    check.equal(sidecar.mooring.attempts_failed(), {}, "attempts that failed")


@in_both_versions
def test_one_proof_is_worth_two_hours_whatever_is_renewed_between(case, tls):
    """A chain of tickets, each of the call before, as who has stolen one could make it without the caller's key."""
    wall, sidecar, endpoint, caller, ticket = with_a_clock_of_its_own(case, tls)
    endpoint.give(sidecar.client())
    for minutes in (50, 100, 118):
        wall.shift(minutes * 60)
        given, reused = caller.call(ticket)
        check.true(reused, f"a caller resumes after {minutes} minutes")
        ticket = given if tls == "1.3" else ticket
        check.true(endpoint.serve(sidecar.client())[1], f"an endpoint is asked to resume after {minutes} minutes")
    wall.shift(121 * 60)
    given, reused = caller.call(ticket)
    check.true(not reused, "a full handshake of the caller, beyond two hours")
    check.equal(endpoint.serve(sidecar.client()), (b"", False), "a full handshake with the endpoint, beyond two hours")
    wall.shift(170 * 60)
    check.true(caller.call(given)[1], "the new proof is worth as much")
    check.true(endpoint.serve(sidecar.client())[1], "the endpoint's, too")
    check.equal(sidecar.mooring.attempts_failed(), {}, "attempts that failed")


@in_both_versions
def test_resumption_can_be_turned_off(case, tls):
    authority = certs.Authority()
    both = [Endpoint(case, authority.leaf(name), authority.pem, tls) for name in ("db", "cache")]

    def start(upstream, **settings):
        """start has a mooring with upstreams db, whose settings are given, and cache: (it, the clients of both)."""
        program = Static(case, authority=authority, upstreams=[
            {"service": name, "listen": "127.0.0.1:0", "endpoints": ["%s:%d" % endpoint.address], **more}
            for name, endpoint, more in zip(("db", "cache"), both, (upstream, {}))], **settings)
        return program, [lambda name=name: apps.Client(case, program.mooring.upstream(name)) for name in ("db", "cache")]

    off, clients = start({}, tls_resumption="off")
    for endpoint, client in zip(both, clients):
        for _ in range(2):
            check.equal(endpoint.serve(client()), (b"", False), "off for all: ticket and resumption")
    caller = Caller(case, off.public, off.web, off.roots, tls)
    given, _ = caller.call()
    check.true(not given.has_ticket, "off for all: no ticket for a caller")
    check.true(not caller.call(given)[1], "off for all: no caller resumes")

    one, (db, cache) = start({"tls_resumption": "off"})
    for _ in range(2):
        check.equal(both[0].serve(db()), (b"", False), "off for db: ticket and resumption")
    both[1].give(cache())
    check.true(both[1].serve(cache())[1], "off for db: cache resumes")
    caller = Caller(case, one.public, one.web, one.roots, tls)
    check.true(caller.call(caller.ticket())[1], "off for db: callers resume")

    _, (db, cache) = start({"tls_resumption": "on"}, tls_resumption="off")
    both[0].give(db())
    check.true(both[0].serve(db())[1], "off for all but db: db resumes")
    for _ in range(2):
        check.equal(both[1].serve(cache()), (b"", False), "off for all but db: ticket and resumption of cache")


def test_without_tickets_nothing_is_resumed(case):
    """TLS 1.2 sessions by number would be state for every stranger."""
    caller = Caller(case, static.public, static.web, static.roots, "1.2")
    caller.made.options |= ssl.OP_NO_TICKET
    given, _ = caller.call()
    check.true(not caller.call(given)[1], "a session by number is not resumed as the accepting side")
    endpoint, dialler = dialling(case, "1.2")
    endpoint.made.options |= ssl.OP_NO_TICKET
    for _ in range(2):
        endpoint.give(dialler.client())


def test_a_ticket_comes_with_the_handshake_or_the_first_answer(case):
    """By itself it would be unread bytes at a caller that only sends, whose close would then be a reset."""
    for tls in VERSIONS:
        peer = static.dial(case, tls=tls)
        peer.handshake()
        early = peer.pull(0.2)
        check.true(not early, f"TLS {tls}: nothing follows the handshake by itself")
        if tls == "1.2":
            check.true(peer.tls.session.has_ticket, "a ticket in the handshake")
        check.equal(peer.send(b"ping").receive(4), b"ping", "echo")
        check.true(peer.tls.session.has_ticket, f"TLS {tls}: a ticket with the answer")


# As the dialling side.


def dialling(case, tls, **settings):
    """dialling is an endpoint that gives tickets, and a mooring whose upstream it is."""
    authority = certs.Authority()
    endpoint = Endpoint(case, authority.leaf("db"), authority.pem, tls)
    return endpoint, Static(case, authority=authority, endpoints=["%s:%d" % endpoint.address], **settings)


@in_both_versions
def test_an_endpoint_is_asked_to_resume_from_the_second_call_on(case, tls):
    endpoint, caller = dialling(case, tls)
    endpoint.give(caller.client())
    offered = []
    for number in range(1, 6):
        ticket, reused = endpoint.serve(caller.client())
        check.true(ticket and reused, f"call {number} after the first is resumed")
        check.equal(resumed(caller.mooring, "outbound"), number, "resumed by /status")
        offered.append(ticket)
    if tls == "1.3":
        check.equal(len(set(offered)), len(offered), "different tickets: each is used once (RFC 8446 C.4)")


def test_calls_at_the_same_time_share_no_ticket_of_tls13(case):
    endpoint, caller = dialling(case, "1.3")
    endpoint.give(caller.client())  # OpenSSL gives two
    clients = [caller.client() for _ in range(6)]
    sockets = [endpoint.listener.accept_socket() for _ in clients]
    offered = []
    for sock in sockets:
        peer = tlspeer.Peer(sock, endpoint.made, True)
        peer.handshake()
        check.equal(bool(peer.hello.ticket), peer.tls.session_reused, "resumed, if asked")
        offered.append(peer.hello.ticket)
    tickets = [ticket for ticket in offered if ticket]
    check.equal((len(tickets), len(set(tickets))), (2, 2), "tickets offered, different ones")


@in_both_versions
def test_an_endpoint_whose_root_was_removed_is_offered_no_ticket_and_refused(case, tls):
    sidecar = Sidecar(case, tls)
    endpoint = Endpoint(case, sidecar.old.leaf("db"), sidecar.roots, tls)
    sidecar.start(endpoint)
    endpoint.give(sidecar.client())
    sidecar.drop_old_root()
    client = sidecar.client()
    peer = endpoint.accept()
    try:
        peer.handshake()
        check.equal(peer.drain()[0], b"", "the application's bytes at a server that must be refused")
    except tlspeer.Refused:
        pass
    check.equal(peer.hello.ticket, b"", "the ticket offered")
    check.equal(peer.alert(), "UNKNOWN_CA", "alert")
    check.equal(client.drain(), (b"", "reset"), "end at the application")


@in_both_versions
def test_an_endpoint_whose_root_is_removed_during_the_handshake_is_refused(case, tls):
    sidecar = Sidecar(case, tls)
    endpoint = Endpoint(case, sidecar.old.leaf("db"), sidecar.roots, tls)
    sidecar.start(endpoint)
    endpoint.give(sidecar.client())
    client = sidecar.client().send(b"secret")
    peer = endpoint.accept()
    check.true(peer.pull(10 * slowness()), "the ClientHello arrives")
    sidecar.drop_old_root()
    try:
        peer.handshake()
        check.equal(peer.drain()[0], b"", "the application's bytes at a server that must be refused")
    except tlspeer.Refused:
        pass
    check.true(peer.hello.ticket and peer.tls.session_reused, "the handshake itself was resumed")
    check.equal(client.drain(), (b"", "reset"), "end at the application")
    check.equal(sidecar.mooring.attempts_failed(), {"unknown_ca": 1}, "attempts that failed")
    check.equal(sidecar.resumed("outbound"), 0, "resumed by /status")


@in_both_versions
def test_an_endpoint_whose_leaf_has_expired_since_is_refused(case, tls):
    wall = clock.Clock(case)
    sidecar = Sidecar(case, tls, env=wall.env)
    endpoint = Endpoint(case, ending_soon(sidecar.new, "db"), sidecar.roots, tls)
    sidecar.start(endpoint)
    endpoint.give(sidecar.client())
    wall.shift(SHIFT)
    endpoint.refused(sidecar.client().send(b"secret"), "CERTIFICATE_EXPIRED")
    check.equal(sidecar.mooring.attempts_failed(), {"cert_expired": 1}, "attempts that failed")
    # Its other tickets carry that leaf, too; asked without one, it can show the next.
    endpoint.made = tlspeer.context(True, sidecar.new.leaf("db"), sidecar.roots, tls, tickets=True)
    check.equal(endpoint.serve(sidecar.client()), (b"", False), "ticket and resumption, once the leaf is renewed")


@in_both_versions
def test_an_endpoint_is_offered_no_ticket_after_our_leaf_was_renewed(case, tls):
    sidecar = Sidecar(case, tls)
    endpoint = Endpoint(case, sidecar.new.leaf("db"), sidecar.roots, tls)
    sidecar.start(endpoint)
    endpoint.give(sidecar.client())
    check.true(endpoint.serve(sidecar.client())[1], "resumed")
    before = sidecar.mooring.status()["leaf"]["serial"]
    sidecar.api.rotate_leaf("payment")
    check.within(lambda: sidecar.mooring.status()["leaf"]["serial"] != before, "the new leaf is in use", 5 * slowness())
    check.within(lambda: endpoint.serve(sidecar.client()) == (b"", False), "a full handshake", 5 * slowness())


@in_both_versions
def test_an_endpoint_that_forgot_its_tickets_or_changed_its_version_is_served_at_once(case, tls):
    """A restart: the ticket does not open any more, or is of a version that is not spoken any more."""
    endpoint, caller = dialling(case, tls)
    for version in VERSIONS:
        endpoint.made = tlspeer.context(True, caller.db, caller.roots, tls, tickets=True)
        endpoint.serve(caller.client())
        endpoint.made = tlspeer.context(True, caller.db, caller.roots, version, tickets=True)
        offered, reused = endpoint.serve(caller.client())
        check.true(offered and not reused, f"to TLS {version}: a ticket was offered and not taken")
        check.true(endpoint.serve(caller.client())[1], f"to TLS {version}: its new ticket is")
    check.equal(caller.mooring.attempts_failed(), {}, "attempts that failed")


def trip(sock, how):
    """trip ends a handshake at its ClientHello, as a peer would that does not get along with tickets."""
    if how == "reset":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif how == "alert":
        sock.sendall(bytes([21, 3, 3, 0, 2, 2, 40]))  # handshake_failure
    elif how == "garbage":
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    sock.close()


def read_hello(sock):
    """read_hello reads one record: a ClientHello."""
    data = b""
    while len(data) < 5 or len(data) < 5 + int.from_bytes(data[3:5], "big"):
        more = sock.recv(65536)
        check.true(more, "a whole ClientHello arrives")
        data += more
    return tlspeer.ClientHello(data[5:])


@in_both_versions
def test_an_endpoint_that_trips_over_tickets_is_reached_without_them(case, tls):
    for how in ("close", "reset", "alert", "garbage"):
        endpoint, caller = dialling(case, tls)
        endpoint.give(caller.client())

        def trips():
            client = caller.client()
            sock = endpoint.listener.accept_socket()
            check.true(read_hello(sock).ticket, f"{how}: a ticket was offered")
            trip(sock, how)
            check.equal(endpoint.serve(client), (b"", False), f"{how}: the same call by a full handshake")

        trips()
        endpoint.give(caller.client())
        offered, reused = endpoint.serve(caller.client())
        check.true(offered and reused, f"{how}: after one failure the endpoint is asked again")
        trips()
        endpoint.give(caller.client())
        trips()
        for _ in range(2):
            check.equal(endpoint.serve(caller.client()), (b"", False), f"{how}: after two in a row it is not")
        check.equal(caller.mooring.attempts_failed(), {}, f"{how}: attempts that failed")
        caller.mooring.wait_idle()
        check.equal(caller.mooring.closed("outbound"), {"done": 9}, f"{how}: close reasons")


@in_both_versions
def test_an_endpoint_that_hangs_on_a_ticket_gets_a_full_handshake_the_next_time(case, tls):
    endpoint, caller = dialling(case, tls, connect_timeout="500ms")
    endpoint.give(caller.client())
    client = caller.client()
    sock = endpoint.listener.accept_socket()
    check.true(read_hello(sock).ticket, "a ticket was offered")
    check.equal(client.drain(), (b"", "reset"), "end at the application")
    sock.close()
    check.equal(caller.mooring.attempts_failed(), {"handshake_timeout": 1}, "attempts that failed")
    check.equal(endpoint.serve(caller.client()), (b"", False), "the next call")


@in_both_versions
def test_an_endpoint_that_trips_over_everything_is_given_up_after_one_more_try(case, tls):
    endpoint, caller = dialling(case, tls)
    endpoint.give(caller.client())
    client = caller.client()
    for ticket in (True, False):
        sock = endpoint.listener.accept_socket()
        check.equal(bool(read_hello(sock).ticket), ticket, "a ticket was offered")
        trip(sock, "close")
    check.equal(client.drain(), (b"", "reset"), "end at the application")
    check.true(not endpoint.listener.pending(0.2), "no third attempt")
    check.equal(sum(caller.mooring.attempts_failed().values()), 1, "attempts that failed")


@in_both_versions
def test_tickets_of_one_endpoint_are_not_offered_to_another(case, tls):
    authority = certs.Authority()
    # Of one identity and one TLS context: either would resume what the other gave.
    first = Endpoint(case, authority.leaf("db"), authority.pem, tls)
    second = Endpoint(case, authority.leaf("db"), authority.pem, tls)
    second.made = first.made
    # The test takes its time to see which of them was chosen.
    caller = Static(case, authority=authority, endpoints=["%s:%d" % e.address for e in (first, second)], balance="round_robin",
                    attempt_delay="30s")
    for expected in ((b"", False), None):
        for endpoint in (first, second):  # in turn, whichever comes first
            client = caller.client()
            turn = endpoint if endpoint.listener.pending(0.5) else first if endpoint is second else second
            ticket, reused = turn.serve(client)
            if expected:
                check.equal((ticket, reused), expected, "the first call to an endpoint")
            else:
                check.true(ticket and reused, "the second call to an endpoint is resumed")


@in_both_versions
def test_a_ticket_is_not_offered_where_another_identity_is_expected(case, tls):
    authority = certs.Authority()
    endpoint = Endpoint(case, authority.leaf("db"), authority.pem, tls)
    where = ["%s:%d" % endpoint.address]
    caller = Static(case, authority=authority, upstreams=[
        {"service": "db", "listen": "127.0.0.1:0", "endpoints": where},
        {"service": "cache", "listen": "127.0.0.1:0", "endpoints": where}])
    endpoint.give(caller.client())
    client = apps.Client(case, caller.mooring.upstream("cache")).send(b"secret")
    peer = endpoint.accept()
    try:
        peer.handshake()
        check.equal(peer.drain()[0], b"", "the application's bytes at a server that must be refused")
    except tlspeer.Refused:
        pass
    check.equal(peer.hello.ticket, b"", "the ticket offered")
    check.equal(client.drain(), (b"", "reset"), "end at the application")
    check.equal(caller.mooring.attempts_failed(), {"san_mismatch": 1}, "attempts that failed")
    check.true(endpoint.serve(caller.client())[1], "db itself resumes")


# With the peers of a mesh.


def mesh():
    """mesh is started by the first test that needs it: without Consul or Envoy, only those are skipped."""
    global _mesh
    if _mesh is None:
        _mesh = Mesh(shared)
    return _mesh


_mesh = None


@for_pairs(globals(), PAIRS_WITH_ENVOY + PAIR_WITH_ITSELF)
def test_sidecars_resume(case, client, server, tls):
    pair = mesh().pair(case, client, server, apps.echo, tls)
    for _ in range(6):
        apps.echo_works(case, pair.address)
    for mooring in pair.moorings():
        direction = "inbound" if mooring is pair.inbound.program else "outbound"
        check.true(resumed(mooring, direction) > 0, f"{direction} connections resumed: "
                   f"{resumed(mooring, direction)} of 6")
        check.equal(mooring.attempts_failed(), {}, "attempts that failed")


def good_for(tickets, seconds):
    """good_for asserts how long they are good, counted from the handshake: a ticket may be made a moment after it."""
    check.true(tickets and all(seconds - 5 <= one <= seconds for one in tickets), f"tickets are good for {seconds} s: {tickets}")


@for_pairs(globals(), [pair for pair in PAIRS_WITH_ENVOY if pair[1] == "envoy"])
def test_tickets_of_envoy_are_used(case, client, server, tls):
    """They are the longest-lived that are kept."""
    pair = mesh().pair(case, client, server, apps.echo, tls)
    leaf = mesh().consul.leaf(pair.web)
    identity = certs.Identity(leaf["CertPEM"], leaf["PrivateKeyPEM"])
    peer = tlspeer.connect(case, pair.inbound.address, identity, mesh().consul.roots_pem(), tls)
    peer.handshake()
    check.equal(peer.send(b"ping").receive(4), b"ping", "echo")
    good_for(peer.tickets, 172_800 if tls == "1.3" else 7_200)
    for _ in range(6):
        apps.echo_works(case, pair.address)
    check.equal(resumed(pair.outbound.program, "outbound"), 5, "of 6 connections resumed")
    seen = pair.inbound.program.stats(r"^listener\..*ssl\.session_reused$")
    check.equal(sum(seen.values()), 5, f"resumed as Envoy counts: {seen}")


@for_pairs(globals(), [("mooring", "go", None)])
def test_consuls_own_proxy_is_met_by_full_handshakes(case, client, server, tls):
    """Its tickets are good for seven days, and that of Consul 1.21 asks no intention about a resumed session."""
    pair = mesh().pair(case, client, server, apps.echo, tls)
    for _ in range(4):
        apps.echo_works(case, pair.address)
    check.equal(resumed(pair.outbound.program, "outbound"), 0, "connections resumed")
    check.equal(pair.outbound.program.attempts_failed(), {}, "attempts that failed")


@for_pairs(globals(), PAIRS_WITH_GO)
def test_calls_go_through_whether_resumed_or_not(case, client, server, tls):
    """Go's side decides for itself what it resumes."""
    pair = mesh().pair(case, client, server, apps.echo, tls)
    for _ in range(6):
        apps.echo_works(case, pair.address)
    for mooring in pair.moorings():
        check.equal(mooring.attempts_failed(), {}, "attempts that failed")


@in_both_versions
def test_a_ticket_of_one_service_opens_nothing_at_another_of_the_same_process(case, tls):
    authority = certs.Authority()
    app = apps.App(case, apps.echo)
    names = ("payment", "billing")
    mooring = Mooring.from_yaml(case, {"services": [
        {"service": name, "identity": identity_files(case, authority, name), "intentions": {"default": "allow"},
         "public_listener": {"address": "127.0.0.1:0", "local_app": f"127.0.0.1:{app.port}"}} for name in names]})
    own, other = (mooring.listener(f"{name}/public") for name in names)
    caller = Caller(case, own, authority.leaf("web"), authority.pem, tls)
    ticket, _ = caller.call()
    check.equal(caller.call(ticket)[1], True, "resumed where it came from")
    caller.address = other
    check.equal(caller.call(ticket)[1], False, "resumed at the other service")
