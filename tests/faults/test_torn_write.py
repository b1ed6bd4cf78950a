"""Row 23: kill -9 while the state is being saved. The next start always finds a whole state, never one that was
out of date a second before the kill.

Several Moorings at once, each with an agent that changes many times a second, live about a second and are
killed: half of them at a random moment, half in the middle of a save, on an event of the temporary file.
"""

import ctypes
import dataclasses
import os
import random
import select
import struct
import threading
import time

from faults.subject import SERVICE, only_mooring
from lib import agent as scripted
from lib import apps, check, statefile, tlspeer
from lib.case import Case, now, slowness
from lib.mooring import Mooring

EXPECTED_SECONDS = 9
LANES = 5
MATCH, LEAF = "/v1/connect/intentions/match", f"/v1/agent/connect/ca/leaf/{SERVICE}"
# inotify(7): a file was created, written to, closed after writing, or renamed to this name.
CREATED, MODIFIED, CLOSED, RENAMED = 0x100, 0x2, 0x8, 0x80


class Watcher:
    """Tells of events in one directory as they happen (inotify)."""

    def __init__(self, directory, events):
        libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if libc.inotify_add_watch(self.descriptor, os.fsencode(directory), events) < 0:
            raise OSError(ctypes.get_errno(), f"inotify on {directory}")

    def wait(self, names, seconds):
        """wait returns True at the first event of a file with one of these names, False after the time."""
        deadline = now() + seconds
        while select.select([self.descriptor], [], [], max(0, deadline - now()))[0]:
            data, at = os.read(self.descriptor, 65536), 0
            while at < len(data):
                length = struct.unpack_from("iIII", data, at)[3]
                if data[at + 16:at + 16 + length].rstrip(b"\0").decode() in names:
                    return True
                at += 16 + length
        return False

    def close(self):
        os.close(self.descriptor)


@dataclasses.dataclass
class Found:
    """What a state file holds: the agent's indexes of two documents, and which of those that Mooring waits for
    at its start it lacks."""

    intentions: int
    leaf: int
    missing: list


