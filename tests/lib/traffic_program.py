"""The programs behind lib/traffic.py and field/abuse, each a process of its own: none waits for another, nor for the test.

  traffic_program.py (app | calls | sessions) WORDS    WORDS: a JSON object; lib/child.py says how it is spoken to
"""

import itertools
import json
import os
import select
import signal
import socket
import ssl
import struct
import sys
import time
from pathlib import Path

sys.path[:1] = [str(Path(__file__).resolve().parent.parent)]

from lib.blocks import Reader, Writer  # noqa: E402
from lib.child import Program  # noqa: E402
from lib.wire import EOF, Wire  # noqa: E402

CALL, SESSION, ENDLESS = b"c", b"s", b"e"  # the first byte of a connection; what is neither of the last two is echoed
QUESTION = 16  # bytes of a call
TOGETHER = 5  # calls that begin at once: callers do not come one by one
OPENED_EVERY = 0.01  # seconds: sessions that are opened are no flood
_ID = struct.Struct(">Q")
BLOCK = bytes(65536)  # of an answer without end
GOODBYE = 10.0  # seconds in which a session that was told to end has ended


def tls(words, server):
    """tls is the context of {"chain", "key", "roots"}: TLS 1.3 alone, both sides prove themselves."""
    if not words:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(words["chain"], words["key"])
    context.load_verify_locations(words["roots"])
    return context


# ---- the application -----------------------------------------------------------------------------------


class App(Program):
    """Echoes calls, and speaks in sessions: a block each `pause` seconds, to be answered by one. To ENDLESS it sends as
    much as is taken. With reuse_port it is one of several at a port; SIGTERM closes its listening socket, as a plain
    program would, and its connections live on."""

    def __init__(self, words):
        super().__init__(words)
        self.context = tls(words.get("tls"), server=True)
        self.sessions, self.ended, self.calls = {}, [], 0
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if words.get("reuse_port"):
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.listener.bind(("127.0.0.1", words.get("port", 0)))
        self.listener.listen(4096)
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.loop.watch(self.listener.fileno(), select.EPOLLIN, self._accept)
        self.open = 0
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer)
        signal.signal(signal.SIGTERM, lambda *_: None)
        self.loop.watch(reader, select.EPOLLIN, lambda _: self._stop(reader))

    def about(self):
        return {"port": self.port}

    def _stop(self, reader):
        self.loop.forget(reader)
        self.loop.forget(self.listener.fileno())
        self.listener.close()

    def _accept(self, _):
        # One a turn, so that those who are here already are served in between.
        try:
            connection, _ = self.listener.accept()
        except OSError:
            return
        self.open += 1
        Served(self, connection)

    def report(self):
        """report is what became of sessions that are over since the last report, and the rest in short."""
        ended, self.ended = self.ended, []
        return {"ended": ended, "open": len(self.sessions), "calls": self.calls, "connections": self.open}


class Served:
    """One connection at the application."""

    def __init__(self, app, connection):
        self.app, self.kind, self.head = app, None, b""
        self.reader = self.writer = None
        self.wire = Wire(app.loop, connection, self, app.context, server=True)

    def opened(self):
        pass

    def came(self, data):
        if self.kind is None:
            self.kind = data[:1]
        if self.kind == ENDLESS:
            self.wire.source = lambda: BLOCK
            return self.wire.send(BLOCK)
        if self.kind != SESSION:
            self.app.calls += 1
            return self.wire.send(data)
        if self.reader is None:
            self.head += data
            if len(self.head) < 1 + _ID.size:
                return None
            number = _ID.unpack_from(self.head, 1)[0]
            self.reader, self.writer = Reader(number), Writer(number)
            self.app.sessions[number] = self
            data = self.head[1 + _ID.size:]
            self._speak()
        try:
            self.reader.take(data)
        except AssertionError as error:
            return self._over(str(error), abruptly=True)
        if self.reader.ended:
            self.wire.send(self.writer.block(last=True))
            self._over("done")
        return None

    def _speak(self):
        if self.app.sessions.get(self.reader.session) is self:
            self.wire.send(self.writer.block())
            self.app.loop.at(time.monotonic() + self.app.words["pause"], self._speak)

    def _over(self, how, abruptly=False):
        if self.app.sessions.pop(self.reader.session, None):
            self.app.ended.append({"session": self.reader.session, "sent": self.writer.sent,
                                   "received": self.reader.received, "how": how})
        if abruptly:
            self.wire.close(abruptly=True)
            self._gone()

    def over(self, how):
        if self.reader:
            self._over(how)
        self._gone()

    def _gone(self):
        self.app.open -= 1


# ---- new connections -----------------------------------------------------------------------------------


