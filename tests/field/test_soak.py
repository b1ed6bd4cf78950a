"""A short soak: streams both ways through all that is changed while a sidecar lives. tests/soak/run is the long one."""

from lib import check
from lib.crowd import say
from soak.course import Soak

EXPECTED_SECONDS = 30


def test_no_byte_is_lost_through_reloads_rotations_agent_restarts_and_upgrades(case):
    soak = Soak(case, seconds=case.scale(15.0, 300.0), churn=10.0, rate=case.scale(30.0, 100.0), at_once=case.scale(20, 40), say=say)
    soak.run()
    wrong, _ = soak.verdict()
    check.equal(wrong, [], f"what a soak must not do: {soak.total}")
    check.true(all(soak.done.values()), f"each kind of change was made: {soak.done}")
    check.true(soak.total.whole > 100, f"streams: {soak.total}")


test_no_byte_is_lost_through_reloads_rotations_agent_restarts_and_upgrades.limit = 900
