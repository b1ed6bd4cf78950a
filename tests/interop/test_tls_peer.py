"""Mooring against a TLS peer whose every act is the test's: handshakes and what the wire shows (I04-I11)."""

import os
import socket

from lib import apps, certs, check, tlspeer
from lib.static import Static

EXPECTED_SECONDS = 10
VERSIONS = ("1.2", "1.3")


def setup_module(case):
    global static
    static = Static(case)


def refused(peer):
    """refused asserts that the public listener does not let this peer in, and returns the alert it sent.
    In TLS 1.3 a client learns of its refusal only by reading."""
    try:
        peer.handshake()
        peer.send(b"ping")
        data, how = peer.drain()
        check.equal(data, b"", "bytes to a peer that must be refused")
        check.true(how != "timeout", "the refused connection ends")
    except tlspeer.Refused:
        pass
    peer.close()
    return peer.alert()


def refused_as(case, reason, alerts, identity, app_count=0):
    before = static.mooring.closed("inbound", reason)
    dialled = static.app.count()
    for number, tls in enumerate(VERSIONS, 1):
        alert = refused(static.dial(case, identity, tls))
        check.one_of(alert, alerts, f"alert in TLS {tls}")
        static.mooring.wait_closed("inbound", reason, before + number)
    check.equal(static.app.count(), dialled, "connections at the application")


def rejected_server(case, reason, alerts, identity):
    """A server with this identity must not get a byte of the application."""
    before = static.mooring.attempts_failed().get(reason, 0)
    for number, tls in enumerate(VERSIONS, 1):
        client = static.client(case).send(b"secret")
        peer = static.endpoint.accept(identity, static.roots, tls)
        try:
            peer.handshake()
            check.fail("mooring went on with a server that it must refuse")
        except tlspeer.Refused as refusal:
            check.one_of(refusal.alert, alerts, f"alert in TLS {tls}")
        check.one_of(client.drain(), ((b"", "eof"), (b"", "reset")), "end at the application")
        check.equal(static.mooring.attempts_failed().get(reason, 0), before + number,
                    f"attempts that failed for {reason}")


def test_I01_a_million_bytes_come_back_in_both_versions_and_directions(case):
    data = apps.pattern(1_000_000)
    for tls in VERSIONS:
        peer = static.caller(case, tls)
        check.equal(peer.version(), f"TLSv{tls}", "version")
        for at in range(0, len(data), 50_000):
            check.equal(peer.send(data[at:at + 50_000]).receive(50_000), data[at:at + 50_000], "echo")
        peer.notify().finish()
        check.equal(peer.drain(), (b"", "notify"), "the end after ours")
        client, server = static.called(case, tls)
        check.equal(server.version(), f"TLSv{tls}", "version")
        sender = apps.Sender(client, data, finish=True)
        check.equal(server.receive(len(data)), data, "request")
        sender.done()
        check.equal(server.drain(), (b"", "notify"), "the end of the request")
        server.send(data[:1000]).notify().finish()
        check.equal(client.drain(), (data[:1000], "eof"), "answer")


def test_I04_the_sni_names_service_namespace_datacenter_and_trust_domain(case):
    for tls in VERSIONS:
        _, peer = static.called(case, tls)
        check.equal(peer.hello.sni, f"db.default.dc1.internal.{static.authority.trust_domain}", "SNI")


def test_I05_no_alpn_is_offered_and_one_chosen_by_nobody(case):
    for tls in VERSIONS:
        client = static.client(case)
        peer = static.endpoint.accept(static.db, static.roots, tls, alpn=["h2"])
        peer.handshake()
        check.equal(peer.hello.alpn, [], "protocols offered")
        client.send(b"ping")
        check.equal(peer.receive(4), b"ping", "request")


def test_only_aead_ciphers_with_ephemeral_keys_are_offered(case):
    _, peer = static.called(case)
    tls13 = {0x1301, 0x1302, 0x1303}
    tls12 = {0xC02B, 0xC02C, 0xC02F, 0xC030, 0xCCA8, 0xCCA9}
    check.true(set(peer.hello.ciphers) <= tls13 | tls12 | {0x00FF},
               f"cipher suites offered: {[hex(c) for c in peer.hello.ciphers]}")
    check.true(all(v in (0x0303, 0x0304) or v & 0x0F0F == 0x0A0A for v in peer.hello.versions),
               f"versions offered: {peer.hello.versions}")
    check.true(42 not in peer.hello.extensions, "no early data is offered")


def test_I07_a_client_of_another_trust_domain_is_refused(case):
    foreign = static.authority.leaf("web", uri="spiffe://foreign.consul/ns/default/dc/dc1/svc/web")
    refused_as(case, "foreign_trust_domain", ("BAD_CERTIFICATE", "CERTIFICATE_UNKNOWN", "ACCESS_DENIED",
                                             "UNKNOWN_CA"), foreign)


def test_I07_a_server_of_another_trust_domain_is_refused(case):
    foreign = static.authority.leaf("db", uri="spiffe://foreign.consul/ns/default/dc/dc1/svc/db")
    rejected_server(case, "foreign_trust_domain", ("BAD_CERTIFICATE", "CERTIFICATE_UNKNOWN", "ACCESS_DENIED",
                                                  "UNKNOWN_CA"), foreign)


