"""Certificate chains made to cost who looks at them are refused, each by its own reason; field/abuse has them, too."""

from field import chain_bombs
from lib import check, tlspeer
from lib.static import Static

EXPECTED_SECONDS = 2

# More bytes than are read; more certificates than are looked at; what has to be looked at, and leads to no root.
ENDS = {"number": ("ILLEGAL_PARAMETER", "tls_error"), "size": ("ILLEGAL_PARAMETER", "tls_error"),
        "paths": ("BAD_CERTIFICATE", "chain_too_long"), "few paths": ("UNKNOWN_CA", "unknown_ca"),
        "keys": ("UNKNOWN_CA", "unknown_ca")}


def test_row_50_a_chain_bomb_of_each_kind_is_refused_by_its_reason_and_the_app_is_not_dialled(case):
    static = Static(case)
    static.serves()
    dialled, ended = static.app.count(), {}
    for kind, make in chain_bombs.BOMBS.items():
        bomb = make(static.authority.uri("web"), static.roots)
        alert, reason = ENDS[kind]
        for tls in ("1.2", "1.3"):
            peer = static.dial(case, bomb, tls)
            tlspeer.try_in_vain(peer)
            check.equal(peer.alert(), alert, f"alert to a chain bomb by {kind}, TLS {tls}")
            peer.close()  # or its goodbye would be waited for
            ended[reason] = ended.get(reason, 0) + 1
            static.mooring.wait_closed("inbound", reason, ended[reason])
    check.equal(static.app.count(), dialled, "connections at the application")
    static.serves()
