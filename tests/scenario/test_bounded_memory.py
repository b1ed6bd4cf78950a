"""Row 30: a sender that is faster than its reader stalls, and costs bounded memory. What is
idle costs little."""

import hashlib

from lib import apps, check
from lib.case import sanitized, slowness
from lib.static import Static

EXPECTED_SECONDS = 25
MIB = 1 << 20
PER_CONNECTION = 256 << 10
PER_IDLE = 12 << 10  # without a buffer, and without what the handshake needed
# More than the kernel's own buffers take on the way: a receive buffer grows to 32 MiB (tcp_rmem), a send buffer to 4.
OFFERED = 128 * MIB


def stalled(case, static, open_sender, count, offered):
    """stalled opens senders whose readers do not read, and returns (senders, bytes taken of each)."""
    before = static.mooring.process.resident()
    senders = [open_sender() for _ in range(count)]
    taken = [s.flood(offered, seconds=0.7 * slowness()) for s in senders]
    check.true(all(0 < n < offered for n in taken), f"senders stall: {taken} of {offered} bytes were taken")
    if not sanitized():
        check.below(static.mooring.process.resident() - before, count * PER_CONNECTION + 2 * MIB,
                    f"growth by {count} stalled connections")
    return senders, taken


def test_row_30_a_client_of_an_upstream_that_never_reads_is_held_up(case):
    static = Static(case)
    static.called(case)
    peers = []

    def open_sender():
        client, peer = static.called(case)
        peers.append(peer)
        return client

    senders, taken = stalled(case, static, open_sender, case.scale(6, 16), case.scale(1, 8) * OFFERED)
    for sender, peer, count in zip(senders, peers, taken):
        sender.finish()
        check.equal(len(peer.receive(count)), count, "bytes that were taken arrive once the reader reads")


test_row_30_a_client_of_an_upstream_that_never_reads_is_held_up.limit = 60


def test_row_30_a_caller_of_an_application_that_never_reads_is_held_up(case):
    static = Static(case, apps.sink, receive_buffer=1 << 16)
    static.caller(case)

    class Flooder:
        def __init__(self):
            self.peer = static.caller(case)

        def flood(self, limit, seconds):
            self.peer.socket.settimeout(seconds)
            sent, chunk = 0, b"f" * 65536
            try:
                while sent < limit:
                    self.peer.send(chunk)
                    sent += len(chunk)
            except TimeoutError:
                pass
            return sent + 1  # what is in flight when it stalls is not counted in bytes

    stalled(case, static, Flooder, case.scale(6, 16), case.scale(1, 8) * OFFERED)


def test_row_30_a_slow_reader_gets_every_byte(case):
    length = case.scale(24, 1024) * MIB
    block = apps.pattern(MIB)

    def pour(app, seen):
        for _ in range(length // MIB):
            seen.connection.sendall(block)

    static = Static(case, pour)
    peer = static.caller(case, receive_buffer=1 << 14)
    before = static.mooring.process.resident()
    got, wanted = hashlib.sha256(), hashlib.sha256()
    for _ in range(length // MIB):
        got.update(peer.receive(MIB))
        wanted.update(block)
    check.equal(peer.drain(), (b"", "notify"), "the end of the stream")
    check.equal(got.hexdigest(), wanted.hexdigest(), "digest")
    if not sanitized():
        check.below(static.mooring.process.resident() - before, PER_CONNECTION + 2 * MIB, "growth")


test_row_30_a_slow_reader_gets_every_byte.limit = 120


def test_memory_of_a_bulk_stream_is_given_back_while_its_connection_lives(case):
    if sanitized():
        raise check.Skip("a sanitizer keeps the heap to itself")
    length = case.scale(128, 1024) * MIB
    block = apps.pattern(MIB)

    def pour(app, seen):
        for count in (length // MIB, 1):
            seen.take(seen.connection.recv(1))
            for _ in range(count):
                seen.connection.sendall(block)

    static = Static(case, pour)
    process = static.mooring.process
    peer = static.caller(case)
    before = process.anonymous()
    peer.send(b"x")
    for _ in range(length // MIB):
        check.equal(len(peer.receive(MIB)), MIB, "bytes of the stream")
    # Two sweeps of five seconds: one learns that the stream is over, by the next there has been none.
    check.within(lambda: process.anonymous() - before <= PER_CONNECTION, "memory that the stream had is given back", 20)
    peer.send(b"x")
    check.equal(len(peer.receive(MIB)), MIB, "bytes of the next stream")


test_memory_of_a_bulk_stream_is_given_back_while_its_connection_lives.limit = 60


def held_cheaply(case, process, hold):
    """held_cheaply holds idle connections, each of which has carried a message both ways."""
    if sanitized():
        raise check.Skip("a sanitizer keeps the heap to itself")
    for _ in range(50):  # the first ones make what all share
        hold()
    before, count = process.resident(), case.scale(200, 1000)
    for _ in range(count):
        hold()
    check.below((process.resident() - before) / count, PER_IDLE, "growth by an idle connection")


def test_an_idle_connection_of_a_caller_holds_little_memory(case):
    static = Static(case)

    def hold():
        peer = static.caller(case)
        check.equal(peer.send(b"ping").receive(4), b"ping", "echo")

    held_cheaply(case, static.mooring.process, hold)


def test_an_idle_connection_to_an_instance_holds_little_memory(case):
    static = Static(case)

    def hold():
        client, peer = static.called(case)
        client.send(b"ping")
        check.equal(peer.receive(4), b"ping", "bytes at the instance")
        peer.send(b"pong")
        check.equal(client.receive(4), b"pong", "the answer")

    held_cheaply(case, static.mooring.process, hold)
