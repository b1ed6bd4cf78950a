"""Runs the Python tests of Mooring.

  runner.py --mooring PATH (--reduced|--full) [--jobs N] [--list] [--results FILE] [FILTER...]

Modules test_*.py in tests/scenario, interop, faults, field and differential run in N processes side by side, the tests
of one module one after the other. A test is a function test_*(case); setup_module(case), if there is one,
makes what the module's tests share. FILTER is a part of `module.test`; several are alternatives.
One line a test, and on failure what was expected and the tails of every log. A few that failed are run once
more, alone: what passes then counts as passed and stands in the list FLAKY, each a fault to find. The last
line is `N passed, N failed, N skipped`; the exit code is 0 only if nothing failed and something ran.
--results adds a JSON object a test to FILE as it ends: module, test, result (ok, fail, skip), seconds, text.
"""

import argparse
import faulthandler
import importlib
import json
import os
import re
import selectors
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS))
# The script's own folder goes: its modules are reached as lib.x only, and never hide others of that name.
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != TESTS / "lib"]

from lib import certs, check, clock, consul_version  # noqa: E402
from lib.case import Case, slowness  # noqa: E402
from lib.mooring import SANITIZER  # noqa: E402

FOLDERS = ("scenario", "interop", "faults", "field", "differential")
GRACE = 20.0  # seconds after a test's limit before its whole process group is ended
TOLD = 8  # lines of what a failed test said, once more at the end
# What no luck excuses, however seldom it happens: a sanitizer's report, a process that ended by a signal which is not the
# tests' own, bytes that were lost without a word, half a state file.
STANDS = re.compile(SANITIZER.pattern + r"|ended with -(?!(?:9|15)\b)\d|lost silently|\bTorn: ")
AGAIN = 5  # tests that failed are run once more, unless there are more than these: then something is broken


class Overtime(BaseException):
    """Raised in the main thread when a test's time is up; not an Exception, so that no test catches it."""


# ---- one module, in a process of its own ---------------------------------------------------------------


def describe_failure(error):
    """describe_failure is the assertion and where it stands in the test, without the harness's frames."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__]
    place = [f"  {Path(f.filename).name}:{f.lineno}: {f.line}" for f in frames[-6:]]
    title = str(error) if type(error) is AssertionError else f"{type(error).__name__}: {error}"
    return "\n".join([title or "assertion failed"] + place)


class Threads:
    """What ended a thread of a test's own: it would end in silence, and what it was to look at with it."""

    def __init__(self):
        self._seen = []
        threading.excepthook = self._take

    def _take(self, thrown):
        if not issubclass(thrown.exc_type, OSError):  # a peer has gone
            self._seen.append(f"the thread {thrown.thread.name if thrown.thread else '?'}: " + describe_failure(thrown.exc_value))

    def take(self):
        """take are the ends since the last call."""
        seen, self._seen = self._seen, []
        return seen


def run_one(function, name, report, limit, shared, threads):
    case = Case(name)
    report(event="start", test=name, limit=limit)
    started = time.monotonic()
    result, text = "ok", ""
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        function(case)
    except check.Skip as reason:
        result, text = "skip", str(reason)
    except Overtime as error:
        result, text = "fail", f"not finished after {limit:.0f} s: " + describe_failure(error)
    except Exception as error:
        result, text = "fail", describe_failure(error)
    waits = case.waits() if result == "fail" else ""
    try:
        signal.setitimer(signal.ITIMER_REAL, GRACE)
        problems = case.close()
    except Overtime:
        problems = ["cleaning up took too long"]
    signal.setitimer(signal.ITIMER_REAL, 0)
    problems += threads.take()
    if problems:
        result, text = "fail", "\n".join([text] * bool(text) + problems)
    if result == "fail":
        tails = "\n".join(t for t in (waits, case.tails(), shared.tails(10) if shared else "") if t)
        text += f"\n{tails}\n--- kept: {case.directory}"
    else:
        case.forget()
    report(event="end", test=name, result=result, seconds=time.monotonic() - started, text=text)
    return result