class Lane:
    """One agent that changes all the time, one state directory, and one Mooring after the other on them."""

    def __init__(self, case, number, rounds, directory):
        self.random = random.Random(number)
        self.rounds, self.number, self.done, self.error = rounds, number, 0, None
        self.interrupted = 0  # kills that left a save unfinished
        self.api = scripted.Agent(case)
        self.app = apps.App(case, apps.echo)
        self.web, self.roots = self.api.authority.leaf("web"), self.api.authority.pem
        self.state = directory / f"state-{number}"
        self.path = statefile.of_service(self.state, SERVICE)
        self.filler = [scripted.intention(f"other-{n}", SERVICE, "deny") for n in range(60)]
        self.counter = 0
        self.intention_index, self.leaf_index = {}, {}  # by counter, by CertPEM: the agent's index of it
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.change()

    # The agent.

    def change(self):
        self.counter += 1
        counted = scripted.intention("web", SERVICE, "allow", Description=str(self.counter))
        self.api.set_intentions(counted, *self.filler)
        self.intention_index[str(self.counter)] = self.api.indexes["intentions"]
        if self.counter % 5 == 1:
            leaf = self.api.authority.leaf(SERVICE)
            self.api.set_leaf(SERVICE, leaf)
            self.leaf_index[leaf.chain_pem] = self.api.indexes[f"leaf/{SERVICE}"]

    def keep_changing(self):
        while not self.stopping.wait(0.04):
            self.change()

    def taken_up(self, path, mark, until):
        """taken_up is the newest index that Mooring had taken up by that time: it asks for what follows only
        when it has."""
        indexes = [int(r.query["index"]) for r in self.api.requests[mark:]
                   if r.path == path and r.at <= until and "index" in r.query]
        return max(indexes, default=0)

    # The rounds.

    def start(self, case, ready=True):
        return Mooring.connect_proxy(case, "-http-addr", self.api.address, "-service", SERVICE, "-service-addr",
                                     f"127.0.0.1:{self.app.port}", "-listen", "127.0.0.1:0", "-state-dir",
                                     self.state, ready=ready, level="INFO")

    def _run(self):
        changing = threading.Thread(target=self.keep_changing, daemon=True)
        changing.start()
        try:
            for number in range(self.rounds):
                case = Case(f"round {number}")
                try:
                    self.round(case, number)
                    # Killed within a second each time, it may not have kept all that a start without an agent takes.
                    if number % 5 == 4 and self.path.exists() and not self.read().missing:
                        self.start_without_agent(case)
                    problems = case.close()
                    check.equal(problems, [], "the end of the round")
                except Exception as error:
                    raise AssertionError(f"lane {self.number}, round {number}: {error}\n{case.tails()}") from error
                finally:
                    case.close()
                    case.forget()
                self.done += 1
        except AssertionError as error:
            self.error = error
        finally:
            self.stopping.set()
            changing.join(10)

    def round(self, case, number):
        mark = len(self.api.requests)
        before = self.read() if self.path.exists() else None
        program = self.start(case)
        ready = now()
        time.sleep(self.random.uniform(0.0, 1.4))
        if self.random.random() < 0.5:
            watcher = Watcher(self.path.parent, self.random.choice([CREATED, MODIFIED, CLOSED, RENAMED]))
            try:
                check.true(watcher.wait(("state.new", "state"), 3 * slowness()), "a save within 3 s")
            finally:
                watcher.close()
        killed = now()
        program.kill()
        self.interrupted += self.path.with_name("state.new").exists()
        if not self.path.exists():
            check.true(before is None and killed - ready < slowness(), "the state file is there")
            return
        found = self.read()
        if before:
            check.true(found.intentions >= before.intentions and found.leaf >= before.leaf,
                       f"the file went back from {before} to {found}")
        if killed - ready > slowness():
            check.equal(found.missing, [], "documents that it had when it was ready, and not a second later on disk")
            for name, path, index in (("intentions", MATCH, found.intentions), ("leaf", LEAF, found.leaf)):
                needed = self.taken_up(path, mark, killed - slowness())
                check.true(index >= needed, f"{name}: the file has index {index}, and {needed} was taken up a second "
                                            f"before the kill, {killed - ready:.2f} s after the start")

    def read(self):
        """read decodes the file, or raises. A document that has not been kept yet has index 0."""
        state = statefile.read(self.path)
        missing = [watch for watch in statefile.WATCHES if state.document(watch) is None]
        intentions = leaf = 0
        if document := state.document("intentions"):
            counters = [entry["Description"] for entry in document.json()[SERVICE] if entry["SourceName"] == "web"]
            intentions = self.intention_index[counters[0]]
        if document := state.document("leaf"):
            leaf = self.leaf_index[document.json()["CertPEM"]]
        return Found(intentions, leaf, missing)

    def start_without_agent(self, case):
        self.api.stop()
        try:
            started = now()
            program = self.start(case, ready=False)
            address = program.public

            def serves():
                peer = tlspeer.connect(None, address, self.web, self.roots, seconds=1)
                try:
                    peer.handshake()
                    return peer.send(b"ping").receive(4) == b"ping"
                finally:
                    peer.close()

            check.within(serves, "it serves from its state within 1 s of its start", started + slowness() - now())
            program.wait_log("serving from saved state")
            program.kill()
        finally:
            self.api.start()


def test_row_23_killed_in_the_middle_of_saves_it_never_loses_or_tears_its_state(case):
    only_mooring("it keeps no state")
    lanes = [Lane(case, number, case.scale(25, 500) // LANES, case.directory) for number in range(LANES)]
    for lane in lanes:
        lane.thread.start()
    for lane in lanes:
        lane.thread.join()
    errors = [str(lane.error) for lane in lanes if lane.error]
    check.true(not errors, "\n".join(errors[:2]))
    check.equal(sum(lane.done for lane in lanes), case.scale(25, 500), "rounds")
    if not case.reduced:
        check.true(sum(lane.interrupted for lane in lanes) > 0, "some kill came in the middle of a save")


test_row_23_killed_in_the_middle_of_saves_it_never_loses_or_tears_its_state.limit = 400
