"""Child processes of a benchmark: started with a log each, measured by pid, ended by pid."""

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import time

PR_SET_PDEATHSIG = 1
GRACE = 3  # seconds that processes have to end by themselves

_libc = ctypes.CDLL(None)


def prepare():
    """prepare runs in a child: it ends with us, whatever ends us, and may open as many files as is allowed."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def tree(pid):
    """tree lists a process and all its descendants."""
    found, todo = [], [pid]
    while todo:
        current = todo.pop()
        found.append(current)
        try:
            for task in os.listdir(f"/proc/{current}/task"):
                with open(f"/proc/{current}/task/{task}/children") as file:
                    todo += [int(child) for child in file.read().split()]
        except OSError:
            pass  # it has ended meanwhile
    return found


@contextlib.contextmanager
def stopped(pids):
    """stopped is a context in which these processes do not run."""
    try:
        for pid in pids:
            _send(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            _send(pid, signal.SIGCONT)


def _send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


class Processes:
    def __init__(self):
        self._started = []

    def start(self, argv, log, environment=None):
        # Appending, since some programs open the same file themselves.
        with open(log, "wb"), open(log, "ab") as output:
            # A session of its own: Ctrl-C reaches us alone, and we end what we started.
            process = subprocess.Popen([str(word) for word in argv], stdin=subprocess.DEVNULL, stdout=output,
                                       stderr=output, start_new_session=True, preexec_fn=prepare,
                                       env={**os.environ, **(environment or {})})
        self._started.append(process)
        return process

    def stop(self):
        """stop ends every process that is still there, with what it has started itself."""
        alive = [process for process in self._started if process.poll() is None]
        descendants = [pid for process in alive for pid in tree(process.pid)[1:]]
        for process in alive:
            process.terminate()
        deadline = time.monotonic() + GRACE
        for process in alive:
            try:
                process.wait(max(0.01, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        while any(os.path.exists(f"/proc/{pid}") for pid in descendants) and time.monotonic() < deadline:
            time.sleep(0.02)
        for pid in descendants:
            _send(pid, signal.SIGKILL)
        self._started.clear()
