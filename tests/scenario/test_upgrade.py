"""A successor takes over: sockets, the admin port, counters, and what the service manager is told."""

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import threading
import time
from pathlib import Path

from lib import check, metrics, stranger, tlspeer
from lib.apps import Client
from lib.case import slowness
from lib.generations import TAKE_OVER, StaticSidecar, handover_dir
from lib.manager import Manager
from lib.mooring import run

EXPECTED_SECONDS = 30


def test_a_successor_serves_at_the_same_addresses_and_the_old_one_ends(case):
    sidecar = StaticSidecar(case)
    sidecar.static.serves()
    successor = sidecar.upgrade()
    check.equal(sidecar.status()["generation"], 2, "generation")
    check.equal(sidecar.first.process.wait(10), 0, "exit code of the old one, which has no connections")
    sidecar.static.serves()
    check.equal(successor.admin("/ready")[0], 200, "/ready")
    check.equal(sidecar.wait_generations(0), [], "old generations")


def test_sessions_of_three_generations_live_at_once_and_each_process_ends_with_its_last(case):
    sidecar = StaticSidecar(case)
    inbound, outbound = [], []
    for number in range(3):
        if number:
            sidecar.upgrade()
        inbound.append(sidecar.static.caller())
        outbound.append(sidecar.static.called())
        sidecar.ping(inbound[-1])
    for peer, (client, instance) in zip(inbound, outbound):
        sidecar.ping(peer)
        check.equal((client.send(b"out"), instance.receive(3))[1], b"out", "bytes to the instance")
        check.equal((instance.send(b"in"), client.receive(2))[1], b"in", "bytes from the instance")
    rows = sidecar.wait_generations(2)
    check.equal([row["generation"] for row in rows], [2, 1], "old generations, the newest first")
    check.within(lambda: [row["connections"] for row in sidecar.generations()] == [2, 2], "each has its two sessions", 5)
    check.true(all(row["resident_bytes"] > 1_000_000 and row["state"] == "retired" for row in sidecar.generations()), "rows")
    for number, (peer, (client, instance)) in enumerate(zip(inbound[:2], outbound[:2])):
        peer.close()
        client.close()
        instance.close()
        sidecar.wait_generations(1 - number)
    check.equal(sidecar.first.process.wait(10), 0, "exit code of the first")
    sidecar.ping(inbound[2])


def test_idle_sessions_of_an_old_generation_end_between_exchanges_spread_over_the_drain_time(case):
    sidecar = StaticSidecar(case, drain_quiet="100ms", drain_time="2s")
    sessions = [sidecar.static.caller() for _ in range(40)]
    for peer in sessions:
        sidecar.ping(peer)
    begun = time.monotonic()
    sidecar.upgrade()
    check.equal([peer.receive(1) for peer in sessions], [b""] * 40, "each ends cleanly")
    check.true(time.monotonic() - begun > 0.8, "not all at once")
    check.equal(sidecar.first.process.wait(10), 0, "exit code of the old one")


def test_counters_go_on_where_they_were_and_have_what_an_old_generation_counts(case):
    sidecar = StaticSidecar(case)
    for _ in range(5):
        sidecar.static.serves()
    old = sidecar.static.caller()
    sidecar.ping(old)

    def opened(**labels):
        return metrics.scrape(sidecar.first).value("mooring_connections_opened_total", direction="inbound", **labels)

    check.equal(opened(), 6, "opened before")
    sidecar.upgrade()
    check.within(lambda: opened() == 6, "opened after, before anybody has come", 5)
    sidecar.static.serves()
    check.within(lambda: opened() == 7, "opened by both", 5)
    check.within(lambda: metrics.scrape(sidecar.first).value("mooring_connections_open", direction="inbound") == 1,
                 "the old one's session is open", 5)
    old.close()
    check.equal(sidecar.first.process.wait(10), 0, "exit code of the old one")
    sidecar.wait_generations(0)
    both = metrics.scrape(sidecar.first)
    check.equal(both.value("mooring_connections_closed_total", direction="inbound"), 7, "closed by both")
    check.equal(both.value("mooring_connections_open", direction="inbound"), 0, "open")
    check.equal(both.value("mooring_connection_lifetime_seconds_count", direction="inbound"), 7, "in the histogram")
    # What generations of before have counted goes on over the next upgrades, too, whether one lives or not.
    for expected in (7, 8):
        before, held = sidecar.newest, sidecar.static.caller() if expected == 7 else None
        sidecar.upgrade()
        if held:
            check.within(lambda: opened() == expected + 1, "opened by three", 5)
            held.close()
        check.equal(before.process.wait(10), 0, "exit code of the old one")
        sidecar.wait_generations(0)
        check.equal(opened(), 8, "opened by all")


