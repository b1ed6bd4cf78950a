"""A service manager's side of sd_notify: a socket that keeps what it is told."""

import os
import select
import socket
import time

from lib import check
from lib.case import slowness


class Manager:
    """`variables` are what it puts into the environment of what it starts."""

    def __init__(self, case, watchdog=None, abstract=False):
        address = f"@mooring-test-{os.getpid()}-{id(self)}" if abstract else str(case.directory / "notify.sock")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if abstract else address)
        case.undo(self._socket.close)
        self.said = []   # (name, value), in order
        self.heard = {}  # when a name came last, by time.monotonic
        self.variables = {"NOTIFY_SOCKET": address}
        if watchdog is not None:
            self.variables["WATCHDOG_USEC"] = str(int(watchdog * 1e6))

    def listen(self, seconds):
        """listen takes what has come, and waits so long for more if nothing has."""
        while select.select([self._socket], [], [], seconds)[0]:
            seconds = 0
            for line in self._socket.recv(4096).decode().split("\n"):
                self.said.append(tuple(line.split("=", 1)))
                self.heard[self.said[-1][0]] = time.monotonic()
        return self.said

    def values(self, name):
        return [value for said, value in self.listen(0) if said == name]

    def wait(self, name, fits=lambda value: True, seconds=10):
        """wait returns the first value of that name that fits."""
        def look():
            self.listen(0.05)
            return next((value for said, value in self.said if said == name and fits(value)), None)
        return check.within(look, f"the manager is told {name}", seconds * slowness())
