"""Callers as applications are: new connections at a steady pace, and pools that keep theirs idle.

Times are those of time.monotonic(). A call is served when the four bytes that it sent came back.
"""

import errno
import selectors
import socket
import struct
import threading
from typing import NamedTuple

from lib import check
from lib.apps import Client, end_of
from lib.case import now, slowness


class Call(NamedTuple):
    started: float
    ended: float
    outcome: str  # "ok", or what the caller saw instead: refused, reset, eof, timeout, garbled, an errno


class _Open:
    def __init__(self, number, started):
        self.question = struct.pack(">I", number)
        self.started = started
        self.socket = socket.socket()
        self.sent = False
        self.answer = b""


class Stream:
    """A new connection every `pause` seconds until stop(), each for one exchange that has `deadline` seconds. One
    thread, and nobody waits for anybody: a call that hangs does not delay the next."""

    def __init__(self, case, address, pause=0.01, deadline=2.0):
        self.address, self.pause, self.deadline = address, pause, deadline
        self.calls = []  # as they ended
        self.stalls = []  # (when, seconds) by which we were late ourselves: the machine's doing
        self._open = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        case.undo(self.stop)
        self._thread.start()

    def stop(self):
        """stop ends it; calls that are under way are awaited."""
        self._ended.set()
        self._thread.join(self.deadline + 5)

    # What it saw.

    def since(self, moment):
        """since are the calls that ended after the moment, the last one first."""
        found = []
        for call in reversed(self.calls):
            if call.ended < moment:
                break
            found.append(call)
        return found

    def served(self, since):
        """served are the times at which calls were answered that began at `since` or later."""
        return sorted(call.ended for call in self.since(since) if call.outcome == "ok" and call.started >= since)

    def failed(self, since, until=float("inf")):
        """failed are the calls that began in that time and were not served."""
        return [call for call in self.since(since) if since <= call.started <= until and call.outcome != "ok"]

    def unexcused(self, calls):
        """unexcused are those of the calls during which the machine let us run: a caller that does not come to ask for
        longer than drain_quiet has an idle connection."""
        return [call for call in calls if self.stalled(call.started, call.ended + 0.1) < 0.1]

    def unserved(self, since, until):
        """unserved is the longest time without an answered call, of those that touch [since, until]."""
        times = sorted(call.ended for call in self.since(since - self.deadline)
                       if call.outcome == "ok" and call.ended <= until)
        first = max((time for time in times if time <= since), default=since)
        edges = [first, *(time for time in times if time > since), until]
        return max(after - before for before, after in zip(edges, edges[1:]))

    def stalled(self, since, until):
        """stalled is the longest time in [since, until] for which the machine kept us from calling."""
        return max((seconds for when, seconds in list(self.stalls) if since <= when <= until), default=0.0)

    def wait_served(self, since, seconds=15.0):
        """wait_served returns when a call was answered that began after `since`."""
        return check.within(lambda: next(iter(self.served(since)), None), "a call is served", seconds * slowness(),
                            step=0.02)

    def wait_calm(self, calm=1.0, seconds=20.0):
        """wait_calm waits until calls were served, and none failed, for `calm` seconds."""
        def look():
            calls = self.since(now() - calm)
            bad = [call for call in calls if call.outcome != "ok"]
            check.true(calls and not bad, f"{len(bad)} of the last {len(calls)} calls failed: {bad[:1]}")
            return calls[-1].ended < now() - calm + 0.25 or None

        began = now()
        check.within(lambda: now() - began >= calm and look(), "calls are served again", seconds * slowness(),
                     step=0.05)

    # How it does it.

    def _run(self):
        self._selector = selectors.DefaultSelector()
        due, number = now(), 0
        while self._open or not self._ended.is_set():
            oldest = next(iter(self._open), None)
            wake = due if not self._ended.is_set() else now() + 0.05
            if oldest:
                wake = min(wake, oldest.started + self.deadline)
            for key, _ in self._selector.select(max(0.0, wake - now())):
                self._advance(key.data)
            moment = now()
            for call in list(self._open):  # in the order of their start
                if call.started + self.deadline > moment:
                    break
                self._end(call, "timeout")
            if not self._ended.is_set() and moment >= due:
                if moment - due > 0.05:
                    self.stalls.append((moment, moment - due))
                    due = moment
                due += self.pause
                number += 1
                self._begin(_Open(number, moment))
        self._selector.close()

    def _begin(self, call):
        self._open[call] = True
        call.socket.setblocking(False)
        code = call.socket.connect_ex(self.address)
        if code not in (0, errno.EINPROGRESS):
            self._end(call, self._name(code), registered=False)
            return
        self._selector.register(call.socket, selectors.EVENT_WRITE, call)

    def _advance(self, call):
        try:
            if not call.sent:
                code = call.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code:
                    self._end(call, self._name(code))
                    return
                call.socket.send(call.question)
                call.sent = True
                self._selector.modify(call.socket, selectors.EVENT_READ, call)
                return
            data = call.socket.recv(16)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(call, end_of(error))
            return
        call.answer += data
        if not data:
            self._end(call, "eof")
        elif len(call.answer) >= len(call.question):
            self._end(call, "ok" if call.answer == call.question else "garbled")

    def _end(self, call, outcome, registered=True):
        if registered:
            self._selector.unregister(call.socket)
        call.socket.close()
        del self._open[call]
        self.calls.append(Call(call.started, now(), outcome))

    @staticmethod
    def _name(code):
        names = {errno.ECONNREFUSED: "refused", errno.ECONNRESET: "reset"}
        return names.get(code, errno.errorcode.get(code, str(code)))


class Session:
    """One connection of a pool: an exchange at its start, idle since."""

    def __init__(self, case, address, seconds=10.0):
        self.client = Client(case, address, seconds)
        self.end = None  # (when, "eof" or "reset"), once somebody looked
        self.ask()

    def ask(self, question=b"ping"):
        """ask is one exchange; it asserts the answer."""
        answer = self.client.send(question).receive(len(question))
        check.equal(answer, question, "a session's answer")


class Pool:
    """That many sessions through one address. watch: somebody looks at them all the time, as careful pools do; without
    it nobody reads from them until their next use."""

    def __init__(self, case, address, size=6, watch=True):
        self.sessions = [Session(case, address) for _ in range(size)]
        self._ended = threading.Event()
        self._thread = None
        if watch:
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()
        case.undo(self.close)

    def _watch(self):
        with selectors.DefaultSelector() as selector:
            for session in self.sessions:
                selector.register(session.client.socket, selectors.EVENT_READ, session)
            while selector.get_map() and not self._ended.is_set():
                for key, _ in selector.select(0.05):
                    try:
                        how = "unasked bytes" if key.fileobj.recv(16) else "eof"
                    except OSError as error:
                        how = end_of(error)
                    key.data.end = (now(), how)
                    selector.unregister(key.fileobj)

    def ends(self):
        """ends are (when, how) of the sessions that have ended, in that order."""
        return sorted(session.end for session in self.sessions if session.end)

    def counts(self):
        """counts says how many ended how; `open` are those that did not."""
        counts = {}
        for session in self.sessions:
            how = session.end[1] if session.end else "open"
            counts[how] = counts.get(how, 0) + 1
        return counts

    def close(self):
        self._ended.set()
        if self._thread:
            self._thread.join(2)
        for session in self.sessions:
            session.client.close()
