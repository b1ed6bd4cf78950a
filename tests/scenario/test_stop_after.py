"""stop_after: on SIGTERM the sidecar serves the upstreams until the app has gone, so that its last words get out."""

import signal
import subprocess

from lib import apps, check, ports
from lib.case import now, slowness
from lib.manager import Manager
from lib.static import Static

EXPECTED_SECONDS = 6


class AnApp:
    """A process of its own, which the test ends."""

    def __init__(self, case):
        self.popen = subprocess.Popen(["sleep", "1000"])
        case.undo(self.end)

    def end(self):
        self.popen.kill()
        self.popen.wait()


def said_last_words(case, static, end):
    """said_last_words asserts that a SIGTERM leaves the upstream open, for what is there and what comes, until end()."""
    client, server = static.called()
    client.send(b"before")
    check.equal(server.receive(6), b"before", "the first words")
    static.mooring.process.send(signal.SIGTERM)
    static.mooring.process.wait_log("draining: connections=")
    check.within(lambda: not ports.listening(static.public[1]), "the public port is closed", 5 * slowness())
    client.send(b"after it")
    check.equal(server.receive(8), b"after it", "words on a connection that was there")
    late, at_the_end = static.called()
    late.send(b"last words")
    check.equal(at_the_end.receive(10), b"last words", "words on a connection that came since")
    end()
    for one in (client, late):
        one.close()
    check.equal(static.mooring.process.wait(10), 0, "exit code")
    check.true("the app has gone" in static.mooring.process.log(), static.mooring.process.log())


def test_row_66_until_a_process_has_ended(case):
    app, manager = AnApp(case), Manager(case)
    static = Static(case, env=manager.variables, stop_after={"pid": app.popen.pid}, stop_max="60s", drain_time="5s")
    static.serves()

    def end():
        manager.wait("STATUS", lambda state: state.startswith(f"draining: waiting for PID {app.popen.pid} for ") and "open" in state)
        app.end()
    said_last_words(case, static, end)


def test_row_66_until_the_process_of_a_pidfile_has_ended(case):
    app = AnApp(case)
    static = Static(case, stop_after={"pidfile": case.write("app.pid", f"{app.popen.pid}\n")}, drain_time="5s")
    said_last_words(case, static, app.end)


def test_row_66_until_nobody_listens_at_a_port(case):
    app = apps.App(case, apps.echo)
    static = Static(case, stop_after={"port": app.port}, drain_time="5s")
    said_last_words(case, static, app.close)


def ends_within(static, seconds):
    started = now()
    static.mooring.process.send(signal.SIGTERM)
    check.equal(static.mooring.process.wait(30), 0, "exit code")
    check.below(now() - started, seconds * slowness(), "seconds to the end")


def test_an_app_that_has_gone_already_is_not_waited_for(case):
    app = AnApp(case)
    app.end()
    for gone in ({"pid": app.popen.pid}, {"pidfile": str(case.directory / "none.pid")}, {"port": ports.free_port()}):
        ends_within(Static(case, stop_after=gone), 5)


def test_an_app_that_stays_is_waited_for_no_longer_than_stop_max(case):
    static = Static(case, stop_after={"pid": AnApp(case).popen.pid}, stop_max="1s")
    ends_within(static, 10)
    check.true("stop_max is over" in static.mooring.process.log(), static.mooring.process.log())


def test_a_pidfile_without_a_pid_is_said_and_waited_for(case):
    static = Static(case, stop_after={"pidfile": case.write("app.pid", "payment\n")}, stop_max="1s")
    ends_within(static, 10)
    check.true("it cannot be told whether the app has gone" in static.mooring.process.log(), static.mooring.process.log())


def test_a_later_signal_waits_for_nobody(case):
    static = Static(case, stop_after={"pid": AnApp(case).popen.pid})
    static.mooring.process.send(signal.SIGTERM)
    static.mooring.process.wait_log("draining: connections=")
    first = now()
    check.within(lambda: now() > first + 1.1, "a second later it is another signal", 5)
    ends_within(static, 10)
