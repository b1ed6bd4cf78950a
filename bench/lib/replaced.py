"""Proxies that can be replaced while they work: how each is started, and how its next process takes over from it.

start(place) brings the first process up, which is called at `place.inbound` (or `outbound`, by calls_outbound) as in
lib/peers.py. replace() starts the next, and returns when that accepts and the one before does not any more.
"""

import os
import shutil
import signal
import time
from pathlib import Path

import peers
from lib import traffic
from lib.ports import accepts
from place import CLIENT, SERVER, OneSide
from processes import tree

PATIENCE = 30  # seconds for one to take over
STEP = 0.005  # seconds between two looks
QUIET = "5s"  # Mooring's drain_quiet
FOR_EVER, UNTIL_THE_NEXT = "for as long as they last", "until the one after"


def wait(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within {PATIENCE} s: {what}")
        time.sleep(STEP)


class Replaced:
    """What all have in common. sessions: how long an old process serves those that it has."""

    calls_outbound = False
    is_application = False  # it answers itself, so that there is nothing behind it
    sessions = FOR_EVER
    place = process = None

    @property
    def port(self):
        return self.place.outbound if self.calls_outbound else self.place.inbound

    def files(self):
        """files are those of the caller, who comes by mutual TLS; None: in clear text."""
        if self.calls_outbound:
            return None
        chain, key, roots, _ = self.caller(self.place)
        return {"chain": str(chain), "key": str(key), "roots": str(roots)}

    def took_over(self, new, old):
        """took_over waits until one process accepts and the other does not."""
        wait(lambda: accepts(new, self.port), "the next process accepts")
        wait(lambda: not accepts(old, self.port), "the one before has closed its listening socket")

    def begun(self, place, process):
        """begun notes the first process once it accepts."""
        self.place, self.process = place, process
        wait(lambda: process.poll() is not None or accepts(process.pid, self.port), "the first process accepts")
        if process.poll() is not None:
            raise RuntimeError(f"the first process has ended; log in {place.folder}")

    def settle(self):
        """settle waits until the next upgrade may begin."""

    def end(self):
        """end cleans up what ending the processes leaves."""


class Mooring(Replaced, peers.Mooring):
    """The next process takes over by the hand-over socket."""

    comes_with = "systemd-socket-activate, of Debian's package systemd"

    def __init__(self, program, outbound=False, socket_activated=False):
        self.calls_outbound, self.socket_activated = outbound, socket_activated
        side = "outbound" if outbound else "inbound"
        note = "first by systemd-socket-activate, then -take-over" if socket_activated else "-take-over"
        peers.Mooring.__init__(self, f"mooring-{'socket' if socket_activated else side}", program)
        self.note = f"{side}, {note}, drain_quiet {QUIET}"

    def find(self):
        return peers.Mooring.find(self) if not self.socket_activated or shutil.which("systemd-socket-activate") else None

    def start(self, place):
        self.place, self.side = place, "out" if self.calls_outbound else "in"
        folder = place.folder / "handover"
        folder.mkdir(mode=0o700, exist_ok=True)
        if self.calls_outbound:
            peers.Mooring.start(self, OneSide(place, "in"))
        # A busy machine keeps the load's own programs waiting for longer than drain_quiet's 200 ms, after which a session whose
        # server has spoken last counts as idle. These sessions are to be never so.
        self.settings = (f"handover_dir={folder}", f"drain_quiet={QUIET}")
        self.begun(place, self._first(place))

    def _first(self, place):
        before = ["systemd-socket-activate", "-l", peers.local(self.port)] if self.socket_activated else []

        class Activated(OneSide):
            def start(self, group, argv, **options):
                return place.start(group, [*before, *argv], **options)

        peers.Mooring.start(self, Activated(place, self.side))
        return place.last(self.side)

    def replace(self):
        words = [self.program, "proxy", "-config", self.place.folder / f"{self.side}.yaml", "-take-over"]
        old, self.process = self.process, self.place.start(self.side, words)
        self.took_over(self.process.pid, old.pid)


class Haproxy(Replaced, peers.Haproxy):
    """The next process gets the listening sockets from the admin socket, and tells the one before to finish."""

    name, note = "haproxy", "-x SOCKET (expose-fd listeners) -sf PID, 2 threads"
    more_global = "  stats socket {folder}/{side}.sock level admin expose-fd listeners\n"

    def start(self, place):
        peers.Haproxy.start(self, OneSide(place, "in"))
        self.begun(place, place.last("in"))

    def replace(self):
        folder, old = self.place.folder, self.process
        self.process = self.place.start("in", [self.find(), "-db", "-f", folder / "in.cfg", "-x", folder / "in.sock", "-sf",
                                               old.pid])
        self.took_over(self.process.pid, old.pid)


class Nginx(Replaced, peers.Nginx):
    """USR2 has the master start the next, which inherits the listening sockets; QUIT lets the old one finish. It takes no
    USR2 while its own parent lives, and that lives for as long as its sessions do."""

    name, note = "nginx", "USR2, then QUIT of the old one; 2 workers, without reuseport"
    sessions = UNTIL_THE_NEXT
    listens, daemon = "backlog=4096", "on"  # in the foreground it would take us for the parent that has to go first

    def start(self, place):
        self.place = place
        peers.Nginx.start(self, OneSide(place, "in"))
        wait(lambda: self._master() and self._works(self._master()), "nginx has its workers")

    def _master(self):
        try:
            return int((self.place.folder / "in.pid").read_text())
        except (OSError, ValueError):
            return None

    def _works(self, master):
        return any(accepts(pid, self.port) for pid in tree(master)[1:])

    def replace(self):
        old = self._master()
        workers = tree(old)[1:]
        os.kill(old, signal.SIGUSR2)
        wait(lambda: self._master() not in (None, old) and self._works(self._master()), "the next process has its workers")
        os.kill(old, signal.SIGQUIT)
        wait(lambda: not any(accepts(pid, self.port) for pid in workers), "the old workers do not accept any more")

    def settle(self):
        wait(lambda: not self._parent_works(self._master()), "the process before has gone")

    @staticmethod
    def _parent_works(pid):
        parent = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1]
        try:
            return Path(f"/proc/{parent}/comm").read_text().strip() == "nginx"
        except OSError:  # it has ended this moment
            return False

    def end(self):
        if self.place is None or not (master := self._master()):
            return
        # It is nobody's child: an old master leaves its file under another name.
        old = [int(path.read_text()) for path in self.place.folder.glob("in.pid.oldbin")]
        for pid in {found for root in [master, *old] for found in tree(root)}:
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass


