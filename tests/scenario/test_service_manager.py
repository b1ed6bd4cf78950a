"""A service manager is told how we are: units of Type=notify, and a watchdog (sd_notify(3))."""

import contextlib
import ctypes
import os
import re
import shutil
import signal
import socket
import time
from pathlib import Path

from lib import check, ports
from lib.case import Process, sanitized, slowness
from lib.manager import Manager
from lib.mooring import Mooring
from lib.static import Static
from lib.units import systemd_analyze

EXPECTED_SECONDS = 6

UNIT = Path(__file__).resolve().parents[2] / "examples/systemd/mooring.service"
PERIOD = 2.0  # of the watchdog, seconds
PTRACE_ATTACH, PTRACE_DETACH, WALL = 16, 17, 0x40000000


@contextlib.contextmanager
def standing_still(pid, name):
    """standing_still is a context in which the thread of that name does not run, while the others do."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    thread = next(int(task.name) for task in Path(f"/proc/{pid}/task").iterdir() if (task / "comm").read_text().strip() == name)
    if libc.ptrace(PTRACE_ATTACH, thread, None, None) != 0:
        raise check.Skip(f"ptrace is not allowed here: {os.strerror(ctypes.get_errno())}")
    os.waitpid(thread, WALL)
    try:
        yield
    finally:
        libc.ptrace(PTRACE_DETACH, thread, None, None)


def test_row_72_ready_is_said_once_it_can_serve_and_what_is_missing_until_then(case):
    manager, agent = Manager(case), ports.free_port()
    mooring = Mooring.connect_proxy(case, "-service", "payment", "-service-addr", "127.0.0.1:9", "-listen", "127.0.0.1:0",
                                    "-http-addr", f"127.0.0.1:{agent}", env=manager.variables, ready=False)
    manager.wait("STATUS", lambda state: state.startswith("not ready: ") and "refused" in state)
    manager.wait("EXTEND_TIMEOUT_USEC", lambda value: int(value) >= 30_000_000)
    check.equal(manager.values("READY"), [], "READY while nobody can be let in")
    Process(case, [os.environ["MOORING_BIN"], "dev", "-addr", f"127.0.0.1:{agent}"], "dev")
    manager.wait("READY", lambda value: value == "1")
    check.equal(mooring.admin("/ready")[0], 200, "/ready when READY is said")
    manager.wait("STATUS", lambda state: state == "ready")


def test_the_end_is_said_and_how_many_are_awaited(case):
    manager = Manager(case, abstract=True)
    static = Static(case, env=manager.variables, drain_time="20s", drain_quiet="0s")
    manager.wait("READY")
    peer = static.caller()
    check.equal(peer.send(b"held").receive(4), b"held", "echo")
    static.mooring.process.send(signal.SIGTERM)
    manager.wait("STOPPING", lambda value: value == "1")
    manager.wait("STATUS", lambda state: state == "draining: 1 connections are open")
    manager.wait("EXTEND_TIMEOUT_USEC")
    peer.close()
    check.equal(static.mooring.process.wait(10), 0, "exit code")


def test_a_start_that_fails_is_said(case):
    manager = Manager(case)
    with socket.create_server(("127.0.0.1", 0)) as holder:
        taken = holder.getsockname()[1]
        mooring = Static(case, env=manager.variables, ready=False, admin={"address": f"127.0.0.1:{taken}"}).mooring
        mooring.expect_exit = 1
        check.equal(mooring.process.wait(10), 1, "exit code")
    manager.wait("STATUS", lambda state: state.startswith("cannot start: ") and str(taken) in state)
    check.equal(manager.values("READY"), [], "READY")


def test_row_72_a_loop_that_stands_still_ends_the_pings_of_the_watchdog(case):
    manager = Manager(case, watchdog=PERIOD)
    static = Static(case, env=manager.variables, workers=2)
    manager.wait("WATCHDOG", lambda value: value == "1")

    def silent():
        manager.listen(0.05)
        return time.monotonic() - manager.heard["WATCHDOG"] > PERIOD

    with standing_still(static.mooring.pid, "worker"):
        check.within(silent, "no ping for the watchdog's whole period", 10 * slowness())
    before = len(manager.values("WATCHDOG"))
    check.within(lambda: len(manager.values("WATCHDOG")) > before, "it is told again", 10 * slowness())


def test_a_watchdog_that_is_not_for_us_is_not_told(case):
    manager = Manager(case, watchdog=0.2)
    Static(case, env={**manager.variables, "WATCHDOG_PID": "1"})
    manager.wait("READY")
    check.stays(lambda: not manager.values("WATCHDOG"), "no ping", 0.5)


def test_a_manager_that_cannot_be_reached_is_said_and_costs_nothing(case):
    for address in (str(case.directory / "nobody.sock"), "vsock:2:1234", "/" + "x" * 200):
        static = Static(case, env={"NOTIFY_SOCKET": address})
        check.true("the service manager is not told" in static.mooring.process.log() and address in static.mooring.process.log(), address)
        check.equal(static.caller().send(b"ping").receive(4), b"ping", "echo")


def test_the_unit_allows_every_system_call_that_a_working_day_has(case):
    if not shutil.which("strace"):
        raise check.Skip("no strace; tests/setup installs it")
    if sanitized():
        raise check.Skip("a sanitizer makes calls of its own")

    def members(name):
        """members are the calls of one of systemd's groups, those of the groups in it included."""
        lines = [line.strip() for line in systemd_analyze("syscall-filter", name).splitlines()[1:]]
        found = {line for line in lines if line and line[0] not in "#@"}
        return found.union(*(members(line) for line in lines if line.startswith("@")))

    allowed = set()
    for line in re.findall(r"^SystemCallFilter=(.*)$", UNIT.read_text(), re.M):
        named = set().union(*(members(word) if word.startswith("@") else {word} for word in line.lstrip("~").split()))
        allowed = allowed - named if line.startswith("~") else allowed | named
    # As in the unit, there is no capability to drop.
    wrap = ("setpriv", "--bounding-set=-all") if os.geteuid() == 0 else ()
    manager, trace = Manager(case, watchdog=0.5), case.directory / "calls"
    static = Static(case, env=manager.variables, wrap=(*wrap, "strace", "-D", "-f", "-qq", "-o", str(trace)), state_dir=str(case.directory / "kept"),
                    access_log={"to": str(case.directory / "access.log")})
    caller = static.caller()
    check.equal(caller.send(b"ping").receive(4), b"ping", "echo")
    client, server = static.called(case)
    server.send(b"pong")
    check.equal(client.receive(4), b"pong", "what the instance says")
    for path in ("/status", "/metrics", "/connections"):
        check.equal(static.mooring.admin(path)[0], 200, path)
    manager.wait("WATCHDOG")
    static.mooring.process.send(signal.SIGHUP)
    caller.close()
    static.mooring.stop()
    called = set(re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.M))
    check.true({"accept4", "epoll_wait", "connect"} & called, f"calls in {sorted(called)}")
    check.equal(sorted(called - allowed - {"execve", "exit_group", "rt_sigreturn"}), [], "calls that the unit forbids")


def test_a_signal_that_comes_again_and_again_until_the_end_changes_nothing_of_it(case):
    for number in (signal.SIGTERM, signal.SIGINT) * 3:
        static = Static(case)
        process = static.mooring.process
        process.send(number)
        while process.running():  # as fast as they come: one of them meets the very end
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)
        check.equal(process.wait(5), 0, f"exit code after many of {number.name}")
