#!/usr/bin/env python3
"""Facebox finds faces: OpenCV's frontal cascade, both of Debian's packages.

  POST /faces   the bytes of a picture
                -> {"faces": [{"x": 92, "y": 35, "w": 49, "h": 49}, ...], "width": 512, "height": 512}
  GET  /health
"""

import argparse
import os
import sys
import threading
import time

import drawn
from web import Refused, Server, argument, own, say, serve

# Of 135 pictures with 20 faces this finds 18, and nothing that is none. The cascade alt2 finds 19 at best, and 3 things
# that are none; the default one 15 and more of these, at 800 and at 1200 pixels.
CASCADE = "/usr/share/opencv4/haarcascades/haarcascade_frontalface_alt.xml"
LONGEST = 800  # pixels of a side that is looked at; a larger picture is looked at smaller
NEIGHBOURS = 6  # findings beside each other that make a face
MOST_PIXELS = 50_000_000  # of a picture: a small file may hold a very large one
MISSING = ("{} is missing: apt-get install python3-opencv opencv-data, and run this by /usr/bin/python3; "
           "or say --without-opencv, which knows the drawn picture alone")


class Cascade:
    def __init__(self):
        os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(MOST_PIXELS)  # read when the module is loaded
        try:
            import cv2
            import numpy
        except ImportError:
            raise SystemExit("facebox: " + MISSING.format("OpenCV's Python module")) from None
        if not os.path.exists(CASCADE):
            raise SystemExit("facebox: " + MISSING.format(CASCADE))
        cv2.setNumThreads(1)
        self.cv2, self.numpy = cv2, numpy
        self.finder = cv2.CascadeClassifier(CASCADE)
        self.lock = threading.Lock()  # a classifier is for one thread at a time

    def find(self, data):
        """find has the boxes, from left to right, and the picture's width and height."""
        cv2 = self.cv2
        try:
            picture = cv2.imdecode(self.numpy.frombuffer(data, self.numpy.uint8), cv2.IMREAD_COLOR) if data else None
        except cv2.error:
            most = f"{MOST_PIXELS // 1_000_000} million pixels"
            raise Refused(413, f"the picture has more than {most}, or is damaged", "too_large") from None
        if picture is None:
            raise Refused(415, "this is no picture that can be read: send a JPEG or a PNG", "no_picture")
        height, width = picture.shape[:2]
        smaller = min(1, LONGEST / max(height, width))
        if smaller < 1:
            picture = cv2.resize(picture, None, fx=smaller, fy=smaller, interpolation=cv2.INTER_AREA)
        grey = cv2.equalizeHist(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY))
        with self.lock:
            found = self.finder.detectMultiScale(grey, scaleFactor=1.1, minNeighbors=NEIGHBOURS, minSize=(24, 24))
        boxes = [{name: round(value / smaller) for name, value in zip("xywh", map(int, box))} for box in found]
        return sorted(boxes, key=lambda box: (box["x"], box["y"])), width, height


class Known:
    """What stands in where OpenCV is not installed: it knows the faces of the drawn picture, and of no other."""

    def find(self, data):
        if data != drawn.png():
            raise Refused(501, "facebox runs without OpenCV here, and knows the drawn picture alone", "without_opencv")
        return drawn.boxes(), drawn.WIDTH, drawn.HEIGHT


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listen", type=argument(own), required=True, help="127.0.0.1:PORT")
    parser.add_argument("--without-opencv", action="store_true", help="know the drawn picture's faces, and no other's")
    options = parser.parse_args()
    finder = Known() if options.without_opencv else Cascade()
    if options.without_opencv:
        say("facebox", "WITHOUT OPENCV: it finds nothing, it knows the drawn picture's faces")

    def faces(request):
        begun = time.monotonic()
        boxes, width, height = finder.find(request.body)
        say("facebox", f"{len(boxes)} faces in {width}x{height}, {(time.monotonic() - begun) * 1000:.0f} ms")
        return {"faces": boxes, "width": width, "height": height}

    serve(Server("facebox", options.listen, {("POST", "/faces"): faces, ("GET", "/health"): lambda _: {"ok": True}}))


if __name__ == "__main__":
    sys.exit(main())
