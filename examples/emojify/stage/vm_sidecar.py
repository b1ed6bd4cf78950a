"""What stands beside payment and receipts on the VM: Mooring, or one of the programs whose place it takes."""

import collections
import json
import os
import signal

from lib import check
from lib.case import peer_binary, slowness
from lib.metrics import Scrape
from lib.mooring import yaml_text
from stage import requests
from stage.agents import HTTP
from stage.catalog import PAYMENT, RECEIPTS, SECOND_PAYMENT, VM, VM_PUBLIC, for_the_api, sidecar
from stage.envoy import Envoys

DRAIN = 40 * 1.0  # seconds in which a process ends by itself after SIGTERM


def flags(service, app, public, *more):
    """flags are those of the talk, the same for Mooring and for Consul's own proxy."""
    return ["connect", "proxy", "-service", service, "-service-addr", "{}:{}".format(*app),
            "-listen", f"{VM}:{public}", "-register", "-http-addr", f"127.0.0.1:{HTTP}", *more]


class Nothing:
    """What a sidecar has that has nothing of the kind."""

    one_process = False
    page = None
    no_upgrade = "it has none: it is another restart"

    def fresh(self):
        """It keeps nothing, or its control loop does: what it goes by is what the agent said last."""
        return self.ready()

    def processes_seen(self):
        return "a process for each"

    def identities(self):
        return []

    def callers(self):
        return {}

    def top(self):
        return ""


