"""One of four proxies as the inbound sidecar of a service, with bounds on memory and descriptors, and what it uses."""

import threading

from field.test_descriptors import limited
from lib import certs, haproxy
from lib.cgroup import Cgroup
from lib.envoy import Envoy
from lib.goproxy import GoProxy
from lib.haproxy import Haproxy
from lib.mooring import Mooring

NAMES = {"mooring": "Mooring", "envoy": "Envoy", "haproxy": "HAProxy", "consul": "Consul's"}


def start(case, kind, consul, app, wrap):
    """start is a sidecar of payment's, before the application at that port, with nothing set that need not be. Envoy is
    as Consul configures it, with a worker for each core; HAProxy has the timeouts of Debian's package."""
    if kind == "mooring":
        program = Mooring.connect_proxy(case, "-http-addr", consul.address, "-service", "payment", "-service-addr",
                                        f"127.0.0.1:{app}", "-listen", "127.0.0.1:0", level="INFO", wrap=wrap)
        program.expect_exit = None  # whether it lives is a figure
        return program.process, program.public
    if kind == "envoy":
        program = Envoy(case, consul, "payment", app=("127.0.0.1", app), workers=None, log=False, wrap=wrap)
    elif kind == "haproxy":
        files = haproxy.identity_files(case, "payment", certs.from_agent(consul.leaf("payment")), consul.roots_pem())
        bind = " ".join(["ssl", *(f"{word} {path}" for word, path in files.items()), "verify required"])
        program = Haproxy(case, "payment", [f"server app 127.0.0.1:{app}"], bind,
                          ("connect 5s", "client 50s", "server 50s"), wrap)
    else:
        program = GoProxy(case, consul, "payment", app=("127.0.0.1", app), flags=("-log-level", "info"), ready=False,
                          wrap=wrap)
    return program.process, program.address


class Besieged:
    """The proxy, and what it uses from reset() on: most memory (RSS, MiB), most descriptors, CPU seconds."""

    def __init__(self, case, kind, consul, app, descriptors, mib):
        self.group = Cgroup(case, mib << 20)
        # The descriptors' shell has to be the outer one: it must not count in the group.
        self.process, self.address = start(case, kind, consul, app, [*limited(descriptors), *self.group.wrap])
        self.memory = self.descriptors = 0
        self._cpu = self._cpu_before = 0.0
        self._over = threading.Event()
        self._watcher = None
        case.undo(self.stop)

    def watch(self):
        self._cpu_before = self.process.cpu_seconds()
        self.process.forget_most()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def _watch(self):
        while not self._over.wait(0.1):
            try:
                self.descriptors = max(self.descriptors, len(self.process.descriptors()))
                self.memory = max(self.memory, self.process.most_resident() >> 20)
                self._cpu = self.process.cpu_seconds()
            except OSError:  # it has ended
                return

    @property
    def cpu(self):
        return self._cpu - self._cpu_before

    def how(self):
        """how is "alive", or how it ended."""
        code = self.process.popen.poll()
        if code is None:
            return "alive"
        if self.group.kills():
            return "killed for want of memory"
        return f"died of signal {-code}" if code < 0 else f"ended with {code}"

    def stop(self):
        self._over.set()
        if self._watcher:
            self._watcher.join(5)
