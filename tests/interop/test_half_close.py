"""One direction ends, the other goes on: through pairs of sidecars (I17, I18, I22)."""

from lib import apps, check
from lib.mesh import PAIR_WITH_ITSELF, PAIRS_WITH_ENVOY, PAIRS_WITH_GO, Mesh, for_pairs

EXPECTED_SECONDS = 15
ANSWER = apps.pattern(1_000_000, seed=3)


def setup_module(case):
    global mesh
    mesh = Mesh(case)


@for_pairs(globals(), PAIRS_WITH_ENVOY + PAIR_WITH_ITSELF)
def test_I17_an_answer_after_the_clients_end_is_delivered_whole(case, client, server, tls):
    pair = mesh.pair(case, client, server, apps.late(ANSWER), tls)
    request = apps.pattern(50_000)
    answer = apps.Client(case, pair.address).send(request).finish().drain()
    check.equal(answer, (ANSWER, "eof"), "the late answer")
    check.equal(pair.app.ended().received, len(request), "bytes of the request at the application")
    for mooring in pair.moorings():
        mooring.wait_idle()


@for_pairs(globals(), PAIRS_WITH_ENVOY + PAIR_WITH_ITSELF)
def test_I17_a_client_goes_on_sending_after_the_servers_end(case, client, server, tls):
    pair = mesh.pair(case, client, server, apps.close_first, tls)
    sent = apps.pattern(200_000)
    connection = apps.Client(case, pair.address)
    check.equal(connection.drain(), (b"hello\n", "eof"), "greeting, then the server's end")
    connection.send(sent).finish()
    seen = pair.app.ended()
    check.equal((seen.received, seen.end), (len(sent), "eof"), "what the application got after its own end")


@for_pairs(globals(), PAIRS_WITH_GO)
def test_I18_nothing_is_lost_by_mooring_where_go_drops_half_close(case, client, server, tls):
    pair = mesh.pair(case, client, server, apps.late(ANSWER), tls)
    request = apps.pattern(50_000)
    connection = apps.Client(case, pair.address).send(request).finish()
    answer, end = connection.drain()
    check.true(end != "timeout", "the client is not left hanging")
    check.true(ANSWER.startswith(answer), "what arrives is the beginning of the answer")
    check.equal(pair.app.ended().received, len(request), "bytes of the request at the application")
    for mooring in pair.moorings():
        mooring.wait_idle()


@for_pairs(globals(), PAIRS_WITH_ENVOY + PAIR_WITH_ITSELF)
def test_I22_an_application_that_closes_first_gets_all_later_bytes(case, client, server, tls):
    pair = mesh.pair(case, client, server, apps.close_first, tls)
    connection = apps.Client(case, pair.address)
    check.equal(connection.receive(6), b"hello\n", "greeting")
    chunk = apps.pattern(1000)
    for number in range(1, 21):
        connection.send(chunk)
        pair.app.wait(lambda n=number: pair.app.seen[0].received >= n * 1000, f"chunk {number}")
    connection.finish()
    check.equal(pair.app.ended().end, "eof", "end at the application")
    check.equal(connection.drain(), (b"", "eof"), "end at the client")
