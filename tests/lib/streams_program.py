"""The programs behind lib/streams.py, each a process of its own.

  streams_program.py (app | callers) WORDS    WORDS: a JSON object; lib/child.py says how it is spoken to

A stream is a connection with a heading (its number, how many bytes each way, its manner), then noise each way. The noise's place
follows from number and direction, so each byte has one right value: what is lost, doubled, changed, out of order or another stream's
is seen at the first byte that differs.
"""

import random
import select
import signal
import socket
import struct
import sys
import time
from pathlib import Path

sys.path[:1] = [str(Path(__file__).resolve().parent.parent)]

from lib.child import Program  # noqa: E402
from lib.wire import how_it_ended  # noqa: E402

# How a stream goes. BOTH: both ways at once, ended by a byte of the application's once it has all. ASKS: the caller sends all and closes
# its direction, then the application answers and closes. TELLS: the application speaks and closes its direction, then the caller does.
# CALLER_RESETS, APP_RESETS: in the middle of what the caller sends.
BOTH, ASKS, TELLS, CALLER_RESETS, APP_RESETS = MANNERS = range(5)
MEANT = {CALLER_RESETS: "reset", APP_RESETS: "reset"}
HEADING = struct.Struct(">QQQB")
LAST = b"K"
CHUNK = 1 << 18
_PERIOD = 1_000_003
_NOISE = random.Random(11).randbytes(_PERIOD)
_NOISE += _NOISE[:CHUNK]
# Bytes of a direction: around every boundary, and some that are long; how often.
SIZES = ((0, 4), (1, 6), (100, 20), (1024, 15), (16384, 5), (16385, 5), (65535, 8), (65537, 7), (300_000, 15), (1 << 20, 10), (5 << 20, 5))
SLOW_STEP, SLOW_PAUSE = 700, 0.1  # bytes, and seconds between them, of a slow stream
TURN = 4  # chunks that one stream moves before the others have a turn
PATIENCE = 20.0  # seconds without a byte either way


def noise(number, direction, at, length):
    start = (number * 7919 + direction * 500_009 + at) % _PERIOD
    return _NOISE[start:start + length]


