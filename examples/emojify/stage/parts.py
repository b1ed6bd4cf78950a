"""What of the shop can be had here: parts that Debian's packages bring, and a reduced run can do without."""

import os
import sys
from pathlib import Path

APPS = Path(__file__).resolve().parents[1] / "apps"
sys.path.insert(0, str(APPS))

import buyer  # noqa: E402 (beside us)
import needs  # noqa: E402
import pictures  # noqa: E402

# part of the shop: the parts of apps/needs.py that it takes
PARTS = {"Java": ("payment",), "OpenCV": ("facebox", "pictures"), "a browser": ("browser",)}


class Parts:
    """java, opencv, browser: whether they are there. pictures: folders with some. left_out: (part, packages, what
    then). drawn: no photographs and no OpenCV, but one picture that is drawn here, whose faces are known."""

    def __init__(self, folder=None, drawn=False):
        self.left_out = []
        lacks = {part: needs.missing(wanted) for part, wanted in PARTS.items()}
        for part, missing in lacks.items():
            if missing:
                packages = " ".join(sorted({package for need in missing for package in need.packages}))
                self.left_out.append((part, packages, missing[0].without))
        self.java, self.opencv, self.browser = (not lacks[part] for part in PARTS)
        self.opencv = self.opencv and not drawn
        self.pictures = [str(folder)] if folder and os.path.isdir(folder) else []
        self.picture = next(iter(pictures.found(self.pictures, not self.opencv).values()))

    make_buyer = buyer.Buyer

    @staticmethod
    def make_browser(folder, launch):
        from browser import Browser
        return Browser(folder, launch)


def cache():
    """cache is the folder into which pictures are unpacked whose packages nobody wants to install whole."""
    root = os.environ.get("MOORING_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "mooring")
    return Path(root) / "pictures"


def main():
    """For examples/emojify/run: unpacks the pictures."""
    for problem in needs.unpack(str(cache()), say=lambda text: print(f"setup: {text}", file=sys.stderr)):
        print(f"setup: {problem}", file=sys.stderr)


if __name__ == "__main__":
    main()
