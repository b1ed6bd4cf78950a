"""Row 51: every certificate that a peer could show, as a client's and as a server's (X509-SVID, SPIFFE-ID).

Each specimen is one test a direction. Refused means: the application is not dialled, not a byte of it goes
out, and the reason is counted.
"""

from lib import certs, check, tlspeer
from lib.static import Static

EXPECTED_SECONDS = 15


def setup_module(case):
    global static
    static = Static(case)


def counted(before, after, reasons, what):
    grown = {reason for reason in after if after[reason] > before.get(reason, 0)}
    check.true(grown and grown <= set(reasons), f"{what}: counted as {sorted(grown)}, not one of {sorted(reasons)}")


def as_client(case, specimen):
    identity = specimen.make(static.authority, "web")
    for tls in specimen.versions:
        before, dialled = static.mooring.closed("inbound"), static.app.count()
        peer = static.dial(case, identity, tls)
        if specimen.client == certs.ACCEPTED:
            peer.handshake()
            check.equal(peer.send(b"ping").receive(4), b"ping", f"TLS {tls}: echo")
            peer.close()
            continue
        try:
            peer.handshake()
            peer.send(b"ping")
            data, how = peer.drain()
            check.equal(data, b"", f"TLS {tls}: bytes to a client that must be refused")
            check.true(how != "timeout", f"TLS {tls}: the refused connection ends")
        except tlspeer.Refused:
            pass
        peer.close()
        check.within(lambda b=before: static.mooring.closed("inbound") != b, "the refusal is counted")
        counted(before, static.mooring.closed("inbound"), specimen.client, f"TLS {tls}")
        check.equal(static.app.count(), dialled, f"TLS {tls}: connections at the application")


def as_server(case, specimen):
    identity = specimen.make(static.authority, "db")
    for tls in specimen.versions:
        before = static.mooring.attempts_failed()
        client = static.client(case).send(b"secret")
        peer = static.endpoint.accept(identity, static.roots, tls)
        if specimen.server == certs.ACCEPTED:
            peer.handshake()
            check.equal(peer.receive(6), b"secret", f"TLS {tls}: request")
            client.close()
            continue
        try:
            peer.handshake()
            data, _ = peer.drain()
            check.equal(data, b"", f"TLS {tls}: the application's bytes at a server that must be refused")
        except tlspeer.Refused:
            pass
        peer.close()
        data, end = client.drain()
        check.equal(data, b"", f"TLS {tls}: bytes to the application")
        check.true(end != "timeout", f"TLS {tls}: the application's connection ends")
        counted(before, static.mooring.attempts_failed(), specimen.server, f"TLS {tls}")


def _define():
    for specimen in certs.SPECIMENS:
        for direction, verdict, judge in (("client", specimen.client, as_client),
                                          ("server", specimen.server, as_server)):
            if verdict is None:
                continue
            word = "accepted" if verdict == certs.ACCEPTED else "refused"
            name = f"test_row_51_{direction}_with_{specimen.title}_is_{word}"

            def test(case, judge=judge, specimen=specimen):
                judge(case, specimen)

            test.__name__ = name
            globals()[name] = test


_define()
