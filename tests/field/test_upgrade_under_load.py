"""A sidecar that is replaced by its next process under load: no connection is refused or reset, no byte is lost, and what is denied is
cut in every generation. What passes between two generations is tested in scenario/test_upgrade.py. bench/upgrades shows the same beside
other proxies, and scenario/test_traffic.py that the load sees what fails."""

import os
import re
import shutil
import signal
from pathlib import Path

from field.restarts import rarely
from field.service import Instance
from lib import certs, check, traffic
from lib.case import now, slowness
from lib.consul import Consul
from lib.crowd import raise_file_limit, say
from lib.mooring import run
from lib.ports import accepts, free_port

EXPECTED_SECONDS = 40
MOST = 500  # new connections a second
QUIET = "5s"  # drain_quiet: a machine that is busy keeps the load waiting, and its sessions are to be never between two exchanges


def setup_module(case):
    global consul
    raise_file_limit()
    consul = Consul(case)


class Course:
    """db behind its sidecar, and web's before it where `outbound`; a load of calls and sessions through the one that is replaced."""

    def __init__(self, case, name, outbound=False, sessions=None, wrap=()):
        self.app = traffic.App(case)
        self.db = self._instance(case, f"db-{name}", app=self.app, wrap=wrap)
        self.replaced = self.db
        self.web = f"web-{name}"
        if outbound:
            self.replaced = self._instance(case, self.web, upstreams=[self.db.service])
            address, files = self.replaced.port_of(self.db.service), None
        else:
            address, files = ("127.0.0.1", self.db.port), self._files(case)
        self.folder = case.directory / self.replaced.service  # of the hand-over
        self.load = traffic.Load(case, address, [self.app], sessions or case.scale(40, 500), files)

    @staticmethod
    def _instance(case, service, **options):
        instance = Instance(case, consul, service, checks=rarely, **options)
        instance.flags += ["-admin-addr", f"127.0.0.1:{free_port()}", "-handover-dir", str(case.directory / service),
                           "-drain-quiet", QUIET]
        instance.start()
        instance.wait_listening()
        instance.program.wait_ready()
        return instance

    def _files(self, case):
        leaf = certs.from_agent(consul.leaf(self.web))
        return {"chain": str(case.write("web.pem", leaf.chain_pem)), "key": str(case.write("web.key", leaf.key_pem)),
                "roots": str(case.write("web-roots.pem", consul.roots_pem()))}

    def generations(self):
        """generations are the rows of /status: the processes that live on beside the newest."""
        return self.replaced.program.status()["generations"]

    def unharmed(self, what):
        seen = self.load.report()
        check.true(seen.faultless() and seen.made, f"{what}: nothing fails; {seen}")
        return seen


