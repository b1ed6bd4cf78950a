"""Small faults of a start in the field: closed descriptors, stray signals, ports that are taken, files that others can read, a token out of a
pipe, names that a browser was led here by."""

import http.client
import os
import re
import signal
import socket
import subprocess
from pathlib import Path

from lib import apps, certs, check, tlspeer
from lib.case import sanitized, slowness
from lib.consul import Consul
from lib.mooring import Mooring, run
from lib.static import identity_files

EXPECTED_SECONDS = 6


def settings(case, authority=None, **more):
    authority = authority or certs.Authority()
    return {"service": "payment", "identity": identity_files(case, authority, "payment"), "intentions": {"default": "allow"},
            "public_listener": {"address": "127.0.0.1:0", "local_app": "127.0.0.1:9"}, **more}


def test_signals_that_consuls_proxy_ignores_end_nothing(case):
    mooring = Mooring.from_yaml(case, settings(case))
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGIO, signal.SIGXCPU):
        mooring.process.send(number)
    check.equal(mooring.admin("/ready")[0], 200, "/ready after them")


def test_descriptors_that_were_closed_at_the_start_become_no_connections(case):
    """The log's descriptor would be the first that is free: a socket, and what is logged would go to a peer."""
    authority = certs.Authority()
    app = apps.App(case, apps.echo)
    mooring = Mooring.from_yaml(case, settings(case, authority, public_listener={
        "address": "127.0.0.1:0", "local_app": f"127.0.0.1:{app.port}"}), wrap=("sh", "-c", 'exec "$@" <&-', "sh"))
    for number in range(3):
        check.true(not os.readlink(f"/proc/{mooring.pid}/fd/{number}").startswith("socket:"), f"descriptor {number}")
    check.equal(os.readlink(f"/proc/{mooring.pid}/fd/0"), "/dev/null", "standard input")
    caller = tlspeer.connect(case, mooring.public, authority.leaf("web"), authority.pem)
    caller.handshake()
    check.equal(caller.send(b"x").receive(1), b"x", "served")


def test_the_wildcard_of_ipv6_serves_both_families_whatever_the_default(case):
    mooring = Mooring.from_yaml(case, settings(case, public_listener={"address": "[::]:0", "local_app": "127.0.0.1:9"}))
    port = mooring.public[1]
    for host in ("127.0.0.1", "::1"):
        socket.create_connection((host, port), timeout=5 * slowness()).close()
    # The option itself, by the kernel's word: it does not hang on this machine's bindv6only.
    check.equal(v6_only(mooring.pid, port), 0, "IPV6_V6ONLY of the listener")


def v6_only(pid, port):
    """v6_only is the option of the process's socket that listens on the port; ss(8) says it."""
    said = subprocess.run(["ss", "-ltnpeH", f"sport = :{port}"], capture_output=True, text=True, check=False).stdout
    if not said:
        return 0  # no ss here: that both families were served is all that can be said
    check.true(f"pid={pid}" in said or "pid=" not in said, said)
    return 1 if "v6only:1" in said else 0


