"""Listening sockets that a service manager passes (sd_listen_fds(3)): what the units of examples/systemd do."""

import contextlib
import os
import shutil
import socket

from lib import check, ports
from lib.static import Static

EXPECTED_SECONDS = 3

# What a manager does between fork and exec: the sockets are 3 and on, and the process is told that they are for it.
PASS = """
import os, sys
count, names, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(count), LISTEN_FDNAMES=names)
os.execvp(command[0], command)
"""


def passed(sockets, names):
    """passed is how Static starts its mooring with these sockets, which go to descriptors 3 and on."""
    sockets = list(sockets)

    def place():
        copies = [os.dup(each.fileno()) for each in sockets]
        high = [os.dup2(each, 900 + i) for i, each in enumerate(copies)]
        for i, each in enumerate(high):
            os.dup2(each, 3 + i)
    keep = tuple(range(3, 3 + len(sockets)))
    return {"wrap": ("/usr/bin/python3", "-c", PASS, str(len(sockets)), ":".join(names)),
            "process": {"preexec_fn": place, "pass_fds": keep}}


def listening(case, host="127.0.0.1"):
    """listening is a socket as a manager makes them, on a port of our own."""
    made = socket.create_server((host, ports.free_port()))
    case.undo(made.close)
    return made


def test_a_socket_that_was_passed_is_served_and_never_bound_anew(case):
    public, upstream, admin = (listening(case) for _ in range(3))
    path = case.directory / "metrics.sock"
    metrics = socket.socket(socket.AF_UNIX)
    metrics.bind(str(path))
    path.chmod(0o600)
    metrics.listen()
    case.undo(metrics.close)
    inode = path.stat().st_ino
    sockets = {"public.socket": public, "db.socket": upstream, "admin.socket": admin, "metrics.socket": metrics}
    static = Static(case, public={"address": "127.0.0.1:%d" % public.getsockname()[1]},
                    upstream={"listen": "127.0.0.1:%d" % upstream.getsockname()[1]},
                    admin={"address": "127.0.0.1:%d" % admin.getsockname()[1]}, metrics={"address": f"unix:{path}"},
                    **passed(sockets.values(), sockets))
    log = static.mooring.process.log()
    for name in ("public.socket", "db.socket"):
        check.true(f"as={name}" in log, log)
    static.serves()
    client, server = static.called()
    server.send(b"pong")
    check.equal(client.receive(4), b"pong", "what the instance says")
    check.equal(path.stat().st_ino, inode, "the socket's file")
    static.mooring.stop()
    check.equal(path.stat().st_ino, inode, "the socket's file after the end")
    # The manager has them on: who comes now waits for the next start.
    with contextlib.closing(socket.create_connection(public.getsockname(), timeout=5)):
        pass


def test_what_is_passed_and_cannot_be_used_is_named(case):
    stray, datagrams = listening(case), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    case.undo(datagrams.close)
    static = Static(case, **passed((stray, datagrams), ("stray.socket", "udp.socket")))
    process = static.mooring.process
    process.wait_log(r"a socket that was passed to us is not used: .*127.0.0.1:%d \(stray.socket\)" % stray.getsockname()[1])
    process.wait_log(r"a socket that was passed to us is not used: .*\(udp.socket\) is no stream socket")
    static.serves()


def test_a_socket_for_every_interface_is_not_taken_for_one(case):
    wide = listening(case, "0.0.0.0")
    port = wide.getsockname()[1]
    static = Static(case, ready=False, public={"address": f"127.0.0.1:{port}"}, **passed((wide,), ("wide.socket",)))
    static.mooring.expect_exit = 1
    check.equal(static.mooring.process.wait(10), 1, "exit code")
    log = static.mooring.process.log()
    check.true(f"cannot listen on 127.0.0.1:{port}" in log and f"(wide.socket) is at 0.0.0.0:{port}" in log, log)


def test_real_socket_activation_serves_what_came_before_the_process(case):
    activate = shutil.which("systemd-socket-activate")
    if not activate:
        raise check.Skip("systemd-socket-activate is not here (package systemd)")
    port = ports.free_port()
    static = Static(case, ready=False, public={"address": f"127.0.0.1:{port}"},
                    wrap=(activate, "-l", f"127.0.0.1:{port}", "--fdname=public.socket"))
    check.within(lambda: socket.create_connection(("127.0.0.1", port), timeout=5).close() or True, "the manager listens", 10)
    static.public = ("127.0.0.1", port)
    static.serves()
    static.mooring.process.wait_log("as=public.socket")