def replaced_again_and_again(case, name, **options):
    course = Course(case, name, **options)
    rate = case.scale(60, None) or min(MOST, course.load.capacity() / 2)
    course.load.pace(rate)
    course.load.moved()
    total = course.unharmed("before the first upgrade")
    for number in range(case.scale(3, 20)):
        course.replaced.upgrade()
        course.load.moved()
        total.add(course.unharmed(f"upgrade {number + 1}"))
        check.equal(course.load.open(), course.load.size, f"sessions after upgrade {number + 1}")
        # Some are with the newest from now on: each process that lives has its own.
        course.load.replace(course.load.size // 20)
    rows = check.within(course.generations, "old generations stand in /status", 5 * slowness())
    check.true(len(rows) >= 2, f"several live at once: {rows}")
    total.add(course.load.stop())
    check.true(total.faultless(), f"nothing fails in all: {total}")
    check.within(lambda: not course.generations(), "old generations end once their last connection has", 20 * slowness())
    say(f"upgrades of {name}: {total.made} calls at {rate:.0f} a second, longest wait {1000 * total.longest:.0f} ms, {total.done} sessions "
        f"ended in order, {len(rows)} old generations at the end, the load late by {1000 * total.late:.0f} ms at most")


def test_upgrades_of_an_inbound_sidecar_lose_no_connection_and_no_byte(case):
    replaced_again_and_again(case, "inbound")


def test_upgrades_of_an_outbound_sidecar_lose_no_connection_and_no_byte(case):
    replaced_again_and_again(case, "outbound", outbound=True)


def test_a_deny_cuts_the_sessions_of_both_generations_within_a_second(case):
    course = Course(case, "denied", sessions=case.scale(40, 500))
    course.replaced.upgrade()
    course.load.replace(course.load.size // 2)
    course.load.moved()
    rows = check.within(course.generations, "the old generation stands in /status", 5 * slowness())
    check.equal(len(rows), 1, f"old generations: {rows}")
    check.equal(course.load.report().cut, {}, "sessions that were cut before")
    denied = now()
    consul.intention(course.web, course.db.service, "deny")
    check.within(lambda: not course.load.open(), "every session is cut", 10 * slowness())
    check.equal(len(course.load.cuts), course.load.size, "sessions that were cut")
    last = max(when for when, _ in course.load.cuts) - denied
    check.below(last, 1.0 * slowness(), f"seconds from the deny to the last cut, of {course.load.size} sessions in two generations")
    say(f"deny: {course.load.size} sessions of two generations were cut within {1000 * last:.0f} ms")


for test in (test_upgrades_of_an_inbound_sidecar_lose_no_connection_and_no_byte,
             test_upgrades_of_an_outbound_sidecar_lose_no_connection_and_no_byte):
    test.limit = 400
del test


# ---- a new binary that is none ----------------------------------------------------------------------------


def binary(case, name):
    """binary is a copy of the program, at a path where another may be put in its place; and words that run it."""
    path = case.directory / f"mooring-{name}"
    shutil.copy(os.environ["MOORING_BIN"], path)
    return path, ("sh", "-c", f'shift; exec {path} "$@"', "sh")


def put(case, path, text):
    """put replaces the program by a script, as a package does: by another file at its path."""
    os.rename(case.write(f"{path.name}.sh", "#!/bin/sh\n" + text, mode=0o700), path)


def running(folder):
    """running are the processes whose program is in that folder. A successor is nobody's child."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/exe"):
        try:
            if os.readlink(path).startswith(f"{folder}/"):
                found.add(int(path.parent.name))
        except OSError:  # it has ended
            pass
    return found


def end(folder):
    for pid in running(folder):
        os.kill(pid, signal.SIGTERM)
    check.within(lambda: not running(folder), "every process has ended", 15 * slowness())


def reload(course, seconds=30):
    return run("reload", "-handover-dir", course.folder, seconds=seconds)


def test_a_new_binary_that_exits_lacks_a_file_or_hangs_leaves_the_old_one_serving_and_the_next_good_one_takes_over(case):
    path, wrap = binary(case, "new")
    good = case.directory / "good"
    shutil.copy(path, good)
    case.undo(lambda: end(case.directory))
    course = Course(case, "binary", sessions=10, wrap=wrap)
    course.load.pace(60)
    course.load.moved()
    bad = {"exits at once": ("exit 7\n", "7"), "lacks a file": ("exec /nonexistent/loader\n", "127")}
    if not case.reduced:  # it is waited for, for longer than a minute
        bad["hangs"] = ("exec sleep 600\n", "")
    for what, (text, said) in bad.items():
        put(case, path, text)
        code, _, error = reload(course, seconds=100)
        check.true(code == 1 and said in error, f"a new binary that {what}: exit code {code}, {error.strip()!r} names {said!r}")
        course.load.moved()
        check.equal(course.generations(), [], f"old generations, with a new binary that {what}")
        check.true(accepts(course.replaced.process.pid, course.replaced.port), f"the old one accepts, with a new binary that {what}")
    os.rename(good, path)
    code, text, error = reload(course)
    check.equal(code, 0, f"exit code of the reload with a good one: {error}")
    check.equal(running(case.directory), {course.replaced.process.pid, int(re.search(r"process (\d+)", text)[1])}, "processes then")
    course.load.moved()
    check.equal([row["pid"] for row in course.generations()], [course.replaced.process.pid], "old generations then")
    seen = course.load.stop()
    check.true(seen.faultless() and seen.made, f"nothing fails: {seen}")


test_a_new_binary_that_exits_lacks_a_file_or_hangs_leaves_the_old_one_serving_and_the_next_good_one_takes_over.limit = 150
