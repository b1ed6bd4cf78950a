"""Attackers of a TLS listener, a process of its own: clients that say nothing, or half of it, or too much.

  attackers.py (crowd | flood | keys) WORDS    WORDS: a JSON object; field/abuse speaks to it as lib/child.py says
"""

import resource
import ssl
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path[:1] = [str(Path(__file__).resolve().parent.parent)]

from lib.child import Program  # noqa: E402
from lib.traffic_program import ENDLESS, tls  # noqa: E402
from lib.wire import REFUSED, Wire  # noqa: E402

TICK = 0.02     # seconds
PATIENCE = 5.0  # seconds until one that hears nothing is given up for another
REST = 0.05     # seconds after a refusal: who attacks a closed port attacks nobody


def client_hello():
    """client_hello is what a client of today's says first, whole."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    said = ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), said).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return said.read()


class Attackers(Program):
    """What all of them count. ended: how the other side has ended how many; after: seconds until it did, of each."""

    def __init__(self, words):
        super().__init__(words)
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.address = tuple(words["address"])
        self.context = tls(words.get("tls"), server=False)
        if self.context:
            self.context.set_ciphers("ALL:@SECLEVEL=0")  # or the library here would not show what it has
        self.members, self.going = set(), False
        self.made = self.answered = 0
        self.ended, self.after = {}, []

    def begin(self):
        self.going = True
        self.start()
        return {}

    def report(self):
        return {"made": self.made, "open": len(self.members), "answered": self.answered, "ended": self.ended,
                "after": round(statistics.median(self.after), 2) if self.after else None}

    def stop(self):
        """stop ends them all, abruptly."""
        self.going = False
        for member in list(self.members):
            member.leave()
        return self.report()

    def gone(self, member, how):
        self.ended[how] = self.ended.get(how, 0) + 1
        if how != REFUSED:
            self.after.append(time.monotonic() - member.begun)


class Member:
    """One connection of an attacker's."""

    def __init__(self, crowd):
        self.crowd, self.begun = crowd, time.monotonic()
        crowd.made += 1
        crowd.members.add(self)
        self.wire = Wire.dial(crowd.loop, crowd.address, self, crowd.context)

    def opened(self):
        pass

    def came(self, data):
        self.crowd.answered += 1

    def leave(self):
        self.crowd.members.discard(self)
        self.wire.close(abruptly=True)

    def over(self, how):
        self.crowd.members.discard(self)
        self.crowd.gone(self, how)


# ---- many that stay --------------------------------------------------------------------------------------


class Crowd(Attackers):
    """`count` connections, `rate` new ones a second until they are so many; one that is ended is followed by another.
    Each says `part` of a ClientHello (0 to 1), then nothing, or with `drip` a byte each so many seconds. With `tls` it
    is a proven caller, who asks the application for an answer without end and reads nothing of it, or with `idle` for
    an echo and no more."""

    def __init__(self, words):
        super().__init__(words)
        hello = client_hello()
        self.hello = hello[:int(len(hello) * words.get("part", 0))]

    def start(self):
        self.begun, self.due = time.monotonic(), 0
        self._join()

    def _join(self):
        if self.going:
            # By the clock: a machine that is late must not make the attack a lesser one.
            now = time.monotonic()
            may = int((now - self.begun) * self.words["rate"]) - self.due
            self.due += may
            for _ in range(min(may, self.words["count"] - len(self.members))):
                Staying(self)
            self.loop.at(now + TICK, self._join)


class Staying(Member):
    def opened(self):
        if self.crowd.context:
            self.wire.send(b"c" * 16 if self.crowd.words.get("idle") else ENDLESS)
            if not self.crowd.words.get("idle"):
                self.wire.read_no_more()
        elif self.crowd.words.get("drip"):
            self._drip(0)
        else:
            self.wire.send(self.crowd.hello)

    def _drip(self, at):
        if self in self.crowd.members and at < len(self.crowd.hello):
            self.wire.send(self.crowd.hello[at:at + 1])
            self.crowd.loop.at(time.monotonic() + self.crowd.words["drip"], lambda: self._drip(at + 1))


# ---- many that come and go ---------------------------------------------------------------------------------


class Flood(Attackers):
    """`at_once` connections, each of which says a whole ClientHello, waits for the first byte of the answer, and is
    reset and followed by the next. With `tls` each shows its certificates instead, and waits for its end."""

    def __init__(self, words):
        super().__init__(words)
        self.hello = client_hello()

    def start(self):
        for _ in range(self.words["at_once"]):
            self.next()

    def next(self):
        if self.going:
            Passing(self)

    def gone(self, member, how):
        super().gone(member, how)
        self.loop.at(time.monotonic() + (REST if how == REFUSED else 0), self.next)


class Passing(Member):
    def __init__(self, crowd):
        super().__init__(crowd)
        crowd.loop.at(self.begun + PATIENCE, self._give_up)

    def opened(self):
        if not self.crowd.context:
            self.wire.send(self.crowd.hello)

    def came(self, data):
        super().came(data)
        if not self.crowd.context:
            self._leave_for_another()

    def _give_up(self):
        if self in self.crowd.members:
            self.crowd.ended["given up"] = self.crowd.ended.get("given up", 0) + 1
            self._leave_for_another()

    def _leave_for_another(self):
        self.leave()
        self.crowd.loop.soon(self.crowd.next)


# ---- many new keys ---------------------------------------------------------------------------------------


class Keys(Attackers):
    """`count` proven callers, each an `openssl s_client` of this `version`, told `letter` every TICK: K changes its
    keys and asks for new ones of the other side (TLS 1.3), R renegotiates (TLS 1.2). One that has ended is followed
    by another, ten a second at most."""

    def __init__(self, words):
        super().__init__({**words, "tls": None})
        self.due = 0.0
        files = words["tls"]
        self.command = ["openssl", "s_client", "-connect", ":".join(map(str, self.address)), f"-{words['version']}",
                        "-cert", files["chain"], "-key", files["key"], "-CAfile", files["roots"]]

    def start(self):
        self.loop.soon(self._tick)

    def _tick(self):
        for member in list(self.members):
            member.talk()
        # One at a time: a program that starts costs this machine more than the handshake costs the other side.
        if self.going and len(self.members) < self.words["count"] and time.monotonic() >= self.due:
            self.due = time.monotonic() + 5 * TICK
            Talker(self)
        if self.going:
            self.loop.at(time.monotonic() + TICK, self._tick)


class Talker:
    def __init__(self, crowd):
        self.crowd, self.begun = crowd, time.monotonic()
        self.process = subprocess.Popen(crowd.command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        crowd.members.add(self)

    def talk(self):
        try:
            self.process.stdin.write(self.crowd.words["letter"].encode() + b"\n")
            self.process.stdin.flush()
            self.crowd.made += 1
        except OSError:
            pass
        if self.process.poll() is not None:
            self.crowd.members.discard(self)
            self.crowd.gone(self, "closed")

    def leave(self):
        self.crowd.members.discard(self)
        self.process.kill()
        self.process.wait()


if __name__ == "__main__":
    {"crowd": Crowd, "flood": Flood, "keys": Keys}[sys.argv[1]].main(sys.argv[2])
