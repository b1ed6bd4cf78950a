"""Listening sockets that a service manager passes (sd_listen_fds(3)), and those that it keeps for the next start (sd_notify(3), FDSTORE=1)."""

import contextlib
import shutil
import socket

from lib import apps, certs, check, ports, tlspeer
from lib.case import slowness
from lib.dev import Dev
from lib.manager import Manager, passed
from lib.mooring import READS_GUARDED, Mooring
from lib.static import Static

EXPECTED_SECONDS = 3

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
                    **passed(sockets))
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
    static = Static(case, **passed({"stray.socket": stray, "udp.socket": datagrams}))
    process = static.mooring.process
    process.wait_log(r"a socket that was passed to us is not used: .*127.0.0.1:%d \(stray.socket\)" % stray.getsockname()[1])
    process.wait_log(r"a socket that was passed to us is not used: .*\(udp.socket\) is no stream socket")
    static.serves()


def test_a_socket_for_every_interface_is_not_taken_for_one(case):
    wide = listening(case, "0.0.0.0")
    port = wide.getsockname()[1]
    static = Static(case, ready=False, public={"address": f"127.0.0.1:{port}"}, **passed({"wide.socket": wide}))
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


def starts(case, manager, public, upstream, **settings):
    """starts runs a mooring under this manager, with what its store has."""
    store = {name: sockets[0] for name, sockets in manager.store.items()}
    return Static(case, env=manager.variables, public={"address": f"127.0.0.1:{public}"}, upstream={"listen": f"127.0.0.1:{upstream}"},
                  **(passed(store) if store else {}), **settings)


def restart_refuses_nobody(case, end):
    manager, public, upstream = Manager(case), ports.free_port(), ports.free_port()
    first = starts(case, manager, public, upstream)
    first.serves()
    check.within(lambda: manager.listen(0.05) and len(manager.store) == 2, "both sockets are in the store", 5)
    end(first)
    # Nobody is there; the kernel answers all the same.
    caller = tlspeer.connect(case, ("127.0.0.1", public), first.web, first.roots)
    client = apps.Client(case, ("127.0.0.1", upstream))
    second = starts(case, manager, public, upstream, authority=first.authority)
    check.true("its socket was passed to us" in second.mooring.process.log(), second.mooring.process.log())
    caller.handshake()
    check.equal(caller.send(b"ping").receive(4), b"ping", "echo to who came between the two")
    server = second.endpoint.accept(second.db, second.roots)
    server.handshake()
    server.send(b"pong")
    check.equal(client.receive(4), b"pong", "what the instance says to who came between the two")
    manager.listen(0.1)
    check.equal((len(manager.store), manager.forgotten), (2, []), "sockets in the store, and those it forgot")


def test_row_73_with_a_descriptor_store_a_restart_refuses_nobody(case):
    restart_refuses_nobody(case, lambda static: static.mooring.stop())


def test_row_73_nor_does_one_after_a_kill(case):
    def kill(static):
        static.mooring.kill()
    restart_refuses_nobody(case, kill)


def test_what_the_store_has_and_no_listener_wants_any_more_refuses(case):
    manager, public, upstream, moved = Manager(case), ports.free_port(), ports.free_port(), ports.free_port()
    first = starts(case, manager, public, upstream)
    check.within(lambda: manager.listen(0.05) and len(manager.store) == 2, "both sockets are in the store", 5)
    first.mooring.stop()
    second = starts(case, manager, public, moved)
    second.mooring.process.wait_log(f"a socket of the last run is not wanted any more: address=127.0.0.1:{upstream}")
    check.within(lambda: manager.listen(0.05) and manager.forgotten, "the store is told to forget it", 5)
    check.equal(sorted(name.rpartition("%3A")[2] for name in manager.store), sorted([str(public), str(moved)]), "the store")
    check.true(not ports.listening(upstream), "nobody listens where the upstream was")


def boot(case, manager, agent, sockets, *flags):
    """boot is a sidecar whose configuration the agent has, started with these sockets before there is an agent."""
    start = passed(sockets)
    return Mooring(case, ["connect", "proxy", "-sidecar-for", "payment", "-http-addr", f"127.0.0.1:{agent}", "-admin-addr", "127.0.0.1:0",
                          "-drain-time", "0s", "-drain-delay", "0s", *([] if READS_GUARDED else ["-allow-core"]), *flags],
                   env=manager.variables, ready=False, wrap=start["wrap"], **start["process"])


def reset_within(sock, seconds):
    sock.settimeout(seconds * slowness())
    try:
        return f"{len(sock.recv(1))} bytes"
    except ConnectionResetError:
        return "reset"
    except TimeoutError:
        return "nothing"


def test_whoever_comes_before_the_agent_does_is_served_once_it_is_there(case):
    public, agent, app = listening(case, "0.0.0.0"), ports.free_port(), apps.App(case, apps.echo)
    upstream = listening(case)
    boot(case, Manager(case), agent, {"public.socket": public, "db.socket": upstream})
    client = apps.Client(case, upstream.getsockname())
    caller = socket.create_connection(("127.0.0.1", public.getsockname()[1]), timeout=10 * slowness())
    dev = Dev(case, address=f"127.0.0.1:{agent}")
    instance = listening(case)
    dev.put("/v1/agent/service/register", {"Name": "db", "Port": instance.getsockname()[1], "Connect": {"Native": True}})
    dev.put("/v1/agent/service/register", {
        "Name": "payment", "Port": app.port,
        "Connect": {"SidecarService": {"Port": public.getsockname()[1], "Proxy": {
            "LocalServiceAddress": "127.0.0.1", "LocalServicePort": app.port,
            "Upstreams": [{"DestinationName": "db", "LocalBindPort": upstream.getsockname()[1]}]}}}})
    leaf = dev.get("/v1/agent/connect/ca/leaf/web")
    roots = dev.get("/v1/agent/connect/ca/roots")["Roots"][0]["RootCert"]
    peer = tlspeer.Peer(caller, tlspeer.context(False, certs.Identity(leaf["CertPEM"], leaf["PrivateKeyPEM"]), roots), False)
    peer.handshake()
    check.equal(peer.send(b"ping").receive(4), b"ping", "echo to the caller that came first")
    instance.settimeout(10 * slowness())
    check.true(instance.accept()[0], "the connection of the client that came first arrives at the instance")
    client.close()


def test_after_start_wait_whoever_comes_is_reset_and_counted(case):
    public, agent = listening(case), ports.free_port()
    mooring = boot(case, Manager(case), agent, {"public.socket": public}, "-start-wait", "1s")
    with socket.create_connection(public.getsockname(), timeout=5) as early:
        check.equal(reset_within(early, 10), "reset", "what becomes of a caller while nobody can be let in")
    mooring.process.wait_log(r"connection refused: reason=not_ready socket=.*public.socket")
    check.true("mooring_turned_away_total 1" in mooring.admin("/metrics")[1], "it is counted")
