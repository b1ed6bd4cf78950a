"""Case: what surrounds one test (or one module's shared parts): a directory, processes, what to undo."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from lib import check

SANITIZER = re.compile(
    r"ERROR: (?:Address|Leak|Thread|Memory)Sanitizer|WARNING: ThreadSanitizer|runtime error: |"
    r"SUMMARY: \w+Sanitizer")


def reduced():
    return os.environ.get("MOORING_TEST_FULL") != "1"


def sanitized():
    return os.environ.get("MOORING_ASAN") == "1"


def slowness():
    """slowness is by how much deadlines are stretched: sanitizers cost a factor of two to four."""
    return 3.0 if sanitized() else 1.0


def _memory():
    """_memory is a file system in memory, where there is one: bounds of a second are Mooring's, and a shared disk that
    stalls must not break them. What a kill leaves behind is the same on both; it is no loss of power."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else None


class Case:
    """Owns everything a test starts. close() undoes it in reverse order and returns what went wrong."""

    def __init__(self, name):
        self.name = name
        self.reduced = reduced()
        self.directory = Path(tempfile.mkdtemp(prefix="mooring-test-", dir=_memory()))
        self.processes = []
        self._undo = []

    def scale(self, small, full):
        """scale picks a size: the first in a reduced run, the second in a full one."""
        return small if self.reduced else full

    def undo(self, action):
        """undo registers an action for the end of the test. It may return a complaint."""
        self._undo.append(action)

    def owns(self, thing):
        """owns closes the thing at the end of the test, and returns it."""
        self.undo(thing.close)
        return thing

    def write(self, name, text, mode=0o600):
        """write puts a file into the case's directory by rename, as careful operators do."""
        path = self.directory / name
        scratch = path.with_name(path.name + ".new")
        with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
            file.write(text)
        os.rename(scratch, path)
        return path

    def waits(self):
        """waits says what each thread of each running process waits for in the kernel, for a failure's report."""
        return "\n".join(f"--- {process.describe()} waits in {', '.join(process.waits())}"
                         for process in self.processes if process.running())

    def tails(self, lines=25):
        """tails are the last lines of every process's log, for a failure's report: the newest process's first."""
        parts = []
        for process in reversed(self.processes):
            for path in (process.stdout_path, process.stderr_path):
                text = path.read_text(errors="replace").splitlines() if path.exists() else []
                if text:
                    parts.append(f"--- {process.describe()}: {path.suffix[1:]}")
                    parts += [line[:400] for line in text[-lines:]]
        return "\n".join(parts)

    def keep_logs(self, folder):
        """keep_logs copies what each process has said into a folder: after a failure it is worth a look."""
        for process in self.processes:
            for path in (process.stdout_path, process.stderr_path):
                if path.exists() and path.stat().st_size:
                    shutil.copy(path, folder)

    def close(self):
        problems = []
        while self._undo:
            action = self._undo.pop()
            try:
                complaint = action()
            except Exception as error:  # every other undoing must still happen
                complaint = f"while cleaning up: {type(error).__name__}: {error}"
            if complaint:
                problems.append(complaint)
        return problems

    def forget(self):
        """forget removes the directory; not done after a failure, when it is worth a look."""
        shutil.rmtree(self.directory, ignore_errors=True)


