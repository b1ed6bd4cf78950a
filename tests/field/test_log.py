"""The log: nobody reads it, its reader comes back, strangers fill it, and what stands in it."""

import contextlib
import fcntl
import itertools
import json
import os
import re
import select
import signal
import socket
import sys
import termios
import threading
import urllib.request

from lib import agent as scripted
from lib import check
from lib.case import Process, now, slowness
from lib.mooring import Mooring, run
from lib.ports import free_port
from lib.static import Static

EXPECTED_SECONDS = 55

SMALLEST_PIPE = 4096
F_SETPIPE_SZ = 1031
MISSING = re.compile(r"\[WARN\]  log: lines are missing here: lines=(\d+)")


class Reader:
    """Reader passes on what a process writes to standard error into the file where the harness looks for it, and
    stops that on order. kind: pipe, small pipe, socket or terminal."""

    def __init__(self, case, kind):
        self.kind = kind
        if kind == "socket":
            ours, theirs = socket.socketpair()
            self.read, self.write = ours.detach(), theirs.detach()
        elif kind == "terminal":
            self.read, self.write = os.openpty()
        else:
            self.read, self.write = os.pipe()
        if kind == "small pipe":
            fcntl.fcntl(self.write, F_SETPIPE_SZ, SMALLEST_PIPE)
        self.target = None
        self.paused = self.ended = False
        self.turn = threading.Condition()
        threading.Thread(target=self.work, daemon=True).start()
        case.undo(self.close)

    def work(self):
        while True:
            with self.turn:
                self.turn.wait_for(lambda: self.target and not self.paused or self.ended)
                if self.ended:
                    return
                # A pause begins between two reads, never in one.
                if not select.select([self.read], [], [], 0.02)[0]:
                    continue
                try:
                    data = os.read(self.read, 65536)
                except OSError:
                    return
                if not data:
                    return
                with open(self.target, "ab") as file:
                    file.write(data)

    def attach(self, process):
        with self.turn:
            self.target = process.stderr_path
            self.turn.notify_all()

    def pause(self):
        with self.turn:
            self.paused = True
        if self.kind == "terminal":
            termios.tcflow(self.write, termios.TCOOFF)

    def go_on(self):
        if self.kind == "terminal":
            termios.tcflow(self.write, termios.TCOON)
        with self.turn:
            self.paused = False
            self.turn.notify_all()

    def close(self):
        with self.turn:
            self.ended = True
            self.turn.notify_all()
        for number in (self.read, self.write):
            os.close(number)


class Watched:
    """A Static whose standard error is a Reader's."""

    def __init__(self, case, kind, **settings):
        self.reader = Reader(case, kind)
        # The process must be attached before Static waits for a line of its log.
        case_processes = case.processes

        def attach():
            check.within(lambda: case_processes, "mooring is started", 20)
            self.reader.attach(case_processes[-1])

        threading.Thread(target=attach, daemon=True).start()
        self.static = Static(case, process={"stderr": self.reader.write}, **settings)
        self.mooring = self.static.mooring
        self.live = self.static.caller(case)
        self.echo()

    def echo(self):
        check.equal(self.live.send(b"ping").receive(4), b"ping", "echo on the connection that lives")

    def dropped(self):
        return self.mooring.status()["log"]["dropped"]["lines"]

    def probe(self, count):
        """probe connects and leaves: a line at debug level each."""
        for _ in range(count):
            socket.create_connection(self.static.public, timeout=10 * slowness()).close()

    def fill(self):
        """fill writes lines until the queue, too, is full."""
        deadline = now() + 60 * slowness()
        while self.dropped() == 0:
            check.true(now() < deadline, "the queue is full at last")
            self.probe(500)

    def serves(self):
        """serves asserts that nothing waits for the log: a new connection, the old one, admin."""
        started = now()
        self.static.serves(self.static.case)
        self.echo()
        check.equal(self.mooring.admin("/live")[0], 200, "/live")
        check.below(now() - started, 2.0 * slowness(), "seconds for a new call, an old one and /live")


def said(mooring):
    return sum(int(number) for number in MISSING.findall(mooring.process.stderr()))


def nobody_reads(case, kind, workers, level="DEBUG"):
    watched = Watched(case, kind, workers=workers, log_level=level)
    watched.reader.pause()
    watched.fill()
    watched.serves()
    return watched


def ends_in_time(watched):
    started = now()
    check.equal(watched.mooring.stop(), 0, "exit code after SIGTERM")
    check.below(now() - started, 3.0 * slowness(), "seconds from SIGTERM to the end of the process")


