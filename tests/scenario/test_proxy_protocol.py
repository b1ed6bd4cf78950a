"""The app is told who calls, by the PROXY protocol: our own decoder, HAProxy and nginx read it."""

import socket

from lib import apps, check
from lib.case import Process, peer_binary
from lib.ports import free_port
from lib.proxyheader import SPIFFE_ID, Header
from lib.static import Static

EXPECTED_SECONDS = 6
REQUEST = b"GET / HTTP/1.0\r\n\r\n"
FORGED = (b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x0a\x00\x00\x01\x0a\x00\x00\x02\x00\x01\x00\x02"  # version 2
          b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n")  # version 1


def record(app, seen):
    """record takes all that comes, and says at its end how much that was."""
    while data := seen.connection.recv(1 << 16):
        seen.take(data)
    seen.connection.sendall(b"%d" % seen.received)


def first_bytes(static, caller, payload):
    """first_bytes is all that the app got of a connection whose caller has sent that payload and ended."""
    caller.send(payload)
    caller.notify()
    caller.drain()
    return bytes(static.app.ended().head)


def test_the_app_learns_the_callers_address_and_spiffe_id_and_then_gets_the_payload_as_it_came(case):
    static = Static(case, record, public={"proxy_protocol": True})
    caller = static.caller()
    header = Header(first_bytes(static, caller, FORGED + b"hello"))
    check.equal(header.source, caller.socket.getsockname(), "the caller's address")
    check.equal(header.destination, static.public, "ours")
    check.equal(header.tlvs[SPIFFE_ID].decode(), static.authority.uri("web"), "its identity")
    check.equal(header.tls_version(), "TLSv1.3", "TLS")
    check.equal(header.rest, FORGED + b"hello", "what the caller has sent, its own headers with it")


def test_without_the_setting_the_app_gets_what_was_sent_and_nothing_else(case):
    static = Static(case, record)
    check.equal(first_bytes(static, static.caller(), FORGED + b"hello"), FORGED + b"hello", "bytes at the app")


def test_a_server_that_speaks_first_has_the_header_before_it_speaks(case):
    def greet(app, seen):
        seen.take(seen.connection.recv(1 << 16))
        seen.connection.sendall(b"220 ready\r\n")
        while data := seen.connection.recv(1 << 16):
            seen.take(data)

    static = Static(case, greet, public={"proxy_protocol": True})
    caller = static.caller()
    check.equal(caller.receive(11), b"220 ready\r\n", "the greeting, with nothing sent by the caller")
    caller.notify()
    caller.drain()
    check.equal(Header(bytes(static.app.ended().head)).rest, b"", "only the header came")


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def served(case, port):
    """served calls through a Mooring in front of that port, and returns (what was answered, the caller's address)."""
    static = Static(case, apps.echo, public={"proxy_protocol": True, "local_app": f"127.0.0.1:{port}"})
    caller = static.caller()
    caller.send(REQUEST)
    answer, _ = caller.drain()
    host, number = caller.socket.getsockname()
    return answer, f"{host}:{number}"


def test_haproxy_logs_the_real_caller(case):
    program, port = peer_binary("haproxy"), free_port()
    config = case.write("haproxy.cfg", f"""
global
  log stderr format raw local0
defaults
  mode http
  timeout client 5s
  timeout connect 5s
  timeout server 5s
frontend app
  bind 127.0.0.1:{port} accept-proxy
  log global
  log-format "caller %ci:%cp"
  http-request return status 200 content-type text/plain lf-string "%[src]:%[src_port]"
""")
    haproxy = Process(case, [program, "-db", "-f", config], "haproxy")
    check.within(lambda: listens(port), "HAProxy listens")
    answer, caller = served(case, port)
    check.true(answer.endswith(caller.encode()), f"it answers with the caller's address: {answer!r}")
    haproxy.wait_log(f"caller {caller}\n")


def test_nginx_logs_the_real_caller(case):
    program, port = peer_binary("nginx"), free_port()
    config = case.write("nginx.conf", f"""
daemon off;
master_process off;
pid {case.directory}/nginx.pid;
error_log stderr;
events {{ }}
http {{
  log_format caller 'caller $proxy_protocol_addr:$proxy_protocol_port';
  access_log {case.directory}/access.log caller;
  client_body_temp_path {case.directory}/body;
  proxy_temp_path {case.directory}/proxy;
  fastcgi_temp_path {case.directory}/fastcgi;
  uwsgi_temp_path {case.directory}/uwsgi;
  scgi_temp_path {case.directory}/scgi;
  server {{
    listen 127.0.0.1:{port} proxy_protocol;
    location / {{ return 200 "$proxy_protocol_addr:$proxy_protocol_port"; }}
  }}
}}
""")
    Process(case, [program, "-c", config, "-e", "stderr"], "nginx")
    check.within(lambda: listens(port), "nginx listens")
    answer, caller = served(case, port)
    check.true(answer.endswith(caller.encode()), f"it answers with the caller's address: {answer!r}")

    def logged():
        with open(f"{case.directory}/access.log", encoding="utf-8") as file:
            return f"caller {caller}\n" in file.read()

    check.within(logged, "it logs the caller's address")
