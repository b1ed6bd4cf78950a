"""Peers that are not who they should be, by real sidecars (I06, I08, I09)."""

from lib import apps, certs, check, tlspeer
from lib.mesh import Mesh

EXPECTED_SECONDS = 20


def setup_module(case):
    global mesh
    mesh = Mesh(case)


def refused_client(case, address):
    client = apps.Client(case, address).send(b"secret")
    data, end = client.drain()
    check.equal(data, b"", "bytes from the wrong peer")
    check.one_of(end, ("eof", "reset"), "end at the application")


def wrong_server(case, kind):
    """A catalog entry of `other` that points at db's sidecar."""
    db, other, web = mesh.name("db"), mesh.name("other"), mesh.name("web")
    app = apps.App(case, apps.echo)
    inbound = mesh.inbound(case, kind, db, app.address)
    mesh.consul.register_proxy(other, inbound.address[1])
    outbound = mesh.outbound(case, "mooring", web, other)
    refused_client(case, outbound.address)
    check.true(outbound.program.attempts_failed().get("san_mismatch"), "the attempt is counted as san_mismatch: "
               f"{outbound.program.attempts_failed()}")
    check.true(all(seen.received == 0 for seen in app.seen), "no byte of the caller reached the wrong service")
    # With a right instance beside the wrong one, every call goes through.
    right_app = apps.App(case, apps.echo)
    mesh.inbound(case, "mooring", other, right_app.address)
    check.within(lambda: apps.ping(outbound.address), "a call goes through once a right instance is there")
    for _ in range(6):
        apps.echo_works(case, outbound.address)
    check.true(all(seen.received == 0 for seen in app.seen), "no byte of the caller reached the wrong service")


def test_I06_an_envoy_of_another_service_is_refused_and_the_next_instance_tried(case):
    wrong_server(case, "envoy")


def test_I06_a_go_proxy_of_another_service_is_refused_and_the_next_instance_tried(case):
    wrong_server(case, "go")


def test_I06_a_mooring_of_another_service_is_refused_and_the_next_instance_tried(case):
    wrong_server(case, "mooring")


def test_I06_the_wrong_peer_is_told_by_an_alert(case):
    db, other, web = mesh.name("db"), mesh.name("other"), mesh.name("web")
    endpoint = tlspeer.Endpoint(case)
    mesh.consul.register_proxy(other, endpoint.port)
    outbound = mesh.outbound(case, "mooring", web, other)
    for tls in ("1.2", "1.3"):
        client = apps.Client(case, outbound.address)
        peer = endpoint.accept(certs.from_agent(mesh.consul.leaf(db)), mesh.consul.roots_pem(), tls)
        try:
            peer.handshake()
            check.fail("mooring went on with a peer of another name")
        except tlspeer.Refused as refusal:
            check.one_of(refusal.alert, ("CERTIFICATE_UNKNOWN", "BAD_CERTIFICATE"), "alert")
        check.one_of(client.drain(), ((b"", "eof"), (b"", "reset")), "end at the application")


def test_I06_envoy_that_expects_another_service_of_mooring_leaves(case):
    db, web = mesh.name("db"), mesh.name("web")
    app = apps.App(case, apps.echo)
    inbound = mesh.inbound(case, "mooring", db, app.address)
    for tls in ("1.2", "1.3"):
        outbound = mesh.outbound(case, "envoy", web, db, tls, expect=mesh.consul.uri("someone-else"))
        refused_client(case, outbound.address)
    inbound.program.wait_closed("inbound", "peer_alert", 2)
    check.equal(app.count(), 0, "connections at the application")


def test_I08_envoy_without_a_certificate_is_refused_in_both_versions(case):
    db, web = mesh.name("db"), mesh.name("web")
    app = apps.App(case, apps.echo)
    inbound = mesh.inbound(case, "mooring", db, app.address)
    for tls in ("1.2", "1.3"):
        outbound = mesh.outbound(case, "envoy", web, db, tls, certificate=False)
        refused_client(case, outbound.address)
    inbound.program.wait_closed("inbound", "no_client_certificate", 2)
    check.equal(app.count(), 0, "connections at the application")


def test_I09_envoy_of_another_ca_is_refused(case):
    db, web = mesh.name("db"), mesh.name("web")
    foreign = certs.Authority("Other Root", mesh.consul.trust_domain)
    identity = foreign.leaf(web)
    app = apps.App(case, apps.echo)
    inbound = mesh.inbound(case, "mooring", db, app.address)
    outbound = mesh.outbound(case, "envoy", web, db, identity=(identity.chain_pem, identity.key_pem))
    refused_client(case, outbound.address)
    inbound.program.wait_closed("inbound", "unknown_ca")
    check.equal(app.count(), 0, "connections at the application")


def test_I09_mooring_refuses_an_envoy_of_another_ca(case):
    db, web = mesh.name("db"), mesh.name("web")
    identity = certs.Authority("Other Root", mesh.consul.trust_domain).leaf(db)
    app = apps.App(case, apps.echo)
    mesh.inbound(case, "envoy", db, app.address, identity=(identity.chain_pem, identity.key_pem))
    outbound = mesh.outbound(case, "mooring", web, db)
    refused_client(case, outbound.address)
    check.true(outbound.program.attempts_failed().get("unknown_ca"),
               f"the attempt is counted as unknown_ca: {outbound.program.attempts_failed()}")
    check.true(all(seen.received == 0 for seen in app.seen), "no byte of the caller reached the application")
