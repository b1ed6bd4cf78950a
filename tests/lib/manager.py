"""A service manager's side of sd_notify: a socket that keeps what it is told."""

import os
import select
import socket
import time

from lib import check
from lib.case import slowness


# What a manager does between fork and exec: the sockets are 3 and on, and the process is told that they are for it.
PASS = """
import os, sys
count, names, command = sys.argv[1], sys.argv[2], sys.argv[3:]
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=count, LISTEN_FDNAMES=names)
os.execvp(command[0], command)
"""


def passed(sockets):
    """passed is how Static starts its mooring with these sockets, by name."""
    def place():
        high = [os.dup2(each.fileno(), 900 + i) for i, each in enumerate(sockets.values())]
        for i, each in enumerate(high):
            os.dup2(each, 3 + i)

    return {"wrap": ("/usr/bin/python3", "-c", PASS, str(len(sockets)), ":".join(sockets)),
            "process": {"preexec_fn": place, "pass_fds": tuple(range(3, 3 + len(sockets)))}}


class Manager:
    """`variables` are what it puts into the environment of what it starts."""

    def __init__(self, case, watchdog=None, abstract=False):
        address = f"@mooring-test-{os.getpid()}-{id(self)}" if abstract else str(case.directory / "notify.sock")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if abstract else address)
        case.undo(self._socket.close)
        self._case = case
        self.store = {}       # sockets by name, as FileDescriptorStoreMax= has them kept
        self.forgotten = []   # names that were removed
        self.said = []   # (name, value), in order
        self.heard = {}  # when a name came last, by time.monotonic
        self.variables = {"NOTIFY_SOCKET": address}
        if watchdog is not None:
            self.variables["WATCHDOG_USEC"] = str(int(watchdog * 1e6))

    def listen(self, seconds):
        """listen takes what has come, and waits so long for more if nothing has."""
        while select.select([self._socket], [], [], seconds)[0]:
            seconds = 0
            text, rights, _, _ = socket.recv_fds(self._socket, 4096, 1)
            lines = [tuple(line.split("=", 1)) for line in text.decode().split("\n")]
            self._store(dict(lines), rights)
            for line in lines:
                self.said.append(line)
                self.heard[line[0]] = time.monotonic()
        return self.said

    def _store(self, told, rights):
        name = told.get("FDNAME", "stored")
        if "FDSTOREREMOVE" in told:
            self.forgotten.append(name)
            for gone in self.store.pop(name, []):
                gone.close()
        for fd in rights:
            check.true("FDSTORE" in told, "a descriptor comes with FDSTORE=1")
            self.store.setdefault(name, []).append(socket.socket(fileno=fd))
            self._case.undo(self.store[name][-1].close)

    def values(self, name):
        return [value for said, value in self.listen(0) if said == name]

    def wait(self, name, fits=lambda value: True, seconds=10):
        """wait returns the first value of that name that fits."""
        def look():
            self.listen(0.05)
            return next((value for said, value in self.said if said == name and fits(value)), None)
        return check.within(look, f"the manager is told {name}", seconds * slowness())