class End:
    """One side of a stream. side 0 is the caller's. `over` is called once, with how it ended: "ok", or what was seen."""

    def __init__(self, program, connection, side, over):
        self.program, self.loop, self.side, self.over = program, program.loop, side, over
        self.socket, self.fd = connection, connection.fileno()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.number = self.manner = None
        self.up = self.down = 0
        self.head = b""  # what is to be sent before the noise
        self.sent = self.got = self.allowed = 0
        self.closed_way = self.their_end = self.ended = self.confirmed = False
        self.moved = time.monotonic()
        self.events = select.EPOLLIN
        self.loop.watch(self.fd, self.events, self._turn)

    def is_whole(self):
        return self.got == (self.down if self.side == 0 else self.up)

    def outgoing(self):
        return self.up if self.side == 0 else self.down

    def end(self, how, abruptly=False):
        if self.ended:
            return
        self.ended = True
        self.loop.forget(self.fd)
        if abruptly:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()
        self.over(self, how)

    def _turn(self, events):
        try:
            if events & ~select.EPOLLOUT:
                self._read()
            if not self.ended:
                self.push()
        except OSError as error:
            how = how_it_ended(error)
            self.end("ok" if MEANT.get(self.manner) == how else how)

    def want(self, events):
        if not self.ended and events != self.events:
            self.events = events
            self.loop.change(self.fd, events)

    def push(self):
        """push sends what may be sent now, and closes this direction where all has been."""
        sending = True
        for _ in range(TURN):
            if self.head:
                self.head = self.head[self._send(self.head):]
            elif self.sent < self.allowed:
                data = noise(self.number, self.side, self.sent, min(CHUNK, self.allowed - self.sent))
                self.sent += self._send(data)
                if self.manner == CALLER_RESETS and self.side == 0 and self.sent * 2 >= self.up:
                    return self.end("ok", abruptly=True)
            else:
                sending = False
                break
        reading = 0 if self.their_end else select.EPOLLIN
        self.want(reading | (select.EPOLLOUT if sending else 0))
        if not sending and self.number is not None and self.sent == self.outgoing():
            self._all_sent()
        return None

    def _send(self, data):
        try:
            count = self.socket.send(data)
        except BlockingIOError:
            return 0
        self.moved = time.monotonic()
        return count

    def _close_way(self):
        if not self.closed_way:
            self.closed_way = True
            self.socket.shutdown(socket.SHUT_WR)

    def _all_sent(self):
        if self.side == 0:
            if self.manner == ASKS:
                self._close_way()
            elif self.manner == TELLS and self.their_end:
                self.end("ok")
        elif self.manner == TELLS:
            self._close_way()
        elif self.manner == ASKS and self.their_end:
            self.end("ok")

    def _read(self):
        for _ in range(TURN):
            try:
                data = self.socket.recv(CHUNK)
            except BlockingIOError:
                return
            self.moved = time.monotonic()
            if data:
                self.take(data)
            else:
                self.their_end = True
                self.want(self.events & ~select.EPOLLIN)
                self._on_end()
            if self.ended or self.their_end:
                return

    def take(self, data):
        whole = self.down if self.side == 0 else self.up
        if self.side == 0 and self.manner == BOTH and self.got + len(data) == whole + 1:
            if data[-1:] != LAST:
                return self.end(f"garbled: the last byte is {data[-1:]!r}")
            self.confirmed, data = True, data[:-1]
        if self.got + len(data) > whole:
            return self.end(f"garbled: {self.got + len(data) - whole} bytes too many")
        if data != noise(self.number, 1 - self.side, self.got, len(data)):
            return self.end(f"garbled: another byte within {len(data)} after {self.got}")
        self.got += len(data)
        self.program.moved += len(data)
        if self.side == 1 and self.manner == APP_RESETS and self.got * 2 >= self.up:
            return self.end("ok", abruptly=True)
        if self.side == 1 and self.manner == BOTH and self.is_whole():
            self._confirm()
        if self.confirmed and self.side == 0:
            if self.sent != self.up:
                return self.end("garbled: all has been confirmed before all was sent")
            self.end("ok")
        return None

    def _confirm(self):
        """_confirm says the last byte, behind the noise."""
        if self.sent < self.down:
            return self.loop.at(time.monotonic() + 0.002, self._confirm)
        if not self.ended and not self.confirmed:
            self.confirmed, self.head = True, LAST
            self._turn(select.EPOLLOUT)
        return None

    def _on_end(self):
        if self.side == 1 and self.manner == BOTH and self.confirmed:
            return self.end("ok")
        if self.manner in MEANT:
            return self.end("an end for a reset")
        if not self.is_whole() or self.manner in (BOTH, None):
            return self.end("ended early")
        if self.side == 0 and self.manner == ASKS:
            return self.end("ok")
        if self.side == 1 and self.manner == TELLS:
            return self.end("ok")
        if self.side == 0 and self.slow:
            return self.step()
        self.allowed = self.outgoing()  # it was waited for: ASKS at the application, TELLS at the caller
        return None


class App(Program):
    """The application at the far end: the heading of each connection says what is to become of it."""

    def __init__(self, words):
        super().__init__(words)
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", words.get("port", 0)))
        self.listener.listen(4096)
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.loop.watch(self.listener.fileno(), select.EPOLLIN, self._accept)
        self.ended, self.open, self.moved = [], {}, 0

    def about(self):
        return {"port": self.port}

    def _accept(self, _):
        try:
            connection, _ = self.listener.accept()
        except OSError:
            return
        end = Answering(self, connection, 1, self._over)
        self.open[end.fd] = end

    def _over(self, end, how):
        del self.open[end.fd]
        if end.number is not None:
            self.ended.append([end.number, end.manner, how, end.up - end.got])
        elif how not in ("reset", "ended early"):  # who has said nothing may leave as it likes
            self.ended.append([0, 0, how, 0])

    def report(self):
        ended, self.ended = self.ended, []
        moved, self.moved = self.moved, 0
        return {"ended": ended, "open": len(self.open), "moved": moved,
                "got": {end.number: end.got for end in self.open.values() if end.number}}


class Answering(End):
    """The application's side: it reads the heading first."""

    heading = b""

    def take(self, data):
        if self.number is None:
            self.heading += data
            if len(self.heading) < HEADING.size:
                return None
            self.number, self.up, self.down, self.manner = HEADING.unpack_from(self.heading)
            self.allowed = self.down if self.manner != ASKS else 0
            data = self.heading[HEADING.size:]
        for at in range(0, len(data), CHUNK):
            super().take(data[at:at + CHUNK])
        if not data and self.manner == BOTH and self.is_whole():
            self._confirm()
        return None