class SlowSuccessor:
    """The test itself takes over from a process, and listens to it when it likes."""

    def __init__(self, case, directory):
        self.socket = socket.socket(socket.AF_UNIX)
        case.undo(self.socket.close)
        self.socket.settimeout(10 * slowness())
        self.socket.connect(f"{directory}/handover.sock")
        self._read = b""
        for says, until in (({"kind": "take_over", "version": "0"}, "offer"), ({"kind": "ready"}, "yours")):
            self._say(says)
            while self.hears()["kind"] != until:
                pass
        self._say({"kind": "serving"})

    def _say(self, message):
        text = json.dumps(message).encode()
        self.socket.sendall(len(text).to_bytes(4, "big") + text)

    def _take(self, size):
        while len(self._read) < size:
            data, descriptors, _, _ = socket.recv_fds(self.socket, 1 << 20, 64)
            for descriptor in descriptors:
                os.close(descriptor)
            check.true(data, f"the rest of a message, of which {len(self._read)} bytes of {size} have come")
            self._read += data
        taken, self._read = self._read[:size], self._read[size:]
        return taken

    def hears(self):
        """hears is the next message."""
        return json.loads(self._take(int.from_bytes(self._take(4), "big")))


def test_an_old_one_without_connections_ends_once_all_that_it_has_counted_is_heard(case):
    sidecar = StaticSidecar(case)
    callers = 100  # what is counted of so many is more than a socket takes at once
    for number in range(callers):
        tlspeer.try_in_vain(sidecar.static.dial(identity=sidecar.static.authority.leaf(f"caller-{number}")))
    check.within(lambda: sidecar.first.closed("inbound", "denied") == callers, "all are counted", 5 * slowness())
    successor = SlowSuccessor(case, sidecar.directory)
    begun = time.monotonic()
    while time.monotonic() - begun < 1:  # it gives up after two seconds
        check.true(sidecar.first.process.running(), "it waits for who does not listen")
        time.sleep(0.02)
    counted = {}
    while (message := successor.hears())["kind"] != "over":
        counted.update(message.get("families", {}).get("mooring_connections_closed_total", {}))
    check.equal(sum(counted.values()), callers, f"connections that were counted: {list(counted.items())[:3]}")
    successor.socket.close()
    check.equal(sidecar.first.process.wait(10), 0, "exit code of the old one")


def test_a_successor_that_fails_leaves_the_old_one_serving(case):
    sidecar = StaticSidecar(case)
    session = sidecar.static.caller()
    path = next(word for word in sidecar.first.process.argv if word.endswith(".yaml"))
    good = Path(path).read_text()
    for bad, message in ((good.replace("drain_time", "drain_tiem"), "drain_tiem"),
                         (re.sub(r'certificate: .*', 'certificate: "/nowhere.pem"', good), "/nowhere.pem")):
        Path(path).write_text(bad)
        successor = sidecar.start(TAKE_OVER)
        successor.expect_exit = None
        check.true(successor.process.wait(20) != 0, "exit code of a successor that cannot start")
        check.true(message in successor.process.log(), f"it says why: {successor.process.log()}")
        sidecar.static.serves()
    Path(path).write_text(good)
    check.equal(sidecar.pid(), sidecar.first.pid, "who serves")
    sidecar.ping(session)
    sidecar.upgrade()  # and a good one afterwards takes over
    sidecar.ping(session)


def test_a_successor_that_hangs_leaves_the_old_one_serving_and_another_is_refused_meanwhile(case):
    sidecar = StaticSidecar(case)
    hanging = socket.socket(socket.AF_UNIX)
    case.undo(hanging.close)
    hanging.connect(f"{sidecar.directory}/handover.sock")
    text = b'{"kind":"take_over","version":"0"}'
    hanging.sendall(len(text).to_bytes(4, "big") + text)
    sidecar.wait_log("a successor has come")
    second = sidecar.start(TAKE_OVER)
    second.expect_exit = None
    check.equal(second.process.wait(20), 1, "exit code of the second")
    check.true(f"process {os.getpid()} is taking over already" in second.process.stderr(), second.process.stderr())
    sidecar.static.serves()
    hanging.close()
    sidecar.wait_log("the successor does not take over; serving on")
    sidecar.upgrade()
    sidecar.static.serves()