def module_main(path, names):
    """module_main runs the named tests of one module and reports on descriptor 3."""
    channel = os.fdopen(3, "w", buffering=1)
    faulthandler.register(signal.SIGUSR1, all_threads=True)

    def report(**event):
        channel.write(json.dumps(event) + "\n")

    def alarm(*_):
        raise Overtime()

    def end_with_parent():
        # The runner holds the other end of our stdin: its death must not leave peers behind.
        while os.read(0, 1):
            pass
        os.killpg(0, signal.SIGKILL)

    signal.signal(signal.SIGALRM, alarm)
    threading.Thread(target=end_with_parent, daemon=True).start()
    relative = Path(path).resolve().relative_to(TESTS)
    title = ".".join(relative.with_suffix("").parts)
    shared, threads, refusal, module = Case(title), Threads(), None, None
    try:
        signal.setitimer(signal.ITIMER_REAL, 60 * slowness())
        module = importlib.import_module(title)
        if hasattr(module, "setup_module"):
            module.setup_module(shared)
    except check.Skip as reason:
        refusal = ("skip", str(reason))
    except (Exception, Overtime) as error:
        refusal = ("fail", "setting up the module: " + describe_failure(error) + "\n" + shared.tails())
    signal.setitimer(signal.ITIMER_REAL, 0)
    for name in names:
        if refusal:
            report(event="start", test=name, limit=1)
            report(event="end", test=name, result=refusal[0], seconds=0, text=refusal[1])
            continue
        function = getattr(module, name)
        run_one(function, name, report, getattr(function, "limit", 30) * slowness(), shared, threads)
    signal.setitimer(signal.ITIMER_REAL, 60 * slowness())
    try:
        problems = shared.close()
    except Overtime:
        problems = ["ending the module's shared parts took too long"]
    if problems:
        report(event="start", test="(shared parts)", limit=1)
        report(event="end", test="(shared parts)", result="fail", seconds=0,
               text="\n".join(problems) + "\n" + shared.tails())
    else:
        shared.forget()
    certs.forget()
    clock.forget()
    report(event="done")
    channel.flush()
    os._exit(0)  # threads of test applications may still block in a system call


# ---- all modules ---------------------------------------------------------------------------------------


def discover(filters):
    """discover lists (path, test names, expected seconds) of every module that has a wanted test."""
    modules = []
    for path in [p for folder in FOLDERS for p in sorted(TESTS.glob(f"{folder}/test_*.py"))]:
        title = ".".join(path.relative_to(TESTS).with_suffix("").parts)
        module = importlib.import_module(title)
        names = [n for n, f in vars(module).items() if n.startswith("test_") and callable(f)]
        wanted = [n for n in names if not filters or any(f in f"{title}.{n}" for f in filters)]
        if wanted:
            weight = getattr(module, "EXPECTED_SECONDS", 10) * len(wanted) / len(names)
            modules.append((path, wanted, weight))
    return sorted(modules, key=lambda m: -m[2])


