"""What bench/growth and bench/seen start and drive: Moorings configured by files alone, a backend, held connections, load."""

import json
import os
import resource
import selectors
import signal
import socket
import ssl
import struct
import subprocess
import time
from pathlib import Path

from lib import certs, ports
from lib.mooring import yaml_text

START_SECONDS = 30.0  # under callgrind a start takes seconds
STALL_SECONDS = 10.0
UNDER_WAY = 64  # connections that are opened at a time
ECHO = b"e"     # the backend's way of answering is chosen by the first byte; see servers.h
DESCRIPTORS_PER_CONNECTION = 2  # of a proxy
SPARE_DESCRIPTORS = 400         # for the load beside the held connections, listeners, logs


def most_connections():
    """most_connections is how many a proxy can hold, by the hard limit on open files."""
    return (resource.getrlimit(resource.RLIMIT_NOFILE)[1] - SPARE_DESCRIPTORS) // DESCRIPTORS_PER_CONNECTION


def cpu_of(pid):
    """cpu_of is the CPU time in seconds of all threads of a process, by its CPU-time clock (clock_getcpuclockid)."""
    return time.clock_gettime((~pid << 3) | 2)


class Process:
    """A process that listens on a port of 127.0.0.1, or on every address."""

    def __init__(self, command, port, log):
        self.port = port
        with open(log, "wb") as output:
            self._child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        self.pid = self._child.pid
        deadline = time.monotonic() + START_SECONDS
        while not ports.listening(port):
            if self._child.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise RuntimeError(f"{' '.join(map(str, command))} does not listen on port {port}:\n{log.read_text()}")
            time.sleep(0.02)

    def cpu(self):
        return cpu_of(self.pid)

    def resident(self):
        """resident is its RSS in bytes."""
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def close(self):
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)
        try:
            self._child.wait(5)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


