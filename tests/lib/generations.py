"""Processes of one sidecar that follow each other: each takes over from the one before (-take-over)."""

import contextlib

from lib import check, ports
from lib.case import slowness
from lib.mooring import Mooring
from lib.static import Static

TAKE_OVER = "-take-over"


def handover_dir(case, name="handover"):
    """handover_dir is a folder of the case's, which the program makes."""
    return str(case.directory / name)


class Sidecar:
    """A mooring and its successors. Their addresses are fixed, as a successor has to find them; `first` and `newest` are
    Moorings. What a successor logs once it serves is in the first one's files: its standard error passes on."""

    def __init__(self, case, first):
        self.case, self.first, self.newest = case, first, first
        self.first._admin = self.first.listener("admin")

    def start(self, *words, env=None):
        """start starts another process by the same command line, and words behind it."""
        mooring = Mooring(self.case, [*self.first.process.argv[1:], *words], env=env, ready=False, name="successor")
        mooring._admin = self.first._admin
        return mooring

    def upgrade(self, seconds=20, env=None):
        """upgrade starts a successor, and waits until it serves."""
        return self.serves(self.start(TAKE_OVER, env=env), seconds)

    def serves(self, successor, seconds=20):
        def look():
            if not successor.process.running():
                raise RuntimeError(f"{successor.process.describe()}:\n{successor.process.log()[-3000:]}")
            return self.pid() == successor.pid
        check.within(look, "the successor serves", seconds * slowness(), step=0.02)
        self.newest = successor
        return successor

    def pid(self):
        """pid is that of whoever answers at the admin port; None: nobody does at the moment."""
        with contextlib.suppress(OSError):
            return self.first.status()["pid"]
        return None

    def status(self):
        return self.first.status()

    def generations(self):
        return self.status()["generations"]

    def wait_generations(self, count, seconds=10):
        return check.within(lambda: (lambda rows: [rows] if len(rows) == count else None)(self.generations()),
                            f"/status has {count} old generations", seconds * slowness())[0]

    def wait_log(self, pattern, seconds=10):
        return self.first.wait_log(pattern, seconds)


class StaticSidecar(Sidecar):
    """A Static at fixed addresses, and its successors. Sessions are never idle unless drain_quiet says otherwise."""

    def __init__(self, case, env=None, upstream=None, **settings):
        self.directory = generations_dir = handover_dir(case)
        self.static = Static(case, env=env, public={"address": f"127.0.0.1:{ports.free_port()}"},
                             upstream=upstream or {"listen": f"127.0.0.1:{ports.free_port()}"},
                             admin={"address": f"127.0.0.1:{ports.free_port()}"}, handover_dir=generations_dir,
                             **{"drain_quiet": "0s", **settings})
        super().__init__(case, self.static.mooring)

    def ping(self, peer, text=b"ping"):
        """ping asserts that a session goes on: either end may be a client of the test's."""
        check.equal(peer.send(text).receive(len(text)), text, "echo of a session that goes on")
