#!/usr/bin/env python3
"""Which pictures the shop has: of Debian's packages installed or unpacked in a folder. None is in this repository.

How many faces each has was counted by eye. Where facebox runs without OpenCV, there is the drawn picture alone.
"""

import functools
import os
import sys
from collections import namedtuple

import drawn

Picture = namedtuple("Picture", "id title faces source package path read")

# file in its package, package, id, title, faces that one counts by eye
SKIMAGE = "usr/lib/python3/dist-packages/skimage/data"
MATPLOTLIB = "usr/share/matplotlib/mpl-data/sample_data"
KNOWN = [
    (f"{SKIMAGE}/astronaut.png", "python3-skimage", "collins", "Eileen Collins, astronaut", 1),
    (f"{MATPLOTLIB}/grace_hopper.jpg", "python-matplotlib-data", "hopper", "Grace Hopper, computer scientist", 1),
    (f"{SKIMAGE}/chelsea.png", "python3-skimage", "chelsea", "Chelsea, a cat", 0),
]
PAIR = ("collins", "hopper")


def _file(path):
    with open(path, "rb") as file:
        return file.read()


def kind(data):
    return "image/png" if data.startswith(b"\x89PNG") else "image/jpeg"


@functools.lru_cache(maxsize=4)
def _pair(paths, height=640):
    """_pair is two portraits beside each other, as on one print."""
    import cv2
    import numpy
    sides = []
    for path in paths:
        picture = cv2.imread(path)
        scale = height / picture.shape[0]
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        sides.append(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=how))
    gap = numpy.full((height, 12, 3), 255, numpy.uint8)
    return cv2.imencode(".jpg", numpy.hstack([sides[0], gap, sides[1]]), [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()


def _has_opencv():
    try:
        import cv2  # noqa: F401
    except ImportError:
        return False
    return True


def found(folders=(), drawn_alone=False):
    """found has the pictures, by id: of packages that are installed or unpacked in a folder; or the drawn one alone."""
    if drawn_alone:
        return {"drawn": Picture("drawn", "Three people, drawn", len(drawn.boxes()), "this example", "", "", drawn.png)}
    have = {}
    for file, package, name, title, faces in KNOWN:
        for root in ("/", *folders):
            path = os.path.join(root, file)
            if os.path.isfile(path):
                source, read = f"Debian's package {package}", functools.partial(_file, path)
                have[name] = Picture(name, title, faces, source, package, path, read)
                break
    if all(name in have for name in PAIR) and _has_opencv():
        read = functools.partial(_pair, tuple(have[name].path for name in PAIR))
        pair = Picture("pioneers", "Two pioneers on one print", 2, "two of Debian's packages", "", "", read)
        have = {"pioneers": pair, **have}
    return have


if __name__ == "__main__":
    for picture in [*found(sys.argv[1:]).values(), *found(drawn_alone=True).values()]:
        print(f"{picture.id:10} {picture.faces} faces  {picture.title}, of {picture.source}")