def test_I08_a_client_without_certificate_is_told_so_in_both_versions(case):
    before = static.mooring.closed("inbound", "no_client_certificate")
    dialled = static.app.count()
    check.one_of(refused(static.dial(case, None, "1.2")), ("HANDSHAKE_FAILURE", "BAD_CERTIFICATE"),
                 "alert in TLS 1.2")
    check.one_of(refused(static.dial(case, None, "1.3")), ("CERTIFICATE_REQUIRED", "116"),
                 "alert in TLS 1.3")
    static.mooring.wait_closed("inbound", "no_client_certificate", before + 2)
    check.equal(static.app.count(), dialled, "connections at the application")


def test_I09_a_client_of_another_ca_is_refused_as_unknown_ca(case):
    foreign = certs.Authority("Other Root").leaf("web")
    refused_as(case, "unknown_ca", ("UNKNOWN_CA",), foreign)


def test_I09_a_server_of_another_ca_is_refused_as_unknown_ca(case):
    rejected_server(case, "unknown_ca", ("UNKNOWN_CA",), certs.Authority("Other Root").leaf("db"))


def test_I10_an_expired_client_is_refused(case):
    expired = static.authority.leaf("web", start=-3 * certs.HOUR, lifetime=certs.HOUR)
    refused_as(case, "cert_expired", ("CERTIFICATE_EXPIRED",), expired)


def test_I10_a_client_that_is_not_yet_valid_is_refused(case):
    early = static.authority.leaf("web", start=certs.HOUR)
    refused_as(case, "cert_not_yet_valid", ("CERTIFICATE_EXPIRED", "BAD_CERTIFICATE", "CERTIFICATE_UNKNOWN"),
               early)


def test_I10_an_expired_server_is_refused(case):
    expired = static.authority.leaf("db", start=-3 * certs.HOUR, lifetime=certs.HOUR)
    rejected_server(case, "cert_expired", ("CERTIFICATE_EXPIRED",), expired)


def test_I10_a_server_that_is_not_yet_valid_is_refused(case):
    early = static.authority.leaf("db", start=certs.HOUR)
    rejected_server(case, "cert_not_yet_valid", ("CERTIFICATE_EXPIRED", "BAD_CERTIFICATE",
                                                "CERTIFICATE_UNKNOWN"), early)


def test_I11_plaintext_is_closed_without_a_dial(case):
    before, dialled = static.mooring.closed("inbound", "not_tls"), static.app.count()
    for text in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n"):
        answer, end, _ = tlspeer.raw_answer(static.public, text)
        check.true(end != "timeout", "plaintext is closed")
        check.one_of(tlspeer.alert_number(answer), (None, 70, 50, 10), "alert, if one is sent")
    static.mooring.wait_closed("inbound", "not_tls", before + 2)
    check.equal(static.app.count(), dialled, "connections at the application")


def test_I11_garbage_is_closed_without_a_dial(case):
    dialled = static.app.count()
    for length in (5, 100, 5000):
        _, end, _ = tlspeer.raw_answer(static.public, b"\xff" + os.urandom(length))
        check.true(end != "timeout", f"{length} bytes of garbage are closed")
    check.equal(static.app.count(), dialled, "connections at the application")
    static.serves(case)


def test_I11_a_bare_connect_is_no_line_above_debug_and_no_dial(case):
    before, dialled = static.mooring.closed("inbound", "probe"), static.app.count()
    ports = [apps.bare_connect(static.public) for _ in range(5)]
    static.mooring.wait_closed("inbound", "probe", before + 5)
    check.equal(static.app.count(), dialled, "connections at the application")
    static.mooring.said_only_at_debug(ports)


def test_I11_half_a_client_hello_and_a_close_is_no_dial(case):
    dialled = static.app.count()
    peer = static.dial(case)
    try:
        peer.tls.do_handshake()
    except tlspeer.ssl.SSLWantReadError:
        pass
    hello = peer.outgoing.read()
    sock = peer.socket
    sock.sendall(hello[:len(hello) // 2])
    sock.shutdown(socket.SHUT_WR)
    check.true(peer.ended_within(2), "the connection ends")
    check.equal(static.app.count(), dialled, "connections at the application")


def test_a_client_hello_in_single_bytes_is_taken(case):
    peer = static.dial(case)
    try:
        peer.tls.do_handshake()
    except tlspeer.ssl.SSLWantReadError:
        pass
    for byte in peer.outgoing.read():
        peer.socket.sendall(bytes([byte]))
    peer.handshake()
    check.equal(peer.send(b"ping").receive(4), b"ping", "echo")


def test_I12_a_denied_service_gets_no_byte_of_the_application(case):
    before, dialled = static.mooring.closed("inbound", "denied"), static.app.count()
    for tls in VERSIONS:
        refused(static.dial(case, static.authority.leaf("evil"), tls))
    static.mooring.wait_closed("inbound", "denied", before + 2)
    check.equal(static.app.count(), dialled, "connections at the application")
