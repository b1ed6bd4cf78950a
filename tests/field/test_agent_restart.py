"""An agent that has just started lists every check as critical until it has run: who was there before is tried meanwhile."""

import time

from faults.peers import FarService
from field.service import Instance, tcp_check
from lib import agent as scripted
from lib import apps, check
from lib.case import now, slowness
from lib.consul import Consul
from lib.mooring import Mooring

EXPECTED_SECONDS = 30
NOT_RUN = {"Status": "critical", "Output": "", "Type": "tcp", "Interval": "2s"}
PASSING = {"Status": "passing", "Output": "TCP connect: Success", "Type": "tcp", "Interval": "2s"}
FAILED = {"Status": "critical", "Output": "dial tcp: connection refused", "Type": "tcp", "Interval": "2s"}
ALIAS = {"Status": "critical", "Output": "Service db-1 check is failing", "Type": "alias"}
MAINTENANCE = {"CheckID": "_service_maintenance:db", "Status": "critical", "Output": "", "Type": "maintenance"}


class Restarted:
    """A sidecar that calls db of a scripted agent, whose checks the test sets."""

    def __init__(self, case, *flags):
        self.case, self.api = case, scripted.Agent(case)
        self.far = FarService(case, self.api.authority.leaf("db"), self.api.authority.pem)
        self.api.set_instances("db", self.far.address)
        self.api.set_checks("db", PASSING)
        self.mooring = Mooring.connect_proxy(case, "-http-addr", self.api.address, "-service", "web", "-upstream",
                                             "db:127.0.0.1:0", *flags)
        self.address = self.mooring.upstream("db")
        self.serves()

    def serves(self):
        apps.echo_works(self.case, self.address)
        return True

    def endpoints(self):
        return self.mooring.status()["upstreams"][0]["endpoints"]

    def out(self):
        return not self.endpoints()


def test_an_instance_whose_checks_have_not_run_is_tried_for_an_interval_and_a_bit(case):
    restarted = Restarted(case)
    started = now()
    restarted.api.set_checks("db", NOT_RUN, {**ALIAS, "Output": ""})
    while now() < started + 4:
        restarted.serves()
    check.within(restarted.out, "its time ends", 2 * slowness())
    check.true(now() >= started + 4.9, f"after {now() - started:.2f} s, an interval of 2 s and 3 s more")
    restarted.api.set_checks("db", PASSING)
    check.within(lambda: not restarted.out(), "it is back", 2 * slowness())


def test_a_check_that_runs_and_passes_loses_no_call(case):
    restarted = Restarted(case)
    restarted.api.set_checks("db", NOT_RUN, ALIAS)
    for _ in range(5):
        restarted.serves()
    restarted.api.set_checks("db", PASSING)
    check.stays(restarted.serves, "calls", 5.5)


def test_a_verdict_maintenance_and_removal_count_at_once(case):
    restarted = Restarted(case)
    for checks in ([FAILED], [NOT_RUN, FAILED], [MAINTENANCE], [NOT_RUN, MAINTENANCE]):
        restarted.api.set_checks("db", *checks)
        check.within(restarted.out, f"out by {checks}", slowness())
        # It has lost its trust: a check that has not run does not bring it back.
        restarted.api.set_checks("db", NOT_RUN)
        check.stays(restarted.out, "still out", 0.3)
        restarted.api.set_checks("db", PASSING)
        check.within(lambda: not restarted.out(), "it is back", 2 * slowness())
    restarted.api.set_instances("db")
    check.within(restarted.out, "out by its removal", slowness())


def test_an_instance_that_was_never_passing_is_not_tried(case):
    restarted = Restarted(case)
    other = FarService(case, restarted.api.authority.leaf("db"), restarted.api.authority.pem)
    restarted.api.set_instances("db", restarted.far.address, other.address)
    restarted.api.set_checks("db", NOT_RUN)
    check.stays(lambda: len(restarted.endpoints()) <= 1, "only the one known before", 0.5)
    restarted.serves()


def test_a_warning_is_a_verdict_where_only_passing_instances_are_wanted(case):
    restarted = Restarted(case, "-passing-only")
    restarted.api.set_checks("db", {**PASSING, "Status": "warning"})
    check.within(restarted.out, "out", slowness())


def test_half_a_list_of_a_server_that_has_just_started_is_not_believed(case):
    """It has read the beginning of its log, where there was but one of the two."""
    restarted = Restarted(case)
    api, second = restarted.api, FarService(case, restarted.api.authority.leaf("db"), restarted.api.authority.pem)
    api.set_instances("db", restarted.far.address, second.address)
    for _ in range(30):
        api.touch("health/db")
    watch = lambda: next(one for one in restarted.mooring.status()["watches"] if one["name"] == "upstream:db")  # noqa: E731
    check.within(lambda: len(restarted.endpoints()) == 2 and watch()["index"] >= 30, "both are listed", 5 * slowness())
    api.stop()
    api.rewind()
    api.leader = ""
    api.set_instances("db", restarted.far.address)
    before = watch()["errors"]
    api.start()
    check.within(lambda: watch()["errors"] >= before + 3, "the short list is met", 10 * slowness())
    check.equal(len(restarted.endpoints()), 2, "endpoints meanwhile")
    restarted.serves()
    api.leader = scripted.LEADER
    check.within(lambda: len(restarted.endpoints()) == 1, "it stays so, and counts then", 10 * slowness())


def test_a_real_agent_that_is_restarted_costs_no_call(case):
    consul = Consul(case, keep_state=True)
    app = apps.App(case, apps.echo)
    db = Instance(case, consul, "db", app=app, checks=lambda port: [tcp_check(port)])
    db.start()
    outbound = Mooring.connect_proxy(case, "-http-addr", consul.address, "-service", "web", "-upstream", "db:127.0.0.1:0")
    address = outbound.upstream("db")
    check.within(lambda: apps.ping(address), "it serves", 20 * slowness())
    consul.restart()
    started, failed, made = now(), 0, 0
    while now() < started + 14:
        made += 1
        failed += not apps.ping(address)
        time.sleep(0.02)
    check.equal(failed, 0, f"failed calls of {made}")
