"""How a TLS connection ends, act by act: close_notify, FIN and RST against mooring (I19, I20, I21)."""

from lib import apps, check
from lib.static import Static

EXPECTED_SECONDS = 15
VERSIONS = ("1.2", "1.3")
ANSWER = apps.pattern(300_000, seed=5)


def setup_module(case):
    global late, echo
    late = Static(case, apps.late(ANSWER))
    echo = Static(case, apps.echo)


def ends(case, acts):
    for tls in VERSIONS:
        before = dict(late.mooring.closed("inbound"))
        peer = late.caller(case, tls).send(b"x" * 1000)
        for act in acts:
            getattr(peer, act)()
        check.equal(peer.drain(), (ANSWER, "notify"), f"TLS {tls}: the answer, then close_notify")
        if "finish" not in acts:
            # With our own FIN still owed, the other side may wait for it; not for ever.
            peer.finish()
        check.true(peer.fin_within(2), f"TLS {tls}: a FIN follows")
        check.true(not peer.was_reset, f"TLS {tls}: no reset")
        check.equal(late.app.ended(late.app.count() - 1).received, 1000, "bytes at the application")
        reason = "done" if "notify" in acts else "tls_truncated"
        late.mooring.wait_closed("inbound", reason, before.get(reason, 0) + 1)


def test_I19_a_peer_that_sends_close_notify_only_gets_the_answer(case):
    ends(case, ["notify"])


def test_I19_a_peer_that_sends_a_fin_only_gets_the_answer(case):
    ends(case, ["finish"])


def test_I19_a_peer_that_sends_close_notify_and_fin_gets_the_answer(case):
    ends(case, ["notify", "finish"])


def test_I20_half_close_of_the_application_is_close_notify_without_fin(case):
    for tls in VERSIONS:
        client, peer = late.called(case, tls)
        client.send(b"request").finish()
        check.equal(peer.drain(), (b"request", "notify"), f"TLS {tls}: request, then close_notify")
        check.true(not peer.fin_within(0.3), f"TLS {tls}: no FIN while the answer is owed")
        peer.send(b"late").notify().finish()
        check.equal(client.drain(), (b"late", "eof"), f"TLS {tls}: late answer")
        check.true(peer.fin_within(2), f"TLS {tls}: the FIN comes once both directions ended")


def test_I20_half_close_of_the_server_is_close_notify_without_fin(case):
    closing = Static(case, apps.close_first)
    for tls in VERSIONS:
        peer = closing.caller(case, tls)
        check.equal(peer.drain(), (b"hello\n", "notify"), f"TLS {tls}: greeting, then close_notify")
        check.true(not peer.fin_within(0.3), f"TLS {tls}: no FIN while we may still send")
        sent = apps.pattern(100_000)
        peer.send(sent)
        peer.notify().finish()
        seen = closing.app.ended(closing.app.count() - 1)
        check.equal((seen.received, seen.end), (len(sent), "eof"), f"TLS {tls}: at the application")


def test_I20_a_peer_that_never_closes_does_not_hold_a_finished_connection(case):
    # Both directions have ended, the peer's FIN never comes: gone within a second or so.
    peer = late.caller(case).send(b"x").notify()
    check.equal(peer.drain(), (ANSWER, "notify"), "answer")
    late.mooring.wait_idle(3)


def test_I21_a_reset_of_the_application_is_a_reset_on_the_tls_side_and_no_close_notify(case):
    resetting = Static(case, apps.refuse_after_answer)
    for number, tls in enumerate(VERSIONS):
        peer = resetting.caller(case, tls).send(b"request")
        check.equal(peer.receive(3), b"bye", f"TLS {tls}: the answer before the reset")
        resetting.app.connection(number).go.set()
        data, how = peer.drain()
        check.equal((data, how), (b"", "reset"), f"TLS {tls}: after the answer")
        check.equal(peer.alerts, [], f"TLS {tls}: alerts before the reset")
    resetting.mooring.wait_closed("inbound", "reset", 2)


def test_I21_a_reset_of_the_tls_peer_reaches_the_application(case):
    for tls in VERSIONS:
        before = echo.mooring.closed("inbound", "reset")
        peer = echo.caller(case, tls)
        check.equal(peer.send(b"ping").receive(4), b"ping", "echo")
        peer.reset()
        check.equal(echo.app.ended(echo.app.count() - 1).end, "reset", f"TLS {tls}: end at the application")
        echo.mooring.wait_closed("inbound", "reset", before + 1)


def test_I21_bytes_of_the_tls_peer_before_its_reset_reach_the_application(case):
    before = late.app.count()
    peer = late.caller(case).send(apps.pattern(1000))
    late.app.connection(before)
    late.app.wait(lambda: late.app.seen[before].received == 1000, "1000 bytes at the application")
    peer.reset()
    seen = late.app.ended(before)
    check.equal((seen.received, seen.end), (1000, "reset"), "what the application saw")


def test_I21_a_reset_of_the_upstream_peer_reaches_the_client(case):
    for tls in VERSIONS:
        client, peer = echo.called(case, tls)
        client.send(b"ping")
        check.equal(peer.receive(4), b"ping", "request")
        peer.send(b"pong")
        check.equal(client.receive(4), b"pong", "answer")
        peer.reset()
        check.equal(client.drain(), (b"", "reset"), f"TLS {tls}: end at the client")


def test_I21_a_reset_of_the_client_reaches_the_upstream_peer_without_close_notify(case):
    for tls in VERSIONS:
        client, peer = echo.called(case, tls)
        client.send(b"ping")
        check.equal(peer.receive(4), b"ping", "request")
        client.reset()
        check.equal(peer.drain(), (b"", "reset"), f"TLS {tls}: end at the peer")
        check.equal(peer.alerts, [], f"TLS {tls}: alerts before the reset")
