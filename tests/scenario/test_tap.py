"""`mooring tap`: the plaintext of one connection, only where the file allows it and only to whom it may be shown."""

import json
import os
import subprocess

from lib import check, stranger
from lib.case import slowness
from lib.mooring import run
from lib.pcap import streams
from lib.static import Static

EXPECTED_SECONDS = 8


class Tapped(Static):
    """A mooring whose admin port is a unix socket, with one live connection of web's."""

    def __init__(self, case, tap=True):
        self.socket = f"{case.directory}/admin.sock"
        super().__init__(case, ready=False, admin={"address": f"unix:{self.socket}", **({"tap": True} if tap else {})})
        check.equal(run("ready", "-admin-addr", f"unix:{self.socket}", "-wait", "10s")[0], 0, "ready")
        self.public = self.mooring.public
        self.web_caller = self.caller()
        self.echo(b"before")

    def echo(self, data):
        check.equal(self.web_caller.send(data).receive(len(data)), data, "echo")

    def number(self):
        code, output, _ = run("connections", "-admin-addr", f"unix:{self.socket}", "-json")
        check.equal(code, 0, "connections")
        return str(json.loads(output)["connections"][0]["id"])

    def begin(self, case, *flags, program=None, **options):
        """begin is a tap that has begun: its process."""
        argv = [program or os.environ["MOORING_BIN"], "tap", "-admin-addr", f"unix:{self.socket}", *flags, self.number()]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        case.undo(process.kill)
        return process


def outcome(process):
    output, error = process.communicate(timeout=20 * slowness())
    return process.returncode, output, error.decode()


def test_what_passes_while_it_lasts_is_in_the_file_and_the_log_says_who_looked(case):
    tapped = Tapped(case)
    process = tapped.begin(case)
    tapped.mooring.wait_log("a tap begins: .*source=web destination=payment .*user=%d" % os.geteuid())
    for data in (b"hello", b"x" * 100_000):
        tapped.echo(data)
    tapped.web_caller.notify()
    code, output, error = outcome(process)
    check.equal((code, error), (0, ""), "the command")
    found, _ = streams(output)
    check.equal(sorted(map(len, found.values())), [100_005, 100_005], "bytes either way, none from before")
    check.true(all(data == b"hello" + b"x" * 100_000 for data in found.values()), "and they are those that passed")
    tapped.mooring.wait_log("a tap ends: .*bytes=200010 cut=false")


def test_it_ends_by_itself_after_its_time_and_its_bytes(case):
    tapped = Tapped(case)
    process = tapped.begin(case, "-bytes", "10")
    tapped.mooring.wait_log("a tap begins")
    tapped.echo(b"0123456789abcdef")
    code, output, _ = outcome(process)
    found, _ = streams(output)
    check.equal((code, sum(map(len, found.values()))), (0, 10), "ten bytes of all")
    tapped.mooring.wait_log("a tap ends: .*bytes=10 cut=true")
    process = tapped.begin(case, "-time", "50ms")
    check.equal(outcome(process)[0], 0, "the one that waits for nothing")
    tapped.mooring.wait_log('a tap ends: .*bytes=0 .*why="its time is over"')
    tapped.echo(b"after")


def test_who_goes_ends_it_and_only_one_looks_at_a_time(case):
    tapped = Tapped(case)
    process = tapped.begin(case)
    tapped.mooring.wait_log("a tap begins")
    code, _, error = outcome(tapped.begin(case))
    check.true(code == 1 and "another tap is under way" in error, error)
    process.kill()
    tapped.mooring.wait_log('a tap ends: .*why="whoever asked has gone"')
    tapped.echo(b"after")


def test_it_is_off_unless_the_file_says_so(case):
    tapped = Tapped(case, tap=False)
    code, output, error = outcome(tapped.begin(case))
    check.true(code == 1 and output == b"" and "admin.tap: true" in error, error)


def test_another_user_sees_nothing_and_a_number_that_nobody_has_is_named(case):
    allowed = Tapped(case)
    code, _, error = run("tap", "-admin-addr", f"unix:{allowed.socket}", "999999999")
    check.true(code == 1 and "no connection of that number" in error, error)
    program = stranger.program(case)
    os.chmod(allowed.socket, 0o666)
    code, output, error = outcome(allowed.begin(case, program=program, user=stranger.USER, group=stranger.USER))
    check.true(code == 1 and output == b"" and "for root and for the user of this process" in error, error)


def test_it_is_refused_beside_an_admin_port_that_is_no_unix_socket(case):
    path = case.write("tcp.yaml", "service: a\nadmin:\n  address: 127.0.0.1:0\n  tap: true\n")
    code, _, error = run("validate", path)
    check.true(code != 0 and "tap" in error and "unix:/run/mooring/admin.sock" in error, error)