class Mooring:
    """One process: started for payment by the flags of Consul's proxy, then replaced by one that has receipts, too."""

    kind = "mooring"
    name = "Mooring"
    one_process, no_upgrade = True, ""
    ADMIN, SECOND_ADMIN = ("127.0.0.1", 19100), ("127.0.0.1", 19101)

    def __init__(self, machine, agent):
        self.machine, self.agent, self.case = machine, agent, machine.case
        self.binary = os.environ["MOORING_BIN"]
        self.access_log = self.case.directory / "mooring-access.log"
        self.folder = self.case.directory / "mooring"
        self.folder.mkdir()
        self.yaml = self.case.write("mooring.yaml", yaml_text(self._settings()) + "\n")
        self.process = self.second = None
        self.words = flags("payment", PAYMENT, VM_PUBLIC["payment"], "-admin-addr", "{}:{}".format(*self.ADMIN),
                           "-state-dir", self.folder / "state", "-handover-dir", self.folder / "handover",
                           "-access-log", self.access_log, "-access-log-format", "json")

    def _settings(self):
        services = [("payment", PAYMENT), ("receipts", RECEIPTS)]
        return {"services": [{"service": name, "register": True, "public_listener": {
                    "address": f"{VM}:{VM_PUBLIC[name]}", "local_app": "{}:{}".format(*app)}}
                    for name, app in services],
                "agent": {"address": f"127.0.0.1:{HTTP}"}, "admin": {"address": "{}:{}".format(*self.ADMIN)},
                "state_dir": self.folder / "state", "handover_dir": self.folder / "handover",
                "access_log": {"to": self.access_log, "format": "json"}}

    def payment_command(self):
        """payment_command is what a person would type: the talk's flags, and then those of our own."""
        words = list(map(str, self.words))
        end = words.index("-admin-addr")
        return " ".join(["mooring", *words[:end]]) + "\n         " + " ".join(words[end:])

    def receipts_command(self):
        return "mooring reload -upgrade -- proxy -config mooring.yaml   (both services; nobody is refused meanwhile)"

    def start(self):
        self.process = self.machine.start([self.binary, *self.words], "mooring")

    def wait_ready(self, seconds=30):
        check.within(self.ready, f"{self.name} is ready", seconds * slowness(), step=0.01)

    def ready(self):
        return requests.get(self.machine, self.ADMIN, "/ready").status == 200

    def status(self, service=None):
        path = "/status" + (f"?service={service}" if service else "")
        return requests.get(self.machine, self.ADMIN, path).json()

    def fresh(self):
        """fresh: all that it goes by was confirmed by the agent in its present life."""
        services = [self.status(name)["watches"] for name in ("payment", "receipts")]
        return all(watch["source"] == "agent" and watch["state"] == "ok" for watches in services for watch in watches)

    def processes_seen(self):
        return f"process {self.pid()} serves {VM}:{VM_PUBLIC['payment']} and {VM}:{VM_PUBLIC['receipts']}"

    def identities(self):
        """identities are those of callers in the access log, the newest first."""
        lines = self.access_log.read_text().splitlines() if self.access_log.exists() else []
        return [identity for line in reversed(lines) if (identity := json.loads(line).get("identity"))]

    def callers(self):
        """callers are how many connections each service has made to payment, since the process began."""
        found = Scrape(requests.get(self.machine, self.ADMIN, "/metrics?service=payment").text)
        name = "mooring_connections_opened_total"
        return {source: int(found.value(name, direction="inbound", source_service=source))
                for source in found.label_values(name, "source_service") if source}

    def top(self):
        """top is the table that a person sees, without its head."""
        return self.tool("top", "-once", "-admin-addr", "{}:{}".format(*self.ADMIN)).strip()

    @property
    def page(self):
        return self.ADMIN

    def tool(self, *words):
        """tool runs one of Mooring's commands beside it, and returns what it says."""
        return self.machine.run(self.binary, *words)

    def add_receipts(self):
        """add_receipts has the next process take over, by a file that has receipts, too. Nobody is refused."""
        self.words = ["proxy", "-config", self.yaml]
        self._reload("--", *self.words)

    def upgrade(self):
        self._reload()

    def _reload(self, *words):
        before = self.pid()
        self.tool("reload", "-handover-dir", self.folder / "handover", "-upgrade", *words)
        check.within(lambda: self.pid() != before and self.ready(), "the next process serves", 20 * slowness())

    def pid(self):
        return self.status()["pid"]

    def kill(self):
        os.kill(self.pid(), signal.SIGKILL)
        self._gone()

    def restart(self):
        """restart is SIGTERM, its drain, and the next start: what a service manager does."""
        os.kill(self.pid(), signal.SIGTERM)
        self._gone()
        self.start()

    def _gone(self):
        def gone():
            try:
                return not self.status()
            except OSError:
                return True
        check.within(gone, f"{self.name} has ended", DRAIN * slowness(), step=0.005)

    @staticmethod
    def proxies():
        """proxies are (ID of the proxy's registration, ID of the instance that it stands for)."""
        return [("payment-proxy", "payment"), ("payment-proxy-second", "payment-2")]

    def start_second(self):
        """start_second is the sidecar of the second instance of payment."""
        words = flags("payment", SECOND_PAYMENT, VM_PUBLIC["second payment"], "-register-id", "second",
                      "-admin-addr", "{}:{}".format(*self.SECOND_ADMIN))
        self.second = self.machine.start([self.binary, *words], "mooring-second")
        check.within(lambda: requests.get(self.machine, self.SECOND_ADMIN, "/ready").status == 200,
                     "the second one is ready", 30 * slowness())

    def stop_second(self):
        self.second.send(signal.SIGTERM)
        self.second.wait(DRAIN)