class Calls(Program):
    """New connections, each for one exchange of 16 bytes: at a pace, in small groups, whatever became of those before; or so many
    at once, each followed by another."""

    def __init__(self, words):
        super().__init__(words)
        self.context = tls(words.get("tls"), server=False)
        self.addresses, self.pause = itertools.cycle(map(tuple, words["addresses"])), None
        self.made = self.served = self.open = self.at_once = 0
        self.longest, self.failed, self.first, self.took = 0.0, {}, [], []
        self.due = 0.0

    def pace(self, rate):
        """pace begins so many a second from now on, or no more with 0; open ones are finished."""
        self.at_once, self.pause = 0, TOGETHER / rate if rate else None
        self.due = time.monotonic()
        if rate:
            self.loop.at(self.due, self._begin)
        return {}

    def flat_out(self, at_once):
        """flat_out keeps so many under way."""
        self.at_once = at_once
        for _ in range(at_once):
            self._call()
        return {}

    def call(self):
        """call begins one more."""
        self._call()
        return {}

    def under_way(self):
        return {"open": self.open}

    def _begin(self):
        while self.pause and self.due <= time.monotonic():
            self.due += self.pause
            for _ in range(TOGETHER):
                self._call()
        if self.pause:
            self.loop.at(self.due, self._begin)

    def _call(self):
        self.made += 1
        self.open += 1
        Call(self, time.monotonic())

    def ended(self, how, took, begun):
        self.open -= 1
        if how == "served":
            self.served += 1
            self.longest = max(self.longest, took)
            if self.words.get("times"):
                self.took.append(round(took, 5))
        else:
            self.failed[how] = self.failed.get(how, 0) + 1
            if len(self.first) < 5:
                self.first.append({"how": how, "after": round(took, 4), "at": begun})
        if self.open < self.at_once:
            self.loop.soon(self._call)  # not from within the end of the one before

    def report(self):
        """report is what was seen since the last one. longest: seconds from the first packet to the answer, took: of each, where
        `times` is asked for; late: by how much the machine kept this program itself waiting."""
        answer = {"made": self.made, "served": self.served, "open": self.open, "failed": self.failed, "first": self.first,
                  "longest": self.longest, "took": self.took, "late": self.loop.late()}
        self.made = self.served = 0
        self.longest, self.failed, self.first, self.took = 0.0, {}, [], []
        return answer


class Call:
    def __init__(self, calls, begun):
        self.calls, self.begun, self.answer, self.ended = calls, begun, b"", False
        self.question = CALL + os.urandom(QUESTION - 1)
        self.wire = Wire.dial(calls.loop, next(calls.addresses), self, calls.context)
        calls.loop.at(begun + calls.words["patience"], self._patience)

    def opened(self):
        self.wire.send(self.question)

    def came(self, data):
        self.answer += data
        if len(self.answer) >= QUESTION:
            self._end("served" if self.answer == self.question else "garbled")

    def over(self, how):
        self._end(how)

    def _patience(self):
        self._end("timeout")

    def _end(self, how):
        if self.ended:
            return
        self.ended = True
        self.wire.close()
        self.calls.ended(how, time.monotonic() - self.begun, self.begun)


# ---- sessions ------------------------------------------------------------------------------------------


class Sessions(Program):
    """Long sessions. Each answers the application's blocks with its own, so it is never between two exchanges: what was said
    last is the client's. It ends when it is told to, in order, or by somebody else's doing."""

    def __init__(self, words):
        super().__init__(words)
        self.context = tls(words.get("tls"), server=False)
        self.addresses = itertools.cycle(map(tuple, words["addresses"]))
        self.sessions, self.ended, self.lost = {}, [], 0
        self.next = words.get("first", 1)
        self.wanted = 0

    def open(self, count):
        """open begins so many more, one after the other."""
        self.wanted += count
        self._open()
        return {"open": len(self.sessions)}

    def _open(self):
        if self.wanted:
            self.wanted -= 1
            number, self.next = self.next, self.next + 1
            self.sessions[number] = Session(self, number)
            if self.wanted:
                self.loop.at(time.monotonic() + OPENED_EVERY, self._open)

    def close(self, count):
        """close ends the oldest in order: each side says how much it has sent, and has all of the other's."""
        for session in [one for one in self.sessions.values() if not one.ending][:count]:
            session.end_in_order()
        return {"open": len(self.sessions)}

    def report(self):
        """report has those that are over since the last one. steady: they have had a block of the application's."""
        ended, self.ended = self.ended, []
        open_ones = [one for one in self.sessions.values() if not one.ending]
        return {"ended": ended, "open": len(open_ones), "ending": len(self.sessions) - len(open_ones),
                "steady": sum(one.reader.received > 0 for one in open_ones), "wanted": self.wanted, "late": self.loop.late(),
                "blocks": sum(one.reader.received for one in open_ones)}


class Session:
    def __init__(self, sessions, number):
        self.sessions, self.number, self.ending = sessions, number, False
        self.begun = time.monotonic()
        self.reader, self.writer = Reader(number), Writer(number)
        self.wire = Wire.dial(sessions.loop, next(sessions.addresses), self, sessions.context)

    def opened(self):
        self.wire.send(SESSION + _ID.pack(self.number))

    def end_in_order(self):
        self.ending = True
        self.sessions.loop.at(time.monotonic() + GOODBYE, lambda: self._over("no goodbye", True))

    def came(self, data):
        try:
            whole = self.reader.take(data)
        except AssertionError as error:
            return self._over(str(error), True)
        if self.reader.ended:
            return self._over("done" if self.ending else "ended by the application")
        for left in range(whole, 0, -1):
            if self.writer is not None:
                last = self.ending and left == 1
                self._send(last)
        return None

    def _send(self, last):
        self.wire.send(self.writer.block(last))
        if last:
            self.sent, self.writer = self.writer.sent, None

    def over(self, how):
        self._over("closed too early" if how == EOF else how)

    def _over(self, how, abruptly=False):
        if self.sessions.sessions.pop(self.number, None):
            sent = self.writer.sent if self.writer else self.sent
            self.sessions.ended.append({"session": self.number, "sent": sent, "received": self.reader.received,
                                        "how": how, "at": time.monotonic(), "lived": round(time.monotonic() - self.begun, 3)})
            self.wire.close(abruptly)


if __name__ == "__main__":
    {"app": App, "calls": Calls, "sessions": Sessions}[sys.argv[1]].main(sys.argv[2])
