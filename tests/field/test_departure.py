"""A draining instance's way out of the catalog and back, on a real agent: who is sent where meanwhile."""

import time

from field.restarts import DRAINED, Mesh, asked, drained, often, rarely, slow
from field.service import Instance, tcp_check
from lib import apps, check
from lib.case import now, slowness
from lib.consul import Consul
from lib.ports import listening

EXPECTED_SECONDS = 35


def setup_module(case):
    global consul
    consul = Consul(case)


def test_one_instance_stays_in_the_catalog_and_says_so(case):
    mesh = Mesh(case, consul, checks=rarely, behaviour=slow, calls=False)
    query = asked(case, mesh, b"w1.5")
    started = mesh.db.terminate()
    check.stays(mesh.db.passing, "it is in the catalog", 1.2)
    check.equal(query.receive(4), b"w1.5", "answer")
    drained(mesh.db, started, 1.5 + DRAINED)
    check.true(not mesh.catalog(mesh.db).was_in_maintenance(mesh.db, started, now()), "no maintenance was seen")
    log = mesh.db.process.stderr()
    check.true("staying in the catalog" in log and "no other healthy instance" in log, f"the log says so: {log[-900:]}")


def test_maintenance_is_set_at_once_where_another_can_take_over_and_ends_before_the_process(case):
    mesh = Mesh(case, consul, checks=often, count=2, calls=False)
    started = mesh.db.terminate()
    check.within(mesh.db.in_maintenance, "maintenance is set", slowness())
    mesh.db.wait_exit()
    checks = mesh.db.checks()
    check.true(f"_service_maintenance:{mesh.db.sidecar_id}" not in checks, f"it is undone: {checks}")
    check.true("critical" in checks.values(), f"the agent has seen the closed port before: {checks}")
    check.true(not mesh.catalog(mesh.db).reappeared(mesh.db, started), "nobody was sent there meanwhile")


def test_maintenance_ends_at_once_where_no_check_watches_the_port(case):
    mesh = Mesh(case, consul, count=2, calls=False,
                checks=lambda port: [{"Name": "own", "TTL": "10m", "Status": "passing"}])
    started = mesh.db.terminate()
    check.within(mesh.db.in_maintenance, "maintenance is set", slowness())
    drained(mesh.db, started)
    check.true(not mesh.db.in_maintenance(), "maintenance is undone")


def test_upstream_listeners_go_on_while_the_agent_has_not_seen_the_closed_port(case):
    app = apps.App(case, apps.echo)
    mesh = Mesh(case, consul, checks=rarely, calls=False)
    twins = [Instance(case, consul, "twin", n, app, [mesh.db.service], checks=lambda port: [tcp_check(port, "4s")])
             for n in (1, 2)]
    for twin in twins:
        twin.start()
        twin.wait_listening().wait_passing()
    address = twins[0].port_of(mesh.db.service)
    check.within(lambda: apps.ping(address), "its upstream works", 10 * slowness())
    twins[0].terminate()
    check.within(lambda: not listening(twins[0].port), "the public port is closed", DRAINED * slowness())
    while twins[0].process.running() and not twins[0].check_critical():
        served = apps.ping(address)
        check.true(served or not twins[0].process.running() or twins[0].check_critical(), "the upstream goes on")
        time.sleep(0.05)
    twins[0].wait_exit()
    check.true(twins[0].check_critical(), "the agent has seen the closed port before the end")


def test_maintenance_ends_where_the_other_instance_fails_meanwhile_and_is_not_set_again(case):
    mesh = Mesh(case, consul, checks=rarely, count=2, behaviour=slow, calls=False)
    other = mesh.databases[1]
    for _ in range(8):  # some of them are the draining one's
        asked(case, mesh, b"w99.")
    mesh.db.terminate()
    check.within(mesh.db.in_maintenance, "maintenance is set", slowness())
    path = f"/v1/agent/service/maintenance/{other.sidecar_id}?enable="
    consul.put(path + "true")
    check.within(lambda: not mesh.db.in_maintenance(), "it ends", slowness())
    consul.put(path + "false")
    check.within(other.passing, "the other is back", 2)
    check.stays(lambda: not mesh.db.in_maintenance(), "it is not set again", 1.5)


def test_two_that_drain_together_do_not_both_leave(case):
    mesh = Mesh(case, consul, checks=rarely, count=2, behaviour=slow, calls=False)
    for _ in range(8):
        asked(case, mesh, b"w99.")
    check.true(all(app.count() for app in mesh.apps), "both have an exchange under way")
    for instance in mesh.databases:
        instance.terminate()
    check.within(lambda: all("draining" in i.process.stderr() for i in mesh.databases), "both drain", 2 * slowness())
    settled = now() + slowness()
    check.within(lambda: now() > settled, "both have asked the agent", 2 * slowness())
    check.stays(lambda: any(i.passing() for i in mesh.databases), "one of them is in the catalog", 1.0)


def test_a_silent_agent_leaves_it_in_the_catalog_and_does_not_hold_up_the_exit(case):
    own = Consul(case)
    mesh = Mesh(case, own, checks=rarely, count=2, calls=False)
    own.pause()
    drained(mesh.db, mesh.db.terminate(), DRAINED + 1)
    own.resume()
    check.stays(lambda: not mesh.db.in_maintenance(), "no maintenance is left", 0.5)


def test_maintenance_that_a_kill_left_is_undone_by_the_next_start(case):
    mesh = Mesh(case, consul, checks=rarely, count=2, behaviour=slow, calls=False)
    mesh.db.terminate()
    check.within(mesh.db.in_maintenance, "maintenance is set", slowness())
    mesh.db.kill()
    check.true(mesh.db.in_maintenance(), "it is left")
    mesh.db.start()
    check.within(lambda: not mesh.db.in_maintenance(), "it is undone", 5 * slowness())
    mesh.db.wait_passing()


def test_a_later_sigterm_ends_at_once_and_leaves_no_maintenance(case):
    mesh = Mesh(case, consul, checks=rarely, count=2, behaviour=slow, calls=False)
    for _ in range(4):  # some of them are the draining one's
        asked(case, mesh, b"w99.")
    started = mesh.db.terminate()
    check.within(mesh.db.in_maintenance, "maintenance is set", slowness())
    check.within(lambda: now() > started + 1.2, "more than a second later", 2)
    again = mesh.db.terminate()
    check.below(mesh.db.wait_exit() - again, 1.5 * slowness(), "seconds from the second SIGTERM to the end")
    check.true(not mesh.db.in_maintenance(), "maintenance is undone")
