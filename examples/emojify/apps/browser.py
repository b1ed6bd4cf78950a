"""The shop's page in a real Chromium: open it, choose a picture, buy, read what it shows. It is tests/lib/chromium.py.

  browser = Browser(folder, launch=["ip", "netns", "exec", "cluster"])
  browser.open("http://127.0.0.1:8080/")
  browser.choose("pioneers")           # -> 2, the emojis that are on the picture
  browser.buy()                        # -> "P-000042"
"""

import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "tests"))
from lib.chromium import Chromium  # noqa: E402


def here():
    return shutil.which("chromium") is not None


class _Owner:
    """What Chromium wants of a test's case: a folder, and somebody who closes it."""

    def __init__(self, folder):
        self.directory, self.closers = pathlib.Path(folder), []

    def undo(self, action):
        self.closers.append(action)


class Trouble(Exception):
    """What the page told the buyer."""


class Browser:
    def __init__(self, folder, launch=(), width=1280, height=660):
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
        self.owner = _Owner(folder)
        self.chromium = Chromium(self.owner, launch=launch)
        self.chromium.resize(width, height)

    def open(self, address, page=True):
        """open goes there, and waits for the shop's page; with page=False for whatever comes."""
        self.chromium.open("about:blank")
        self.chromium.wait("location.href === 'about:blank'", "the page before is left")
        self.chromium.open(address)
        if page:
            self.chromium.wait("document.querySelectorAll('#gallery img').length > 0 && "
                               "[...document.querySelectorAll('#gallery img')].every((one) => one.complete)",
                               "the page has its pictures")
        else:
            self.chromium.wait("location.href !== 'about:blank' && document.readyState === 'complete'",
                               f"an answer of {address}")

    def text(self, selector="body"):
        """text is what is to be read there, or "" where nothing is shown."""
        return self.chromium.says(f"(document.querySelector({selector!r})?.innerText || '').trim()")

    def press(self, button):
        self.chromium.says(f"document.getElementById({button!r}).click()")

    def choose(self, picture, seconds=20):
        """choose has the number of emojis on the picture. It raises Trouble with what the page says instead."""
        self.press("picture-" + picture)
        return self._faces(seconds)

    def upload(self, path, seconds=20):
        """upload brings a picture of the buyer's own; the rest is as in choose()."""
        self.chromium.files("#upload", path)
        return self._faces(seconds)

    def _faces(self, seconds):
        self.chromium.wait("document.body.dataset.faces !== undefined || "
                           "!document.getElementById('picture-error').hidden",
                           "the picture has its faces, or a reason why not", seconds)
        if self.text("#picture-error"):
            raise Trouble(self.text("#picture-error"))
        self._settled()
        return self.chromium.says("document.querySelectorAll('#faces .face').length")

    def paid(self, seconds=30):
        """paid waits for the purchase under way, and has its receipt's number. It raises Trouble as choose() does."""
        self.chromium.wait("document.getElementById('waiting').hidden && "
                           "(document.body.dataset.receipt !== undefined || "
                           "!document.getElementById('order-error').hidden)",
                           "a receipt, or a reason why not", seconds)
        if self.text("#order-error"):
            raise Trouble(self.text("#order-error"))
        self.chromium.wait("document.getElementById('receipt-lines').textContent !== ''", "the receipt's lines", 5)
        return self.text("#receipt-number")

    def buy(self, seconds=30):
        self.press("buy")
        return self.paid(seconds)

    def hold(self):
        """hold begins a purchase whose connection to payment stays open; paid() has what becomes of it."""
        self.press("hold")
        self.chromium.wait("!document.getElementById('waiting').hidden", "the purchase is under way")

    def complaints(self):
        """complaints are what the console said; a failed answer of the shop is one of them."""
        return list(self.chromium.complaints)

    def asked(self):
        return [address for address in self.chromium.asked if not address.startswith(("data:", "blob:", "about:"))]

    def _settled(self):
        self.chromium.wait("document.getAnimations().every((one) => one.playState === 'finished')",
                           "the emojis have settled")

    def screenshot(self, path):
        self._settled()
        self.chromium.screenshot(path)

    def close(self):
        while self.owner.closers:
            self.owner.closers.pop()()
