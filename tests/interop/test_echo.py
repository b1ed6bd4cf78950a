"""Bytes through every pair of sidecars, and what the two sides of a handshake agree on (I01-I03, I05, I32)."""

from lib import apps, certs, check, tlspeer
from lib.mesh import (PAIR_WITH_ITSELF, PAIRS_WITH_ENVOY, PAIRS_WITH_GO, Mesh, for_pairs)

EXPECTED_SECONDS = 20
LENGTH = 3_000_000


def setup_module(case):
    global mesh
    mesh = Mesh(case)


def negotiated(pair, what):
    """negotiated is Envoy's own counters of TLS versions, ciphers or curves in this pair, without prefix."""
    side = next(s for s in (pair.inbound, pair.outbound) if s.kind == "envoy")
    stem = r"^cluster\.upstream\." if side is pair.outbound else r"^listener\.[^/]*\."
    found = side.program.stats(stem + rf"ssl\.{what}\.")
    return {name.split(f"ssl.{what}.")[1] for name, count in found.items() if count}


@for_pairs(globals(), PAIRS_WITH_ENVOY + PAIRS_WITH_GO + PAIR_WITH_ITSELF)
def test_I01_three_megabytes_come_back_and_both_ends_see_the_end(case, client, server, tls):
    pair = mesh.pair(case, client, server, apps.echo, tls)
    data = apps.pattern(LENGTH)
    check.equal(apps.exchange(case, pair.address, data), (data, "eof"), "echo")
    seen = pair.app.ended()
    check.equal((seen.received, seen.end), (LENGTH, "eof"), "what the application saw")
    if tls:
        check.equal(negotiated(pair, "versions"), {f"TLSv{tls}"}, "TLS version by Envoy's count")
    for mooring in pair.moorings():
        mooring.wait_idle()
        direction = "inbound" if mooring is pair.inbound.program else "outbound"
        check.equal(mooring.closed(direction), {"done": 1}, f"{direction} close reasons")


def test_I02_envoy_with_its_default_of_tls12_is_accepted(case):
    pair = mesh.pair(case, "envoy", "mooring", apps.echo, tls=None)
    apps.echo_works(case, pair.address)
    check.equal(negotiated(pair, "versions"), {"TLSv1.2"}, "TLS version by Envoy's count")
    cipher = negotiated(pair, "ciphers").pop()
    check.true(cipher.startswith("ECDHE-ECDSA-") and ("GCM" in cipher or "CHACHA20" in cipher),
               f"an ECDHE-ECDSA AEAD cipher is agreed on, not {cipher}")


def test_I03_go_client_without_sni_is_accepted(case):
    pair = mesh.pair(case, "go", "mooring", apps.echo)
    for _ in range(3):
        apps.echo_works(case, pair.address, apps.pattern(10_000))


def peer_of(case, service, tls, sni=None, alpn=None):
    """peer_of is a TLS client with the leaf of a service of its own, towards a mooring in front of `service`."""
    identity = certs.from_agent(mesh.consul.leaf(mesh.name("peer")))
    return tlspeer.connect(case, service.address, identity, mesh.consul.roots_pem(), tls, sni, alpn)


def test_I03_clients_without_sni_are_accepted_in_both_versions(case):
    name = mesh.name("db")
    app = apps.App(case, apps.echo)
    inbound = mesh.inbound(case, "mooring", name, app.address)
    for tls in ("1.2", "1.3"):
        peer = peer_of(case, inbound, tls)
        check.equal(peer.handshake(), [mesh.consul.uri(name)], "the identity that mooring shows")
        check.equal(peer.version(), f"TLSv{tls}", "version")
        check.equal(peer.send(b"ping").receive(4), b"ping", "echo")
        peer.close()


def test_I05_alpn_offered_by_a_peer_is_ignored(case):
    app = apps.App(case, apps.echo)
    inbound = mesh.inbound(case, "mooring", mesh.name("db"), app.address)
    for tls in ("1.2", "1.3"):
        peer = peer_of(case, inbound, tls, alpn=["h2", "http/1.1"])
        peer.handshake()
        check.equal(peer.tls.selected_alpn_protocol(), None, "the protocol chosen")
        check.equal(peer.send(b"ping").receive(4), b"ping", "echo")
        peer.close()


def test_I05_envoy_offering_h2_is_served(case):
    web, db = mesh.name("web"), mesh.name("db")
    app = apps.App(case, apps.echo)
    mesh.inbound(case, "mooring", db, app.address)
    outbound = mesh.outbound(case, "envoy", web, db, alpn=["h2"])
    apps.echo_works(case, outbound.address)


@for_pairs(globals(), [("mooring", "envoy", "1.3"), ("envoy", "mooring", "1.3")])
def test_I32_x25519mlkem768_is_agreed_on_with_envoy(case, client, server, tls):
    pair = mesh.pair(case, client, server, apps.echo, tls)
    apps.echo_works(case, pair.address)
    check.equal(negotiated(pair, "curves"), {"X25519MLKEM768"}, "group by Envoy's count")


def test_I32_the_hybrid_group_is_offered_with_a_key_share_and_x25519_beside_it(case):
    web, db = mesh.name("web"), mesh.name("db")
    endpoint = tlspeer.Endpoint(case)
    mesh.consul.register_proxy(db, endpoint.port)
    outbound = mesh.outbound(case, "mooring", web, db)
    apps.Client(case, outbound.address)
    peer = endpoint.accept(certs.from_agent(mesh.consul.leaf(db)), mesh.consul.roots_pem())
    peer.handshake()
    check.equal(peer.hello.groups, ["X25519MLKEM768", "X25519", "P-256"], "groups, in order")
    check.true("X25519MLKEM768" in peer.hello.key_shares, "a share for the hybrid group comes at once: "
               f"{peer.hello.key_shares}")
