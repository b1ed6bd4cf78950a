"""The shop's programs, each on its machine's loopback: website, api, facebox; payment, receipts."""

import re
import shutil
import sys

from lib import check
from lib.case import slowness
from stage.catalog import API, FACEBOX, PAYMENT, RECEIPTS, SECOND_PAYMENT, UPSTREAMS, WEBSITE
from stage.parts import APPS


def at(address):
    return "{}:{}".format(*address)


class Shop:
    """parts: what of it can be had."""

    FIRST, SECOND = "P1", "P2"  # instances of payment: their receipts' numbers begin so

    def __init__(self, cluster, vm, parts):
        self.cluster, self.vm, self.parts = cluster, vm, parts
        self.java = self._compiled() if parts.java else None
        self.payments = {}
        self.ledger = vm.case.directory / "ledger"

    def _compiled(self):
        """The classes: java would compile the source anew at each start, which takes seconds. It does without javac."""
        flags = ["java", "-XX:TieredStopAtLevel=1", "-Xmx128m"]
        if shutil.which("javac") is None:
            return [*flags, APPS / "payment" / "Payment.java"]
        folder = self.vm.case.directory / "payment-classes"
        self.vm.run("javac", "-d", folder, APPS / "payment" / "Payment.java")
        return [*flags, "-cp", folder, "Payment"]

    def start(self):
        folders = [word for folder in self.parts.pictures for word in ("--pictures", folder)]
        self._python(self.cluster, WEBSITE, "website.py", *folders, *([] if self.parts.opencv else ["--drawn"]))
        self._python(self.cluster, FACEBOX, "facebox.py", *([] if self.parts.opencv else ["--without-opencv"]))
        mounted = [word for name, port in UPSTREAMS["api"].items() for word in (f"--{name}", f"127.0.0.1:{port}")]
        self._python(self.cluster, API, "api.py", *mounted)
        self.start_payment(self.FIRST, PAYMENT)
        logs = [word for name in (self.FIRST, self.SECOND) for word in ("--log", self.log_of(name))]
        self._python(self.vm, RECEIPTS, "receipts.py", *logs)

    def start_payment(self, name, address):
        """start_payment starts an instance. All of them know by one ledger which orders are paid."""
        words = self.java or [sys.executable, "-B", APPS / "payment" / "payment.py"]
        with open(self.log_of(name), "ab") as log:
            self.payments[name] = self.vm.start(
                [*words, "--listen", at(address), "--name", name, "--ledger", self.ledger], f"payment-{name}",
                stdout=log)
        self._listens(self.vm, address, self.payments[name])

    def start_second_payment(self):
        self.start_payment(self.SECOND, SECOND_PAYMENT)

    def start_first_payment(self):
        self.start_payment(self.FIRST, PAYMENT)

    def _python(self, machine, address, program, *words):
        process = machine.start([sys.executable, "-B", APPS / program, "--listen", at(address), *words],
                                program.removesuffix(".py"))
        self._listens(machine, address, process)

    @staticmethod
    def _listens(machine, address, process):
        def look():
            if not process.running():
                raise RuntimeError(f"{process.describe()}:\n{process.log()[-2000:]}")
            return address in machine.listeners()
        check.within(look, f"{process.name} listens at {at(address)}", 40 * slowness(), step=0.05)

    # What the point of sale has printed.

    def log_of(self, name):
        return self.vm.case.directory / f"point-of-sale-{name}.log"

    def receipts_of(self, name):
        """receipts_of are (receipt, order) of the purchases that an instance of payment has printed."""
        path = self.log_of(name)
        return re.findall(r"^pos: receipt (\S+) order (\S+)", path.read_text() if path.exists() else "", re.MULTILINE)

    def receipts(self):
        return self.receipts_of(self.FIRST) + self.receipts_of(self.SECOND)