def reader_comes_back(watched):
    watched.reader.go_on()
    check.within(lambda: 0 < said(watched.mooring) == watched.dropped(), "all that /status counts is said", 20 * slowness())
    watched.serves()

    def goes_on():
        text = watched.mooring.process.stderr()
        return text.rindex("inbound allowed") > text.rindex("lines are missing")

    check.within(goes_on, "the log goes on after the gap", 10 * slowness())


def test_a_pipe_that_nobody_reads_stops_nothing_with_one_worker_and_sigterm_is_obeyed(case):
    watched = nobody_reads(case, "pipe", 1)
    ends_in_time(watched)


def test_a_pipe_that_nobody_reads_stops_nothing_with_several_workers_and_the_loss_is_said(case):
    watched = nobody_reads(case, "pipe", 3)
    reader_comes_back(watched)


def test_a_socket_that_nobody_reads_stops_nothing_and_the_loss_is_said(case):
    reader_comes_back(nobody_reads(case, "socket", 2))


def test_a_stopped_terminal_stops_nothing_and_the_loss_is_said(case):
    reader_comes_back(nobody_reads(case, "terminal", 2))


# A session on the terminal of descriptor 3, and in it the program as a background job.
BACKGROUND = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(int(sys.argv[1]), termios.TIOCSCTTY, 0)
job = os.fork()
if job == 0:
    os.setpgid(0, 0)
    os.dup2(int(sys.argv[1]), 1)
    os.dup2(int(sys.argv[1]), 2)
    os.execv(sys.argv[2], sys.argv[2:])