class Callers(Program):
    """Streams: so many at once, of which some are slow and live for as long as `slow` says, and at most so many new ones a second.
    shares: of manners, {"half": , "reset": }, of 1."""

    def __init__(self, words):
        super().__init__(words)
        self.address = tuple(words["address"])
        self.random = random.Random(words.get("seed", 1))
        self.sizes, self.weights = zip(*words.get("sizes", SIZES))
        self.number = words.get("first", 0)
        self.begun = self.moved = 0
        self.open, self.ended = {}, []
        self.at_once = self.slow = 0
        self.pause, self.due, self.waiting = 0.0, 0.0, False
        self._watch()

    def keep(self, at_once, slow=0, rate=0.0):
        """keep holds so many under way, `slow` of them slow. rate: new ones a second at most; 0: no limit."""
        self.at_once, self.slow, self.pause = at_once, slow, 1.0 / rate if rate else 0.0
        self.due = time.monotonic()
        self._fill()
        return {}

    def hurry(self):
        """hurry has slow streams send the rest at once."""
        for end in self.open.values():
            if end.allowed:
                end.allowed = end.up
                end.want(end.events | select.EPOLLOUT)
        return {}

    def _fill(self):
        slow = sum(end.slow for end in self.open.values())
        for _ in range(self.slow - slow):
            self._begin(True)
        fast = self.at_once - self.slow - (len(self.open) - max(slow, self.slow))
        for _ in range(fast):
            now = time.monotonic()
            if self.pause and now < self.due:
                if not self.waiting:
                    self.waiting = True
                    self.loop.at(self.due, self._again)
                return
            self.due = max(self.due + self.pause, now - 1)
            self._begin(False)

    def _again(self):
        self.waiting = False
        self._fill()

    def _begin(self, slow):
        self.number += 1
        self.begun += 1
        end = Calling(self, self.number, slow)
        self.open[self.number] = end
        end.dial(self.address)

    def over(self, end, how):
        self.open.pop(end.number, None)
        self.ended.append([end.number, end.manner, how, end.down - end.got])
        self.loop.soon(self._fill)

    def pick(self):
        half, reset = self.words.get("half", 0.1), self.words.get("reset", 0.01)
        manner = self.random.choices((BOTH, ASKS, TELLS, CALLER_RESETS, APP_RESETS),
                                     (1 - half - reset, half / 2, half / 2, reset / 2, reset / 2))[0]
        up, down = self.random.choices(self.sizes, self.weights, k=2)
        return manner, (max(up, 2) if manner in MEANT else up), down

    def _watch(self):
        """_watch ends what has stood still for too long."""
        now = time.monotonic()
        for end in list(self.open.values()):
            if now - end.moved > self.words.get("patience", PATIENCE):
                end.end("stuck", abruptly=True)
        self.loop.at(now + 0.25, self._watch)

    def report(self):
        ended, self.ended = self.ended, []
        begun, self.begun = self.begun, 0
        moved, self.moved = self.moved, 0
        return {"ended": ended, "begun": begun, "open": len(self.open), "moved": moved, "late": self.loop.late(),
                "slow": [end.number for end in self.open.values() if end.slow]}


class Calling(End):
    """The caller's side. A slow one has a few hundred bytes each way for each pause."""

    def __init__(self, callers, number, slow):
        super().__init__(callers, socket.socket(), 0, callers.over)
        self.number, self.slow = number, slow
        self.manner, self.up, self.down = callers.pick()
        if slow:
            self.manner = self.manner if self.manner not in MEANT else BOTH
            life = callers.words.get("slow_life", 20.0)
            self.up = SLOW_STEP * max(2, int(callers.random.uniform(0.5, 1) * life / SLOW_PAUSE))
        self.head = HEADING.pack(number, self.up, self.down, self.manner)

    def dial(self, address):
        try:
            self.socket.connect(address)
        except BlockingIOError:
            pass
        except OSError as error:
            how = how_it_ended(error)
            return self.loop.soon(lambda: self.end(how))
        if self.slow and self.manner != TELLS:
            self.step()
        elif self.manner != TELLS:
            self.allowed = self.up
        self.want(select.EPOLLIN | select.EPOLLOUT)
        return None

    def step(self):
        if not self.ended:
            self.allowed = min(self.up, self.allowed + SLOW_STEP)
            self.want(self.events | select.EPOLLOUT)
            if self.allowed < self.up:
                self.loop.at(time.monotonic() + SLOW_PAUSE, self.step)


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    {"app": App, "callers": Callers}[sys.argv[1]].main(sys.argv[2])
