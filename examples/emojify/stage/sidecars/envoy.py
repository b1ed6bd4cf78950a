"""Envoy in Mooring's place."""

import collections
import signal

from lib import check
from lib.case import slowness
from stage.catalog import PAYMENT, RECEIPTS, SECOND_PAYMENT, VM, VM_PUBLIC, for_the_api, sidecar
from stage.envoy import Envoys
from stage.sidecars.common import DRAIN, Nothing


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
