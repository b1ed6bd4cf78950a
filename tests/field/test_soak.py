"""A short soak: streams both ways through all that is changed while a sidecar lives. tests/soak/run is the long one."""

from random import Random

from lib import check
from lib.crowd import say
from soak.course import LEFT_BYTES, Line, Soak, without

EXPECTED_SECONDS = 30


def test_no_byte_is_lost_through_reloads_rotations_agent_restarts_and_upgrades(case):
    soak = Soak(case, seconds=case.scale(15.0, 300.0), churn=10.0, rate=case.scale(30.0, 100.0), at_once=case.scale(20, 40), say=say)
    soak.run()
    wrong, _ = soak.verdict()
    check.equal(wrong, [], f"what a soak must not do: {soak.total}")
    check.true(soak.total.whole > 100, f"streams: {soak.total}")


test_no_byte_is_lost_through_reloads_rotations_agent_restarts_and_upgrades.limit = 900


def judged(memory, seconds=60, rate=100, opened=lambda second: 200):
    """judged is the growth that is sure, in bytes a stream, of a process whose memory is such at each half second."""
    random, samples, files = Random(22), [], []
    for half in range(2 * seconds):
        begun, streams = half * rate // 2, opened(half / 2) + random.randrange(-20, 20)
        files.append(4 * streams)
        samples.append((begun, 40e6 + 2000 * streams + memory(begun, half / 2) + random.gauss(0, 30e3) // 4096 * 4096))
    return Line.through(without(samples, files)).least


def test_a_leak_is_told_from_a_step_and_from_more_streams_at_once(case):
    for at in (10, 30, 50):
        check.below(judged(lambda begun, second: (1 << 20) * (second > at)), LEFT_BYTES, f"growth by a step after {at} s")
    check.below(judged(lambda *_: 0, opened=lambda second: 200 + 10 * second), LEFT_BYTES, "by streams that become more")
    check.below(judged(lambda *_: 0), LEFT_BYTES, "by none")
    for leak in (128, 512, 4096):
        check.true(judged(lambda begun, _: leak * begun) > LEFT_BYTES, f"a leak of {leak} bytes a stream is found")
        check.true(judged(lambda begun, _: leak * begun, opened=lambda second: 300 - second) > LEFT_BYTES,
                   f"a leak of {leak} bytes a stream is found while streams become fewer")
