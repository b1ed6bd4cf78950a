"""`consul connect proxy` in Mooring's place."""

import signal

from lib import check
from lib.case import peer_binary, slowness
from stage.catalog import PAYMENT, RECEIPTS, SECOND_PAYMENT, VM, VM_PUBLIC
from stage.sidecars.common import DRAIN, Nothing, flags, proxies


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

    proxies = staticmethod(proxies)

    def start_second(self):
        words = flags("payment", SECOND_PAYMENT, VM_PUBLIC["second payment"], "-register-id", "second")
        self.second = self.machine.start([self.binary, *words], "consul-proxy-second")
        check.within(lambda: (VM, VM_PUBLIC["second payment"]) in self.machine.listeners(), "the second one listens",
                     30 * slowness())

    def stop_second(self):
        self.second.send(signal.SIGTERM)
        self.second.wait(DRAIN)
