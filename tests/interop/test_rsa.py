"""An RSA authority and RSA leaves, both directions, with every kind of peer (I33)."""

from lib import apps, certs, check, tlspeer
from lib.mesh import PAIR_WITH_ITSELF, PAIRS_WITH_ENVOY, PAIRS_WITH_GO, Mesh, for_pairs
from lib.mooring import Mooring
from lib.static import Static, identity_files

EXPECTED_SECONDS = 12


def setup_module(case):
    global mesh
    mesh = Mesh(case, ca={"private_key_type": "rsa", "private_key_bits": 2048})
    root = mesh.consul.roots()["Roots"][0]
    check.equal(root["PrivateKeyType"], "rsa", "the agent's CA key")


@for_pairs(globals(), PAIRS_WITH_ENVOY + PAIRS_WITH_GO + PAIR_WITH_ITSELF)
def test_I33_calls_go_through_under_an_rsa_authority(case, client, server, tls):
    pair = mesh.pair(case, client, server, apps.echo, tls)
    data = apps.pattern(100_000)
    check.equal(apps.exchange(case, pair.address, data), (data, "eof"), "echo")


def test_I33_rsa_leaves_are_accepted_and_shown(case):
    authority = certs.Authority("RSA Root", key="rsa2048")
    static = Static(case, authority=authority)
    leaves = {kind: authority.leaf("web", key=kind)
              for kind in ("rsa2048", case.scale("rsa3072", "rsa4096"), "ec")}
    server = authority.leaf("db", key="rsa2048")
    for tls in ("1.2", "1.3"):
        for kind, leaf in leaves.items():
            peer = static.dial(case, leaf, tls)
            peer.handshake()
            check.equal(peer.send(b"ping").receive(4), b"ping", f"echo for a leaf of {kind} in TLS {tls}")
            peer.close()
        client, peer = static.called(case, tls, identity=server)
        client.send(b"ping")
        check.equal(peer.receive(4), b"ping", f"request to a server with an RSA leaf in TLS {tls}")


test_I33_rsa_leaves_are_accepted_and_shown.limit = 90  # large keys take their time to be found


def test_I33_our_own_leaf_may_be_rsa_in_either_pem_form(case):
    authority = certs.Authority()
    app = apps.App(case, apps.echo)
    for form in (False, True):
        identity = authority.leaf("payment", key="rsa2048", pkcs8=form)
        program = Mooring.from_yaml(case, {
            "service": "payment", "identity": identity_files(case, authority, "payment", identity),
            "public_listener": {"address": "127.0.0.1:0", "local_app": f"127.0.0.1:{app.port}"},
            "intentions": {"rules": [{"source": "web", "action": "allow"}]}})
        for tls in ("1.2", "1.3"):
            peer = tlspeer.connect(case, program.public, authority.leaf("web"), authority.pem, tls)
            check.equal(peer.handshake(), [authority.uri("payment")], "identity shown")
            check.equal(peer.send(b"ping").receive(4), b"ping", "echo")
            peer.close()