print(job, flush=True)
os.waitpid(job, 0)
"""


def test_a_terminal_that_wants_background_jobs_to_be_silent_stops_no_start_and_no_log(case):
    master, slave = os.openpty()
    case.undo(lambda: [os.close(number) for number in (master, slave)] and None)
    settings = termios.tcgetattr(slave)
    settings[3] |= termios.TOSTOP
    termios.tcsetattr(slave, termios.TCSANOW, settings)
    port = free_port()
    shell = Process(case, [sys.executable, "-c", BACKGROUND, str(slave), os.environ["MOORING_BIN"], "connect", "proxy", "-service",
                           "web", "-upstream", f"db:127.0.0.1:{free_port()}", "-http-addr", f"127.0.0.1:{free_port()}",
                           "-admin-addr", f"127.0.0.1:{port}", "-drain-time", "0s"], "shell", pass_fds=(slave,))
    job = int(check.within(shell.stdout, "the job's process id", 10 * slowness()))
    with contextlib.closing(pidfd(job)) as process:
        try:
            check.within(lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/live", timeout=2).status == 200, "/live",
                         10 * slowness())
            said = b""

            def look():
                nonlocal said
                if select.select([master], [], [], 0.1)[0]:
                    said += os.read(master, 65536)
                return b"watch failed" in said

            check.within(look, "lines of the log on the terminal", 10 * slowness())
            check.true(b"Mooring proxy starting..." in said, "the start's message is there, too")
        finally:
            signal.pidfd_send_signal(process.number, signal.SIGTERM)
        check.equal(shell.wait(10), 0, "the job has ended, and the session after it")


class pidfd:
    """pidfd is a process by a descriptor: a signal never goes to another of that number."""

    def __init__(self, pid):
        self.number = os.pidfd_open(pid)

    def close(self):
        os.close(self.number)


def test_a_non_blocking_standard_error_loses_no_line_while_it_is_read(case):
    watched = Watched(case, "small pipe")
    os.set_blocking(watched.reader.write, False)  # holds for the process, too: it is the same open file
    watched.reader.pause()
    watched.probe(200)
    cpu = watched.mooring.process.cpu_seconds()
    check.stays(lambda: watched.mooring.process.running(), "mooring runs on", 0.5)
    check.below(watched.mooring.process.cpu_seconds() - cpu, 0.2 * slowness(), "CPU seconds in half a second without a reader")
    watched.reader.go_on()
    check.within(lambda: watched.mooring.process.stderr().count("inbound probe") == 200, "every line", 10 * slowness())
    check.equal(watched.dropped(), 0, "dropped lines")


def test_refused_strangers_at_info_fill_a_pipe_and_stop_nothing(case):
    watched = Watched(case, "small pipe", log_level="INFO")
    watched.reader.pause()
    strangers = itertools.cycle([lambda: watched.static.dial(case, identity=watched.static.authority.leaf("cache")),
                                 lambda: watched.static.dial(case, identity=None)])
    for stranger, _ in zip(strangers, range(60)):
        peer = stranger()
        try:
            peer.handshake()
            peer.drain()
        except AssertionError:
            pass
        peer.close()
    for _ in range(200):
        with socket.create_connection(watched.static.public, timeout=10 * slowness()) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
    watched.mooring.wait_closed("inbound", "not_tls", 200, 20)
    watched.serves()
    check.true(select.select([], [watched.reader.write], [], 0)[1] == [], "the pipe is full")
    ends_in_time(watched)


def test_signals_while_the_end_waits_for_the_log_change_nothing(case):
    watched = Watched(case, "small pipe", drain_time="60s")
    watched.reader.pause()
    watched.probe(200)
    for _ in range(3):
        watched.mooring.process.send(signal.SIGTERM)
        check.stays(lambda: True, "a second passes", 1.1)
        if not watched.mooring.process.running():
            break
    started = now()
    check.equal(watched.mooring.process.wait(10), 0, "exit code")
    check.below(now() - started, 3.0 * slowness(), "seconds after the last signal")


def test_a_standard_output_that_nobody_reads_holds_up_no_start(case):
    read, write = os.pipe()
    case.undo(lambda: [os.close(number) for number in (read, write)] and None)
    fcntl.fcntl(write, F_SETPIPE_SZ, SMALLEST_PIPE)
    os.set_blocking(write, False)
    os.write(write, b"x" * SMALLEST_PIPE)
    os.set_blocking(write, True)
    static = Static(case, process={"stdout": write})
    static.serves(case)
    static.mooring.wait_log("standard output is not read")


def test_what_strangers_are_left_out_is_said_at_the_end_of_the_window_by_reason_and_by_caller(case):
    static = Static(case, workers=2, log_level="INFO")
    intruder = static.authority.leaf("cache")
    for _ in range(40):
        peer = static.dial(case, identity=intruder)
        peer.handshake()
        peer.drain()
        peer.close()
    for _ in range(25):
        with socket.create_connection(static.public, timeout=10 * slowness()) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
    static.mooring.wait_closed("inbound", "denied", 40, 20)
    static.mooring.wait_closed("inbound", "not_tls", 25, 20)
    last = now()
    denied = static.mooring.wait_log(
        r"\[INFO\]  log: lines like this were left out: message=\"inbound refused\" reason=denied lines=(\d+) seconds=\d+ "
        r"largest=\"(.*)\"", 14)
    plain = static.mooring.wait_log(r"left out: message=\"inbound refused\" reason=not_tls lines=(\d+) .*largest=\"(.*)\"", 14)
    check.below(now() - last, 11.0 * slowness(), "seconds until it is said, although no further line comes")
    # One truth for both workers: ten lines are written, the others are counted (a slow machine may see a second window).
    text = static.mooring.process.stderr()
    written = text.count("reason=denied source=")
    check.equal(int(denied.group(1)) + written, 40, "denied callers, written and left out")
    check.equal(written % 10, 0, "lines of denied callers")
    check.equal(denied.group(2), f"{intruder.uri} {denied.group(1)}", "who it was")
    check.equal(plain.group(2), f"127.0.0.1 {plain.group(1)}", "who it was, unproven")
    left_out = static.mooring.status()["log"]["left_out"]
    check.equal(left_out["lines"], sum(topic["lines"] for topic in left_out["topics"]), "lines left out, in all")
    topic = next(one for one in left_out["topics"] if one["reason"] == "denied")
    check.equal(topic["largest"], [{"who": intruder.uri, "lines": 40 - written, "at_least": False}], "the largest in /status")
    host, port = static.mooring.listener("admin")
    code, table, _ = run("status", "-admin-addr", f"{host}:{port}")
    check.equal(code, 0, "mooring status")
    check.true(re.search(rf"LOG LINES LEFT OUT +REASON +LINES +MOST OF THEM\n(.*\n)*inbound refused +denied +{40 - written} +"
                         rf"{re.escape(intruder.uri)} {40 - written}\n", table), f"the table of what was left out in:\n{table}")


# Quotes, a new line that would forge a log line, a terminal's escape, C1's, an override of direction, and what is no ASCII.
HOSTILE = 'h"o\\s\n2026-01-01 [ERROR] forged: \x1b[2J\x07\x7f\u009b31m\u202e caf\u00e9 \U0001f6a2'
LONG = "x\u00e9" * 3000


def hostile_agent(case):
    agent = scripted.Agent(case)
    agent.set_proxy("web-proxy", "web", config={HOSTILE: 1, "protocol": HOSTILE, "local_connect_timeout_ms": LONG},
                    upstreams=[{"DestinationType": "service", "DestinationName": HOSTILE, "LocalBindPort": free_port()},
                               {"DestinationType": "service", "DestinationName": HOSTILE, "DestinationPeer": HOSTILE,
                                "LocalBindPort": free_port()}])
    agent.set_instances(HOSTILE, (HOSTILE, 1))
    # An error whose text is no UTF-8, in an answer and in a header.
    agent.fault("/v1/health/connect/*", status=500, times=2, body=b"\xff\xfe\x1b[31m\nforged \xc3\xa9\x9b" + b"\xf0\x9f" * 3000)
    return agent


def hostile_log(case, *flags):
    agent = hostile_agent(case)
    proxy = Mooring.connect_proxy(case, "-http-addr", agent.address, "-proxy-id", "web-proxy", *flags, ready=False)
    return agent, proxy


def raw_lines(proxy):
    return proxy.process.stderr_path.read_bytes().split(b"\n")[:-1]


def test_text_from_the_agent_is_printable_escaped_once_and_bounded_in_text_lines(case):
    _, proxy = hostile_log(case)
    proxy.wait_log("watch failed.*500")
    proxy.wait_log("cannot be served")
    for line in raw_lines(proxy):
        check.true(re.fullmatch(rb"[ -~]+", line), f"only printable ASCII in {line!r}")
        check.true(re.match(rb"\d{4}-\d\d-\d\dT\S+ \[[A-Z]+\] +\w+: ", line), f"one event a line: {line[:200]!r}")
        check.below(len(line), 8192, "bytes of a line")
    once = rb'h\"o\\s\x0a2026-01-01 [ERROR] forged: \x1b[2J\x07\x7f\xc2\x9b31m\xe2\x80\xae caf\xc3\xa9 \xf0\x9f\x9a\xa2'
    check.true(any(once in line and b"cannot be served" in line for line in raw_lines(proxy)), "the peer's name, escaped once")
    check.true(any(re.search(rb"\.\.\.\(\+\d+ bytes\)", line) for line in raw_lines(proxy)), "what is too long is cut, with a mark")
    # The same in the tables, and in the document, which is all ASCII.
    host, port = proxy.listener("admin")
    code, table, _ = run("status", "-admin-addr", f"{host}:{port}")
    check.equal(code, 0, "mooring status")
    check.true(re.fullmatch(r"[ -~\n]+", table), f"only printable ASCII in {table!r}")
    code, document, _ = run("status", "-json", "-admin-addr", f"{host}:{port}")
    check.true(re.fullmatch(r"[ -~\n]+", document), "only printable ASCII in /status")
    check.true(any(one["name"] == HOSTILE for one in json.loads(document)["upstreams"]), "the name as the agent has it")
    check.true(re.fullmatch(r"[ -~\n]+", proxy.admin("/ready")[1]), "only printable ASCII in /ready")


def test_text_from_the_agent_is_valid_utf8_escaped_once_and_bounded_in_json_lines(case):
    _, proxy = hostile_log(case, "-log-json")
    check.within(lambda: b"500" in proxy.process.stderr_path.read_bytes(), "the error is logged", 10 * slowness())
    check.within(lambda: b"cannot be served" in proxy.process.stderr_path.read_bytes(), "the warning is logged", 10 * slowness())
    events = []
    for line in raw_lines(proxy):
        text = line.decode()  # strict: raises for what is no UTF-8
        check.true(not re.search(r"[\x00-\x1f\x7f-\x9f]", text), f"no control character in {line!r}")
        check.below(len(line), 8192, "bytes of a line")
        events.append(json.loads(text))
    warnings = [event["warning"] for event in events if "warning" in event]
    check.true(any(HOSTILE in warning and "cannot be served" in warning for warning in warnings), "the name as the agent has it")
    errors = [event["error"] for event in events if "500" in event.get("error", "")]
    check.true(any("\ufffd\ufffd\x1b[31m" in error and "forged \u00e9\ufffd" in error for error in errors),
               f"what is no UTF-8 is replaced, the rest is as it was, in {errors}")


def test_a_message_that_ends_the_start_is_printable(case):
    code, out, err = run("connect", "proxy", "-sidecar-for", "web\x1b[2J\nforged", "-no-wait", "-http-addr",
                         f"127.0.0.1:{free_port()}")
    check.equal(code, 1, "exit code")
    for text in (out, err):
        check.true(re.fullmatch(r"[ -~\n]*", text), f"only printable ASCII in {text!r}")
    check.true(r"web\x1b[2J\x0aforged" in err, "the name, escaped once")


def test_what_is_wrong_in_a_file_is_told_in_printable_lines(case):
    path = case.write("bad.yaml", 'proxy_id: "a\\e[2J\\nforged"\n"k\\e[2J": 1\nservice: "b\\n"\n')
    code, out, err = run("validate", path)
    check.equal(code, 1, "exit code")
    check.true(re.fullmatch(r"[ -~\n]+", out + err), f"only printable ASCII in {out + err!r}")
    check.true(r"k\x1b[2J" in err, "the key, escaped once")
