"""A pool of PostgreSQL sessions through two sidecars, of which one or the other is restarted or upgraded: no transaction is cut whose
pauses are shorter than drain_quiet, and no row is lost. tests/field/postgres shows other clients, beside Consul's proxy."""

from field.restarts import rarely
from field.service import Instance
from lib import check, postgres
from lib.case import now, slowness
from lib.consul import Consul
from lib.crowd import say
from lib.ports import free_port
from lib.postgres_pool import BEGINNING, CONNECTING, RESTING, TABLE, WORKING, Pool

EXPECTED_SECONDS = 40
QUIET = 1.5  # drain_quiet, seconds: well above the pauses, as a machine that is busy makes them longer
PAUSES, RESTS = (0.02, 0.1), (2.0, 3.5)  # seconds between two statements, and between two transactions


class Course:
    """PostgreSQL behind two sidecars, and a pool in front of them."""

    def __init__(self, case, size, *flags):
        self.consul = consul = Consul(case)
        self.server = postgres.Postgres(case, connections=size + 50)
        self.server.query(TABLE)
        flags = ["-drain-quiet", f"{QUIET:g}s", *flags]
        self.db = Instance(case, consul, "postgres", app=self.server, checks=rarely, flags=flags)
        self.web = Instance(case, consul, "app", upstreams=[self.db.service], checks=rarely, flags=flags)
        for instance in (self.db, self.web):
            instance.flags += ["-admin-addr", f"127.0.0.1:{free_port()}", "-handover-dir", str(case.directory / instance.service)]
        for instance in (self.db, self.web):
            instance.start()
        for instance in (self.db, self.web):
            instance.wait_listening()
        self.db.wait_passing()
        address = self.web.port_of(self.db.service)
        check.within(lambda: postgres.Session(address).close() or True, "PostgreSQL answers through the sidecars", 15 * slowness())
        self.pool = Pool(case, address, size, PAUSES, RESTS)

    def busy(self):
        """busy waits until each session has had time for a transaction."""
        self.pool.wait_ready()
        there = len(self.pool.rows)
        check.within(lambda: self.pool.look() and len(self.pool.rows) >= there + self.pool.size, "transactions are committed",
                     60 * slowness(), step=0.1)

    def whole(self):
        """whole asserts that each row is there whose commit was answered."""
        there = {int(row[0]) for row in self.server.query("select id from pooled")}
        check.equal(sorted(set(self.pool.rows) - there), [], "rows whose commit was answered, and are not there")
        check.true(self.pool.rows, "rows were committed")


def unharmed(record, what):
    check.equal(record.counted(WORKING), {}, f"transactions that were cut, {what}; the pool itself was late by {record.late:.2f} s")


def test_five_restarts_of_either_side_cut_no_transaction_of_500_pooled_sessions(case):
    course = Course(case, case.scale(60, 500))
    for number in range(case.scale(1, 5)):
        for instance in (course.db, course.web):
            course.busy()
            unharmed(course.pool.taken(), "while nothing was restarted")
            instance.terminate()
            instance.wait_exit()
            instance.start()
            instance.wait_listening()
            course.busy()
            record = course.pool.taken()
            unharmed(record, f"restart {number + 1} of {instance.id}")
            # Most twice: in the drain, and at its end, until which the old process takes the new ones.
            resting, beginning = len(record.where(RESTING)), len(record.where(BEGINNING))
            check.true(resting + beginning >= course.pool.size, f"every session was closed: {resting} while they rested, {beginning} "
                       f"as a begin was on its way, of {course.pool.size}")
            say(f"restart {number + 1} of {instance.id}: {resting} sessions closed while they rested, {beginning} as a begin was on its "
                f"way; {len(record.rows)} transactions, the pool late by {record.late:.2f} s")
    unharmed(course.pool.finish(), "at the end")
    course.whole()


test_five_restarts_of_either_side_cut_no_transaction_of_500_pooled_sessions.limit = 400


def test_five_upgrades_of_either_side_cut_no_transaction_and_pooled_sessions_come_back_one_after_the_other(case):
    spread = case.scale(6, 30)  # drain_time, seconds
    course = Course(case, case.scale(60, 500), "-drain-time", f"{spread}s")
    for number in range(case.scale(1, 5)):
        for instance in (course.db, course.web):
            course.busy()
            unharmed(course.pool.taken(), "while nothing was upgraded")
            old = instance.upgrade()
            check.equal(old.process.wait(2 * spread), 0, "exit code of the old generation, once its last session has gone")
            record = course.pool.taken()
            unharmed(record, f"upgrade {number + 1} of {instance.id}")
            check.equal(record.counted(CONNECTING), {}, "sessions that could not be opened")
            resting, beginning = len(record.where(RESTING)), len(record.where(BEGINNING))
            check.equal(resting + beginning, course.pool.size, "sessions that were closed, each once")
            # Chance is kept out by windows in which many fall.
            window = spread / case.scale(3, 15)
            mean = course.pool.size * window / spread
            check.true(record.peak(window) <= 2 * mean, f"of {mean:.0f} in {window:g} s on average, at most twice as many come back in "
                       f"any: {record.peak(window)}; the pool was late by {record.late:.2f} s")
            say(f"upgrade {number + 1} of {instance.id}: {resting} sessions closed while they rested, {beginning} as a begin was on its "
                f"way; at most {record.peak(window)} within {window:g} s, {mean:.0f} on average; {len(record.rows)} transactions, the "
                f"pool late by {record.late:.2f} s")
    unharmed(course.pool.finish(), "at the end")
    course.whole()


test_five_upgrades_of_either_side_cut_no_transaction_and_pooled_sessions_come_back_one_after_the_other.limit = 600


def test_a_revoke_that_ends_sessions_quietly_cuts_no_transaction_and_lets_nobody_in(case):
    grace = case.scale(6, 20)  # revoke_grace, seconds
    course = Course(case, case.scale(60, 500), "-on-revoke", "quiet", "-revoke-grace", f"{grace}s")
    course.busy()
    unharmed(course.pool.taken(), "while all were allowed")
    denied = now()
    course.consul.intention(course.web.service, course.db.service, "deny")
    check.within(lambda: course.pool.look()["ready"] == 0, "every session has ended", (grace + 2) * slowness(), step=0.1)
    record = course.pool.taken()
    unharmed(record, "by a deny")
    ends = [when - denied for when, where, _ in record.lost if where in (RESTING, BEGINNING)]
    check.equal(len(ends), course.pool.size, "sessions that were closed, each once")
    check.below(max(ends), (grace + 1) * slowness(), "seconds from the deny to the last end")
    say(f"revoke: {len(record.where(RESTING))} sessions closed while they rested, {len(record.where(BEGINNING))} as a begin was on its "
        f"way, from {min(ends):.2f} to {max(ends):.2f} s after the deny")
    course.consul.delete_intention(course.web.service, course.db.service)
    course.pool.wait_ready()
    unharmed(course.pool.finish(), "at the end")
    course.whole()


test_a_revoke_that_ends_sessions_quietly_cuts_no_transaction_and_lets_nobody_in.limit = 300
