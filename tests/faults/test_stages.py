"""A connection held at each stage (handshake, dial, relay) while a change lands that forbids it (row 54).

Decision has no length of its own: it is one step between handshake and dial, taken on what is newest then,
which is what the tests of the handshake show.
"""

import socket
import ssl

from faults.subject import SERVICE, UPSTREAM, Subject, only_mooring
from faults.test_enforcement import becomes_refused
from lib import agent as scripted
from lib import certs, check, tlspeer
from lib.case import now, slowness
from lib.mooring import Mooring

EXPECTED_SECONDS = 15


def deny():
    return scripted.intention("web", SERVICE, "deny")


def run_to_last_flight(peer):
    """run_to_last_flight takes the handshake as far as our own last flight, which waits in peer.outgoing.

    As a client in either version that is the flight with Finished; as a TLS 1.3 server it is our only one.
    """
    deadline = now() + peer.limit
    if not peer.server:
        try:
            peer.tls.do_handshake()
        except ssl.SSLWantReadError:
            peer.flush()
    while not peer.outgoing.pending:
        check.true(peer.pull(deadline - now()), "the other side's flight arrives")
        try:
            peer.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass


def replace_roots(subject, new):
    """replace_roots takes the mesh to another root as an operator does, in steps: both roots, a leaf under the
    new one, the new root alone. Returns the time of the last step, which removes the old root."""
    api, old = subject.api, subject.api.authority
    api.set_roots(new, old)
    check.within(lambda: subject.status()["roots"]["count"] == 2, "both roots are known", 5 * slowness())
    serial = subject.status()["leaf"]["serial"]
    api.set_leaf(SERVICE, new.leaf(SERVICE))
    check.within(lambda: subject.status()["leaf"]["serial"] != serial, "the new leaf is in use", 5 * slowness())
    removed = now()
    api.set_roots(new)
    return removed


def trust(subject, new):
    """trust has the subject's peers believe in the new root as well, so that a refusal is not theirs."""
    subject.roots += new.pem
    subject.far.roots = subject.roots


def await_removal(subject):
    check.within(lambda: subject.status()["roots"]["count"] == 1, "the old root is gone", slowness())


def held_in_handshake(case, tls, forbid, reasons, alerts):
    """held_in_handshake stops a caller before its Finished, forbids it, and lets it finish."""
    only_mooring("the Go proxy asks the agent after each handshake")
    subject = Subject.scripted(case, scripted.Agent(case))
    peer = tlspeer.connect(case, subject.public, subject.web, subject.roots, tls)
    run_to_last_flight(peer)
    forbid(subject)
    count, refused = subject.app.count(), sum(subject.closed("inbound", reason) for reason in reasons)
    peer.flush()
    try:
        peer.handshake()
        data, how = peer.drain()
    except tlspeer.Refused:
        data, how = b"", "alert"
    check.equal((data, how), (b"", "alert"), "what a caller gets that was forbidden during its handshake")
    check.one_of(peer.alert(), alerts, "alert")
    peer.close()
    subject.program.wait_closed("inbound", reasons, refused + 1)
    check.equal(subject.app.count(), count, "connections at the application")


# Both changes are waited for where they count: whoever comes anew is refused.


def deny_and_wait(subject):
    subject.api.set_intentions(deny())
    becomes_refused(subject, slowness())


def remove_root_and_wait(subject):
    new = certs.Authority("Second Root")
    trust(subject, new)
    replace_roots(subject, new)
    becomes_refused(subject, slowness())


def test_row_54_a_caller_denied_during_its_handshake_is_refused_tls12(case):
    held_in_handshake(case, "1.2", deny_and_wait, {"denied"}, ("ACCESS_DENIED",))


def test_row_54_a_caller_denied_during_its_handshake_is_refused_tls13(case):
    held_in_handshake(case, "1.3", deny_and_wait, {"denied"}, ("ACCESS_DENIED",))


def test_row_54_a_caller_whose_root_goes_during_its_handshake_is_refused(case):
    held_in_handshake(case, "1.3", remove_root_and_wait, {"unknown_ca", "root_removed"},
                      ("UNKNOWN_CA", "ACCESS_DENIED", "BAD_CERTIFICATE"))


class StuckApp:
    """An application whose queue of connections is full: whoever connects to it waits."""

    def __init__(self, case):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.address = self.listener.getsockname()
        self.fillers = []
        case.undo(self.close)
        while True:
            filler = socket.socket()
            filler.settimeout(0.3)
            self.fillers.append(filler)
            try:
                filler.connect(self.address)
            except TimeoutError:
                filler.close()
                break

    def accepted(self):
        """accepted takes every connection that waits now, and returns their peers' ports."""
        self.listener.setblocking(False)
        ports = []
        try:
            while True:
                connection, peer = self.listener.accept()
                connection.close()
                ports.append(peer[1])
        except BlockingIOError:
            return ports

    def own_ports(self):
        return [f.getsockname()[1] for f in self.fillers if f.fileno() >= 0]

    def close(self):
        for filler in self.fillers:
            filler.close()
        self.listener.close()