class ConsulProxy(Nothing):
    """`consul connect proxy`, a process for each service."""

    kind = "consul"
    name = "consul connect proxy"

    def __init__(self, machine, agent):
        self.machine, self.agent, self.case = machine, agent, machine.case
        self.binary, self.processes = peer_binary("consul"), {}
        self.words = {"payment": flags("payment", PAYMENT, VM_PUBLIC["payment"]),
                      "receipts": flags("receipts", RECEIPTS, VM_PUBLIC["receipts"])}

    def payment_command(self):
        return " ".join(["consul", *self.words["payment"]])

    def receipts_command(self):
        return " ".join(["consul", *self.words["receipts"]])

    def start(self):
        for service in self.processes or ["payment"]:
            self._start(service)

    def _start(self, service):
        self.processes[service] = self.machine.start([self.binary, *self.words[service]], f"consul-proxy-{service}")

    def wait_ready(self, seconds=30):
        check.within(self.ready, f"{self.name} is ready", seconds * slowness(), step=0.01)

    def ready(self):
        """It tells nobody. Its port is open once it has what it needs."""
        listening = self.machine.listeners()
        return all((VM, VM_PUBLIC[service]) in listening for service in self.processes)

    def add_receipts(self):
        self._start("receipts")
        self.wait_ready()

    def kill(self):
        for process in self.processes.values():
            process.kill()

    def restart(self):
        for process in self.processes.values():
            process.send(signal.SIGTERM)
        for process in self.processes.values():
            process.wait(DRAIN)
        self.start()

    proxies = staticmethod(Mooring.proxies)

    def start_second(self):
        words = flags("payment", SECOND_PAYMENT, VM_PUBLIC["second payment"], "-register-id", "second")
        self.second = self.machine.start([self.binary, *words], "consul-proxy-second")
        check.within(lambda: (VM, VM_PUBLIC["second payment"]) in self.machine.listeners(), "the second one listens",
                     30 * slowness())

    def stop_second(self):
        self.second.send(signal.SIGTERM)
        self.second.wait(DRAIN)


class Envoy(Nothing):
    """Envoy, an Envoy for each service, behind the same control loop as those of the cluster."""

    kind = "envoy"
    name = "Envoy"
    no_upgrade = "Consul starts it with hot restart switched off: it is another restart"
    FIRST_ADMIN = 19300

    def __init__(self, machine, agent):
        self.machine, self.agent = machine, agent
        self.groups = []

    def payment_command(self):
        return "envoy -c payment-sidecar-proxy/bootstrap.json   (and stage/envoys.py, which writes that folder)"

    def receipts_command(self):
        return "envoy -c receipts-sidecar-proxy/bootstrap.json"

    def _group(self, instance, service, app, public):
        registration = sidecar(service, VM, public, app, {}, instance)
        self.agent.register(for_the_api(registration))
        group = Envoys(self.machine, instance, [registration["id"]], self.FIRST_ADMIN + len(self.groups))
        self.groups.append(group)
        group.start()

    def start(self):
        if not self.groups:
            self._group("payment", "payment", PAYMENT, VM_PUBLIC["payment"])
            return
        for group in self.groups:
            for identifier in group.admin:
                group.start_one(identifier)

    def wait_ready(self, seconds=30):
        check.within(self.ready, f"{self.name} is ready", seconds * slowness(), step=0.01)

    def ready(self):
        return all(group.live(identifier) for group in self.groups for identifier in group.admin)

    def add_receipts(self):
        self._group("receipts", "receipts", RECEIPTS, VM_PUBLIC["receipts"])

    def identities(self):
        lines = self.groups[0].access_log("payment-sidecar-proxy")
        return [identity for line in reversed(lines) if (identity := line.get("peer"))]

    def callers(self):
        return dict(collections.Counter(identity.rpartition("/svc/")[2] for identity in self.identities()))

    def _all(self):
        return [process for group in self.groups for process in group.processes.values()]

    def kill(self):
        for process in self._all():
            process.kill()

    def restart(self):
        for process in self._all():
            process.send(signal.SIGTERM)
        for process in self._all():
            process.wait(DRAIN)
        self.start()

    @staticmethod
    def proxies():
        """proxies: these follow their instances by their registrations."""
        return []

    def start_second(self):
        self._group("payment-2", "payment", SECOND_PAYMENT, VM_PUBLIC["second payment"])

    def stop_second(self):
        group = self.groups.pop()
        self.agent.deregister("payment-2-sidecar-proxy")
        for process in (group.loop, *group.processes.values()):
            process.close()


KINDS = {one.kind: one for one in (Mooring, ConsulProxy, Envoy)}
