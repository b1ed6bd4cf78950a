"""A sidecar that is restarted, stopped or replaced by `consul connect proxy`: who is served meanwhile.
tests/field/restart measures the same at length, with the agent's default checks."""

from field.restarts import DRAINED, Mesh, often, rarely
from lib import apps, check
from lib.case import now, slowness
from lib.consul import Consul

EXPECTED_SECONDS = 40
GOAL = 0.5  # seconds for which nobody may be unserved


def setup_module(case):
    global consul
    consul = Consul(case)


def restarted(case, side, other):
    kinds = {"inbound": other, "outbound": other, side: "mooring"}
    mesh = Mesh(case, consul, **kinds, checks=rarely)
    for _ in range(case.scale(1, 10)):
        mesh.steady()
        record = mesh.restart(mesh.side(side))
        # What kept the test itself from calling is no fault of a sidecar.
        check.below(record.unserved - record.stalled, GOAL * slowness(), f"seconds without service; {record}")
        check.below(record.exit, DRAINED * slowness(), f"seconds from SIGTERM to the end; {record}")
        check.equal(record.ended, {"eof": 6}, f"ends of the pooled sessions; {record}")
        check.equal((record.maintenance, record.maintenance_left), (False, False), f"maintenance; {record}")


def test_one_instance_whose_inbound_sidecar_is_restarted_is_unserved_for_less_than_half_a_second(case):
    restarted(case, "inbound", "mooring")


def test_one_instance_whose_inbound_sidecar_is_restarted_under_callers_of_consuls_proxy(case):
    restarted(case, "inbound", "go")


def test_an_app_whose_outbound_sidecar_is_restarted_is_unserved_for_less_than_half_a_second(case):
    restarted(case, "outbound", "mooring")


def two_instances(case, caller):
    mesh = Mesh(case, consul, outbound=caller, count=2, checks=often)
    for number in range(case.scale(1, 5)):
        for away in (0.0, 2.0):
            mesh.steady()
            record = mesh.restart(mesh.databases[number % 2], away=away)
            check.equal(record.unexcused, 0, f"failed calls of {record.calls}, stopped for {away:g} s; {record}")
            check.true(record.maintenance, f"callers were sent to the other; {record}")
            check.true(not record.maintenance_left, f"maintenance is undone before the process ends; {record}")


def test_two_instances_restart_and_stop_fail_no_call_through_mooring(case):
    two_instances(case, "mooring")


def test_two_instances_restart_and_stop_fail_no_call_through_consuls_proxy(case):
    two_instances(case, "go")


def kill_in_drain(instance):
    moment = instance.terminate()
    check.within(lambda: now() > moment + 0.4, "the middle of the drain", 1)
    return instance.kill()


def replaced(case, end=None):
    mesh = Mesh(case, consul, checks=rarely)
    for kind in ("go", "mooring"):
        mesh.steady()
        record = mesh.restart(mesh.db, kind, end=end if kind == "go" else None)
        check.below(record.served_after, GOAL * slowness(), f"seconds until {kind} serves; {record}")
        check.true(not mesh.db.in_maintenance() and mesh.db.passing(), f"the agent's checks: {mesh.db.checks()}")
        check.equal(mesh.web.process.running() and apps.ping(mesh.address), True, "a call goes through")


def test_consuls_proxy_in_moorings_place_and_back_serves_at_once(case):
    replaced(case)


def test_consuls_proxy_serves_at_once_where_mooring_was_killed_in_its_drain(case):
    replaced(case, kill_in_drain)
