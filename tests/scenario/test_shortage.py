"""Rows 37, 38 and 39: descriptors run out, accept fails; mooring waits, recovers and never spins."""

from lib import check
from lib.case import now, slowness
from lib.shortage import Limit
from lib.static import Static
from lib.strace import Injected

EXPECTED_SECONDS = 25


def wait_pause(static):
    """wait_pause gives the accept failure time to happen and be met with a pause: the log says so."""
    static.mooring.wait_log(r"(?i)accept.*(paus|too many open files|EMFILE|descriptor)", 5)


def test_row_37_a_listener_without_descriptors_serves_within_a_second_of_release(case):
    static = Static(case)
    peer = static.caller(case)
    check.equal(peer.send(b"ping").receive(4), b"ping", "echo before")
    limit = Limit(case, static.mooring.process)
    waiting = [static.dial(case) for _ in range(5)]
    clients = [static.client(case) for _ in range(5)]
    wait_pause(static)
    check.equal(peer.send(b"ping").receive(4), b"ping", "echo of a connection that lives through it")
    cpu, started = static.mooring.process.cpu_seconds(), now()
    check.stays(lambda: static.mooring.process.running(), "mooring runs on", 1.5)
    check.below(static.mooring.process.cpu_seconds() - cpu, 0.4 * (now() - started) * slowness(),
                "CPU seconds while it waits for descriptors")
    limit.lift()
    released = now()
    check.within(lambda: static.serves(case), "a new caller is served", 5, step=0.05)
    check.below(now() - released, 1.0 * slowness(), "seconds from release to service")
    for one in waiting + clients:
        one.close()
    check.equal(peer.send(b"ping").receive(4), b"ping", "echo after")


def test_row_37_repeated_shortage_leaks_nothing(case):
    static = Static(case)
    static.serves(case)
    static.mooring.wait_idle()
    before = len(static.mooring.process.descriptors())
    for _ in range(case.scale(3, 20)):
        limit = Limit(case, static.mooring.process)
        waiting = [static.dial(case) for _ in range(10)]
        check.stays(lambda: static.mooring.process.running(), "mooring runs on", 0.15)
        for one in waiting:
            one.close()
        limit.lift()
        check.within(lambda: static.serves(case), "service after release", 3 * slowness(), step=0.05)
    static.mooring.wait_idle()
    check.within(lambda: len(static.mooring.process.descriptors()) <= before + 1,
                 f"open files back to {before}")


def test_row_38_no_descriptor_for_the_upstream_fails_that_connection_alone(case):
    static = Static(case)
    client, server = static.called(case)
    client.send(b"ping")
    check.equal(server.receive(4), b"ping", "request before")
    # Room for the accepted connection, none for the one to the upstream.
    limit = Limit(case, static.mooring.process, spare=1)
    started = now()
    lost = static.client(case).send(b"ping")
    data, end = lost.drain()
    check.equal(data, b"", "bytes on the connection that could not be carried")
    check.one_of(end, ("eof", "reset"), "its end")
    check.below(now() - started, 7 * slowness(), "seconds until it ends")
    client.send(b"more")
    check.equal(server.receive(4), b"more", "request on the connection that lives through it")
    limit.lift()

    def again():
        late = static.client(None, seconds=2).send(b"ping")
        try:
            peer = static.endpoint.accept(static.db, static.roots, seconds=1)
            peer.handshake()
            return peer.receive(4) == b"ping"
        finally:
            late.close()

    released = now()
    check.within(again, "a new client is served", 3 * slowness())
    check.below(now() - released, 1.0 * slowness(), "seconds from release to service")


def test_row_38_no_descriptor_for_the_application_fails_that_connection_alone(case):
    static = Static(case)
    peer = static.caller(case)
    check.equal(peer.send(b"ping").receive(4), b"ping", "echo before")
    limit = Limit(case, static.mooring.process, spare=1)
    lost = static.dial(case)
    try:
        lost.handshake()
        lost.send(b"ping")
        check.equal(lost.drain()[0], b"", "bytes on the connection that could not be carried")
    except AssertionError:
        pass
    check.true(lost.ended_within(3), "it ends")
    check.equal(peer.send(b"ping").receive(4), b"ping", "echo of a connection that lives through it")
    limit.lift()
    check.within(lambda: static.serves(case), "a new caller is served", 1 * slowness())


def accept_failing(case, error):
    static = Static(case)
    static.serves(case)
    strace = Injected(case, static.mooring.process, "accept,accept4", error, "1..3")
    cpu, started = static.mooring.process.cpu_seconds(), now()
    check.within(lambda: static.serves(case), f"a caller is served after three times {error}", 5 * slowness(),
                 step=0.05)
    took = now() - started
    check.true(strace.count() >= 1, f"strace made accept fail with {error}")
    check.below(took, 4 * slowness(), f"seconds until service after {error}")
    check.below(static.mooring.process.cpu_seconds() - cpu, 0.5 * slowness() + 0.5 * took, "CPU seconds spent")
    for _ in range(3):
        static.serves(case)
    strace.detach()
    # The sanitizer's look for leaks needs ptrace for itself: strace is gone before mooring ends.


def test_row_39_accept_failing_with_ECONNABORTED_is_outlived(case):
    accept_failing(case, "ECONNABORTED")


def test_row_39_accept_failing_with_ENOMEM_is_outlived(case):
    accept_failing(case, "ENOMEM")


def test_row_39_accept_failing_with_EINTR_is_outlived(case):
    accept_failing(case, "EINTR")


def test_row_39_accept_failing_with_EPERM_is_outlived(case):
    accept_failing(case, "EPERM")


def test_row_39_accept_failing_with_ENFILE_is_outlived(case):
    accept_failing(case, "ENFILE")