def test_a_port_that_is_taken_names_who_has_it(case):
    holder = subprocess.Popen(["/usr/bin/python3", "-c", "import socket,sys; s=socket.socket(); s.bind(('127.0.0.1',0)); s.listen();"
                               " print(s.getsockname()[1], flush=True); sys.stdin.read()"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    case.undo(lambda: (holder.stdin.close(), holder.wait(5)) and None)
    port = int(holder.stdout.readline())
    flags = ["connect", "proxy", "-service", "web", "-upstream", f"db:127.0.0.1:{port}", "-http-addr", "127.0.0.1:1"]
    code, _, text = run(*flags)
    check.equal(code, 1, text)
    check.true(f"PID {holder.pid} (python3) has it" in text, text)


def test_files_with_secrets_that_others_can_read_are_warned_of(case):
    shown = settings(case)
    os.chmod(shown["identity"]["private_key"], 0o644)
    mooring = Mooring.from_yaml(case, shown)
    mooring.wait_log(r"\[WARN\].*private key is open to others.*chmod o= ")
    consul = Consul(case, acl="deny")
    token = consul.service_token("web")[0]
    path = case.write("token", token)
    os.chmod(path, 0o644)
    flags = ["-http-addr", consul.address, "-service", "web", "-upstream", "db:127.0.0.1:0"]
    mooring = Mooring.connect_proxy(case, *flags, "-token-file", str(path), ready=False)
    mooring.wait_log(r"\[WARN\].*token is open to others.*chmod o= ")
    text = (f"service: web\nagent:\n  address: {consul.address}\n  token: {token}\nupstreams:\n"
            "  - service: db\n    listen: 127.0.0.1:0\nadmin:\n  address: 127.0.0.1:0\ndrain_time: 0s\n")
    file = case.write("open.yaml", text)
    os.chmod(file, 0o644)
    mooring = Mooring(case, ["proxy", "-config", str(file)], ready=False)
    mooring.wait_log(r"\[WARN\].*holds a token.*chmod o= ")


def test_a_token_out_of_a_pipe_is_read_once_and_that_is_said(case):
    consul = Consul(case, acl="deny")
    token = consul.service_token("web")[0]
    flags = ["-http-addr", consul.address, "-service", "web", "-upstream", "db:127.0.0.1:0"]
    mooring = Mooring.connect_proxy(case, *flags, "-token-file", "/dev/fd/9",
                                    wrap=("bash", "-c", f'exec "$@" 9< <(sleep 0.2; echo {token})', "bash"))
    mooring.wait_log("token file is a pipe")
    check.equal(mooring.status()["leaf"]["spiffe_id"], consul.uri("web"), "its identity")
    check.equal(len(re.findall("token file", mooring.process.stderr())), 1, "lines about it")


def test_a_name_that_a_browser_was_led_here_by_is_refused(case):
    mooring = Mooring.from_yaml(case, settings(case, admin={"address": "127.0.0.1:0", "host": "vm.example"}))
    host, port = mooring.listener("admin")

    def ask(name):
        connection = http.client.HTTPConnection(host, port, timeout=5 * slowness())
        connection.request("GET", "/status", headers={"Host": name} if name else {})
        answer = connection.getresponse()
        answer.read()
        return answer.status

    check.equal(ask(None), 200, "by its address")
    check.equal(ask(f"localhost:{port}"), 200, "as localhost")
    check.equal(ask("vm.example"), 200, "by the name of the setting")
    check.equal(ask(f"rebound.example:{port}"), 403, "by a name of somebody else's")


def test_a_state_file_that_is_too_large_is_not_read(case):
    consul = Consul(case)
    state = case.directory / "state"
    flags = ["-http-addr", consul.address, "-service", "web", "-upstream", "db:127.0.0.1:0", "-state-dir", str(state)]
    state.mkdir(mode=0o700)
    mooring = Mooring.connect_proxy(case, *flags)
    file = mooring.status()["state_file"]["file"]
    check.within(lambda: os.path.exists(file), "its state is on disk", 5)
    mooring.stop()
    os.truncate(file, 1 << 30)  # a hole: nothing of it is on the disk
    again = Mooring.connect_proxy(case, *flags)
    again.wait_log(r"more than the \d+ ")
    check.below(again.process.resident(), 512 << 20, "bytes in memory, of a file of a GiB")


def test_each_thread_says_what_it_is_for(case):
    log = case.directory / "access.log"
    mooring = Mooring.from_yaml(case, settings(case, workers=2, access_log={"to": str(log)}))
    names = [comm.read_text().strip() for comm in Path(f"/proc/{mooring.pid}/task").glob("*/comm")]
    check.equal(sorted(name for name in names if name != "mooring"), ["access-log", "log", "recorder", "worker", "worker"],
                "names of threads beside the control loop's")


def test_no_path_of_the_building_machine_stands_in_the_program(case):
    if sanitized():
        raise check.Skip("a sanitizer writes the names of source files into the program; the other build is looked at")
    with open(os.environ["MOORING_BIN"], "rb") as file:
        program = file.read()
    for folder in {os.path.expanduser("~"), os.environ.get("MOORING_CACHE", "~/.cache/mooring"),
                   os.path.dirname(os.path.dirname(os.path.abspath(__file__))).removesuffix("/tests")}:
        if len(folder) > 5:
            check.true(folder.encode() not in program, f"{folder} stands in it")
    del case
