"""Bounds of memory and time, through pairs and alone (I23, I24, I25, I30)."""

from lib import apps, check, tlspeer
from lib.blackhole import BlackHole
from lib.case import now, sanitized, slowness
from lib.mesh import PAIR_WITH_ITSELF, PAIRS_WITH_ENVOY, Mesh, for_pairs
from lib.ports import free_port
from lib.static import Static

EXPECTED_SECONDS = 30
MIB = 1 << 20


def setup_module(case):
    global mesh
    mesh = Mesh(case)


@for_pairs(globals(), PAIRS_WITH_ENVOY[1:3] + PAIR_WITH_ITSELF)
def test_I23_a_sender_to_an_application_that_never_reads_is_held_up(case, client, server, tls):
    pair = mesh.pair(case, client, server, apps.sink, tls, receive_buffer=1 << 16)
    apps.Client(case, pair.address)  # the first connection loads what is loaded once
    before = [m.process.resident() for m in pair.moorings()]
    offered = case.scale(384, 1024) * MIB
    count = 3
    clients = [apps.Client(case, pair.address) for _ in range(count)]
    sent = [c.flood(offered // count, seconds=0.7 * slowness()) for c in clients]
    # A receive buffer of the kernel's grows to 32 MiB, and there are three hops; what is offered does not fit.
    check.true(all(0 < n < offered // count for n in sent),
               f"senders block: {sent} bytes of {offered // count} each were taken")
    if not sanitized():
        for mooring, start in zip(pair.moorings(), before):
            check.below(mooring.process.resident() - start, (2 + count) * MIB,
                        f"growth of {mooring.process.name} by {count} stalled connections")
    for seen in pair.app.seen:
        seen.go.set()
    for connection in clients:
        connection.finish()
    pair.app.wait(lambda: sum(s.received for s in pair.app.seen) == sum(sent), "every byte that was taken", 30)


def test_I24_an_idle_connection_is_closed_with_fin_and_counted(case):
    static = Static(case, idle_timeout="1500ms")
    peer = static.caller(case)
    check.equal(peer.send(b"ping").receive(4), b"ping", "echo")
    client, server = static.called(case)
    client.send(b"ping")
    check.equal(server.receive(4), b"ping", "request")
    started = now()
    check.equal(peer.drain(), (b"", "notify"), "end of the idle caller")
    check.true(1.2 < now() - started < 1.5 + 2 * slowness(), f"after {now() - started:.1f} s")
    check.true(peer.fin_within(2), "a FIN follows")
    check.equal(client.drain(), (b"", "eof"), "end of the idle client")
    check.equal(static.app.ended(0).end, "eof", "end at the application")
    static.mooring.wait_closed("inbound", "idle_timeout")
    static.mooring.wait_closed("outbound", "idle_timeout")


def test_I24_bytes_in_one_direction_keep_a_connection(case):
    static = Static(case, behaviour=apps.sink, idle_timeout="1s")
    peer = static.caller(case)
    static.app.connection(0).go.set()
    started = now()
    sent = 0
    while now() - started < 2.5:
        check.true(not peer.pull(0.25), "the busy connection stays open")
        peer.send(b"x")
        sent += 1
        static.app.wait(lambda: static.app.seen[0].received == sent, "each byte arrives")
    check.equal(static.mooring.active("inbound"), 1, "connections")


def test_I24_silence_alone_never_ends_a_connection_by_default(case):
    static = Static(case)
    peer = static.caller(case)
    check.equal(peer.send(b"ping").receive(4), b"ping", "echo")
    check.true(not peer.pull(3.0), "nothing comes, not even an end")
    check.equal(peer.send(b"ping").receive(4), b"ping", "echo after silence")


def test_I25_an_application_that_is_down_is_a_fast_close_and_recovers(case):
    db, web = mesh.name("db"), mesh.name("web")
    port = free_port()
    inbound = mesh.inbound(case, "mooring", db, ("127.0.0.1", port))
    outbound = mesh.outbound(case, "mooring", web, db)
    started = now()
    data, end = apps.Client(case, outbound.address).send(b"ping").drain()
    check.equal(data, b"", "bytes from an application that is down")
    check.one_of(end, ("eof", "reset"), "end at the client")
    check.below(now() - started, 2 * slowness(), "seconds until the close")
    inbound.program.wait_closed("inbound", "local_connect_failed")
    outbound.program.wait_log(rf'\[WARN\].*(outbound ended|upstream attempt failed): upstream=upstream:{db} .*internal error.*the instance may not reach its app')
    apps.App(case, apps.echo, port=port)
    check.within(lambda: apps.ping(outbound.address), "calls go through once the application is up")


def test_I25_a_refused_instance_is_followed_by_another(case):
    db, web = mesh.name("db"), mesh.name("web")
    app = apps.App(case, apps.echo)
    mesh.inbound(case, "mooring", db, app.address)
    for number in range(2):
        mesh.consul.register_proxy(db, free_port(), identifier=f"{db}-dead-{number}")
    outbound = mesh.outbound(case, "mooring", web, db)
    for _ in range(9):
        apps.echo_works(case, outbound.address)
    check.true(outbound.program.attempts_failed().get("connect_refused"),
               f"refused attempts are counted: {outbound.program.attempts_failed()}")


def test_I25_every_instance_refused_is_a_fast_close(case):
    static = Static(case, endpoints=[f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"])
    started = now()
    data, end = static.client(case).send(b"ping").drain()
    check.equal((data, end), (b"", "reset"), "end at the client")
    check.below(now() - started, 1 * slowness(), "seconds until the close")
    static.mooring.wait_closed("outbound", {"connect_failed", "connect_refused"})


def test_I25_a_black_hole_ends_at_the_connect_deadline(case):
    hole = BlackHole(case)
    static = Static(case, endpoints=[f"127.0.0.1:{hole.port}"], connect_timeout="1500ms")
    started = now()
    data, end = static.client(case).send(b"ping").drain()
    took = now() - started
    check.equal((data, end), (b"", "reset"), "end at the client")
    check.true(1.3 < took < 1.5 + slowness(), f"it took {took:.2f} s, the deadline is 1.5 s")
    static.mooring.wait_closed("outbound", "connect_timeout")


def test_I25_a_black_hole_among_instances_costs_less_than_the_deadline(case):
    hole = BlackHole(case)
    endpoint = tlspeer.Endpoint(case)
    static = Static(case, endpoints=[f"127.0.0.1:{hole.port}", f"127.0.0.1:{endpoint.port}"],
                    connect_timeout="3s")
    for _ in range(2):
        client = static.client(case).send(b"ping")
        peer = endpoint.accept(static.db, static.roots)
        peer.handshake()
        check.equal(peer.receive(4), b"ping", "request")
        client.close()


def test_I25_a_silent_instance_ends_at_the_connect_deadline(case):
    static = Static(case, connect_timeout="1500ms")
    started = now()
    client = static.client(case).send(b"ping")
    silent = static.endpoint.accept_socket()
    data, end = client.drain()
    took = now() - started
    check.equal((data, end), (b"", "reset"), "end at the client")
    check.true(1.3 < took < 1.5 + slowness(), f"it took {took:.2f} s, the deadline is 1.5 s")
    silent.close()
    static.mooring.wait_closed("outbound", {"connect_timeout", "handshake_timeout"})


def test_I30_connects_and_closes_of_a_health_probe_leave_nothing_behind(case):
    static = Static(case)
    static.serves(case)
    static.mooring.wait_idle()
    descriptors = len(static.mooring.process.descriptors())
    dialled = static.app.count()
    count = case.scale(300, 1000)
    ports = [apps.bare_connect(static.public) for _ in range(count)]
    static.mooring.wait_closed("inbound", "probe", count)
    static.mooring.wait_idle()
    static.mooring.said_only_at_debug(ports[-5:])
    check.equal(static.app.count(), dialled, "connections at the application")
    check.within(lambda: len(static.mooring.process.descriptors()) <= descriptors + 1,
                 f"open files back to {descriptors}")
