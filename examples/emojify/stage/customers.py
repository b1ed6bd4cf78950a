"""Customers who buy all the time, through the ingress, and what became of each of their orders."""

import collections
import contextlib
import itertools
import time

from lib import check
from stage import catalog

AGAIN = 2500  # milliseconds until a customer asks again: longer than an agent takes to see that a program is gone

LONGEST = 1.0  # seconds that a purchase may take: one that began so long before an event may have been under way then

_numbers = itertools.count(1)


class Customers:
    """The crowd of apps/buyer.py. One whose purchase fails asks again, by the same order, which is charged once."""

    def __init__(self, shop, make, rate):
        self._shop, self._make, self.rate = shop, make, rate
        self._done, self._buyer = [], None
        self.resume()

    def resume(self):
        log = self._shop.cluster.case.directory / f"customers-{next(_numbers)}.log"
        self._buyer = self._make("{}:{}".format(*catalog.INGRESS), self.rate, self._shop.cluster.launch, log,
                                 again_after_ms=AGAIN)

    def stop(self):
        """stop waits for what is under way."""
        if self._buyer:
            self._buyer.stop()
            self._done += self._buyer.records
        self._buyer = None

    def all(self):
        return [*self._done, *(self._buyer.since() if self._buyer else [])]

    def count(self):
        """count is of purchases that are over, one way or the other."""
        return len(self.all())

    def failed(self, since=0.0, until=float("inf")):
        """failed are those that began in that time (of time.time()) and got no receipt at the first try."""
        return [one for one in self.all() if one["outcome"] != "ok" and since <= one["at"] <= until]

    def lost(self):
        """lost are those that got none when they were asked for again, either."""
        return [one for one in self.all() if one["outcome"] not in ("ok", "again")]

    def charged_twice(self):
        """charged_twice are our orders for which payment's instances have printed more than one receipt."""
        printed = collections.Counter(order for _, order in self._shop.receipts())
        return [one["order"] for one in self.all() if printed[one["order"]] > 1]

    def wait(self, purchases, seconds=60.0):
        """wait is that many more purchases long; returns how many there were."""
        before = self.count()
        with contextlib.suppress(AssertionError):
            check.within(lambda: self.count() >= before + purchases, "customers buy", seconds, step=0.02)
        return self.count() - before


def why(failed):
    """why says how many of purchases failed, and by what."""
    reasons = collections.Counter(one.get("first_detail") or one.get("detail") for one in failed)
    words = ", ".join(f"{reason}: {count}" for reason, count in reasons.items())
    return f"{len(failed)} failed" + (f" ({words})" if failed else "")


def now():
    return time.time()
