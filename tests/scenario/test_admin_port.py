"""The admin port and the metrics port: who may reach which, what each of them says, and that nobody can block them."""

import http.client
import os
import socket
import stat

from lib import apps, check
from lib.case import slowness
from lib.metrics import Scrape
from lib.mooring import Mooring, run
from lib.ports import free_port
from lib.static import Static

EXPECTED_SECONDS = 12


def ask(address, path, method="GET", headers=None):
    """ask returns (status, body) of a port or a unix socket's path."""
    connection = http.client.HTTPConnection("localhost", timeout=5 * slowness())
    if isinstance(address, tuple):
        connection.sock = socket.create_connection(address, timeout=5 * slowness())
    else:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(5 * slowness())
        connection.sock.connect(address)
    connection.request(method, path, headers=headers or {})
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


def metrics_port(case, **settings):
    static = Static(case, metrics={"address": "127.0.0.1:0"}, **settings)
    return static, static.mooring.listener("metrics")


def test_the_metrics_port_has_what_may_be_public_and_no_more(case):
    static, port = metrics_port(case)
    static.serves()
    code, text = ask(port, "/metrics", headers={"Host": "vm.example"})
    check.equal(code, 200, "/metrics by any name")
    check.equal(Scrape(text).value("mooring_connections_opened_total", source_service="web"), 1, "what it counts")
    check.equal(ask(port, "/live"), (200, "live\n"), "/live")
    check.equal(ask(port, "/ready"), (200, "ready\n"), "/ready")
    check.equal(ask(port, "/ready?service=payment"), (200, "ready\n"), "of one service")
    for path in ("/status", "/", "/status?service=payment", "/metrics/", "//status"):
        code, text = ask(port, path)
        check.equal(code, 404, path)
        check.true("payment" not in text, f"{path} says {text}")
    for port in (port, static.mooring.listener("admin")):
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            check.equal(ask(port, "/metrics", method)[0], 405, method)
        check.equal(ask(port, "/metrics", "HEAD"), (200, ""), "HEAD")


def test_reasons_stay_on_the_admin_port(case):
    nobody = f"127.0.0.1:{free_port()}"
    mooring = Mooring.connect_proxy(case, "-http-addr", nobody, "-service", "web", "-upstream", "db:127.0.0.1:0",
                                    "-metrics-addr", "127.0.0.1:0", ready=False)
    check.equal(ask(mooring.listener("metrics"), "/ready"), (503, "unready\n"), "the metrics port's /ready")
    code, text = ask(mooring.listener("admin"), "/ready")
    check.true(code == 503 and "roots" in text, f"the admin port's: {text}")


def test_an_admin_port_beyond_loopback_has_to_be_meant(case):
    code, _, errors = run("connect", "proxy", "-proxy-id", "a", "-admin-addr", "0.0.0.0:0")
    check.true(code == 78 and "-admin-allow-remote" in errors and "-metrics-addr" in errors, errors)
    path = case.write("remote.yaml", "proxy_id: a\nadmin: {address: \"[::]:0\"}\n")
    code, _, errors = run("validate", path)
    check.true(code != 0 and ":2:18: admin.address" in errors and "admin.allow_remote: true" in errors, errors)
    path = case.write("meant.yaml", "proxy_id: a\nadmin: {address: \"[::]:0\", allow_remote: true}\n")
    check.equal(run("validate", path)[0], 0, "where it is allowed")


def test_the_admin_port_can_be_a_unix_socket_of_our_own(case):
    path = str(case.directory / "admin.sock")
    static = Static(case, ready=False, admin={"address": f"unix:{path}"}, metrics={"address": "127.0.0.1:0"})
    port = static.mooring.listener("metrics")
    check.within(lambda: ask(port, "/ready")[0] == 200, "ready", 10 * slowness(), step=0.05)
    check.equal(stat.S_IMODE(os.stat(path).st_mode), 0o600, "its mode")
    check.equal(ask(path, "/ready"), (200, "ready\n"), "/ready")
    code, table, errors = run("status", "-admin-addr", f"unix:{path}")
    check.true(code == 0 and "payment" in table, f"mooring status: {table}{errors}")
    check.equal(run("ready", "-admin-addr", f"unix:{path}")[:2], (0, "ready\n"), "mooring ready")


