"""A legacy payment service joins the mesh, step by step, each with its result.

  agent    `mooring dev`, a stand-in for one Consul agent (--consul: a real Consul 1.8.7 agent instead)
  payment  the legacy app on 127.0.0.1:9090, with `mooring connect proxy ... -register` beside it
  api      a service of the mesh, whose sidecar mounts payment on 127.0.0.1:8004

Ends clean and leaves nothing running; --keep leaves it up to play with.
"""
import argparse
import http.client
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
DEADLINE = 30.0  # seconds for anything that is waited for


class Failed(Exception):
    pass


CLAIMS = []  # open while this program runs


def claimed(port):
    """Claims a port by a name: another example that runs now has not bound the port yet that it was given."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0mooring-example-port-{port}")
    except OSError:
        claim.close()
        return False
    CLAIMS.append(claim)
    return True


def free_port(wanted, taken):
    """The first port from `wanted` upwards that nothing listens on. None is one of Consul's own, which an agent of this machine has
    or will want."""
    for port in range(wanted, wanted + 1000):
        if port in taken or not claimed(port):
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        taken.add(port)
        if port != wanted:
            print(f"      (port {wanted} is busy, using {port})")
        return port
    raise Failed(f"no free port from {wanted} on")


class Mesh:
    """The processes of this run. Each writes its log into the work folder and is stopped by its pid."""

    def __init__(self, folder):
        self.folder = folder
        self.running = []

    def start(self, name, command):
        log = open(os.path.join(self.folder, name + ".log"), "wb")
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=subprocess.STDOUT, start_new_session=True)
        log.close()
        self.running.append((name, process))
        return process

    def wait_for(self, what, condition):
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            if condition():
                return
            for name, process in self.running:
                if process.poll() is not None:
                    raise Failed(f"{name} ended with {process.returncode}:\n{self.tail(name)}")
            time.sleep(0.05)
        raise Failed(f"{what}: not within {DEADLINE:.0f} s; the logs are in {self.folder}")

    def tail(self, name):
        with open(os.path.join(self.folder, name + ".log"), errors="replace") as log:
            return "".join(log.readlines()[-15:])

    def stop(self):
        for _, process in reversed(self.running):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        self.running = []


class Agent:
    """The few calls of the agent's HTTP API that this script makes itself."""

    def __init__(self, port):
        self.port = port

    def call(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise Failed(f"{method} {path}: {answer.status} {text.decode(errors='replace').strip()}")
            return json.loads(text) if text.strip().startswith((b"{", b"[", b'"')) else None
        finally:
            connection.close()

    def up(self):
        try:
            return bool(self.call("GET", "/v1/agent/connect/ca/roots").get("Roots"))
        except (OSError, Failed, http.client.HTTPException, AttributeError):
            return False

    def deny(self, source, destination):
        return self.call("POST", "/v1/connect/intentions",
                         {"SourceName": source, "DestinationName": destination, "SourceType": "consul",
                          "Action": "deny"})["ID"]

    def delete(self, intention):
        self.call("DELETE", f"/v1/connect/intentions/{intention}")


def ready(admin_port):
    try:
        connection = http.client.HTTPConnection("127.0.0.1", admin_port, timeout=2)
        connection.request("GET", "/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False


def pay(port, order):
    """One payment through api's sidecar: the answer, or None if the mesh refused the connection."""
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.settimeout(5)
            connection.sendall(order.encode() + b"\n")
            answer = connection.makefile("rb").readline()
    except OSError:
        return None
    return answer.decode().strip() or None


def until(mesh, what, condition):
    begin = time.monotonic()
    mesh.wait_for(what, condition)
    return f"{(time.monotonic() - begin) * 1000:.0f} ms"


def step(number, text):
    print(f"[{number}/7] {text}", flush=True)


def result(text):
    print(f"      -> {text}", flush=True)


def play(mesh, arguments):
    taken = set()
    agent_port = free_port(18500, taken)
    agent = Agent(agent_port)
    if arguments.consul is not None:
        step(1, f"start a real Consul agent on 127.0.0.1:{agent_port}")
        ports = {"http": agent_port, **closed_ports(arguments.consul_binary)}
        for name, wanted in (("server", 18300), ("serf_lan", 18301), ("serf_wan", 18302)):
            ports[name] = free_port(wanted, taken)
        config = os.path.join(mesh.folder, "consul.json")
        with open(config, "w") as file:
            json.dump({"bind_addr": "127.0.0.1", "disable_update_check": True, "ports": ports}, file)
        mesh.start("agent", [arguments.consul_binary, "agent", "-dev", "-config-file", config])
    else:
        step(1, f"start `mooring dev`, a stand-in for a Consul agent, on 127.0.0.1:{agent_port}")
        mesh.start("agent", [arguments.mooring, "dev", "-addr", f"127.0.0.1:{agent_port}"])
    mesh.wait_for("the agent", agent.up)
    result("it has a CA and answers")

    app_port = free_port(9090, taken)
    step(2, f"start the legacy payment app, bound to 127.0.0.1:{app_port} alone")
    mesh.start("payment-app", [sys.executable, os.path.join(HERE, "payment_app.py"), str(app_port)])
    mesh.wait_for("the app", lambda: pay(app_port, "a test") is not None)
    result("it answers in plain TCP; nobody outside this machine can reach it")

    public, admin = free_port(8443, taken), free_port(19100, taken)
    address = ["-http-addr", f"127.0.0.1:{agent_port}"]
    command = [arguments.mooring, "connect", "proxy", "-service", "payment", "-service-addr",
               f"127.0.0.1:{app_port}", "-listen", f"127.0.0.1:{public}", "-register", *address,
               "-admin-addr", f"127.0.0.1:{admin}"]
    step(3, "bring payment into the mesh:\n      " + " ".join(["mooring"] + command[1:]))
    mesh.start("payment-sidecar", command)
    mesh.wait_for("payment's sidecar", lambda: ready(admin))
    result(f"certificate, roots and intentions are in; mutual TLS on 127.0.0.1:{public}")

    mount, api_admin = free_port(8004, taken), free_port(19101, taken)
    command = [arguments.mooring, "connect", "proxy", "-service", "api", "-upstream", f"payment:{mount}",
               *address, "-admin-addr", f"127.0.0.1:{api_admin}"]
    step(4, "give the api service payment on a local port:\n      " + " ".join(["mooring"] + command[1:]))
    mesh.start("api-sidecar", command)
    mesh.wait_for("api's sidecar", lambda: ready(api_admin))
    mesh.wait_for("a call through the mesh", lambda: pay(mount, "a warm-up") is not None)
    result(f"api reaches payment as 127.0.0.1:{mount}")

    step(5, f"api pays through the mesh: 127.0.0.1:{mount} => mutual TLS => 127.0.0.1:{app_port}")
    answer = pay(mount, "order 42, 10 EUR")
    if answer != "paid: order 42, 10 EUR":
        raise Failed(f"payment answered {answer!r}")
    result(answer)

    step(6, "deny api => payment by an intention")
    intention = agent.deny("api", "payment")
    took = until(mesh, "the deny", lambda: pay(mount, "order 43") is None)
    result(f"refused {took} after the write; the app never saw a connection")

    step(7, "delete the intention")
    agent.delete(intention)
    took = until(mesh, "the way back", lambda: pay(mount, "order 44") == "paid: order 44")
    result(f"paid again {took} after the delete")
    return agent_port, mount, admin, api_admin


def installed_consul():
    """installed_consul is where tests/setup --peers puts its Consul, whether it is there or not."""
    cache = os.environ.get("MOORING_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "mooring")
    return os.path.join(cache, "peers", "consul")


def real_consul(chosen=""):
    """real_consul is the path of the Consul to run: the chosen one, or the one that tests/setup --peers installs; None, and a
    line, if it is not there."""
    if chosen:
        if shutil.which(os.path.abspath(chosen)):
            return os.path.abspath(chosen)
        print(f"==> no program at {chosen}: --consul takes the path of a consul binary")
        return None
    binary = installed_consul()
    if os.access(binary, os.X_OK):
        return binary
    print("==> no Consul here: tests/setup --peers could not install it (its output says why)")
    return None


def put(url, body):
    """put is a command that sends the body by the tools of this machine: the smallest Debian has no curl."""
    if shutil.which("curl"):
        return f"curl -sSf -X PUT -d {shlex.quote(body)} {shlex.quote(url)}"
    program = f"from urllib.request import Request, urlopen; urlopen(Request({url!r}, {body!r}.encode(), method='PUT'))"
    return f"python3 -c {shlex.quote(program)}"


def commands(mesh, arguments, folder, agent_port, mount, admin, api_admin):
    """What to play with, as (what, command of a shell): each works as it stands, from any folder."""
    mooring = shlex.quote(os.path.abspath(arguments.mooring))
    consul = getattr(arguments, "consul_binary", None) or shutil.which("consul") or (
        installed_consul() if os.access(installed_consul(), os.X_OK) else None)
    if consul:
        intention = f"CONSUL_HTTP_ADDR=127.0.0.1:{agent_port} {shlex.quote(os.path.abspath(consul))} intention"
        deny, allow = f"{intention} create -deny api payment", f"{intention} delete api payment"
    else:
        exact = f"http://127.0.0.1:{agent_port}/v1/connect/intentions/exact?source=api&destination=payment"
        deny, allow = (put(exact, f'{{"SourceType": "consul", "Action": "{action}"}}') for action in ("deny", "allow"))
    pids = " ".join(str(process.pid) for _, process in mesh.running)
    return [("pay", f"printf 'order 1\\n' | timeout 2 bash -c 'exec 3<>/dev/tcp/127.0.0.1/{mount}; cat >&3; head -1 <&3'"),
            ("payment", f"{mooring} status -admin-addr 127.0.0.1:{admin}"),
            ("api", f"{mooring} status -admin-addr 127.0.0.1:{api_admin}"),
            ("deny", deny), ("allow again", allow), ("stop it all", f"kill {pids}; rm -r {shlex.quote(folder)}")]


def closed_ports(consul):
    """closed_ports are those that this consul opens by itself and nobody here needs; it refuses keys that it does not know."""
    version = subprocess.run([consul, "version"], capture_output=True, text=True, timeout=20).stdout
    known = re.search(r"v(\d+)\.(\d+)", version)
    modern = known and (int(known[1]), int(known[2])) >= (1, 14)
    return {"dns": -1, "grpc": -1, **({"grpc_tls": -1} if modern else {})}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="leave everything up, and say how to play with it")
    parser.add_argument("--consul", nargs="?", const="", metavar="PATH",
                        help="use a real agent: this binary, or the Consul 1.8.7 that tests/setup --peers installs")
    parser.add_argument("--mooring", required=True, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.consul is not None:
        arguments.consul_binary = real_consul(arguments.consul)
        if arguments.consul_binary is None:
            return 1
    folder = tempfile.mkdtemp(prefix="mooring-quickstart-")
    mesh = Mesh(folder)
    kept = False
    # Ctrl-C and a TERM end the run like a failure does: everything is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        agent_port, mount, admin, api_admin = play(mesh, arguments)
        if arguments.keep:
            kept = True
            print(f"\nLeft running. Logs: {folder}")
            for what, command in commands(mesh, arguments, folder, agent_port, mount, admin, api_admin):
                print(f"  {what + ':':<14}{command}")
        else:
            print("\nDone: all seven steps passed, nothing is left running.")
        return 0
    except Failed as failure:
        print(f"\n==> {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if not kept:
            mesh.stop()
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
