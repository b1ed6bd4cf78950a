"""A picture for where no picture is installed, drawn here, with faces whose places are therefore known."""

import functools
import struct
import zlib

WIDTH, HEIGHT = 960, 600
FACES = [(150, 170, 190), (400, 120, 220), (665, 190, 180)]  # left, top, size
SKINS = [(240, 200, 165), (190, 135, 95), (120, 80, 60)]
SHIRTS = [(70, 110, 190), (210, 90, 90), (80, 150, 110)]


def boxes():
    return [{"x": left, "y": top, "w": size, "h": size} for left, top, size in FACES]


def _colour(x, y):
    """_colour is what stands at a place: a person is a face above a shirt, before a wall."""
    for (left, top, size), skin, shirt in zip(FACES, SKINS, SHIRTS):
        across, down = (x - left - size / 2) / size, (y - top - size / 2) / size
        if across * across / 0.16 + down * down / 0.25 <= 1:
            if min((abs(across) - 0.17) ** 2 + (down + 0.08) ** 2, 1) < 0.0022:
                return 40, 30, 30
            smile = across * across + (down - 0.08) ** 2
            if down > 0.12 and 0.035 < smile < 0.05:
                return 150, 50, 50
            return (60, 45, 35) if down < -0.28 else skin
        if down > 0.3 and across * across / 0.45 + (down - 1.35) ** 2 / 0.85 <= 1:
            return shirt
    light = 225 - int(40 * y / HEIGHT)
    return light - 12, light - 4, light


def encoded(width, height, rows):
    """encoded is a PNG. rows: of each row a zero, and three bytes a pixel."""
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 6)) + chunk(b"IEND", b"")


@functools.cache
def png():
    """png is the picture, the same bytes each time."""
    rows = bytearray()
    for y in range(HEIGHT):
        rows.append(0)
        for x in range(WIDTH):
            rows += bytes(_colour(x, y))
    return encoded(WIDTH, HEIGHT, bytes(rows))