def test_idle_clients_and_those_who_do_not_read_keep_nobody_out(case):
    names = [f"caller-{number}" for number in range(60)]
    static, port = metrics_port(case, default="allow", rules=[{"source": "nobody", "action": "deny"}])
    for name in names:
        peer = static.dial(identity=static.authority.leaf(name))
        peer.handshake()
        check.equal(peer.send(b"x").receive(1), b"x", "echo")
        peer.close()
    static.mooring.wait_idle()
    for address in (port, static.mooring.listener("admin")):
        for _ in range(100):
            case.undo(socket.create_connection(address).close)
        for _ in range(8):
            one = socket.socket()
            case.undo(one.close)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.connect(address)
            one.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50)
        half = socket.create_connection(address)
        case.undo(half.close)
        half.sendall(b"GET /metr")
        for _ in range(20):
            check.equal(ask(address, "/live"), (200, "live\n"), "somebody else's question")
        code, text = ask(address, "/metrics")
        check.equal(code, 200, "a scrape")
        check.true(len(text) > 500_000, f"it is more than a socket takes at once: {len(text)} bytes")
        check.true(set(names) <= Scrape(text).label_values("mooring_connections_opened_total", "source_service"), "all callers")
    static.serves()


def hold(app, seen):
    seen.go.wait(60)
    app.read_to_end(seen)


def test_what_is_kept_for_a_slow_application_is_told_while_it_is_kept(case):
    static, port = metrics_port(case, behaviour=hold, receive_buffer=4096)
    caller = static.caller()
    sender = apps.Sender(caller, b"x" * 8_000_000)
    names = {"envoy_tcp_prefix": "public_listener"}

    def kept():
        return Scrape(ask(port, "/metrics")[1]).value("envoy_tcp_downstream_cx_rx_bytes_buffered", **names)

    check.within(lambda: kept() > 0, "bytes are kept", 15 * slowness(), step=0.2)
    static.app.connection().go.set()
    sender.done()
    caller.notify()
    static.mooring.wait_idle()
    check.equal(kept(), 0, "kept at the end")


DRAIN = {"X-Mooring": "drain"}


def test_drain_is_a_post_with_a_header_that_no_form_sends_at_a_unix_socket(case):
    path = str(case.directory / "admin.sock")
    static = Static(case, admin={"address": f"unix:{path}"}, ready=False)
    static.mooring.process.wait_log("listener open: name=public")
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        check.equal(ask(path, "/drain", method, DRAIN)[0], 405, method)
    for headers, what in (({}, "without the header"), ({"X-Mooring": "stop"}, "another word"),
                          ({**DRAIN, "Origin": "http://localhost"}, "of a page"), ({**DRAIN, "Origin": "null"}, "of no page in particular")):
        code, why = ask(path, "/drain", "POST", headers)
        check.equal(code, 403, f"a POST {what}: {why}")
    check.equal(ask(path, "/ready"), (200, "ready\n"), "/ready after all of them")
    check.equal(ask(path, "/drain", "POST", DRAIN), (202, "draining\n"), "the POST that is meant")
    check.equal(static.mooring.process.wait(10), 0, "exit code")
    check.true("draining: connections=" in static.mooring.process.log(), "it drains as after SIGTERM")


def test_drain_over_tcp_has_to_be_allowed(case):
    static = Static(case)
    code, why = ask(static.mooring.listener("admin"), "/drain", "POST", DRAIN)
    check.true(code == 403 and "admin.allow_drain" in why and "unix" in why, why)
    check.equal(static.mooring.admin("/ready")[0], 200, "/ready after it")
    allowed = Static(case, admin={"address": "127.0.0.1:0", "allow_drain": True}, metrics={"address": "127.0.0.1:0"},
                     drain_time="20s", drain_quiet="0s")
    check.equal(ask(allowed.mooring.listener("metrics"), "/drain", "POST", DRAIN)[0], 405, "at the metrics port")
    caller = allowed.caller()
    check.equal(caller.send(b"held").receive(4), b"held", "echo")
    port = allowed.mooring.listener("admin")
    check.equal(ask(port, "/drain", "POST", DRAIN)[0], 202, "where it is allowed")
    check.within(lambda: "draining" in ask(port, "/ready")[1], "/ready says it", 5 * slowness())
    check.equal(ask(port, "/drain", "POST", DRAIN)[0], 202, "a second one hurries nothing")
    check.equal(caller.send(b"more").receive(4), b"more", "what is under way goes on")
    caller.close()
    check.equal(allowed.mooring.process.wait(10), 0, "exit code")
