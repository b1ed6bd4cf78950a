"""Streams of mixed sizes and manners, both ways, whose every byte is looked at: whole exchanges, half-closes, resets, slow ones.

The programs are those of lib/streams_program.py. A stream is lost that did not go as it was meant; it is lost silently where its
bytes are wrong, or where it ended as if all were well: by an end before all had come, or by an end in a reset's place.
"""

from dataclasses import dataclass, field
from pathlib import Path

from lib import check
from lib.case import slowness
from lib.child import Child
from lib.streams_program import APP_RESETS, CALLER_RESETS

PROGRAM = Path(__file__).with_name("streams_program.py")
SILENT = ("garbled", "ended early", "an end for a reset")


class App(Child):
    """The application at the far end."""

    def __init__(self, case, port=0):
        super().__init__(case, PROGRAM, "app", {"port": port})
        self.port = self.about["port"]


@dataclass
class Seen:
    """begun, whole: streams that were begun, and that went as meant at both sides; by_manner: these by their manner's number. moved:
    bytes that came and were right. lost: {how: streams}. missing: bytes of lost ones that had not come."""
    begun: int = 0
    whole: int = 0
    by_manner: dict = field(default_factory=dict)
    moved: int = 0
    lost: dict = field(default_factory=dict)
    missing: int = 0
    late: float = 0.0

    def add(self, other):
        for name in ("begun", "whole", "moved", "missing"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for mine, more in ((self.lost, other.lost), (self.by_manner, other.by_manner)):
            for key, count in more.items():
                mine[key] = mine.get(key, 0) + count
        self.late = max(self.late, other.late)
        return self

    def cost(self):
        return sum(self.lost.values())

    def silent(self):
        return {how: count for how, count in self.lost.items() if how.startswith(SILENT)}


class Streams:
    """Callers at an address, and the application behind it. words: Callers' (streams_program.py)."""

    def __init__(self, case, address, app, **words):
        self.app = app
        self._callers = Child(case, PROGRAM, "callers", {"address": list(address), **words})
        self._seen, self._half = Seen(), {}  # half: streams of which one side has told its end
        self.open, self.slow = 0, {}  # slow: bytes that the application has of each
        self._held = set()  # streams that the application holds

    def keep(self, at_once, slow=0, rate=0.0):
        self._callers.do("keep", at_once=at_once, slow=slow, rate=rate)

    def hurry(self):
        """hurry has slow streams send the rest at once."""
        self._callers.do("hurry")

    def look(self):
        """look takes up what has ended since."""
        callers, app = self._callers.do("report"), self.app.do("report")
        self.open = callers["open"]
        self.slow = {number: app["got"].get(str(number), 0) for number in callers["slow"]}
        self._held = {int(number) for number in app["got"]}
        seen = self._seen
        seen.begun += callers["begun"]
        seen.moved += callers["moved"] + app["moved"]
        seen.late = max(seen.late, callers["late"])
        for side, ended in ((0, callers["ended"]), (1, app["ended"])):
            for number, manner, how, missing in ended:
                if side == 0 and how == "refused":  # the application will never hear of it
                    self._settle(manner, [how], missing)
                    continue
                other = self._half.pop(number, None)
                if other is not None:
                    self._settle(manner, [how, other[1]], missing + other[2])
                else:
                    self._half[number] = (side, how, missing, manner)
        return callers

    def _settle(self, manner, ends, missing):
        seen = self._seen
        bad = [how for how in ends if how != "ok"]
        if not bad:
            seen.whole += 1
            seen.by_manner[manner] = seen.by_manner.get(manner, 0) + 1
            return
        # Of two words the one that says more against us.
        how = next((how for how in bad if how.startswith(SILENT)), bad[0])
        seen.lost[how] = seen.lost.get(how, 0) + 1
        seen.missing += missing

    def report(self, quiet=False):
        """report is what was seen since the last one; quiet: nothing is under way any more, so what one side alone tells is all."""
        self.look()
        if quiet:
            for number, (side, how, missing, manner) in self._half.items():
                # A caller that resets may do it before the application has heard of it; whose application is to reset is content with
                # a reset by anyone.
                if side == 0 and number in self._held:
                    how = "the application still holds it"
                elif how == "ok" and side == 0 and manner == APP_RESETS:
                    how = "reset"
                elif how == "ok" and not (side == 0 and manner == CALLER_RESETS):
                    how = "ended early: the application never heard of it" if side == 0 else "the caller never told"
                self._settle(manner, [how], missing)
            self._half = {}
        seen, self._seen = self._seen, Seen()
        return seen

    def settle(self, seconds=30.0, slow=0):
        """settle lets what is under way come to its end, but for so many slow ones, and begins nothing more."""
        self.keep(slow, slow)

        def over():
            self.look()
            return self.open == len(self.slow) == slow

        check.within(over, f"all streams but {slow} slow ones are over", seconds * slowness(), step=0.02)

        def told():
            self.look()
            return not self._half

        try:
            check.within(told, "both sides have told of each stream", 2 * slowness(), step=0.02)
        except AssertionError:  # report(quiet=True) says of which only one has
            pass