class Process:
    """A child process whose output goes to files of the case, and which never outlives the case. options: Popen's."""

    def __init__(self, case, argv, name, env=None, cwd=None, **options):
        self.name, self.awaited = name, False
        number = len(case.processes) + 1
        self.stdout_path = case.directory / f"{number}-{name}.out"
        self.stderr_path = case.directory / f"{number}-{name}.err"
        self.argv = [str(word) for word in argv]
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("CONSUL_", "CONNECT_"))}
        environment.update(env or {})
        with open(self.stdout_path, "wb") as out, open(self.stderr_path, "wb") as err:
            # Same process group as the test process: the runner can end the whole group.
            self.popen = subprocess.Popen(self.argv, env=environment, cwd=cwd or case.directory,
                                          **{"stdin": subprocess.DEVNULL, "stdout": out, "stderr": err, **options})
        case.processes.append(self)
        case.undo(self.close)

    @property
    def pid(self):
        return self.popen.pid

    def describe(self):
        code = self.popen.poll()
        return f"{self.name} (pid {self.pid}, {'running' if code is None else f'ended with {code}'})"

    def running(self):
        return self.popen.poll() is None

    def stdout(self):
        return self.stdout_path.read_text(errors="replace")

    def stderr(self):
        return self.stderr_path.read_text(errors="replace")

    def whole_lines(self):
        """whole_lines are those of its standard error, without one that is being written now."""
        return self.stderr().rpartition("\n")[0].splitlines()

    def log(self):
        return self.stdout() + self.stderr()

    def wait_log(self, pattern, seconds=10.0, count=1):
        """wait_log returns the count-th match of the regular expression in the process's output."""
        expression = re.compile(pattern)

        def look():
            found = list(expression.finditer(self.log()))
            if len(found) >= count:
                return found[count - 1]
            if not self.running():
                raise RuntimeError(f"{self.describe()} before its log said {pattern!r}:\n{self.log()[-2000:]}")
            return None

        return check.within(look, f"{self.name}: log line {pattern!r}", seconds * slowness(), step=0.02)

    def wait(self, seconds=10.0):
        """wait returns the exit code."""
        self.awaited = True
        try:
            return self.popen.wait(seconds * slowness())
        except subprocess.TimeoutExpired:
            check.fail(f"{self.describe()}: still there after {seconds * slowness():.0f} s")

    def send(self, number):
        self.awaited = self.awaited or number in (signal.SIGTERM, signal.SIGINT)
        self.popen.send_signal(number)

    def kill(self):
        """kill ends it as a crash would (SIGKILL)."""
        if self.running():
            self.popen.kill()
        self.popen.wait()

    def close(self):
        if self.running():
            self.send(signal.SIGTERM)
            try:
                self.popen.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
        return None

    # Figures of the running process, for tests of bounds.

    def resident(self):
        """resident is the process's RSS in bytes."""
        return self._status("VmRSS") * 1024

    def forget_most(self):
        """forget_most has most_resident count from now on (proc(5), clear_refs)."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def most_resident(self):
        """most_resident is the largest RSS that it has had, in bytes: the kernel's own mark, which no short peak escapes."""
        return self._status("VmHWM") * 1024

    def anonymous(self):
        """anonymous is its part of the RSS that no file stands behind, in bytes."""
        return self._status("RssAnon") * 1024

    def _status(self, key):
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1])
        return 0

    def descriptors(self):
        """descriptors lists the numbers of its open files."""
        return [int(n) for n in os.listdir(f"/proc/{self.pid}/fd")]

    def waits(self):
        found = []
        for thread in Path(f"/proc/{self.pid}/task").glob("*"):
            try:
                state = (thread / "stat").read_text().rsplit(")", 1)[1].split()[0]
                found.append(f"{state}:{(thread / 'wchan').read_text()}")
            except OSError:  # it has ended, or is not ours to see
                continue
        return found

    def socket_inodes(self):
        inodes = set()
        for number in self.descriptors():
            try:
                target = os.readlink(f"/proc/{self.pid}/fd/{number}")
            except FileNotFoundError:
                continue
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
        return inodes

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peer_binary(name):
    """peer_binary is the path of a real peer (consul, envoy), or a loud skip. MOORING_CONSUL is another consul to try with."""
    if name == "consul" and (chosen := os.environ.get("MOORING_CONSUL")):
        return Path(chosen)
    cache = os.environ.get("MOORING_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "mooring")
    path = Path(os.environ.get("MOORING_PEERS") or os.path.join(cache, "peers")) / name
    if not os.access(path, os.X_OK):
        # Debian keeps daemons where a user's PATH does not look.
        installed = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        if installed and name in ("haproxy", "nginx"):
            return Path(installed)
        raise check.Skip(f"no {name} at {path}; tests/setup --peers installs it")
    return path


def now():
    return time.monotonic()
