"""What the program says where something is wrong: each message names what it is, where, and what to do."""

import gzip
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import threading

from lib import agent as scripted
from lib import certs, check
from lib.case import slowness
from lib.mooring import Mooring, run, yaml_text
from lib.ports import free_port
from lib.static import identity_files

EXPECTED_SECONDS = 25
NOBODY = "127.0.0.1:1"


# What stands where the agent should be.

class Front:
    """Answers every connection by `behave`, which has its socket."""

    def __init__(self, case, behave):
        self.behave = behave
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()
        case.undo(self.listener.close)

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        try:
            with client:
                self.behave(client)
        except OSError:
            pass


def answers(head, body=b""):
    """answers is a front that answers each request so."""
    def behave(client):
        while client.recv(65536):
            client.sendall(b"HTTP/1.1 " + head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    return behave


def resets(client):
    client.recv(65536)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def closes(client):
    client.recv(65536)


def speaks_of_itself(client):
    client.sendall(b"SSH-2.0-OpenSSH_9.2p1\r\n")
    client.recv(65536)


def go_without_tls(client):
    """As Go answers what is no HTTP, and so a ClientHello."""
    client.recv(65536)
    client.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request")


def go_with_tls(client):
    """As Go answers plain HTTP on a port of TLS."""
    client.recv(65536)
    client.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")


def alerts(client):
    """As a server that speaks TLS refuses what is none: unexpected_message (RFC 8446 6)."""
    client.recv(65536)
    client.sendall(b"\x15\x03\x01\x00\x02\x02\x0a")


PAGE = b"<html><head><title>Welcome to nginx!</title></head></html>"
FRONTS = [
    ("http", resets, "the connection was reset without an answer (Connection reset by peer); is this the agent's HTTP port, and does "
                     "it, or what stands before it, admit this host?"),
    ("http", closes, "the connection was closed without an answer; is this the agent's HTTP port"),
    ("http", speaks_of_itself, "not HTTP: Expected HTTP/; is this the agent's HTTP port?"),
    ("http", answers(b"200 OK\r\nContent-Encoding: gzip", gzip.compress(b"{}")),
     "the answer is compressed (gzip), which was not asked for; what stands before the agent must not compress (nginx: gzip off)"),
    ("http", answers(b"301 Moved Permanently\r\nLocation: https://consul.example/v1/x\r\nContent-Type: text/html", PAGE),
     "the agent answered 301 (a redirect to https://consul.example/v1/x); redirects are not followed: if the agent is there, give "
     "https://consul.example as its address"),
    ("http", answers(b"200 OK\r\nContent-Type: text/html", PAGE), 'the answer is an HTML page ("Welcome to nginx!") and no document'),
    ("http", answers(b"502 Bad Gateway\r\nContent-Type: text/html", PAGE),
     'the agent answered 502 (an HTML page: "Welcome to nginx!"); this is no answer of an agent, but of what stands before it'),
    ("http", go_with_tls, "(Client sent an HTTP request to an HTTPS server.); the agent speaks TLS here: use https://"),
    ("http", alerts, "TLS came in answer to plain HTTP; the agent speaks TLS here: use https://"),
    ("https", go_without_tls, "TLS handshake: the agent speaks plain HTTP here: use http:// (WRONG_VERSION_NUMBER)"),
    ("https", speaks_of_itself, "no TLS is spoken here: is this the agent's HTTPS port? (WRONG_VERSION_NUMBER)"),
    ("https", closes, "TLS handshake: the connection was closed; is this the agent's HTTPS port"),
]


def test_what_is_not_the_agent_or_stands_before_it_is_named(case):
    started = []
    for scheme, behave, says in FRONTS:
        front = Front(case, behave)
        started.append((says, Mooring.connect_proxy(case, "-http-addr", f"{scheme}://127.0.0.1:{front.port}", "-sidecar-for", "web-1",
                                                    ready=False)))
    for says, mooring in started:
        mooring.wait_log(r"watch failed.*watch=sidecar_lookup.*\n")
        line = next(each for each in mooring.process.whole_lines() if "watch=sidecar_lookup" in each)
        check.true(says in line.replace('\\"', '"'), f"{says!r} in {line}")


def test_a_token_that_is_none_ends_the_start_and_an_empty_file_is_named(case):
    files = {"bom": b"\xef\xbb\xbfone\n", "control": b"one\x01two\n", "utf16": "one\n".encode("utf-16")}
    for name, content in files.items():
        path = os.path.join(case.directory, name)
        with open(path, "wb") as file:
            file.write(content)
        code, _, text = run("connect", "proxy", "-sidecar-for", "web-1", "-http-addr", NOBODY, "-token-file", path)
        check.true(code == 78 and f"{path}: the token " in text and text.startswith("==> "), f"{code} {text}")
    code, _, text = run("connect", "proxy", "-sidecar-for", "web-1", "-http-addr", NOBODY, env={"CONSUL_HTTP_TOKEN": "one\ntwo"})
    check.true(code == 78 and "control character" in text and text.rstrip().endswith("(CONSUL_HTTP_TOKEN)"), text)
    file = case.write("token.yaml", yaml_text({"sidecar_for": "web-1", "agent": {"address": NOBODY, "token": "one\ttwo"}}))
    code, _, text = run("validate", file)
    check.true(code == 1 and re.search(r"token\.yaml:4:\d+: agent\.token: the token holds a control character at byte 4", text), text)

    empty = case.write("empty", "\n")
    agent = scripted.Agent(case)
    agent.fault("/v1/agent/service/*", status=403, body=b"Permission denied")
    mooring = Mooring.connect_proxy(case, "-http-addr", agent.address, "-proxy-id", "web-proxy", "-token-file", empty, ready=False)
    mooring.wait_log(r"agent refuses.*it was asked without a token \(the token file \S+/empty is empty\), which lacks a permission")


def test_a_path_or_an_address_stands_once(case):
    for address in (f"unix:{case.directory}/nobody.sock", f"127.0.0.1:{free_port()}"):
        for command in ("ready", "status"):
            code, _, text = run(command, "-admin-addr", address)
            check.equal((code, text.count(address)), (1, 1), text)


# Ports.

def python_holder(case, family):
    """python_holder is another process that listens, and where."""
    at = "('127.0.0.1', 0)" if family == "INET" else f"'{case.directory}/held.sock'"
    code = f"import socket,sys; s=socket.socket(socket.AF_{family}); s.bind({at}); s.listen(); print(s.getsockname(), flush=True); sys.stdin.read()"
    holder = subprocess.Popen(["/usr/bin/python3", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    case.undo(lambda: (holder.stdin.close(), holder.wait(5)) and None)
    said = holder.stdout.readline().strip()
    return holder.pid, f"127.0.0.1:{eval(said)[1]}" if family == "INET" else f"unix:{said}"


def test_a_busy_port_names_the_flag_or_the_line_and_who_has_it(case):
    common = ["connect", "proxy", "-service", "web", "-http-addr", NOBODY]
    authority = certs.Authority()
    for family, has in (("INET", "has it; choose another port, or stop what has it"),
                        ("UNIX", "serves it; choose another path, or stop what serves it")):
        pid, busy = python_holder(case, family)
        holder = f"PID {pid} (python3) {has}"
        for flags, place in ((["-listen", busy, "-service-addr", NOBODY], "-listen"), (["-upstream", f"db:{busy}"], "-upstream db"),
                             (["-upstream", "db:127.0.0.1:0", "-admin-addr", busy], "-admin-addr"),
                             (["-upstream", "db:127.0.0.1:0", "-metrics-addr", busy], "-metrics-addr")):
            code, _, text = run(*common, *flags)
            last = [line for line in text.splitlines() if line.startswith("==> ")][-1]
            check.true(code == 1 and last.startswith(f"==> {place}: cannot listen on {busy}: ") and holder in last, text)
        file = case.write(f"{family}.yaml", yaml_text({"service": "web", "identity": identity_files(case, authority, "web"), "upstreams": [
            {"service": "db", "endpoints": [NOBODY], "listen": busy}]}) + "\n")
        with open(file, encoding="utf-8") as text:
            line = next(number for number, each in enumerate(text, 1) if "listen" in each)
        code, _, text = run("proxy", "-config", file)
        check.true(code == 1 and f"==> upstreams[0].listen (line {line}): cannot listen on {busy}: " in text and holder in text, text)


def test_a_port_that_we_have_ourselves_is_not_another_process_s(case):
    agent = scripted.Agent(case)
    for held in (str(free_port()), f"{case.directory}/own.sock"):
        place = {"LocalBindPort": int(held)} if held.isdigit() else {"LocalBindSocketPath": held}
        agent.set_proxy(f"web-{held.isdigit()}", "web", port=0, upstreams=[
            {"DestinationType": "service", "DestinationName": name, **place} for name in ("db", "other")])
        mooring = Mooring.connect_proxy(case, "-http-addr", agent.address, "-proxy-id", f"web-{held.isdigit()}", "-confine-folders",
                                        case.directory, ready=False, name=f"mooring-{held.isdigit()}")
        said = "has it itself; give one of its listeners another port" if held.isdigit() else (
            "serves it itself; give one of its listeners another path")
        mooring.wait_log(rf"listener not open.*this process {said}\)?; upstream:(db|other) of web-\w+ is to be there")


def test_a_port_below_1024_names_the_capability(case):
    if not shutil.which("setpriv") or os.geteuid() != 0:
        raise check.Skip("setpriv by root takes the capability away")
    done = subprocess.run(["setpriv", "--bounding-set=-net_bind_service", os.environ["MOORING_BIN"], "connect", "proxy", "-service", "web",
                           "-upstream", "db:127.0.0.1:79", "-http-addr", NOBODY], text=True, capture_output=True,
                          timeout=15 * slowness(), check=False)
    check.true(done.returncode == 1 and "==> -upstream db: cannot listen on 127.0.0.1:79: Permission denied (ports below 1024 need "
               "CAP_NET_BIND_SERVICE: AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit, or a port from 1024 on)" in done.stderr,
               done.stderr)


def test_what_cannot_be_meant_ends_the_start(case):
    base = ["connect", "proxy", "-http-addr", NOBODY, "-service", "web"]
    for flags, says in (([], "-service has nothing to do: give -listen with -service-addr, or -upstream, or both"),
                        (["-listen", ":7001", "-service-addr", "127.0.0.1:7001"], "-service-addr 127.0.0.1:7001 is what -listen "
                         "0.0.0.0:7001 listens on: the proxy would call itself; give one of them another port"),
                        (["-upstream", "db:7001", "7002"], '"7002", argument 7 after `connect proxy`, is none')):
        code, _, text = run(*base, *flags)
        check.true(code == 78 and text.startswith("==> ") and says in text, text)
    for address, app in (("0.0.0.0:7001", "127.0.0.1:7001"), ("127.0.0.1:7001", "localhost:7001"), ("[::]:7001", "localhost:7001")):
        file = case.write("self.yaml", f"service: web\npublic_listener:\n  address: '{address}'\n  local_app: '{app}'\n")
        code, _, text = run("validate", file)
        check.true(code == 1 and f'self.yaml:4:14: public_listener.local_app: "{app}" is where address listens: the proxy would call '
                   "itself; give one of them another port" in text, text)


def test_a_name_that_does_not_fit_into_tls_is_said_at_the_start_and_dials_nobody(case):
    authority = certs.Authority()
    name = "n" * 230
    mooring = Mooring.from_yaml(case, {"service": "web", "identity": identity_files(case, authority, "web"), "upstreams": [
        {"service": name, "listen": "127.0.0.1:0", "endpoints": [NOBODY]}]})
    why = r"make a name of \d+ bytes, and TLS takes 255; register it under a shorter name"
    mooring.wait_log(rf"\[WARN\].*an upstream cannot be called: .*{why}")
    check.true(re.search(rf"^degraded: .*{why}", mooring.admin("/ready")[1], re.M), mooring.admin("/ready")[1])


# The log as JSON.

def all_json(text):
    events = []
    for line in text.splitlines():
        try:
            events.append(json.loads(line))
        except ValueError:
            check.fail(f"no JSON: {line}")
        check.true({"@level", "@module", "@timestamp", "@message"} <= set(events[-1]), line)
    return events


def test_with_log_json_every_line_of_both_streams_is_json(case):
    busy = socket.create_server(("127.0.0.1", 0))
    case.undo(busy.close)
    port = busy.getsockname()[1]
    file = case.write("wrong.yaml", "service: web\nlog_json: true\nupstreams:\n  - service: db\n    listen: 7\n    speed: 9\n")
    for arguments, says in (
            (["connect", "proxy", "-log-json", "-service", "web", "-upstream", f"db:{port}", "-http-addr", NOBODY], "Address already in use"),
            (["connect", "proxy", "-log-json", "-servic", "web"], "did you mean -service?"),
            (["connect", "proxy", "-log-json", "-service", "web"], "nothing to do"),
            (["connect", "proxy", "-log-json", "-sidecar-for", "a", "-token-file", "/nowhere/token"], "/nowhere/token"),
            (["proxy", "-config", file], "upstreams[0].speed")):
        code, output, errors = run(*arguments)
        check.equal(code, 1 if says.startswith("Address") else 78, errors)
        all_json(output)
        check.true(any(event["@level"] == "error" and says in event.get("error", "") for event in all_json(errors)), errors)


def test_with_log_json_numbers_are_numbers(case):
    admin, public = f"127.0.0.1:{free_port()}", free_port()
    authority = certs.Authority()
    mooring = Mooring.from_yaml(case, {
        "service": "payment", "identity": identity_files(case, authority, "payment"), "intentions": {"default": "allow"},
        "public_listener": {"address": f"127.0.0.1:{public}", "local_app": NOBODY}, "admin": {"address": admin}, "log_json": True},
        ready=False)
    check.equal(run("ready", "-admin-addr", admin, "-wait", f"{int(10 * slowness())}s")[0], 0, "ready")
    with socket.create_connection(("127.0.0.1", public), timeout=5 * slowness()) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
        stranger.recv(100)
    mooring.wait_log("connection closed|not_tls")
    check.equal(mooring.stop(), 0, "exit code")
    started = all_json(mooring.process.stdout())
    check.true(started[-1]["@message"] == "starting" and "admin" in started[-1], started)
    events = all_json(mooring.process.stderr())
    drain = next(event for event in events if event["@message"] == "draining")
    check.true(isinstance(drain["connections"], int) and isinstance(drain["limit_ms"], int), drain)
    memory = next(event for event in events if event["@message"] == "memory")
    check.true(isinstance(memory["connections_at_once"], int), memory)
    for event in events:
        for key, value in event.items():
            check.true(not isinstance(value, str) or not re.fullmatch(r"-?\d+", value), f"{key} of {event}")