class Envoy(Replaced, peers.Envoy):
    """The next epoch asks for the listening sockets over a socket of its own, drains the one before, and ends it after
    --parent-shutdown-time-s, whatever it still serves. At most three epochs may live."""

    sessions = UNTIL_THE_NEXT
    PARENT = 6  # seconds: enough for the sessions to be ended in order

    def __init__(self):
        peers.Envoy.__init__(self, 1)
        self.name, self.epoch = "envoy", 0
        self.base = os.getpid() % 30000 + 1000
        self.note = f"hot restart, 1 worker, --drain-time-s 2 --parent-shutdown-time-s {self.PARENT}"

    def start(self, place):
        self.config = place.write("in.json", self._config(place.certificates, *next(
            known for known in place.sides() if known[0] == "in")))
        self.begun(place, self._epoch(place))

    def _epoch(self, place):
        return place.start("in", [*self.command(self.config), "--base-id", self.base, "--restart-epoch", self.epoch,
                                  "--drain-time-s", 2, "--parent-shutdown-time-s", self.PARENT])

    def replace(self):
        old, self.epoch = self.process, self.epoch + 1
        self.process = self._epoch(self.place)
        self.took_over(self.process.pid, old.pid)
        self.before = old

    def settle(self):
        """settle waits until there is room for one more epoch."""
        wait(lambda: self.before.poll() is not None, "the epoch before has ended")

    def end(self):
        for path in Path("/dev/shm").glob(f"envoy_shared_memory_{self.base * 10}*"):
            path.unlink()


class Overlap(Replaced):
    """Two small servers at one port by SO_REUSEPORT, without any hand-over: the new one is started, then the old one closes its
    listening socket. What has been queued there by then is reset."""

    name, note = "so_reuseport", "two servers overlap, no hand-over (must lose)"
    is_application = True

    def __init__(self):
        self.case, self.apps = None, []  # the case that owns the servers is given before the start

    def find(self):
        return __file__

    def version(self):
        return "-"

    def start(self, place):
        self.place = place
        self._next()

    def _next(self):
        files = self.place.certificates
        own = {"chain": str(files.chain(SERVER)), "key": str(files.key(SERVER)), "roots": str(files.roots)}
        self.apps.append(traffic.App(self.case, self.port, own, reuse_port=True))

    def caller(self, place):
        files = place.certificates
        return files.chain(CLIENT), files.key(CLIENT), files.roots, files.uri(SERVER)

    def replace(self):
        old = self.apps[-1]
        self._next()
        old.terminate()
        wait(lambda: not accepts(old.pid, self.port), "the old server has closed its listening socket")
