"""A control group of the kernel with a limit on memory, of either version, below our own; a loud skip where none can be made."""

import itertools
import os
import time
from pathlib import Path

from lib import check

_numbers = itertools.count(1)


def _own(controller):
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, names, path = line.split(":", 2)
        if (number == "0" and not controller) or (controller and controller in names.split(",")):
            return path.lstrip("/")
    return None


class Cgroup:
    """wrap are the words that start a program in it. It goes with the case, once its processes have ended."""

    def __init__(self, case, limit):
        v1 = Path("/sys/fs/cgroup/memory")
        self.version = 1 if v1.exists() else 2
        base = v1 / (_own("memory") or "") if self.version == 1 else Path("/sys/fs/cgroup") / (_own("") or "")
        self.path = base / f"mooring-budget-{os.getpid()}-{next(_numbers)}"
        try:
            self.path.mkdir()
            case.undo(self._remove)
            if self.version == 1:
                (self.path / "memory.limit_in_bytes").write_text(str(limit))
            else:
                (self.path / "memory.max").write_text(str(limit))
                swap = self.path / "memory.swap.max"
                if swap.exists():
                    swap.write_text("0")
        except OSError as error:
            raise check.Skip(f"no control group with a memory limit can be made here: {error}")
        procs = self.path / "cgroup.procs"
        self.wrap = ["/bin/sh", "-c", f'echo $$ > "{procs}" && exec "$0" "$@"']

    def used(self):
        """used is what is charged to it, in bytes."""
        return int((self.path / ("memory.usage_in_bytes" if self.version == 1 else "memory.current")).read_text())

    def most(self):
        name = "memory.max_usage_in_bytes" if self.version == 1 else "memory.peak"
        file = self.path / name
        return int(file.read_text()) if file.exists() else 0

    def kills(self):
        """kills counts the processes that the kernel has ended for want of memory."""
        name = "memory.oom_control" if self.version == 1 else "memory.events"
        for line in (self.path / name).read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
        return 0

    def _remove(self):
        for _ in range(200):
            try:
                self.path.rmdir()
                return None
            except OSError as error:
                last = error
            time.sleep(0.05)
        return f"{self.path} is left: {last}"
