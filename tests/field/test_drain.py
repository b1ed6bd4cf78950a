"""The drain after SIGTERM, clause by clause: listeners, connections, a second signal. The catalog: test_departure."""

import signal

from field.restarts import DRAINED, Mesh, asked, drained, rarely, slow
from lib import apps, check
from lib.callers import Pool
from lib.case import now, slowness
from lib.consul import Consul
from lib.mooring import Mooring

EXPECTED_SECONDS = 35


def setup_module(case):
    global consul
    consul = Consul(case)


def for_sides(function):
    """for_sides makes one named test a side of a function test(case, side)."""
    for side in ("inbound", "outbound"):
        def test(case, side=side):
            function(case, side)

        globals()[f"{function.__name__}__{side}"] = test


# Listeners and connections.


@for_sides
def test_a_query_of_3_s_is_answered_and_new_calls_are_served_until_then(case, side):
    mesh = Mesh(case, consul, checks=rarely, behaviour=slow, calls=False)
    query = asked(case, mesh, b"w3.0")
    started = mesh.side(side).terminate()
    check.stays(lambda: now() > started + 2.7 or apps.ping(mesh.address), "new calls are served", 2.5)
    check.equal(query.receive(4), b"w3.0", "answer of the query")
    answered = now()
    gone = mesh.side(side).wait_exit()
    check.below(gone - answered, 1.5 * slowness(), "seconds from the answer to the end")


@for_sides
def test_six_idle_sessions_and_one_that_never_spoke_are_gone_within_1200_ms(case, side):
    mesh = Mesh(case, consul, checks=rarely, calls=False)
    pool = Pool(case, mesh.address, 6)
    silent = apps.Client(case, mesh.address)
    check.within(lambda: len(mesh.apps[0].seen) >= 7, "all are at the application", 5)
    idle = now() + 0.5
    check.within(lambda: now() > idle, "all are idle", 1)
    started = mesh.side(side).terminate()
    check.equal(silent.drain(), (b"", "eof"), "end of the connection that never spoke")
    check.below(now() - started, 1.2 * slowness(), "seconds until its end")
    check.within(lambda: len(pool.ends()) == 6, "all sessions end", 2 * slowness())
    times = [when - started for when, _ in pool.ends()]
    check.equal(pool.counts(), {"eof": 6}, "how they ended")
    check.below(max(times), 1.2 * slowness(), f"seconds until they ended: {times}")
    check.true(times[-1] - times[0] > 0.05, f"each at a moment of its own: {times}")
    drained(mesh.side(side), started)


@for_sides
def test_sessions_that_nobody_reads_until_their_next_use_prolong_nothing(case, side):
    mesh = Mesh(case, consul, checks=rarely, calls=False)
    pool = Pool(case, mesh.address, 6, watch=False)
    idle = now() + 0.5
    check.within(lambda: now() > idle, "all are idle", 1)
    drained(mesh.side(side), mesh.side(side).terminate())
    for session in pool.sessions:
        data, how = session.client.send(b"next").drain()
        check.true(data == b"" and how in ("eof", "reset"), f"the next use sees the end at once: {data!r}, {how}")


@for_sides
def test_a_new_connection_every_10_ms_prolongs_nothing_and_is_served_to_the_end(case, side):
    mesh = Mesh(case, consul, checks=rarely)
    mesh.stream.wait_calm()
    started = mesh.side(side).terminate()
    gone = drained(mesh.side(side), started)
    mesh.stream.stop()
    early = mesh.stream.unexcused(mesh.stream.failed(started - 1, gone - 0.25 * slowness()))
    check.equal(early, [], f"failed calls before the end at {gone}")


def test_an_exchange_that_began_in_the_drain_is_awaited_and_an_idle_one_is_not(case):
    mesh = Mesh(case, consul, checks=rarely, behaviour=slow, calls=False)
    started = mesh.db.terminate()
    idle = Pool(case, mesh.address, 1, watch=False)
    query = asked(case, mesh, b"w2.0")
    check.equal(query.receive(4), b"w2.0", "answer of the query")
    drained(mesh.db, started, 2 + DRAINED)
    check.equal(idle.sessions[0].client.drain(), (b"", "eof"), "end of the idle one")


def test_an_answer_is_awaited_for_drain_time_and_no_longer(case):
    mesh = Mesh(case, consul, checks=rarely, behaviour=slow, calls=False, flags=["-drain-time", "2s"])
    query = asked(case, mesh, b"w99.")
    started = mesh.db.terminate()
    gone = drained(mesh.db, started, 2 + DRAINED)
    check.true(gone - started >= 2, f"it waited for drain_time: {gone - started:.2f} s")
    check.equal(query.drain()[0], b"", "the question stays unanswered")


def test_drain_quiet_0_never_closes_an_idle_connection_before_drain_time(case):
    mesh = Mesh(case, consul, checks=rarely, calls=False, flags=["-drain-time", "2s", "-drain-quiet", "0s"])
    pool = Pool(case, mesh.address, 2)
    idle = now() + 0.5
    check.within(lambda: now() > idle, "all are idle", 1)
    started = mesh.db.terminate()
    check.stays(lambda: not pool.ends(), "the idle sessions live", 1.8)
    drained(mesh.db, started, 2 + DRAINED)


# The second signal.


def test_a_second_sigterm_within_a_second_is_the_same_one(case):
    mesh = Mesh(case, consul, checks=rarely, behaviour=slow, calls=False)
    query = asked(case, mesh, b"w1.5")
    started = mesh.db.terminate()
    check.within(lambda: now() > started + 0.3, "a moment later", 1)
    mesh.db.process.send(signal.SIGTERM)
    check.equal(query.receive(4), b"w1.5", "the query is answered")
    drained(mesh.db, started, 1.5 + DRAINED)


def test_a_later_sigterm_ends_at_once_deregistered(case):
    app = apps.App(case, slow)
    proxy = Mooring.connect_proxy(case, "-http-addr", consul.address, "-service", "hasty", "-service-addr",
                                  f"127.0.0.1:{app.port}", "-listen", "127.0.0.1:0", "-register", "-drain-time", "30s",
                                  "-drain-delay", "30s", name="mooring-hasty")
    check.within(lambda: consul.instances("hasty"), "registered", 10 * slowness())
    proxy.process.send(signal.SIGTERM)
    started = now()
    check.within(lambda: now() > started + 1.2, "more than a second later", 2)
    proxy.process.send(signal.SIGTERM)
    again = now()
    check.equal(proxy.process.wait(10), 0, "exit code")
    check.below(now() - again, slowness(), "seconds from the second SIGTERM to the end")
    left = [name for name in consul.get("/v1/agent/services") if name.startswith("hasty-proxy")]
    check.equal(left, [], "what is still registered")
