"""`mooring connections`, `top` and `status -watch`: one table where there is no terminal, and drawn again on one."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios

from lib import check
from lib.case import slowness
from lib.evil import with_evil_names
from lib.mooring import run
from lib.ports import free_port
from lib.static import Static

EXPECTED_SECONDS = 5


def admin_address(mooring):
    return "%s:%d" % mooring.listener("admin")


def test_names_from_outside_steer_no_terminal(case):
    mooring, client, peer = with_evil_names(case)
    code, output, _ = run("connections", "-admin-addr", admin_address(mooring))
    check.true(code == 0 and "<script>alert(1)</script>\\x1b[31m" in output and "\x1b" not in output, output)
    client.close()
    peer.close()


def test_the_commands_write_one_table_where_there_is_no_terminal(case):
    static = Static(case)
    address = admin_address(static.mooring)
    caller = static.caller()
    check.equal(caller.send(b"x" * 1500).receive(1500), b"x" * 1500, "echo")
    code, output, errors = run("connections", "-admin-addr", address)
    check.equal((code, errors), (0, ""), "connections")
    check.true(re.search(r"^ *\d+ +in +web +payment +relaying .* 1\.5k +1\.5k ", output, re.M), output)
    check.true("\x1b" not in output, "nothing steers the terminal")
    code, output, _ = run("connections", "-admin-addr", address, "-match", "nobody")
    check.true(code == 0 and "0 of 0 found, 1 open" in output, output)
    code, output, _ = run("connections", "-admin-addr", address, "-json", "-limit", "1")
    check.equal((code, len(json.loads(output)["connections"])), (0, 1), "as JSON")
    code, output, errors = run("top", "-admin-addr", address, "-once", "-every", "100ms")
    check.equal((code, errors), (0, ""), "top")
    check.true(re.search(r"^web +payment +in +1 ", output, re.M), output)
    check.equal(run("status", "-admin-addr", address, "-watch")[0], 0, "status -watch")
    check.equal(run("status", "-admin-addr", address, "--watch", "5s")[0], 0, "status -watch 5s")


def test_the_commands_say_what_is_wrong(case):
    static = Static(case)
    address = admin_address(static.mooring)
    for arguments, part in ((("connections", "-limit", "900"), "limit has to be a number from 0 to 500"),
                            (("connections", "-sort", "age"), "sort has to be newest or bytes"),
                            (("connections", "-service", "x\x1b"), r"no such service here; there are: payment"),
                            (("top", "-service", "nobody"), "no such service here"), (("top", "-every", "1ms"), "100ms is the least"),
                            (("status", "-watch", "soon"), "-watch: "), (("status", "5s"), "non-flag arguments")):
        code, output, errors = run(arguments[0], "-admin-addr", address, *arguments[1:])
        check.true((code, output) == (1, "") and part in errors and "\x1b" not in errors, f"{arguments}: {code} {errors}")
    nobody = f"127.0.0.1:{free_port()}"
    for command in ("connections", "top", "status"):
        code, _, errors = run(command, "-admin-addr", nobody)
        check.true(code == 1 and nobody in errors and "Is a proxy running with -admin-addr" in errors, errors)


class Terminal:
    """A terminal of 80 columns with a command on it."""

    def __init__(self, case, *arguments, columns=80, lines=24):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.text = ""
        self.process = subprocess.Popen([os.environ["MOORING_BIN"], *arguments], stdin=slave, stdout=slave, stderr=slave,
                                        start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        case.undo(self.close)

    def read(self):
        while select.select([self.master], [], [], 0)[0]:
            self.text += os.read(self.master, 65536).decode()
        return self.text

    def wait_for(self, pattern, count=1):
        check.within(lambda: len(re.findall(pattern, self.read())) >= count, f"{pattern} on the terminal", 10 * slowness())

    def press(self, key):
        os.write(self.master, key)

    def ends(self):
        code = check.within(lambda: (self.read(), self.process.poll() is not None)[1], "it ends", 10 * slowness()) and self.process.returncode
        check.true(self.read().endswith("\x1b[?25h\x1b[?1049l"), "the cursor and the screen are as before")
        check.equal(termios.tcgetattr(self.slave), self.before, "the terminal is as before")
        return code

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


def test_on_a_terminal_they_draw_again_within_80_columns_until_somebody_leaves(case):
    static = Static(case)
    address = admin_address(static.mooring)
    client, peer = static.called()
    caller = static.caller()
    check.equal(caller.send(b"ping").receive(4), b"ping", "echo")
    for arguments, leave in ((("connections", "-every", "100ms"), b"q"), (("top", "-every", "100ms"), b"\x03"),
                             (("status", "-watch", "100ms"), b"q")):
        terminal = Terminal(case, arguments[0], "-admin-addr", address, *arguments[1:])
        terminal.wait_for("payment", count=4)
        terminal.press(leave)
        check.equal(terminal.ends(), 0, f"{arguments}, left by {leave}")
        for line in re.sub(r"\x1b\[[0-9?]*[A-Za-z]", "", terminal.text).splitlines():
            check.true(len(line) <= 80, f"{len(line)} columns: {line}")
    for one in (client, peer, caller):
        one.close()


def test_a_proxy_that_goes_away_meanwhile_is_said_and_asked_again(case):
    port = free_port()
    static = Static(case, admin={"address": f"127.0.0.1:{port}"})
    terminal = Terminal(case, "top", "-admin-addr", f"127.0.0.1:{port}", "-every", "100ms")
    terminal.wait_for("FROM")
    static.mooring.kill()
    terminal.wait_for("no answer from 127.0.0.1")
    before = terminal.text.count("FROM")
    Static(case, admin={"address": f"127.0.0.1:{port}"})
    terminal.wait_for("FROM", count=before + 1)
    terminal.process.send_signal(signal.SIGTERM)
    check.equal(terminal.ends(), 128 + signal.SIGTERM, "ended by a signal")