def dialling(process, port):
    """dialling tells whether the process has a connection to that port of 127.0.0.1 under way (SYN_SENT)."""
    inodes = process.socket_inodes()
    with open("/proc/net/tcp") as lines:
        rows = [line.split() for line in lines][1:]
    return any(row[2] == f"0100007F:{port:04X}" and row[3] == "02" and row[9] in inodes for row in rows)


def held_in_dial(case, forbid, reasons):
    """held_in_dial forbids a caller while its application is being dialled."""
    only_mooring("the Go proxy judges no connection again")
    api = scripted.Agent(case)
    app = StuckApp(case)
    program = Mooring.connect_proxy(case, "-http-addr", api.address, "-service", SERVICE, "-service-addr",
                                    f"127.0.0.1:{app.address[1]}", "-listen", "127.0.0.1:0",
                                    "-local-connect-timeout", "20s")
    program.api = api
    peer = tlspeer.connect(case, program.public, api.authority.leaf("web"), api.authority.pem)
    peer.handshake()
    peer.send(b"secret")
    check.within(lambda: dialling(program.process, app.address[1]), "the application is being dialled", 3 * slowness())
    started = forbid(program)
    peer.limit = max(0.05, started + slowness() - now())
    data, how = peer.drain()
    check.equal((data, how), (b"", "alert"), "what the caller gets")
    peer.close()
    program.wait_closed("inbound", reasons)
    check.true(not dialling(program.process, app.address[1]), "the dial is given up")
    check.equal(sorted(set(app.accepted()) - set(app.own_ports())), [], "connections at the application of others")
    # The kernel would have asked again a second after its first SYN.
    check.stays(lambda: not set(app.accepted()) - set(app.own_ports()), "nobody else at the application", 1.2)


def test_row_54_a_caller_denied_while_its_application_is_dialled_is_refused(case):
    def forbid(program):
        started = now()
        program.api.set_intentions(deny())
        return started

    held_in_dial(case, forbid, {"revoked", "denied"})


def test_row_54_a_caller_whose_root_goes_while_its_application_is_dialled_is_refused(case):
    held_in_dial(case, lambda program: replace_roots(program, certs.Authority("Second Root")),
                 {"root_removed", "unknown_ca"})


def test_row_54_an_instance_whose_root_goes_during_its_handshake_gets_no_byte(case):
    only_mooring("its view of roots is not shown, so the test could not tell when they have changed")
    subject = Subject.scripted(case, scripted.Agent(case))
    endpoint = tlspeer.Endpoint(case)
    before = subject.status()["upstreams"][0]["endpoints"]
    subject.api.set_instances(UPSTREAM, endpoint.address)
    check.within(lambda: subject.status()["upstreams"][0]["endpoints"] != before, "the endpoint is known")

    def reaches():  # /status says what has been learnt; the worker has it a moment later
        client = subject.client(case=case).send(b"secret")
        return client if endpoint.pending(1) else client.close()

    client = check.within(reaches, "the endpoint is dialled", 3 * slowness())
    peer = endpoint.accept(subject.api.authority.leaf(UPSTREAM), None, "1.3")
    run_to_last_flight(peer)
    remove_root_and_wait(subject)
    peer.flush()
    try:
        peer.handshake()
        data, _ = peer.drain()
    except tlspeer.Refused:
        data = b""
    check.equal(data, b"", "the application's bytes at an instance of a root that is gone")
    data, how = client.drain(3)
    check.equal(data, b"", "bytes from it")
    check.one_of(how, ("eof", "reset"), "the end of the application's connection")
    failed = subject.program.attempts_failed()
    check.true(set(failed) & {"unknown_ca", "root_removed"}, f"the attempt failed for its chain: {failed}")


def test_row_54_a_root_that_is_removed_ends_live_connections_both_ways(case):
    subject = Subject.scripted(case, scripted.Agent(case))
    held = subject.hold()
    new = certs.Authority("Second Root")
    trust(subject, new)
    if not subject.is_mooring:
        removed = now()
        subject.api.set_roots(new)
    else:
        removed = replace_roots(subject, new)
    held.cut_within(max(0.05, removed + slowness() - now()) / slowness())
    if subject.is_mooring:
        for direction in ("inbound", "outbound"):
            subject.program.wait_closed(direction, "root_removed", seconds=1)
        check.true(subject.refused_inbound(), "a new call under the old root is refused")
        subject.program.wait_closed("inbound", "unknown_ca")
        check.true(subject.refused_outbound(), "a new call to an instance under the old root is refused")
    subject._identity = new.leaf
    subject.refresh_peers()
    subject.held.clear()
    check.within(subject.works, "connections under the new root", 12 * slowness())


def test_row_54_on_revoke_keep_leaves_connections_of_a_removed_root(case):
    only_mooring("no such setting there")
    subject = Subject.scripted(case, scripted.Agent(case), flags=["-on-revoke", "keep"])
    held = subject.hold()
    new = certs.Authority("Second Root")
    trust(subject, new)
    replace_roots(subject, new)
    await_removal(subject)
    check.stays(held.works, "connections of the removed root", 1.2)
    becomes_refused(subject, slowness(), what="a new call under the old root is refused")