def test_a_successor_that_dies_between_ready_and_serving_gives_the_sockets_back(case):
    sidecar = StaticSidecar(case)
    dying = socket.socket(socket.AF_UNIX)
    case.undo(dying.close)
    dying.settimeout(10 * slowness())
    dying.connect(f"{sidecar.directory}/handover.sock")
    for kind in ("take_over", "ready"):
        text = b'{"kind":"%s"}' % kind.encode()
        dying.sendall(len(text).to_bytes(4, "big") + text)
    heard = b""
    while b'"yours"' not in heard:
        heard += dying.recv(65536)
    # Nobody accepts now; who comes waits in the queue.
    waiting = sidecar.static.dial()
    dying.close()
    waiting.handshake()
    sidecar.ping(waiting)
    check.equal(sidecar.pid(), sidecar.first.pid, "who serves")


def test_a_stop_ends_all_generations_and_each_drains(case):
    sidecar = StaticSidecar(case, drain_quiet="100ms", drain_time="20s")
    busy = sidecar.static.caller()
    sidecar.ping(busy)
    # The client has spoken last, and its answer is owed: not between exchanges.
    busy.send(b"x")
    check.equal(busy.receive(1), b"x", "echo")
    sidecar.upgrade()
    new = sidecar.static.caller()
    sidecar.newest.process.send(signal.SIGTERM)
    check.equal(busy.receive(1), b"", "the old generation's session ends")
    check.equal(new.receive(1), b"", "the newest one's session ends")
    check.equal(sidecar.first.process.wait(10), 0, "exit code of the old one")
    check.equal(sidecar.newest.process.wait(10), 0, "exit code of the newest")
    check.true(not Path(sidecar.directory, "handover.sock").exists(), "the socket's name is gone")


def test_generation_max_bounds_the_life_of_a_session_that_is_never_idle(case):
    sidecar = StaticSidecar(case, generation_max="1s")
    session = sidecar.static.caller()
    sidecar.ping(session)
    sidecar.upgrade()
    check.equal(session.receive(1), b"", "it is cut")
    sidecar.wait_log("generation_max is over; cutting what is left: connections=1")
    check.equal(sidecar.first.process.wait(10), 0, "exit code of the old one")


def test_row_73_nobody_is_refused_while_sidecars_follow_each_other(case):
    sidecar = StaticSidecar(case, drain_quiet="100ms", drain_time="300ms")
    calls, wrong, over = [], [], threading.Event()

    def call():
        while not over.is_set():
            try:
                calls.append(sidecar.static.serves())
            except (OSError, AssertionError) as error:
                wrong.append(repr(error))

    callers = [threading.Thread(target=call, daemon=True) for _ in range(2)]
    for caller in callers:
        caller.start()
    for _ in range(5):
        before = len(calls)
        sidecar.upgrade()
        check.within(lambda before=before: len(calls) >= before + 4, "calls go on", 10 * slowness())
    over.set()
    for caller in callers:
        caller.join(20 * slowness())
    check.equal(wrong, [], f"calls that failed, of {len(calls)}")


def test_unix_sockets_pass_and_their_files_stay(case):
    sidecar = StaticSidecar(case, upstream={"listen": f"unix:{case.directory}/db.sock"})
    inode = os.stat(case.directory / "db.sock").st_ino
    sidecar.upgrade()
    check.equal(sidecar.first.process.wait(10), 0, "exit code of the old one")
    check.equal(os.stat(case.directory / "db.sock").st_ino, inode, "the socket's file")
    client = Client(case, case.directory / "db.sock")
    peer = sidecar.static.endpoint.accept(sidecar.static.db, sidecar.static.roots)
    peer.handshake()
    check.equal((client.send(b"abc"), peer.receive(3))[1], b"abc", "bytes over the socket that has passed")


