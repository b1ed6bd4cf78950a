"""What /status says of connections that live: their bytes are counted while they are under way."""

from lib import check
from lib.static import Static

EXPECTED_SECONDS = 12
SWEEP = 5  # seconds, in which each connection is looked at once


def counted(static, direction):
    said = static.mooring.status()["connections"][direction]
    return said["active"], said["bytes_in"], said["bytes_out"]


def test_bytes_are_counted_while_a_connection_lives(case):
    static = Static(case)
    caller = static.caller()
    first, second = b"x" * 100_000, b"y" * 50_000
    check.equal(caller.send(first).receive(len(first)), first, "echo")
    check.within(lambda: counted(static, "inbound") == (1, len(first), len(first)), "the first bytes are counted", 3 * SWEEP)
    check.equal(caller.send(second).receive(len(second)), second, "echo")
    total = len(first) + len(second)
    check.within(lambda: counted(static, "inbound") == (1, total, total), "those that followed are, too", 3 * SWEEP)
    caller.notify()
    static.mooring.wait_idle()
    check.equal(counted(static, "inbound"), (0, total, total), "at the end nothing is counted twice")
