"""Rows 32, 33, 34 and 36: ends, resets and sizes, on the TLS and on the plain leg."""

import hashlib

from lib import apps, check
from lib.case import sanitized
from lib.static import Static

EXPECTED_SECONDS = 15
ANSWER = apps.pattern(1_000_000, seed=9)


def setup_module(case):
    global static
    static = Static(case)


def test_row_32_half_close_of_a_caller_keeps_the_return_path(case):
    late = Static(case, apps.late(ANSWER))
    for tls in ("1.2", "1.3"):
        peer = late.caller(case, tls).send(b"request").notify()
        check.equal(peer.drain(), (ANSWER, "notify"), f"TLS {tls}: the million bytes after our end")
    late.mooring.wait_idle()


def test_row_32_half_close_of_a_client_keeps_the_return_path(case):
    for tls in ("1.2", "1.3"):
        client, peer = static.called(case, tls)
        client.send(b"request").finish()
        check.equal(peer.drain(), (b"request", "notify"), f"TLS {tls}: request and its end")
        sender = apps.Sender(peer, ANSWER)
        check.equal(client.receive(len(ANSWER)), ANSWER, f"TLS {tls}: the million bytes after our end")
        sender.done()
        peer.notify().finish()
        check.equal(client.drain(), (b"", "eof"), "end of the answer")


def test_row_32_half_close_of_the_application_keeps_the_request_path(case):
    first = Static(case, apps.close_first)
    peer = first.caller(case)
    check.equal(peer.drain(), (b"hello\n", "notify"), "greeting and end")
    peer.send(ANSWER).notify().finish()
    check.equal(first.app.ended().received, len(ANSWER), "bytes at the application after its own end")


def test_row_32_half_close_of_an_upstream_keeps_the_request_path(case):
    client, peer = static.called(case)
    client.send(b"x")
    check.equal(peer.receive(1), b"x", "request")
    peer.send(b"hello").notify()
    check.equal(client.drain(), (b"hello", "eof"), "answer and its end")
    sender = apps.Sender(client, ANSWER, finish=True)
    check.equal(peer.receive(len(ANSWER)), ANSWER, "bytes at the upstream after its own end")
    sender.done()


def test_row_33_a_callers_fin_without_close_notify_is_an_end_and_counted(case):
    before = static.mooring.closed("inbound", "tls_truncated")
    for number, tls in enumerate(("1.2", "1.3"), 1):
        count = static.app.count()
        peer = static.caller(case, tls).send(b"ping").finish()
        check.equal(peer.drain(), (b"ping", "notify"), f"TLS {tls}: echo and end")
        check.equal(static.app.ended(count).end, "eof", "end at the application")
        static.mooring.wait_closed("inbound", "tls_truncated", before + number)


def test_row_33_an_upstreams_fin_without_close_notify_is_an_end_and_counted(case):
    before = static.mooring.closed("outbound", "tls_truncated")
    for number, tls in enumerate(("1.2", "1.3"), 1):
        client, peer = static.called(case, tls)
        client.send(b"ping")
        check.equal(peer.receive(4), b"ping", "request")
        peer.send(b"pong").finish()
        check.equal(client.drain(), (b"pong", "eof"), f"TLS {tls}: answer and end")
        client.finish()
        static.mooring.wait_closed("outbound", "tls_truncated", before + number)


def test_row_34_resets_in_mid_transfer_pass_and_leave_nothing_behind(case):
    rounds = case.scale(100, 5000)
    for _ in range(3):  # what is loaded or pooled once
        static.serves(case)
    static.mooring.wait_idle()
    process = static.mooring.process
    descriptors, resident = len(process.descriptors()), process.resident()
    reset_before = static.mooring.closed("inbound", "reset") + static.mooring.closed("outbound", "reset")
    chunk = apps.pattern(40_000)
    for number in range(rounds):
        count = static.app.count()
        peer = static.caller(None)
        peer.send(chunk)
        static.app.connection(count)
        peer.reset()
        client, server = static.called(case=case)
        client.send(chunk)
        check.true(server.receive(10_000), "part of the request")
        (client if number % 2 else server).reset()
        if number % 2 == 0:
            check.equal(client.drain()[1], "reset", "end at the client")
            client.close()
        else:
            check.equal(server.drain()[1], "reset", "end at the upstream")
            server.close()
    static.mooring.wait_idle(15)
    check.within(lambda: len(process.descriptors()) <= descriptors + 1, f"open files back to {descriptors}")
    if not sanitized():
        check.below(process.resident() - resident, 6 << 20, "growth in bytes")
    resets = static.mooring.closed("inbound", "reset") + static.mooring.closed("outbound", "reset")
    check.equal(resets - reset_before, 2 * rounds, "connections counted as reset")


test_row_34_resets_in_mid_transfer_pass_and_leave_nothing_behind.limit = 400


def sizes():
    for edge in (16384, 32768, 65536, 262144):
        yield from (edge - 1, edge, edge + 1)


def test_row_36_sizes_around_record_and_buffer_boundaries_arrive_whole(case):
    for size in sizes():
        data = apps.pattern(size, seed=size % 251)
        peer = static.caller(case)
        check.equal(peer.send(data).receive(size), data, f"echo of {size} bytes")
        peer.close()
        client, server = static.called(case)
        sender = apps.Sender(client, data, finish=True)
        check.equal(server.drain(), (data, "notify"), f"request of {size} bytes")
        sender.done()
        server.send(data).notify().finish()
        check.equal(client.drain(), (data, "eof"), f"answer of {size} bytes")


def test_row_36_single_byte_writes_arrive_whole(case):
    data = apps.pattern(case.scale(1500, 20_000))
    digest = hashlib.sha256(data).hexdigest()
    count = static.app.count()
    peer = static.caller(case)
    for at in range(len(data)):
        peer.send(data[at:at + 1])
    check.equal(peer.receive(len(data)), data, "echo")
    peer.notify().finish()
    check.equal(static.app.ended(count).sha256(), digest, "digest at the application")
    client, server = static.called(case)
    for at in range(len(data)):
        client.send(data[at:at + 1])
    client.finish()
    check.equal(server.drain(), (data, "notify"), "request")


def test_row_36_many_megabytes_arrive_whole(case):
    data = apps.pattern(case.scale(16, 256) << 20)
    client, server = static.called(case)
    sender = apps.Sender(client, data, finish=True)
    got, left = hashlib.sha256(), len(data)
    while left:
        part = server.receive(min(left, 1 << 20))
        check.true(part, f"the request goes on, {left} bytes are missing")
        got.update(part)
        left -= len(part)
    sender.done()
    check.equal(got.hexdigest(), hashlib.sha256(data).hexdigest(), "digest of the request")
