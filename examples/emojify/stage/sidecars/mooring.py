"""Mooring beside payment and receipts."""

import json
import os
import select
import signal

from lib import check
from lib.case import slowness
from lib.metrics import Scrape
from lib.mooring import yaml_text
from stage import requests
from stage.agents import HTTP
from stage.catalog import PAYMENT, RECEIPTS, SECOND_PAYMENT, VM, VM_PUBLIC
from stage.sidecars.common import DRAIN, flags, proxies


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
        """payment_command is what a person would type: the flags of Consul's proxy, and then our own."""
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
        self._end(signal.SIGKILL)

    def restart(self):
        """restart is SIGTERM, its drain, and the next start: what a service manager does."""
        self._end(signal.SIGTERM)
        self.start()

    def _end(self, number):
        """_end returns when the process is gone, not when it answers no more: it holds its locks until then."""
        process = os.pidfd_open(self.pid())
        try:
            signal.pidfd_send_signal(process, number)
            ended, _, _ = select.select([process], [], [], DRAIN * slowness())
        finally:
            os.close(process)
        check.true(ended, f"{self.name} has ended")

    proxies = staticmethod(proxies)

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
