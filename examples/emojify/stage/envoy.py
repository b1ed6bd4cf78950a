"""Real Envoys on a machine, each behind its own files, and the control loop that writes these."""

import json
import sys
from pathlib import Path

from lib import check
from lib.case import peer_binary, slowness
from stage import requests
from stage.agents import HTTP

PROGRAM = Path(__file__).with_name("envoys.py")


class Envoys:
    """identifiers: of sidecars that the machine's agent knows. Their admin ports count up from the first."""

    def __init__(self, machine, name, identifiers, first_admin):
        self.machine, self.folder = machine, machine.case.directory / f"envoys-{name}"
        self.admin = {identifier: first_admin + number for number, identifier in enumerate(identifiers)}
        words = [f"{identifier}:{port}" for identifier, port in self.admin.items()]
        self.loop = machine.start([sys.executable, "-B", PROGRAM, "--agent", f"127.0.0.1:{HTTP}",
                                   "--folder", self.folder, *words],
                                  f"envoys-{name}")
        self.processes = {}

    def start(self):
        for identifier in self.admin:
            self.start_one(identifier)
        for identifier in self.admin:
            check.within(lambda: self.live(identifier), f"Envoy of {identifier} is live", 30 * slowness(), step=0.05)
        return self

    def start_one(self, identifier):
        """Envoy reads its files once at its start, and what they name must be there by then."""
        bootstrap = self.folder / identifier / "bootstrap.json"
        check.within(bootstrap.exists, f"the files of {identifier} are written", 30 * slowness(), step=0.02)
        self.processes[identifier] = self.machine.start(
            [peer_binary("envoy"), "-c", bootstrap, "--concurrency", "1", "--disable-hot-restart", "--base-id",
             self.admin[identifier], "--file-flush-interval-msec", "50", "-l", "warning"], f"envoy-{identifier}")

    def live(self, identifier):
        process = self.processes[identifier]
        if not process.running():
            raise RuntimeError(f"{process.describe()}:\n{process.log()[-2000:]}")
        return self.ask(identifier, "/ready").strip() == "LIVE" and self.ask(identifier, "/listeners").strip()

    def access_log(self, identifier):
        path = self.folder / identifier / "access.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def ask(self, identifier, path):
        return requests.get(self.machine, ("127.0.0.1", self.admin[identifier]), path).text