class Mesh:
    """One authority, one backend, and as many Moorings as asked for. web calls, db is called."""

    def __init__(self, mooring, load, folder, first_port):
        self._mooring, self._load, self.folder = mooring, load, folder
        self._next_port = first_port
        self._processes = []
        self._authority = certs.Authority()
        self.db_uri = self._authority.uri("db")
        self._roots = self._write("roots.pem", self._authority.pem)
        self._identities = {name: self.identity(name) for name in ("web", "db")}
        port = self.free_port()
        self.backend = self._start([load, "backend", "--port", str(port)], port, "backend")

    def inbound(self, rules=1, host="127.0.0.1", under=(), **more):
        """inbound is db's sidecar. Of its rules, all that count, only the last in the order of names covers web. `more` are
        settings of the file, `under` is a command that it runs under."""
        port = self.free_port()
        names = [f"caller-{i:05}" for i in range(rules - 1)] + ["web"]
        settings = {"service": "db", "identity": self._identities["db"],
                    "public_listener": {"address": f"{host}:{port}", "local_app": f"127.0.0.1:{self.backend.port}"},
                    "intentions": {"default": "deny",
                                   "rules": [{"source": name, "action": "allow"} for name in names]}, **more}
        return self._run("inbound", settings, port, under)

    def services(self, count):
        """services is one process with so many services, each with a public listener; the last of them listens on its port."""
        ports_of_all = [self.free_port() for _ in range(count)]
        services = [{"service": f"s{number}", "identity": self.identity(f"s{number}"), "intentions": {"default": "allow"},
                     "public_listener": {"address": f"127.0.0.1:{port}", "local_app": f"127.0.0.1:{self.backend.port}"}}
                    for number, port in enumerate(ports_of_all)]
        return self._run("services", services[0] if count == 1 else {"services": services}, ports_of_all[-1])

    def outbound(self, endpoints, upstreams=1, **more):
        """outbound is web's sidecar. Of several upstreams, all of which are db, the last listens on its port."""
        listening = [self.free_port() for _ in range(upstreams)]
        settings = {"service": "web", "identity": self._identities["web"],
                    "upstreams": [{"service": "db" if upstreams == 1 else f"db-{number}", "listen": f"127.0.0.1:{port}",
                                   "spiffe_id": self.db_uri, "endpoints": endpoints} for number, port in enumerate(listening)],
                    **more}
        return self._run("outbound", settings, listening[-1])

    def micro(self, name):
        """micro is the median of one benchmark of bench-micro, in nanoseconds."""
        command = [str(Path(self._load).with_name("bench-micro")), name, "--seconds", "0.1"]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, timeout=60)
        for line in done.stdout.splitlines():
            if line.split()[0] == name:
                return float(line.split()[1])
        raise RuntimeError(f"{' '.join(command)} has no figure: {done.stdout}{done.stderr}")

    def call(self, port, caller):
        """call has a service of that name pass one byte there and back, over TLS of its own."""
        if caller not in self._identities:
            self._identities[caller] = self.identity(caller)
        files = self._identities[caller]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # whom we call is not the point
        context.load_verify_locations(files["roots"])
        context.load_cert_chain(files["certificate"], files["private_key"])
        with socket.create_connection(("127.0.0.1", port), STALL_SECONDS) as plain:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or the byte would wait 40 ms for the ACK of the handshake
            with context.wrap_socket(plain) as tls:
                tls.sendall(ECHO)
                if tls.recv(1) != ECHO:
                    raise RuntimeError(f"no byte came back to {caller}")

    def caller_flags(self):
        """caller_flags let bench-load call db as web, by TLS."""
        files = self._identities["web"]
        return ["--tls", "--certificate", files["certificate"], "--key", files["private_key"], "--roots",
                files["roots"], "--expect", self.db_uri]

    def load(self, mode, port, groups, *flags, connections, window):
        """load runs one client mode of bench-load; groups maps names to processes."""
        command = [self._load, mode, "--port", str(port), "--connections", str(connections), "--seconds", str(window),
                   "--warm", str(window / 3), *flags]
        for name, processes in groups.items():
            command += ["--cpu", f"{name}={','.join(str(process.pid) for process in processes)}"]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
                              timeout=10 * window + 60)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, command))} failed: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def close(self):
        while self._processes:
            self._processes.pop().close()

    def _run(self, kind, settings, port, under=()):
        path = self.folder / f"{kind}-{port}.yaml"
        path.write_text(yaml_text({**settings, "log_level": "WARN", "drain_delay": "0s", "drain_time": "0s"}) + "\n")
        return self._start([*under, self._mooring, "proxy", "-config", path], port, f"{kind}-{port}")

    def _start(self, command, port, name):
        process = Process(command, port, self.folder / f"{name}.log")
        self._processes.append(process)
        return process

    def free_port(self):
        while ports.listening(self._next_port):
            self._next_port += 1
        self._next_port += 1
        return self._next_port - 1

    def identity(self, service):
        """identity is the settings of a service's certificate, key and roots."""
        leaf = self._authority.leaf(service)
        return {"certificate": self._write(f"{service}.pem", leaf.chain_pem),
                "private_key": self._write(f"{service}.key", leaf.key_pem),
                "roots": self._roots}

    def _write(self, name, text):
        path = self.folder / name
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
            file.write(text)
        return str(path)


class Held:
    """Connections that were used once, for one byte there and back, and are open."""

    def __init__(self, port):
        self._port, self._open = port, []

    def __len__(self):
        return len(self._open)

    def grow(self, count):
        """grow opens connections until there are so many. All of them work when it returns."""
        with selectors.DefaultSelector() as selector:
            under_way = 0
            while len(self._open) < count:
                while under_way < UNDER_WAY and len(self._open) + under_way < count:
                    connection = socket.socket()
                    connection.setblocking(False)
                    connection.connect_ex(("127.0.0.1", self._port))
                    selector.register(connection, selectors.EVENT_WRITE)
                    under_way += 1
                events = selector.select(STALL_SECONDS)
                if not events:
                    raise RuntimeError(f"no byte came back on {under_way} new connections, beside {len(self)}")
                for key, mask in events:
                    under_way -= self._advance(selector, key.fileobj, mask)

    def shrink(self, count):
        """shrink ends connections by a reset: a closed one would keep its port busy for a minute."""
        while len(self._open) > count:
            connection = self._open.pop()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()

    def _advance(self, selector, connection, mask):
        """_advance returns 1 once the connection is done with opening."""
        if mask & selectors.EVENT_WRITE:
            connection.send(ECHO)
            selector.modify(connection, selectors.EVENT_READ)
            return 0
        if connection.recv(1) != ECHO:
            raise RuntimeError(f"a new connection was closed, beside {len(self)}")
        selector.unregister(connection)
        self._open.append(connection)
        return 1
