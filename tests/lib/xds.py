"""Gateways as `consul connect envoy` starts them: Envoys whose configuration is Consul's own, over xDS."""

import json
import subprocess
import urllib.request

from lib import check
from lib.case import Process, peer_binary, slowness
from lib.ports import free_port


class XdsGateway:
    """A gateway of that kind ("mesh", "terminating") in the agent's datacenter, registered under `name`; the agent is one with
    xds=True. Its address is its WAN address as well."""

    def __init__(self, case, consul, kind, name):
        self.consul, self.port, self.admin_port = consul, free_port(), free_port()
        self.address = ("127.0.0.1", self.port)
        self.identifier = f"{name}-{self.port}"
        own = f"127.0.0.1:{self.port}"
        words = [peer_binary("consul"), "connect", "envoy", f"-gateway={kind}", "-register", "-service", name, "-proxy-id",
                 self.identifier, "-address", own, "-http-addr", consul.address, "-grpc-addr", f"127.0.0.1:{consul.ports['grpc']}",
                 "-admin-bind", f"127.0.0.1:{self.admin_port}", "-envoy-binary", peer_binary("envoy"),
                 # Consul lists the releases of Envoy of its own time.
                 "-ignore-envoy-compatibility", "-bootstrap"]
        words += ["-wan-address", own] if kind == "mesh" else []
        words += ["-token", consul.token] if consul.token else []
        made = subprocess.run(words, capture_output=True, text=True, timeout=30 * slowness(), check=False)
        check.equal(made.returncode, 0, f"consul connect envoy -bootstrap: {made.stderr}")
        # Before the bootstrap stands that the gateway was registered.
        path = case.write(f"{self.identifier}.json", made.stdout[made.stdout.index("{"):])
        case.undo(self.take_out)
        self.process = Process(case, [peer_binary("envoy"), "-c", path, "--concurrency", "1", "--disable-hot-restart",
                                      "--base-id", self.admin_port, "-l", "warning"], f"envoy-{self.identifier}")
        check.within(self._live, "the gateway is live", 20 * slowness(), step=0.05)

    def _live(self):
        if not self.process.running():
            raise RuntimeError(f"{self.process.describe()}:\n{self.process.log()[-2000:]}")
        try:
            return self.admin("/ready").strip() == "LIVE" and self.admin("/listeners").strip()
        except OSError:
            return False

    def admin(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}{path}", timeout=5) as answer:
            return answer.read().decode()

    def passed(self):
        """passed is how many connections it has taken on behalf of others."""
        stats = json.loads(self.admin(r"/stats?format=json&filter=^tcp\..*downstream_cx_total"))["stats"]
        return sum(one.get("value", 0) for one in stats)

    def knows(self, name):
        """knows tells whether Consul has told it of a cluster whose name begins so."""
        return any(line.startswith(name) for line in self.admin("/clusters").splitlines())

    def take_out(self):
        """take_out ends its entry in the catalog; the Envoy goes on."""
        identifier, self.identifier = self.identifier, None
        if identifier:
            self.consul.deregister(identifier)

    def kill(self):
        self.process.kill()
