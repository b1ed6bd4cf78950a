"""The story: nine steps, a file for one idea of it. What is asserted is said by Report.holds, with what was seen."""

import contextlib
import itertools
import json
import time

from lib import check
from lib.case import slowness
from story import intentions, numbers, outage, purchase, replaced, rotation, second, up

STEPS = (
    ("all up: a cluster, a VM, and nothing between them but mutual TLS and Consul", up.play),
    ("a picture is emojified, and a print of it bought", purchase.play),
    ("ingress to website is denied, and allowed again", intentions.ingress_to_website),
    ("api to payment is denied while a purchase is open, and allowed again", intentions.api_to_payment),
    ("the control plane goes away, piece by piece, and comes back", outage.play),
    ("a second instance of payment; the first is killed in the middle of purchases", second.play),
    ("the sidecar of payment is restarted, then upgraded, under purchases", replaced.play),
    ("the mesh's CA is rotated under purchases", rotation.play),
    ("the numbers: who talked to whom", numbers.play),
)
SECOND = 1.0  # the bound of what has to hold at once


class Story:
    """stage: what it is played on. shots: a folder for screenshots, or None."""

    def __init__(self, stage, report, shots=None, reduced=False):
        self.stage, self.report, self.shots, self.reduced = stage, report, shots, reduced
        self.holds, self.browser = report.holds, None
        self._orders = itertools.count(1)

    def play(self):
        with contextlib.ExitStack() as leave:
            for number, (title, step) in enumerate(STEPS, 1):
                with self.report.step(title):
                    step(self)
                if number == 1:
                    if not self.report.steps[0]["ended"]:
                        return
                    self.browser = leave.enter_context(self.another_browser(self.stage.cluster))
                elif number in self.report.failed():
                    with self.report.mending():
                        self.stage.mend()

    def scale(self, small, full):
        return small if self.reduced else full

    # What customers do.

    def buy(self, timeout=10.0):
        """buy is one purchase: the ingress's Answer."""
        return self._post("/api/buy", {"order": self._order(), "picture": "faces", "cents": 1200}, timeout)

    def hold(self, seconds, timeout):
        """hold is one that stays open for so long before it is completed."""
        return self._post("/api/hold", {"order": self._order(), "picture": "faces", "cents": 1200, "seconds": seconds},
                          timeout)

    def _order(self):
        return f"story-{next(self._orders)}"

    def _post(self, path, said, timeout):
        return self.stage.ask("POST", path, json.dumps(said), timeout, **{"Content-Type": "application/json"})

    def buys(self):
        """buys tells whether a purchase works."""
        try:
            return self.buy().status == 200
        except OSError:
            return False

    @contextlib.contextmanager
    def customers(self, rate):
        """customers buy all the time, at that many purchases a second."""
        customers = self.stage.customers(rate)
        try:
            check.within(lambda: customers.count() >= 3, "customers buy", 20 * slowness(), step=0.02)
            yield customers
        finally:
            customers.stop()

    # Time.

    def until(self, condition, seconds=15.0):
        """until is after how many seconds the condition was true; None: it was not, in that time."""
        began = time.monotonic()
        while True:
            with contextlib.suppress(OSError, AssertionError):
                if condition():
                    return time.monotonic() - began
            if time.monotonic() - began > seconds * slowness():
                return None
            time.sleep(0.005)

    def soon(self, what, condition, bound=SECOND, seconds=15.0):
        """soon holds if the condition is true within the bound. What takes longer is waited for, and said."""
        took = self.until(condition, seconds)
        self.holds(took is not None and took <= bound * slowness(), f"{what}, within {bound:g} s",
                   f"not in {seconds:g} s" if took is None else f"{1000 * took:.0f} ms")
        return took

    # What is seen.

    @contextlib.contextmanager
    def another_browser(self, machine):
        browser = self.stage.browser(machine)
        try:
            yield browser
        finally:
            if browser:
                browser.close()

    def picture(self, name, browser=None):
        """picture is a screenshot of a browser's page, where somebody wants it."""
        browser = browser or self.browser
        if browser and self.shots:
            browser.screenshot(self.shots / f"{len(self.report.steps)}-{name}.png")
