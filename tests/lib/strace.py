"""System calls of a running process: which it makes, and what becomes of it when they fail (strace's injection)."""

import re
import shutil
import signal
import subprocess
from pathlib import Path

from lib import check
from lib.case import now

_LINE = re.compile(r"(\d+) +(\w+)\(")  # what is resumed was begun on a line of its own


def threads(pid):
    """threads are the names of a process's threads by their number; the first one's is the program's."""
    found = {}
    for task in Path(f"/proc/{pid}/task").glob("*"):
        try:
            found[int(task.name)] = (task / "comm").read_text().strip()
        except OSError:  # it has ended
            pass
    return found


class _Attached:
    def __init__(self, case, title, *words):
        tool = shutil.which("strace")
        if not tool:
            raise check.Skip("no strace; tests/setup installs it")
        self.output = case.directory / f"strace-{title}-{now()}.txt"
        self.popen = subprocess.Popen([tool, "-o", str(self.output), *words], stderr=subprocess.PIPE, text=True)
        case.undo(self.detach)
        line = self.popen.stderr.readline()
        if "attached" not in line:
            if "not permitted" in line:
                raise check.Skip(f"this machine does not permit ptrace: {line.strip()}")
            check.fail(f"strace: {line.strip()}")

    def detach(self):
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGINT)
            self.popen.wait(10)
        if not self.popen.stderr.closed:
            self.popen.stderr.close()


class Injected(_Attached):
    """Injected makes system calls of a running process fail. call: one, or several with commas. when is strace's (1: the
    next one; 1+: all; 1..3: the next three), and counts each thread's own. thread: this one's alone, by its number."""

    def __init__(self, case, process, call, error, when, thread=None):
        whose = ["-p", str(thread)] if thread else ["-f", "-p", str(process.pid)]
        super().__init__(case, f"{call}-{error}", *whose, "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={when}")

    def count(self):
        return self.output.read_text().count("(INJECTED)") if self.output.exists() else 0

    def lines(self):
        """lines are the calls that failed, as strace writes them."""
        text = self.output.read_text(errors="replace") if self.output.exists() else ""
        return [line for line in text.splitlines() if "(INJECTED)" in line]


class Traced(_Attached):
    """Traced writes down every system call of a running process until calls()."""

    def __init__(self, case, process):
        super().__init__(case, "all", "-f", "-p", str(process.pid))

    def calls(self):
        """calls ends it, and is how many of each system call each thread has begun: {(thread, call): count}."""
        self.detach()
        found = {}
        for line in self.output.read_text(errors="replace").splitlines():
            if made := _LINE.match(line):
                key = (int(made[1]), made[2])
                found[key] = found.get(key, 0) + 1
        return found
