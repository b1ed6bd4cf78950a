"""tls_groups: the group of the key exchange is one that was asked for, in both directions, in the order that was asked for."""

from lib import check
from lib.mooring import run
from lib.static import Static

EXPECTED_SECONDS = 3
DEFAULT = ["X25519MLKEM768", "X25519", "P-256"]


def groups(mesh):
    return mesh.mooring.status()["tls"]["groups"]


def test_the_handshake_has_the_group_that_is_asked_for(case):
    for group in ("X25519", "P-256", "P-384"):
        mesh = Static(case, tls_groups=[group])
        check.equal(groups(mesh), [group], "groups in /status")
        # What a caller offers is its own matter; what we choose is the share of its last ClientHello.
        caller = mesh.caller()
        check.true(group in caller.hello.groups, "the caller has it")
        check.equal(caller.hello.key_shares, [group], "the caller's share")
        check.equal(caller.send(b"ping").receive(4), b"ping", "echo")
        _, db = mesh.called()
        check.equal((db.hello.groups, db.hello.key_shares), ([group], [group]), "offered to an upstream")


def test_the_order_is_the_preference_and_the_hybrid_is_first_unless_told(case):
    mesh = Static(case)
    _, db = mesh.called()
    check.equal((groups(mesh), db.hello.groups), (DEFAULT, DEFAULT), "groups by default")
    check.equal(mesh.caller().hello.key_shares, ["X25519"], "the first of ours that the caller has")
    order = ["P-384", "X25519", "P-256"]
    mesh = Static(case, tls_groups=order)
    _, db = mesh.called()
    check.equal((groups(mesh), db.hello.groups), (order, order), "groups in another order")
    check.equal(mesh.caller().hello.key_shares, ["P-384"], "the first of ours again")


def test_a_group_that_is_none_is_an_error_that_lists_them(case):
    path = case.write("groups.yaml", "proxy_id: a\ntls_groups: [X25519, P-521]\n")
    there_are = "there are X25519MLKEM768, X25519, P-256, P-384"
    code, _, errors = run("validate", path)
    check.true(code == 1 and f"{path}:2:13: tls_groups: \"P-521\" is no group" in errors and there_are in errors, errors)
    code, _, errors = run("connect", "proxy", "-proxy-id", "a", "-tls-groups", "x25519")
    check.true(code == 78 and "for flag -tls-groups: \"x25519\" is no group" in errors and there_are in errors, errors)
