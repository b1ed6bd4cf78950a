"""A stream whose every byte is accounted for: blocks of one size, each with its session, its number and a sum.

A block that is lost, doubled, changed, out of order or of another session is an AssertionError at who takes it.
"""

import random
import struct
import zlib

SIZE = 1024  # bytes of a block
_HEAD, _SUM = struct.Struct(">QIB"), struct.Struct(">I")
_FILLING = SIZE - _HEAD.size - _SUM.size
_noise = random.Random(7).randbytes(2 * 65521)


class Writer:
    """Makes the blocks of one direction. sent: how many."""

    def __init__(self, session):
        self.session, self.sent = session, 0

    def block(self, last=False):
        # Noise from another place each time: a block that comes in another's stead fits neither number nor sum.
        start = (self.session * 8191 + self.sent * 257) % 65521
        text = _HEAD.pack(self.session, self.sent, last) + _noise[start:start + _FILLING]
        self.sent += 1
        return text + _SUM.pack(zlib.crc32(text))


class Reader:
    """Takes the bytes of one direction as they come. received: whole blocks; ended: the last one has come."""

    def __init__(self, session):
        self.session, self.received, self.ended = session, 0, False
        self._begun = b""

    def take(self, data):
        """take returns how many blocks are whole by now that were not before."""
        data = self._begun + data if self._begun else data
        at, whole = 0, len(data) // SIZE
        for _ in range(whole):
            self._check(data[at:at + SIZE])
            at += SIZE
        self._begun = data[at:]
        if self.ended and self._begun:
            raise AssertionError(f"{len(self._begun)} bytes after the last block")
        return whole

    def _check(self, block):
        session, number, last = _HEAD.unpack_from(block)
        if _SUM.unpack_from(block, SIZE - _SUM.size)[0] != zlib.crc32(block[:-_SUM.size]):
            raise AssertionError(f"block {self.received} has another sum")
        if (session, number) != (self.session, self.received) or self.ended:
            raise AssertionError(f"block {number} of session {session}, not {self.received} of {self.session}")
        self.received += 1
        self.ended = bool(last)
