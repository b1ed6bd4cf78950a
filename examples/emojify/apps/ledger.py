"""What was paid: one line a purchase, in memory, or in a file that several instances of the gateway share.

A line is receipt, order, cents, instance and what was bought, with tabs between. payment/Payment.java keeps the same
file, under the same lock: an instance that is asked for an order which another has charged gives that one's receipt.
"""

import fcntl
import os
import threading
from collections import namedtuple

Purchase = namedtuple("Purchase", "receipt order cents instance what")


def parsed(line):
    """parsed is None for what is no whole purchase, as the torn line of a gateway that was killed."""
    parts = line.split("\t")
    if len(parts) != 5 or not parts[2].isdecimal():
        return None
    return Purchase(parts[0], parts[1], int(parts[2]), parts[3], parts[4])


def read(path):
    """read has every purchase of the file, in order."""
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8", errors="replace") as file:
        return [one for one in map(parsed, file.read().split("\n")[:-1]) if one]


class Ledger:
    def __init__(self, path, instance):
        self.instance = instance
        self.by_order = {}
        self.lock = threading.Lock()
        self.file = open(path, "a+b", buffering=0) if path else None
        self.seen = 0  # bytes of the file that are in by_order
        self.torn = False

    def charge(self, order, cents, what):
        """charge has the purchase, and whether it is new. An order is charged once, whoever asks whichever instance."""
        with self.lock:
            if self.file:
                fcntl.lockf(self.file, fcntl.LOCK_EX)
            try:
                self._catch_up()
                if order in self.by_order:
                    return self.by_order[order], False
                bought = Purchase(f"{self.instance}-{len(self.by_order) + 1:06d}", order, cents, self.instance, what)
                self._write(bought)
                self.by_order[order] = bought
                return bought, True
            finally:
                if self.file:
                    fcntl.lockf(self.file, fcntl.LOCK_UN)

    def _catch_up(self):
        """_catch_up reads what other instances have written since."""
        if not self.file:
            return
        self.file.seek(self.seen)
        *whole, rest = self.file.read().split(b"\n")
        for line in whole:
            self.seen += len(line) + 1
            one = parsed(line.decode(errors="replace"))
            if one:
                self.by_order[one.order] = one
        self.torn = bool(rest)

    def _write(self, bought):
        if not self.file:
            return
        line = ("\n" if self.torn else "") + "\t".join(map(str, bought)) + "\n"
        self.file.write(line.encode())
