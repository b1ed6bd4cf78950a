"""The program under test."""

import json
import os
import re
import signal
import subprocess
import urllib.error
import urllib.request

from lib import check
from lib.case import SANITIZER, Process, slowness

# With several services in the process each line says whose it is.
LISTENER = re.compile(r"listener open: (?:service=(\S+) )?name=(\S+) address=(\S+)")


def yaml_text(value, indent=0):
    """yaml_text writes dicts, lists and scalars as block YAML. Strings are quoted as in JSON."""
    pad = "  " * indent
    if isinstance(value, dict):
        lines = []
        for key, item in value.items():
            if isinstance(item, (dict, list)) and item:
                lines.append(f"{pad}{key}:\n{yaml_text(item, indent + 1)}")
            else:
                lines.append(f"{pad}{key}: {yaml_text(item)}")
        return "\n".join(lines) if lines else "{}"
    if isinstance(value, list):
        lines = []
        for item in value:
            text = yaml_text(item, indent + 1)
            lines.append(f"{pad}- {text.lstrip()}" if isinstance(item, (dict, list)) else f"{pad}- {text}")
        return "\n".join(lines) if lines else "[]"
    return json.dumps(str(value) if hasattr(value, "__fspath__") else value)


# Open files and the like of a process that is not dumpable are root's to see (proc(5)); tests count them.
READS_GUARDED = os.geteuid() == 0


def host_port(text):
    """host_port splits an address of /status or the log; a unix socket stays text."""
    if text.startswith("unix:"):
        return text[len("unix:"):]
    host, port = text.rsplit(":", 1)
    return host.strip("[]"), int(port)


