"""Resets through pairs of sidecars: never a clean end, and what was sent before them arrives (I21)."""

from lib import apps, check
from lib.mesh import PAIR_WITH_ITSELF, PAIRS_WITH_ENVOY, PAIRS_WITH_GO, Mesh, for_pairs

EXPECTED_SECONDS = 15


def setup_module(case):
    global mesh
    mesh = Mesh(case)


@for_pairs(globals(), PAIRS_WITH_ENVOY + PAIR_WITH_ITSELF)
def test_I21_a_reset_by_the_application_reaches_the_client(case, client, server, tls):
    pair = mesh.pair(case, client, server, apps.refuse_after_answer, tls)
    connection = apps.Client(case, pair.address).send(b"request")
    check.equal(connection.receive(3), b"bye", "the answer before the reset")
    pair.app.seen[0].go.set()
    check.equal(connection.drain(), (b"", "reset"), "what follows the answer")


@for_pairs(globals(), PAIR_WITH_ITSELF)
def test_I21_bytes_sent_right_before_a_reset_arrive_first(case, client, server, tls):
    def answer_and_reset(app, seen):
        seen.take(seen.connection.recv(65536))
        seen.connection.sendall(b"bye")
        # Linux sends what is queued before the RST of a lingering close on an empty receive queue.
        apps.reset(seen.connection)

    pair = mesh.pair(case, client, server, answer_and_reset, tls)
    for attempt in range(case.scale(10, 100)):
        connection = apps.Client(case, pair.address).send(b"request")
        answer, end = connection.drain()
        check.equal(end, "reset", f"end of attempt {attempt}")
        check.true(b"bye".startswith(answer), f"only the answer's bytes arrive, not {answer}")


@for_pairs(globals(), PAIRS_WITH_ENVOY + PAIR_WITH_ITSELF)
def test_I21_a_reset_by_the_client_reaches_the_application(case, client, server, tls):
    pair = mesh.pair(case, client, server, apps.echo, tls)
    connection = apps.Client(case, pair.address)
    check.equal(connection.send(b"ping").receive(4), b"ping", "echo")
    connection.reset()
    check.equal(pair.app.ended().end, "reset", "end at the application")
    for mooring in pair.moorings():
        mooring.wait_idle()
        direction = "inbound" if mooring is pair.inbound.program else "outbound"
        check.equal(mooring.closed(direction), {"reset": 1}, f"{direction} close reasons")


@for_pairs(globals(), PAIRS_WITH_GO)
def test_I21_a_reset_ends_both_sides_with_go_in_between(case, client, server, tls):
    # Go turns resets into a clean end; all we can ask is that nothing stays behind.
    pair = mesh.pair(case, client, server, apps.echo, tls)
    connection = apps.Client(case, pair.address)
    check.equal(connection.send(b"ping").receive(4), b"ping", "echo")
    connection.reset()
    pair.app.ended()
    for mooring in pair.moorings():
        mooring.wait_idle()
