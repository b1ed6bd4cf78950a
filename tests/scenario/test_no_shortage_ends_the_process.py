"""A shortage that any neighbour or stranger can cause (epoll watches, memory, threads) costs connections, never the process."""

import os
import re
import resource
import shutil
import signal
import socket

from lib import check, stranger
from lib.case import Process, sanitized, slowness
from lib.static import Static
from lib.strace import Injected

EXPECTED_SECONDS = 12


def lost_to_the_shortage(case, error):
    static = Static(case)
    peer = static.caller(case)
    client, server = static.called(case)
    check.equal(peer.send(b"ping").receive(4), b"ping", "echo before")
    # One worker, so the next calls are those of the next connection; each of its sockets in turn is not watched.
    injected = Injected(case, static.mooring.process, "epoll_ctl", error, "1+")
    data, end = static.client(case).drain()
    check.equal((data, end), (b"", "reset"), "what a client sees whose connection cannot be watched")
    try:
        check.true(static.dial(case).ended_within(5), "a caller whose connection cannot be watched is let go")
    except ConnectionResetError:  # before its connect has returned
        pass
    injected.detach()
    static.mooring.wait_closed("outbound", "out_of_resources")
    static.mooring.wait_closed("inbound", "out_of_resources")
    check.true(injected.count() >= 1, f"strace made epoll_ctl fail with {error}")
    check.equal(peer.send(b"ping").receive(4), b"ping", "echo of a caller that lives through it")
    client.send(b"more")
    check.equal(server.receive(4), b"more", "bytes of a client that lives through it")
    check.within(lambda: static.serves(case), "a new caller is served", 5 * slowness(), step=0.05)


def test_without_an_epoll_watch_one_connection_is_lost_ENOSPC(case):
    lost_to_the_shortage(case, "ENOSPC")


def test_without_memory_for_an_epoll_watch_one_connection_is_lost_ENOMEM(case):
    lost_to_the_shortage(case, "ENOMEM")


def start_under(case, error, when):
    """start_under starts a mooring whose when-th epoll_ctl fails, and returns its Process."""
    tool = shutil.which("strace")
    if not tool:
        raise check.Skip("no strace; tests/setup installs it")
    return Process(case, [tool, "-f", "-o", case.directory / f"start-{when}.txt", "-e", "trace=epoll_ctl", "-e",
                          f"inject=epoll_ctl:error={error}:when={when}", os.environ["MOORING_BIN"], "connect", "proxy",
                          "-service", "web", "-service-addr", "127.0.0.1:9", "-listen", "127.0.0.1:0",
                          "-http-addr", "127.0.0.1:9", "-allow-core"], f"start-{when}")


def test_without_epoll_watches_a_start_says_so_and_ends_with_1(case):
    if sanitized():
        raise check.Skip("the sanitizer's look for leaks needs ptrace for itself")
    process = start_under(case, "ENOSPC", "1+")
    check.equal(process.wait(15), 1, "exit code")
    said = process.stderr()
    check.true("fs.epoll.max_user_watches" in said, f"the message names the limit: {said[-500:]!r}")


def as_stranger(case, name, limits, *arguments):
    mooring = stranger.program(case)
    for tool in ("setpriv", "prlimit"):
        if not shutil.which(tool):
            raise check.Skip(f"no {tool} (util-linux)")
    return Process(case, ["setpriv", f"--reuid={stranger.USER}", f"--regid={stranger.USER}", "--clear-groups", "prlimit", limits,
                          mooring, *arguments], name, cwd="/")


def test_without_a_thread_a_start_names_the_limit_and_ends_with_1(case):
    process = as_stranger(case, "threadless", "--nproc=1", "connect", "proxy", "-service", "web", "-service-addr",
                          "127.0.0.1:9", "-listen", "127.0.0.1:0", "-http-addr", "127.0.0.1:9")
    check.equal(process.wait(15), 1, "exit code")
    said = process.stderr()
    check.true(re.search(r"==> .*thread", said) and "LimitNPROC" in said and "TasksMax" in said,
               f"the message names what is missing and the limits: {said[-500:]!r}")


def test_with_too_few_threads_a_start_has_fewer_workers_and_says_so(case):
    process = as_stranger(case, "few-threads", "--nproc=4", "connect", "proxy", "-service", "web", "-service-addr",
                          "127.0.0.1:9", "-listen", "127.0.0.1:0", "-http-addr", "127.0.0.1:9", "-workers", "8")
    process.wait_log(r"fewer workers than configured.*LimitNPROC", 15)
    check.stays(process.running, "it runs", 0.3)
    process.send(signal.SIGTERM)
    check.equal(process.wait(15), 0, "exit code after SIGTERM")


class HalfHello:
    """HalfHello is a stranger whose ClientHello stays unfinished: a handshake record of 16,000 bytes, most of it sent."""

    START = bytes([22, 3, 1, 0x3E, 0x80, 1, 0, 0x7D, 0x00, 3, 3]) + b"\x07" * 12_000

    def __init__(self, address):
        self.socket = socket.socket()
        self.socket.settimeout(5)
        try:  # refused at once, it may be reset before connect has returned
            self.socket.connect(address)
            self.socket.sendall(self.START)
        except OSError:
            pass

    def close(self):
        self.socket.close()


def test_strangers_with_half_a_client_hello_use_up_the_address_space_and_the_process_lives(case):
    if sanitized():
        raise check.Skip("a sanitizer's shadow memory is beyond any limit on address space")
    static = Static(case, public={"handshake_timeout": "60s"})
    peer = static.caller(case)
    check.equal(peer.send(b"ping").receive(4), b"ping", "echo before")
    pid = static.mooring.pid
    data = int(re.search(r"VmData:\s+(\d+)", open(f"/proc/{pid}/status", encoding="ascii").read()).group(1)) << 10
    space = int(re.search(r"VmSize:\s+(\d+)", open(f"/proc/{pid}/status", encoding="ascii").read()).group(1)) << 10
    # What malloc has reserved and not used yet is no address space any more, but data (setrlimit(2)).
    resource.prlimit(pid, resource.RLIMIT_AS, (space + (1 << 20), resource.RLIM_INFINITY))
    resource.prlimit(pid, resource.RLIMIT_DATA, (data + (2 << 20), resource.RLIM_INFINITY))
    strangers = []

    def leave():
        for one in strangers:
            one.close()

    case.undo(leave)
    for _ in range(case.scale(700, 7_000) if resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 8_000 else 700):
        strangers.append(HalfHello(static.public))
    check.true(static.mooring.process.running(), "mooring runs on")
    leave()
    check.within(lambda: static.serves(case), "a fresh caller is served once they have gone", 10 * slowness(), step=0.1)
    resource.prlimit(pid, resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    resource.prlimit(pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    peer.close()
    static.mooring.wait_idle()
    counts = static.mooring.status()["connections"]["inbound"]["closed"]
    check.true(counts.get("out_of_resources", 0) > 0, f"the shortage was one: {counts}")
