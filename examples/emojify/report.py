"""What came out: of each step what was asserted, what was seen and how long it took, as text and as a document."""

import contextlib
import json
import time
import traceback


class Report:
    """transcript: a path that gets what the terminal gets, or None."""

    def __init__(self, steps, transcript=None):
        self.count, self.steps, self.left_out = steps, [], []
        self._file = open(transcript, "w", encoding="utf-8") if transcript else None

    def say(self, text=""):
        print(text, flush=True)
        if self._file:
            self._file.write(text + "\n")
            self._file.flush()

    def without(self, what, why):
        """without says that a part is left out, loudly."""
        self.left_out.append(f"{what}: {why}")
        self.say(f"#### WITHOUT {what}: {why}")

    @contextlib.contextmanager
    def step(self, title):
        record = {"number": len(self.steps) + 1, "title": title, "checks": [], "seconds": 0.0, "ended": True}
        self.steps.append(record)
        self.say(f"\n[{record['number']}/{self.count}] {title}")
        began = time.monotonic()
        try:
            yield
        except Exception as error:
            place = [f for f in traceback.extract_tb(error.__traceback__) if "/emojify/" in f.filename][-1:]
            record["ended"] = False
            where = "".join(f" ({f.filename.rsplit('/', 1)[1]}:{f.lineno})" for f in place)
            self._hold(False, f"the step went to its end{where}", str(error) or type(error).__name__)
        record["seconds"] = round(time.monotonic() - began, 2)
        self.say(f"      {self.verdict(record)} in {record['seconds']:.1f} s")

    def holds(self, kept, what, seen=""):
        """holds records one assertion with what was seen. The step goes on: what else is broken is worth knowing."""
        self._hold(bool(kept), what, str(seen))
        return bool(kept)

    def tells(self, what, seen):
        """tells records a figure that nobody promised: what a thing costs that cannot be had for nothing."""
        self.steps[-1]["checks"].append({"kept": True, "figure": True, "what": what, "seen": str(seen)})
        self.say(f"      --  {what}: {seen}")

    def _hold(self, kept, what, seen):
        self.steps[-1]["checks"].append({"kept": kept, "what": what, "seen": seen})
        self.say(f"      {'ok ' if kept else 'NOT'} {what}" + (f": {seen}" if seen else ""))

    @staticmethod
    def verdict(record):
        broken = sum(not one["kept"] for one in record["checks"])
        return "as it should be" if not broken else f"NOT as it should be ({broken} broken)"

    def failed(self):
        """failed are the numbers of steps that are not as they should be; those that were not played as well."""
        return [record["number"] for record in self.steps
                if not record["checks"] or not all(one["kept"] for one in record["checks"])]

    @contextlib.contextmanager
    def mending(self):
        """mending is what comes between a step that failed and the next one."""
        try:
            yield
        except (AssertionError, OSError, RuntimeError) as error:
            self.say(f"      (and it could not be put right: {error})")

    def end(self):
        """end says how it came out, in a line."""
        if self.failed():
            self.say(f"\n==> not as they should be: steps {', '.join(map(str, self.failed()))} of {self.count}")
        else:
            self.say(f"\nDone: all {self.count} steps are as they should be, {self._assertions()} assertions.")

    def _assertions(self):
        return sum("figure" not in one for step in self.steps for one in step["checks"])

    def save(self, path):
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"steps": self.steps, "left_out": self.left_out}, file, indent=1)

    def close(self):
        if self._file:
            self._file.close()
