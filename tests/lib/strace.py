"""System calls of a running process that fail by strace's injection."""

import shutil
import signal
import subprocess

from lib import check
from lib.case import now


class Injected:
    """Injected makes system calls of a running process fail. call: one, or several with commas. when is strace's (1: the
    next one; 1+: all; 1..3: the next three)."""

    def __init__(self, case, process, call, error, when):
        tool = shutil.which("strace")
        if not tool:
            raise check.Skip("no strace; tests/setup installs it")
        self.output = case.directory / f"strace-{call}-{error}-{now()}.txt"
        self.popen = subprocess.Popen(
            [tool, "-f", "-p", str(process.pid), "-o", str(self.output), "-e", f"trace={call}", "-e",
             f"inject={call}:error={error}:when={when}"], stderr=subprocess.PIPE, text=True)
        case.undo(self.detach)
        line = self.popen.stderr.readline()
        if "attached" not in line:
            if "ermitted" in line or "ptrace" in line:
                raise check.Skip(f"this machine does not permit ptrace: {line.strip()}")
            check.fail(f"strace: {line.strip()}")

    def count(self):
        return self.output.read_text().count("(INJECTED)") if self.output.exists() else 0

    def detach(self):
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGINT)
            self.popen.wait(10)
        if not self.popen.stderr.closed:
            self.popen.stderr.close()
