"""System calls that fail under traffic, one at a time: the process lives, a fault costs one connection or one save, and no byte silently.

The most telling ones; tests/faults/syscalls makes each of them fail with each error, and faults/README.md has its table.
"""

from faults.fallible import errors
from faults.injection import Course, Outcome, unknown
from lib import check
from lib.case import sanitized
from lib.static import Static
from lib.strace import Injected

EXPECTED_SECONDS = 25

# (thread, call, error, the how-manyth next call of the thread)
TELLING = (
    ("worker", "accept4", "ECONNABORTED", 1), ("worker", "accept4", "ENFILE", 1), ("worker", "socket", "EMFILE", 1),
    ("worker", "connect", "EADDRNOTAVAIL", 1), ("worker", "recvfrom", "EINTR", 3), ("worker", "recvfrom", "EAGAIN", 3),
    ("worker", "recvfrom", "ENOMEM", 3), ("worker", "sendto", "EAGAIN", 3), ("worker", "sendto", "ENOBUFS", 3),
    ("worker", "sendto", "ECONNRESET", 2), ("worker", "setsockopt", "ENOBUFS", 1), ("worker", "close", "EIO", 1),
    ("worker", "epoll_wait", "EINTR", 1), ("state", "openat", "EMFILE", 1), ("state", "write", "ENOSPC", 1), ("state", "fsync", "EIO", 1),
    ("state", "renameat", "EROFS", 1), ("mooring", "recvfrom", "ECONNRESET", 1), ("mooring", "socket", "ENFILE", 1),
    ("log", "write", "EIO", 1))


def test_row_77_a_system_call_that_fails_under_traffic_costs_one_stream_at_most_or_one_save(case):
    if sanitized():
        raise check.Skip("the sanitizer's look for leaks needs ptrace for itself")
    course = Course(case)
    found = course.traced(2.0)
    check.equal(unknown(found), [], "traced calls that faults/fallible.py does not know")
    missed, faults, lost, met = [], 0, 0, set()
    wanted = TELLING if case.reduced else [(thread, call, error, when) for thread, call in sorted(found) for error in errors(thread, call)
                                           for when in (1, 3, 10)]
    for thread, call, error, when in wanted:
        outcome = Outcome(thread, call)
        course.one(outcome, error, when)
        missed, faults, lost = missed + outcome.missed, faults + outcome.faults, lost + sum(outcome.lost.values())
        met |= {thread} if outcome.faults else set()
    course.saved()
    total = course.stop()
    check.equal(missed, [], f"what a fault must not do, of {faults}")
    check.true(faults >= len(wanted) // 2, f"{faults} faults")
    check.equal(sorted({thread for thread, *_ in wanted} - met), [], "threads in which no call was made to fail")
    check.equal(total.cost(), lost, f"streams that were lost, by a fault: {total}")
    print(f"{faults} faults, {lost} streams lost of {total.begun}, {total.moved / 1e6:.0f} MB compared")


test_row_77_a_system_call_that_fails_under_traffic_costs_one_stream_at_most_or_one_save.limit = 900


def peer_sees_a_reset(case, error):
    static = Static(case)
    client, server = static.called(case)
    client.send(b"question")
    check.equal(server.receive(8), b"question", "what the instance has")
    injected = Injected(case, static.mooring.process, "sendto", error, 1)
    # The answer is read, and cannot be passed on: the client's own socket is well, and would believe an end.
    server.send(b"half an answer")
    data, end = client.drain()
    injected.detach()
    check.equal((data, end), (b"", "reset"), "what a client sees whose answer could not be sent for want of memory")
    check.true(server.ended_within(5), "its instance is let go")
    static.mooring.wait_closed("outbound", "out_of_resources")


def test_a_send_that_fails_for_want_of_buffers_is_a_reset_at_its_peer_and_no_clean_end(case):
    peer_sees_a_reset(case, "ENOBUFS")


def test_a_send_that_fails_for_want_of_memory_is_a_reset_at_its_peer_and_no_clean_end(case):
    peer_sees_a_reset(case, "ENOMEM")


def test_an_end_that_could_not_be_told_for_want_of_memory_ends_the_connection(case):
    static = Static(case)
    client, server = static.called(case)
    client.send(b"question")
    check.equal(server.receive(8), b"question", "what the instance has")
    injected = Injected(case, static.mooring.process, "sendto", "ENOBUFS", 1)
    client.finish()  # its end is a close_notify, which cannot be sent: the instance would wait for it, and the client for the answer
    check.equal(client.drain(), (b"", "reset"), "what the client sees whose end could not be told")
    injected.detach()
    check.true(server.ended_within(5), "its instance is let go")
    static.mooring.wait_closed("outbound", "out_of_resources")