class Module:
    """One module's process as the runner sees it."""

    def __init__(self, path, names):
        self.path, self.names = path, list(names)
        self.title = short_title(path)
        reader, writer = os.pipe()
        self.log = open(f"/tmp/mooring-tests-{os.getpid()}-{path.parent.name}-{self.title}.log", "wb")
        code = (f"import os, sys; os.dup2({writer}, 3); os.set_inheritable(3, False); "
                f"sys.path.insert(0, {str(TESTS)!r}); "
                f"from lib import runner; runner.module_main({str(path)!r}, {self.names!r})")
        self.process = subprocess.Popen([sys.executable, "-u", "-B", "-c", code], stdin=subprocess.PIPE,
                                        stdout=self.log, stderr=self.log, pass_fds=[writer],
                                        start_new_session=True)
        os.close(writer)
        self.reader = os.fdopen(reader, "rb", buffering=0)
        os.set_blocking(reader, False)
        self.buffer = b""
        self.current = None
        self.deadline = time.monotonic() + 90 * slowness()
        self.done = False

    def events(self):
        """events returns what was reported since the last call, and None at the end of the stream."""
        try:
            data = self.reader.read(65536)
        except BlockingIOError:
            return []
        if data is None:
            return []
        if not data:
            return None
        self.buffer += data
        *lines, self.buffer = self.buffer.split(b"\n")
        return [json.loads(line) for line in lines]

    def end(self):
        """end ends the process and whatever it started: its group is of its own making."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.reader.close()
        self.process.stdin.close()
        self.log.close()
        text = Path(self.log.name).read_text(errors="replace")
        os.unlink(self.log.name)
        return text


class Run:
    def __init__(self, jobs, results=None):
        self.jobs, self.results = jobs, results
        self.counts = {"ok": 0, "fail": 0, "skip": 0}
        self.passed, self.skipped, self.failed, self.flaky = set(), [], [], []
        self.selector = selectors.DefaultSelector()
        self.active = {}

    def show(self, module, event):
        word = {"ok": "ok", "fail": "FAIL", "skip": "SKIP"}[event["result"]]
        name = f"{module.title}.{event['test']}"
        self.counts[event["result"]] += 1
        if self.results:
            record = {key: event[key] for key in ("test", "result", "seconds", "text")}
            with open(self.results, "a") as file:
                file.write(json.dumps({"module": module.title, **record}) + "\n")
        print(f"{word:4} {name} ({event['seconds']:.1f} s)", flush=True)
        if event["result"] == "ok":
            self.passed.add((module.path, event["test"]))
        if event["result"] == "fail":
            self.failed.append((module.path, event["test"], event["text"]))
            print("\n".join("     " + line for line in event["text"].splitlines()), flush=True)
        if event["result"] == "skip":
            self.skipped.append((name, event["text"]))

    def settle(self, modules):
        """settle runs what failed once more, alone. Some failures are no matter of luck and stand."""
        known = {path: names for path, names, _ in modules}
        failed = [f for f in self.failed if f[1] in known.get(f[0], []) and not STANDS.search(f[2])]
        if not failed or len(self.failed) > AGAIN:
            return
        print("\nOnce more, alone:")
        again = type(self)(1, self.results)
        again.go([(path, [test], 0) for path, test, _ in failed])
        self.flaky = [f for f in failed if f[:2] in again.passed]
        self.failed = [f for f in self.failed if f not in self.flaky]
        self.counts["ok"] += len(self.flaky)
        self.counts["fail"] -= len(self.flaky)
        # What else went wrong in the second run, as in the parts that tests of a file share.
        others = [f for f in again.failed if f[:2] not in {one[:2] for one in failed}]
        self.failed += others
        self.counts["fail"] += len(others)

    def take(self, module, event):
        if event["event"] == "start":
            module.current = event["test"]
            module.deadline = time.monotonic() + event["limit"] + 2 * GRACE
        elif event["event"] == "end":
            self.show(module, event)
            if event["test"] in module.names:
                module.names.remove(event["test"])
            module.current = None
            module.deadline = time.monotonic() + 90 * slowness()
        else:
            module.done = True

    def retire(self, module, why):
        """retire takes a module off; if it did not end by itself its test failed, and the rest runs anew."""
        self.selector.unregister(module.reader)
        del self.active[module.reader]
        output = module.end()
        if module.done and not module.names:
            return None
        name = module.current or (module.names[0] if module.names else "(end of module)")
        self.show(module, {"test": name, "result": "fail", "seconds": 0.0,
                           "text": f"{why}\n" + "\n".join(output.splitlines()[-40:])})
        return [n for n in module.names if n != name]

    def go(self, modules):
        waiting = [(path, names) for path, names, _ in modules]
        try:
            while waiting or self.active:
                while waiting and len(self.active) < self.jobs:
                    module = Module(*waiting.pop(0))
                    self.active[module.reader] = module
                    self.selector.register(module.reader, selectors.EVENT_READ)
                for key, _ in self.selector.select(0.5):
                    module = self.active[key.fileobj]
                    events = module.events()
                    for event in events or []:
                        self.take(module, event)
                    if events is None:
                        rest = self.retire(module, "the test process ended in the middle of it")
                        if rest:
                            waiting.insert(0, (module.path, rest))
                for module in list(self.active.values()):
                    if time.monotonic() > module.deadline:
                        module.process.send_signal(signal.SIGUSR1)
                        time.sleep(0.2)  # for the stacks to be written
                        rest = self.retire(module, "hung; stacks of its threads:")
                        if rest:
                            waiting.insert(0, (module.path, rest))
        finally:
            for module in list(self.active.values()):
                module.end()


def short_title(path):
    return path.stem[len("test_"):]


def detect_sanitizer(path):
    with open(path, "rb") as file:
        return b"__asan_init" in file.read()


def usual_jobs(full):
    """usual_jobs is how many files run at a time: most of a reduced one waits. More than two a processor keep it busy
    under a sanitizer and at full length, and a machine that is busy makes tests late. A dozen agents are enough."""
    each = 2 if full or slowness() > 1 else 3
    return min(12, each * len(os.sched_getaffinity(0)) + 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mooring", required=True, help="the program under test")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--reduced", action="store_true", help="small sizes (the default)")
    size.add_argument("--full", action="store_true", help="sizes as the requirements state them")
    parser.add_argument("--jobs", type=int, help="files at a time (default: by the processors)")
    parser.add_argument("--list", action="store_true", help="print the tests and end")
    parser.add_argument("--results", metavar="FILE", help="add a JSON object for every test to this file")
    parser.add_argument("filters", nargs="*", metavar="FILTER")
    arguments = parser.parse_args()
    binary = Path(arguments.mooring).resolve()
    if not arguments.list and not os.access(binary, os.X_OK):
        sys.exit(f"runner: {binary} is not an executable file; build it first")
    os.environ["MOORING_BIN"] = str(binary)
    # A system call that no sidecar is known to make ends the process, so that each test looks for one.
    os.environ.setdefault("MOORING_SECCOMP", "kill")
    os.environ["MOORING_TEST_FULL"] = "1" if arguments.full else "0"
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.dont_write_bytecode = True
    if not arguments.list and "MOORING_ASAN" not in os.environ:
        os.environ["MOORING_ASAN"] = "1" if detect_sanitizer(binary) else "0"
    modules = discover(arguments.filters)
    if arguments.list:
        for path, names, _ in modules:
            print("\n".join(f"{short_title(path)}.{name}" for name in names))
        return 0
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    try:
        print(f"with Consul {consul_version.text()}", flush=True)
    except check.Skip as reason:
        print(reason, flush=True)
    started = time.monotonic()
    jobs = arguments.jobs if arguments.jobs is not None else usual_jobs(arguments.full)
    run = Run(max(1, jobs), arguments.results)
    run.go(modules)
    run.settle(modules)
    if run.flaky:
        print(f"\n==== {len(run.flaky)} FLAKY: failed, then passed alone; each is a fault to find ====")
        print("\n".join(f"  {short_title(path)}.{test}: {text.splitlines()[0]}" for path, test, text in run.flaky))
    if run.skipped:
        print(f"\n==== {len(run.skipped)} SKIPPED: these were not tested ====")
        print("\n".join(f"  {name}: {reason}" for name, reason in run.skipped))
    if run.failed:
        # Last, and with the beginning of what was said of it: the end of a long output is what is looked at.
        print(f"\n==== {len(run.failed)} FAILED ====")
        for path, test, text in run.failed:
            print(f"  {short_title(path)}.{test}")
            print("\n".join("     " + line[:300] for line in text.splitlines()[:TOLD]))
    print(f"\nin {time.monotonic() - started:.0f} s")
    counts = run.counts
    print(f"{counts['ok']} passed, {counts['fail']} failed, {counts['skip']} skipped")
    return 0 if counts["fail"] == 0 and counts["ok"] > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
