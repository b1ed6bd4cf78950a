"""Mooring without a control plane: identity files that change, expire, do not match; host names; two workers."""

import os

from lib import apps, certs, check, tlspeer
from lib.mooring import Mooring
from lib.static import Static, identity_files

EXPECTED_SECONDS = 12


def replace(path, text):
    """As tools do it: a new file, renamed into place."""
    with open(f"{path}.new", "w") as file:
        file.write(text)
    os.rename(f"{path}.new", path)


def serial(mooring):
    return mooring.status()["leaf"]["serial"]


def made(case, authority, identity, **settings):
    files = identity_files(case, authority, "payment", identity)
    app = apps.App(case, apps.echo)
    mooring = Mooring.from_yaml(case, {
        "service": "payment", "identity": files,
        "public_listener": {"address": "127.0.0.1:0", "local_app": f"127.0.0.1:{app.port}"},
        "intentions": {"default": "allow"}, **settings})
    return mooring, files


def test_a_new_pair_is_taken_up_live_and_a_mismatched_one_is_not(case):
    authority = certs.Authority()
    mooring, files = made(case, authority, authority.leaf("payment"))
    first = serial(mooring)
    caller = tlspeer.connect(case, mooring.public, authority.leaf("web"), authority.pem)
    caller.handshake()
    check.equal(caller.send(b"one").receive(3), b"one", "echo")
    # The certificate arrives before its key: the old pair stays in force and serves.
    second = authority.leaf("payment")
    replace(files["certificate"], second.chain_pem)
    mooring.wait_log("identity files not taken up")
    check.equal(serial(mooring), first, "serial while the pair does not match")
    again = tlspeer.connect(case, mooring.public, authority.leaf("web"), authority.pem)
    again.handshake()
    check.equal(mooring.admin("/ready")[0], 200, "/ready")
    replace(files["private_key"], second.key_pem)
    check.within(lambda: serial(mooring) != first, "the new pair is in force", 5)
    check.equal(caller.send(b"two").receive(3), b"two", "the connection of the old pair goes on")


def test_new_roots_are_taken_up_and_old_callers_refused(case):
    old, new = certs.Authority("Old Root"), certs.Authority("New Root")
    mooring, files = made(case, old, old.leaf("payment"))
    identity = new.leaf("payment")
    replace(files["certificate"], identity.chain_pem)
    replace(files["private_key"], identity.key_pem)
    replace(files["roots"], new.pem)
    before = serial(mooring)
    check.within(lambda: serial(mooring) != before, "the new set is in force", 5)
    caller = tlspeer.connect(case, mooring.public, new.leaf("web"), new.pem)
    caller.handshake()
    stranger = tlspeer.connect(case, mooring.public, old.leaf("web"), new.pem)
    try:
        stranger.handshake()
        stranger.drain()
    except tlspeer.Refused:
        pass
    mooring.wait_closed("inbound", "unknown_ca")


def test_ready_turns_503_when_the_leaf_has_expired_and_new_connections_say_why(case):
    authority = certs.Authority()
    # Valid for a few seconds more.
    mooring, files = made(case, authority, authority.leaf("payment", start=-certs.HOUR,
                                                          lifetime=certs.HOUR + certs.HOUR / 900))
    check.equal(mooring.admin("/ready")[0], 200, "/ready before")
    check.within(lambda: mooring.admin("/ready")[0] == 503, "/ready turns", 10)
    check.true("expired" in mooring.admin("/ready")[1], mooring.admin("/ready")[1])
    caller = apps.Client(case, mooring.public)
    check.one_of(caller.drain()[1], ("eof", "reset"), "end")
    mooring.wait_closed("inbound", "leaf_expired")
    fresh = authority.leaf("payment")
    replace(files["private_key"], fresh.key_pem)
    replace(files["certificate"], fresh.chain_pem)
    check.within(lambda: mooring.admin("/ready")[0] == 200, "/ready after a new leaf", 5)


def test_host_names_work_wherever_an_address_is_asked_for(case):
    authority = certs.Authority()
    app = apps.App(case, apps.echo)
    endpoint = tlspeer.Endpoint(case)
    mooring = Mooring.from_yaml(case, {
        "service": "payment", "identity": identity_files(case, authority, "payment"),
        "public_listener": {"address": "localhost:0", "local_app": f"localhost:{app.port}"},
        "intentions": {"default": "allow"}, "admin": {"address": "localhost:0"},
        "upstreams": [{"service": "db", "listen": "localhost:0", "endpoints": [f"localhost:{endpoint.port}"]}]})
    caller = tlspeer.connect(case, mooring.public, authority.leaf("web"), authority.pem)
    caller.handshake()
    check.equal(caller.send(b"ping").receive(4), b"ping", "echo")
    client = apps.Client(case, mooring.upstream("db"))
    peer = endpoint.accept(authority.leaf("db"), authority.pem)
    peer.handshake()
    client.send(b"ping")
    check.equal(peer.receive(4), b"ping", "bytes at the endpoint")


def test_spiffe_id_of_an_upstream_overrides_the_one_made_of_its_name(case):
    authority = certs.Authority()
    other = Static(case, authority=authority, upstream={"spiffe_id": authority.uri("other", datacenter="dc9")})
    client = other.client()
    peer = other.endpoint.accept(authority.leaf("other", authority.uri("other", datacenter="dc9")), authority.pem)
    peer.handshake()
    client.send(b"x")
    check.equal(peer.receive(1), b"x", "byte at the overridden identity")


def test_two_workers_serve_and_count_together(case):
    static = Static(case, workers=2)
    for _ in range(20):
        static.serves()
    static.mooring.wait_idle()
    check.equal(sum(static.mooring.closed("inbound").values()), 20, "connections counted")