def test_the_directory_is_ours_alone(case):
    sidecar = StaticSidecar(case)
    check.equal(stat.S_IMODE(os.stat(sidecar.directory).st_mode), 0o700, "mode of the directory")
    check.equal(stat.S_IMODE(os.stat(f"{sidecar.directory}/handover.sock").st_mode), 0o600, "mode of the socket")
    open_to_all = case.directory / "open"
    open_to_all.mkdir(mode=0o755)
    code, _, said = run("connect", "proxy", "-service", "web", "-upstream", "db:127.0.0.1:0", "-handover-dir", open_to_all)
    check.true(code != 0 and "its mode must be 0700 (chmod 0700" in said, f"{code}: {said}")
    code, _, said = run("connect", "proxy", "-service", "web", "-upstream", "db:127.0.0.1:0", "-handover-dir", sidecar.directory)
    check.true(code != 0 and f"process {sidecar.first.pid} serves at the hand-over directory" in said, f"{code}: {said}")
    check.true(Path(sidecar.directory, "handover.sock").exists(), "the first one's socket")
    code, _, said = run("connect", "proxy", "-service", "web", "-upstream", "db:127.0.0.1:0", TAKE_OVER)
    check.true(code != 0 and "-take-over needs a hand-over directory" in said, f"{code}: {said}")


def test_a_manager_is_told_who_is_the_main_process_before_the_old_one_falls_silent(case):
    manager = Manager(case, watchdog=2)
    sidecar = StaticSidecar(case, env=manager.variables)
    manager.wait("READY")
    session = sidecar.static.caller()
    # A successor knows the manager from its predecessor alone.
    successor = sidecar.upgrade(env={})
    manager.wait("MAINPID", lambda pid: pid == str(successor.pid))
    before = len(manager.values("WATCHDOG"))
    manager.wait("STATUS", lambda state: state == "ready")
    check.within(lambda: len(manager.values("WATCHDOG")) >= before + 2, "the successor pings on", 10 * slowness())
    sidecar.ping(session)


# `mooring reload`, as in ExecReload=.


def reload(sidecar, *words, env=None, seconds=60):
    return run("reload", "-handover-dir", sidecar.directory, *words, env=env, seconds=seconds)


def adopt(case, sidecar):
    """adopt has the case end the process that serves now, which no Process of the test's has started."""
    pid = sidecar.pid()

    def end():
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            return
        check.within(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2],
                     f"process {pid} ends", 15 * slowness())
    case.undo(end)
    return pid


def test_reload_upgrade_starts_a_successor_with_the_arguments_of_the_running_one(case):
    sidecar = StaticSidecar(case)
    session = sidecar.static.caller()
    code, said, errors = reload(sidecar, "-upgrade")
    check.equal(code, 0, f"exit code: {said} {errors}")
    pid = adopt(case, sidecar)
    check.true(pid != sidecar.first.pid and f"process {pid} " in said and "generation 2" in said, said)
    sidecar.ping(session)
    sidecar.static.serves()


def test_reload_starts_a_binary_that_has_been_replaced_and_refuses_one_that_cannot_run(case):
    binary = case.directory / "mooring"
    shutil.copy2(os.environ["MOORING_BIN"], binary)
    sidecar = StaticSidecar(case, wrap=("sh", "-c", f"shift; exec {binary} \"$@\"", "sh"))
    check.equal(os.readlink(f"/proc/{sidecar.first.pid}/exe"), str(binary), "what runs")
    session = sidecar.static.caller()

    def replace(content, mode=0o755):
        new = case.directory / "mooring.new"
        new.write_bytes(content)
        new.chmod(mode)
        new.rename(binary)

    for content, says in ((b"#!/bin/sh\necho no luck >&2\nexit 7\n", "ended with exit code 7"),
                          (b"not a program", "serves on")):
        replace(content)
        code, said, errors = reload(sidecar)
        check.true(code == 1 and says in errors, f"{code}: {said} {errors}")
        check.equal(sidecar.pid(), sidecar.first.pid, "who serves")
        sidecar.static.serves()
    replace(Path(os.environ["MOORING_BIN"]).read_bytes() + b"\0")
    code, said, errors = reload(sidecar)
    check.equal(code, 0, f"exit code: {said} {errors}")
    check.true(adopt(case, sidecar) != sidecar.first.pid, "another process serves")
    sidecar.ping(session)


