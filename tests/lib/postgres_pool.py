"""A pool of PostgreSQL sessions as an application has it: it opens a session anew when one is lost, and knows where each was then.

Each session runs a transaction (begin, insert, select, commit) with short pauses inside, then rests. As a program it is a process
of its own (lib/child.py); Pool is the test's side.
"""

import random
import struct
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path[:1] = [str(Path(__file__).resolve().parent.parent)]

from lib import check, postgres  # noqa: E402
from lib.case import slowness  # noqa: E402
from lib.child import Child, Program  # noqa: E402
from lib.wire import EOF, Wire  # noqa: E402

TABLE = "create table pooled (id bigint primary key)"
RETRY = (0.05, 0.15)  # seconds, at random, until a session that could not be opened is tried again; doubled up to four times
OPENED_EVERY = 0.005  # seconds between two at the start: each costs the server a process

# Where a session was when it was lost. A begin that crosses the closing of its session has begun nothing: that is known to the
# pool, which says it again on the next one.
CONNECTING, RESTING, BEGINNING, WORKING = "connecting", "resting", "before its begin was answered", "in a transaction"


class Sessions(Program):
    """address, size, pauses and rests: (least, most) in seconds."""

    def __init__(self, words):
        super().__init__(words)
        self.rows, self.row, self.done = [], 0, 0
        self.lost = []  # [when, where, how]
        self.sessions = [Session(self, number) for number in range(words["size"])]
        self.going = True

    def next_row(self):
        self.row += 1
        return self.row

    def report(self):
        """report is what there was since the last one: rows whose commit was answered, and what was lost."""
        rows, self.rows = self.rows, []
        lost, self.lost = self.lost, []
        return {"rows": rows, "lost": lost, "ready": sum(one.where != CONNECTING for one in self.sessions),
                "working": sum(one.where in (BEGINNING, WORKING) for one in self.sessions), "late": self.loop.late()}

    def stop(self):
        """stop begins no more transactions; those under way are finished."""
        self.going = False
        return {}


class Session:
    def __init__(self, pool, number):
        self.pool, self.where, self.wire, self.buffer = pool, CONNECTING, None, b""
        self.steps, self.row, self.error, self.failures = iter(()), 0, None, 0
        self._at(number * OPENED_EVERY, self._dial)

    def _at(self, pause, action):
        self.pool.loop.at(time.monotonic() + pause, action)

    def _dial(self):
        self.where, self.buffer, self.error = CONNECTING, b"", None
        self.wire = Wire.dial(self.pool.loop, tuple(self.pool.words["address"]), self)

    def opened(self):
        self.wire.send(postgres.startup())

    def came(self, data):
        self.buffer += data
        while len(self.buffer) >= 5:
            length = 1 + struct.unpack_from(">I", self.buffer, 1)[0]
            if len(self.buffer) < length:
                return
            kind, body, self.buffer = self.buffer[:1], self.buffer[5:length], self.buffer[length:]
            if kind == b"E":
                self.error = body.replace(b"\0", b" ").decode(errors="replace")[:100]
            elif kind == b"Z":
                if self.error:
                    self.wire.close()
                    return self._lost(self.error)
                self._answered()

    def _answered(self):
        """_answered is the end of the server's answer: a statement follows, or a rest."""
        if step := next(self.steps, None):
            self.where = WORKING
            wire = self.wire
            self._at(random.uniform(*self.pool.words["pauses"]), lambda: wire is self.wire and wire.send(postgres.query(step)))
            return
        if self.where == WORKING:
            self.pool.rows.append(self.row)
        self.where, self.failures = RESTING, 0
        wire = self.wire
        self._at(random.uniform(*self.pool.words["rests"]), lambda: wire is self.wire and self._begin())

    def _begin(self):
        if self.where != RESTING or not self.pool.going:
            return
        self.where, self.row = BEGINNING, self.pool.next_row()
        self.steps = iter((f"insert into pooled values ({self.row})", "select count(*) from pg_stat_activity where false", "commit"))
        self.wire.send(postgres.query("begin"))

    def over(self, how):
        self._lost("closed" if how == EOF else how)

    def _lost(self, how):
        before, self.steps, self.wire = self.where, iter(()), None
        self.pool.lost.append([time.monotonic(), before, self.error or how])
        self.where = CONNECTING
        # A pool that finds a session closed opens the next at once; where none is served it waits a little.
        self._at(random.uniform(*RETRY) * 2 ** min(self.failures, 4) if before == CONNECTING else 0.0, self._dial)
        self.failures += before == CONNECTING


@dataclass
class Record:
    """What a pool saw. lost: (when, where, how); late: seconds by which its own program was, at most."""
    rows: list = field(default_factory=list)
    lost: list = field(default_factory=list)
    late: float = 0.0

    def where(self, place):
        return [one for one in self.lost if one[1] == place]

    def counted(self, place):
        counts = {}
        for _, _, how in self.where(place):
            counts[how] = counts.get(how, 0) + 1
        return counts

    def peak(self, window):
        """peak is the most sessions that were closed, outside of transactions, within so many seconds."""
        times = sorted(when for when, where, _ in self.lost if where in (RESTING, BEGINNING))
        return max((sum(first <= when < first + window for when in times) for first in times), default=0)


class Pool:
    """`size` sessions at address. pauses: seconds between two statements of a transaction; rests: between two transactions."""

    def __init__(self, case, address, size, pauses=(0.01, 0.05), rests=(1.0, 2.0)):
        self.size, self._kept, self.rows = size, Record(), []
        self._child = Child(case, Path(__file__), {"address": list(address), "size": size, "pauses": pauses, "rests": rests})
        self.wait_ready()

    def look(self):
        here = self._child.do("report")
        self._kept.rows += here["rows"]
        self.rows += here["rows"]
        self._kept.lost += [tuple(one) for one in here["lost"]]
        self._kept.late = max(self._kept.late, here["late"])
        return here

    def wait_ready(self, seconds=60):
        """wait_ready waits until every session is there."""
        check.within(lambda: self.look()["ready"] == self.size, f"{self.size} sessions are there", seconds * slowness(), step=0.1)

    def taken(self):
        """taken is the record since the last time that it was."""
        self.look()
        record, self._kept = self._kept, Record()
        return record

    def finish(self):
        """finish ends the last transactions, and returns the record since the last one that was taken."""
        self._child.do("stop")
        check.within(lambda: not self.look()["working"], "the last transactions are over", 20 * slowness(), step=0.1)
        return self.taken()


if __name__ == "__main__":
    Sessions.main(sys.argv[1])