class Mooring:
    """One running mooring, its admin port always open. Ends by SIGTERM, and must end well: exit code 0 and
    not a line from a sanitizer, unless the test took it down by kill() or said expect_exit."""

    kind = "mooring"

    def __init__(self, case, arguments, env=None, ready=True, name="mooring", seconds=15.0, wrap=(), **options):
        self.case = case
        self.expect_exit = 0
        self._ended = False
        self._crashed = None  # what it had come to before the test killed it
        self.process = Process(case, [*wrap, os.environ["MOORING_BIN"], *arguments], name, env=env, **options)
        case.undo(self.close)
        self._admin = None
        if ready:
            self.wait_ready(seconds)

    @classmethod
    def connect_proxy(cls, case, *flags, env=None, ready=True, name="mooring", level="DEBUG", wrap=()):
        """connect_proxy runs `mooring connect proxy` with these flags. It drains in no time unless the flags
        say otherwise: a test's end should not take longer than the test."""
        defaults = []
        for flag, value in (("-admin-addr", "127.0.0.1:0"), ("-log-level", level), ("-drain-delay", "0s"),
                            ("-drain-time", "0s")):
            if flag not in flags:
                defaults += [flag, value]
        if not READS_GUARDED:
            defaults.append("-allow-core")
        return cls(case, ["connect", "proxy", *defaults, *flags], env, ready, name, wrap=wrap)

    @classmethod
    def from_yaml(cls, case, settings, env=None, ready=True, name="mooring", level="DEBUG", **options):
        """from_yaml runs `mooring proxy -config` with the settings, a dict or YAML text; options are Process's,
        and wrap are words before the program, which end in an exec of what follows them."""
        if isinstance(settings, dict):
            settings = {"admin": {"address": "127.0.0.1:0"}, "log_level": level, "drain_delay": "0s",
                        "drain_time": "0s", **({} if READS_GUARDED else {"allow_core": True}), **settings}
            settings = yaml_text(settings) + "\n"
        path = case.write(f"{name}-{len(case.processes)}.yaml", settings)
        return cls(case, ["proxy", "-config", path], env, ready, name, **options)

    @property
    def pid(self):
        return self.process.pid

    # Where it listens.

    def listeners(self):
        """listeners maps the name of every listener that was ever opened to its address; where there are several services,
        SERVICE/NAME."""
        return {f"{service}/{name}" if service else name: host_port(address) for service, name, address in LISTENER.findall(
            self.process.stderr().replace('"', ""))}

    def listener(self, name, seconds=10.0):
        def look():
            if not self.process.running():
                raise RuntimeError(f"{self.process.describe()}:\n{self.process.log()[-3000:]}")
            return self.listeners().get(name)

        return check.within(look, f"listener {name} is open", seconds * slowness(), step=0.02)

    @property
    def public(self):
        return self.listener("public")

    def upstream(self, name):
        return self.listener(f"upstream:{name}")

    # What it says of itself.

    def admin(self, path, timeout=5.0):
        """admin returns (status, body)."""
        if self._admin is None:
            self._admin = self.listener("admin")
        host, port = self._admin
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=timeout * slowness()) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def wait_ready(self, seconds=15.0):
        def look():
            if not self.process.running():
                raise RuntimeError(f"{self.process.describe()}:\n{self.process.log()[-3000:]}")
            code, text = self.admin("/ready")
            check.equal(code, 200, f"/ready says {text.strip()!r}")
            return True

        check.within(look, "mooring is ready", seconds * slowness(), step=0.02)
        return self

    def status(self, service=None):
        """status is that of the process, or of one of its services."""
        code, text = self.admin("/status" + (f"?service={service}" if service else ""))
        check.equal(code, 200, "/status")
        return json.loads(text)

    def closed(self, direction, reason=None):
        """closed counts finished connections, by reason or as a dict of all reasons."""
        counts = self.status()["connections"][direction]["closed"]
        counts = {name: number for name, number in counts.items() if number}
        return counts if reason is None else counts.get(reason, 0)

    def attempts_failed(self):
        counts = self.status()["connections"]["outbound"].get("attempts_failed", {})
        return {name: number for name, number in counts.items() if number}

    def active(self, direction):
        return self.status()["connections"][direction]["active"]

    def wait_closed(self, direction, reason, count=1, seconds=5.0):
        """wait_closed waits until that many connections ended for the reason (a name or a set of names)."""
        reasons = {reason} if isinstance(reason, str) else set(reason)

        def look():
            counts = self.closed(direction)
            check.true(sum(counts.get(r, 0) for r in reasons) >= count,
                       f"closed counts are {counts}")
            return True

        check.within(look, f"{count} {direction} connections closed for {sorted(reasons)}",
                     seconds * slowness(), step=0.02)

    def wait_idle(self, seconds=5.0):
        """wait_idle waits until no connection is left in it."""
        check.within(lambda: self.active("inbound") == 0 and self.active("outbound") == 0,
                     "all connections of mooring are gone", seconds * slowness(), step=0.02)

    def lines(self, level):
        """lines are the log lines of a level: TRACE, DEBUG, INFO, WARN, ERROR."""
        return [line for line in self.process.whole_lines() if f"[{level}]" in line]

    def said_only_at_debug(self, ports):
        """said_only_at_debug waits for the line of each caller, by its port here, and asserts that none is louder.

        The log is written by a thread of its own: a count of lines would take in what earlier callers left behind.
        """
        for port in ports:
            self.wait_log(rf"\[DEBUG\].* peer=\S+:{port}\b")
        loud = [line for level in ("INFO", "WARN", "ERROR") for line in self.lines(level)
                if any(line.endswith(f":{port}") for port in ports)]
        check.equal(loud, [], "log lines above debug")

    def wait_log(self, pattern, seconds=10.0, count=1):
        return self.process.wait_log(pattern, seconds, count)

    # Its end.

    def stop(self):
        """stop ends it by SIGTERM and returns the exit code."""
        if self.process.running():
            self.process.send(signal.SIGTERM)
        return self.process.wait(15)

    def kill(self):
        """kill is a crash as far as others can tell; how it ends is judged no more, but one that had crashed before stays so."""
        if self.expect_exit is not None and (code := self.process.popen.poll()) is not None and code < 0:
            self._crashed = f"{self.process.name} had ended with {code} before it was killed"
        self.expect_exit = None
        self.process.kill()

    def succeeds(self, before):
        """succeeds says that it is to take over from another: from then on its log goes on in that one's, and the admin port is the
        same."""
        self._admin = before.listener("admin")
        self.process.stderr_path = before.process.stderr_path
        return self

    def close(self):
        """close is run by the case: it returns what was wrong with the way the program ended."""
        if self._ended:
            return None
        self._ended = True
        problems = [self._crashed] if self._crashed else []
        died = not self.process.running()
        # Nobody had told it to, nobody waited for it, and no other has taken over. (Successors write into the first one's log.)
        if died and not self.process.awaited and self.expect_exit == 0 and not any(
                "the successor serves" in one.log() for one in self.case.processes):
            problems.append(f"{self.process.name} had ended by itself")
        try:
            code = self.stop()
            if self.expect_exit is not None and code != self.expect_exit:
                when = "before it was told to end" if died else "on SIGTERM"
                problems.append(f"{self.process.name} ended with {code} {when}, not {self.expect_exit}")
        except AssertionError:
            problems.append(f"{self.process.name} did not end within 15 s of SIGTERM")
            self.process.kill()
        report = SANITIZER.search(self.process.stderr())
        if report:
            problems.append(f"{self.process.name}: sanitizer report:\n"
                            + self.process.stderr()[max(0, report.start() - 200):report.start() + 4000])
        return "\n".join(problems) or None


def run(*arguments, env=None, seconds=15.0, stdin=None):
    """run runs the program to its end: (exit code, stdout, stderr)."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("CONSUL_", "CONNECT_"))}
    environment.update(env or {})
    try:
        done = subprocess.run([os.environ["MOORING_BIN"], *map(str, arguments)], env=environment, text=True,
                              capture_output=True, timeout=seconds * slowness(), input=stdin, check=False)
    except subprocess.TimeoutExpired as error:
        said = (error.stderr or b"").decode(errors="replace")
        check.fail(f"mooring {' '.join(map(str, arguments))} did not end within {seconds:.0f} s; it said:\n{said}")
    report = SANITIZER.search(done.stderr)
    check.true(not report, f"sanitizer report:\n{done.stderr[-4000:]}")
    return done.returncode, done.stdout, done.stderr