def test_reload_works_for_a_user_who_cannot_read_the_running_process_in_proc(case):
    """As in a unit with a user of its own: of a process that may not be dumped /proc shows root alone what it was started with."""
    program = stranger.program(case)
    user = {"user": stranger.USER, "group": stranger.USER, "extra_groups": []}
    os.mkdir(handover_dir(case), 0o700)
    os.chown(handover_dir(case), stranger.USER, stranger.USER)
    os.chmod(case.directory, 0o755)
    become = f"setpriv --reuid={stranger.USER} --regid={stranger.USER} --clear-groups"
    sidecar = StaticSidecar(case, env={"MOORING_TEST_MARK": "a word"}, wrap=(
        "sh", "-c", f"shift; chmod 0644 {case.directory}/*.yaml {case.directory}/*.pem {case.directory}/*.key; "
                    f"exec {become} {program} \"$@\"", "sh"))
    check.equal(os.stat(f"/proc/{sidecar.first.pid}/environ").st_uid, 0, "owner of its environment in /proc")
    done = subprocess.run([program, "reload", "-handover-dir", sidecar.directory, "-upgrade"], capture_output=True, text=True,
                          timeout=60 * slowness(), check=False, env={}, **user)
    check.equal(done.returncode, 0, f"exit code: {done.stdout} {done.stderr}")
    pid = adopt(case, sidecar)
    check.true(pid != sidecar.first.pid, "another process serves")
    check.true(b"MOORING_TEST_MARK=a word" in Path(f"/proc/{pid}/environ").read_bytes(), "the environment of the first one")
    check.equal(os.readlink(f"/proc/{pid}/cwd"), str(case.directory), "its folder")
    # Another user, even root, is not the one that the place is for.
    code, _, errors = reload(sidecar)
    check.true(code == 1 and f"it belongs to user {stranger.USER}" in errors, f"{code}: {errors}")


def test_reload_has_the_file_read_again_and_says_what_came_of_it(case):
    sidecar = StaticSidecar(case)
    path = Path(next(word for word in sidecar.first.process.argv if word.endswith(".yaml")))
    good = path.read_text()
    for text, expected, says in (
            (good, 0, "nothing is different"),
            (good.replace('drain_quiet: "0s"', 'drain_quiet: "70ms"'), 0, "drain_quiet: 0 -> 70ms"),
            (good.replace("drain_quiet", "drain_quite"), 1, f"{path}:"),
            (good + "workers: 2\n", 3, "workers: 1 -> 2 (needs an upgrade)")):
        path.write_text(text)
        code, said, errors = reload(sidecar)
        check.equal(code, expected, f"exit code: {said} {errors}")
        check.true(says in said + errors, f"{says} in {said} {errors}")
    check.equal(sidecar.pid(), sidecar.first.pid, "who serves")
    # What needed an upgrade is in force after one.
    code, said, errors = reload(sidecar, "-upgrade")
    check.equal(code, 0, f"exit code: {said} {errors}")
    adopt(case, sidecar)
    check.equal(reload(sidecar)[:1], (0,), "nothing is left to apply")


def test_reload_by_another_command_line_starts_a_successor_and_by_the_same_none(case):
    sidecar = StaticSidecar(case)
    words = sidecar.first.process.argv[1:]
    code, said, errors = reload(sidecar, "--", *words)
    check.true(code == 0 and "nothing is different" in said, f"{code}: {said} {errors}")
    other = case.write("other.yaml", Path(words[-1]).read_text())
    code, said, errors = reload(sidecar, "--", *words[:-1], other)
    check.true(code == 0 and "generation 2" in said, f"{code}: {said} {errors}")
    adopt(case, sidecar)


def test_the_tables_of_status_have_the_old_generations(case):
    sidecar = StaticSidecar(case)
    session = sidecar.static.caller()
    sidecar.ping(session)
    sidecar.upgrade()
    sidecar.wait_generations(1)
    host, port = sidecar.first._admin
    code, said, _ = run("status", "-admin-addr", f"{host}:{port}")
    check.true(code == 0 and re.search(rf"OLD GENERATION.*\n1 +{sidecar.first.pid} ", said), said)
    scrape = metrics.scrape(sidecar.first)
    check.equal(scrape.value("mooring_old_generations"), 1, "mooring_old_generations")
    check.equal(scrape.value("mooring_old_generation_connections", generation="1"), 1, "its connections")


def test_reload_without_a_proxy_says_so(case):
    code, _, errors = run("reload", "-handover-dir", case.directory / "nobody")
    check.true(code == 1 and "is a proxy running with this hand-over directory?" in errors, f"{code}: {errors}")
    check.true(not (case.directory / "nobody").exists(), "it makes no directory")
    (case.directory / "empty").mkdir(mode=0o700)
    code, _, errors = run("reload", "-handover-dir", case.directory / "empty")
    check.true(code == 1 and "nobody listens on" in errors, f"{code}: {errors}")
    code, _, errors = run("reload")
    check.true(code == 1 and "no -handover-dir is given" in errors, f"{code}: {errors}")
