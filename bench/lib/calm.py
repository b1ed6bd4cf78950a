"""Latencies are measured in calm windows.

Where the hypervisor takes a core away for some milliseconds, all that is under way waits, behind any proxy, and two or
three such moments make the p99 of a window. So a window that lost more than STOLEN of the cores' time is measured
again. Which of the tries counts is decided by what was stolen, never by what was measured.
"""

import time

STOLEN = 0.025  # of the cores' time: two hundredths of a second, the clock's steps, in a short window on two cores
TRIES = 4  # of one window
FEWEST = 3  # calm windows, for a median to mean something


def is_calm(record):
    return record["stolen"] <= STOLEN


class Calm:
    """Calm repeats what was disturbed, within TRIES, and within so many seconds of repeats for each mode."""

    def __init__(self, seconds):
        self._seconds, self._spent = seconds, {}

    def measure(self, mode, once):
        """measure calls once(), which gives a record with "stolen" and "errors". It returns the calmest, with the errors
        of all tries, their number, and the first of them."""
        records = [once()]
        while not is_calm(records[-1]) and len(records) < TRIES and self._spent.get(mode, 0) < self._seconds:
            begun = time.monotonic()
            records.append(once())
            self._spent[mode] = self._spent.get(mode, 0) + time.monotonic() - begun
        calmest = min(records, key=lambda record: record["stolen"])
        return {**calmest, "errors": sum(record["errors"] for record in records), "tries": len(records),
                "first": records[0]}
