"""The agent answers errors, refuses, or its indexes lead nowhere (rows 6 to 9)."""

import re
import time

from faults.answers import AUTHORIZE, EVIL, LEAF, MATCH, asked_since, meets, start, still, watched
from faults.subject import CALLER, SERVICE, UPSTREAM, Subject
from lib import check
from lib.agent import intention
from lib.case import now, slowness
from lib.consul import Consul

EXPECTED_SECONDS = 40


# Row 6.


def test_row_06_500(case):
    api, subject = start(case)
    started = now()
    api.fault("*", status=500, body=b"rpc error making call: no cluster leader")
    while now() - started < 2:
        still(subject)
        time.sleep(0.2)
    if subject.is_mooring:
        for pattern in watched():
            times = asked_since(api, pattern, started)
            # Pauses grow from between 1/8 and 1/4 of a second on: at most 5 tries in these 2 seconds.
            check.true(2 <= len(times) <= 6, f"{len(times)} requests for {pattern} in 2 s")
    api.lift()
    subject.renews()
    still(subject)


def test_row_06_429_says_when_to_come_back(case):
    api, subject = start(case)
    faults = meets(api, watched(), count=2, status=429, body=b"slow down", headers={"Retry-After": "1"})
    for pattern, one in zip(watched(), faults):
        at = [r.at for r in api.asked(pattern)][-one.met:]
        # The first bad answer may have belonged to a query that had been waiting.
        check.true(at[-1] - max(at[-2], one.since) > 0.9, f"{pattern}: asked again after {at[-1] - at[-2]:.1f} s")
    still(subject)
    api.lift()
    subject.renews()


def test_row_06_429_that_asks_for_an_hour_is_obeyed_for_ten_seconds(case):
    api, subject = start(case)
    meets(api, watched(), status=429, body=b"slow down", headers={"Retry-After": "3600"})
    still(subject)
    api.lift()
    subject.renews(11)


# Row 7: a refusal is not an outage, and it is said.


SECRET = "5ec2e7aa-0000-4000-8000-5ec2e7aa5ec2"


def loud(subject, watch, needs):
    """loud asserts the one ERROR line about a refused document: with what is missing, without the secret."""
    if not subject.is_mooring:
        return
    line = subject.wait_log(rf"\[ERROR\].*agent refuses.*watch={watch}.*").group(0)
    check.true(re.search(needs, line), f"the line names the permission {needs}: {line}")
    check.true("token=" in line, f"the line names the token: {line}")
    time.sleep(1)
    lines = [one for one in subject.program.lines("ERROR") if "agent refuses" in one and f"watch={watch}" in one]
    check.equal(len(lines), 1, f"lines about {watch} after some tries")


def test_row_07_403_on_the_leaf(case):
    api, subject = start(case, token=SECRET)
    meets(api, [LEAF], count=3 if subject.is_mooring else 1, status=403, body=b"Permission denied")
    still(subject)
    loud(subject, "leaf", "service:write")
    check.true(SECRET not in subject.process.log(), "the token is not in the log")
    api.lift()
    subject.renews()


def test_row_07_403_on_the_intentions(case):
    api, subject = start(case, token=SECRET)
    faults = [api.fault(p, status=403, body=b"Permission denied") for p in ("*/intentions*", AUTHORIZE)]
    if subject.is_mooring:
        check.within(lambda: faults[0].met >= 3, "three refused tries", 10 * slowness())
    still(subject)
    loud(subject, "intentions", "(intention|service):read")
    check.true(SECRET not in subject.process.log(), "the token is not in the log")
    api.lift()
    api.set_intentions(intention(EVIL, SERVICE, "deny"), intention(CALLER, SERVICE, "deny"))
    check.within(subject.refused_inbound, "a new deny counts", 10 * slowness(), step=0.05)


def test_row_07_the_token_is_deleted(case):
    consul = Consul(case, acl="deny")
    token, accessor = consul.service_token(SERVICE)
    consul.intention(CALLER, SERVICE, "allow")
    subject = Subject.real(case, consul, token=token)
    held = subject.hold()
    consul.delete_token(accessor)
    # Queries that were waiting stay so; the agent's restart would end them, as this change does.
    consul.intention("another", SERVICE, "deny")
    if subject.is_mooring:
        line = subject.wait_log(r"\[ERROR\].*agent refuses.*").group(0)
        check.true("ACL not found" in line or "does not know" in line, f"why: {line}")
    subject.works()
    held.works()
    check.true(token not in subject.process.log(), "the token is not in the log")


# Rows 8 and 9.


def test_row_08_an_index_that_goes_backwards(case):
    api, subject = start(case)
    for index in ("9", "5", "1"):
        meets(api, watched(), headers={"X-Consul-Index": index})
        still(subject)
        api.lift()
        subject.renews()


def starts_again_at_index_2(case, leave, come_back):
    """The agent's indexes are at 40 and begin anew. Asked for more than 40 it would wait, as Consul does."""
    api, subject = start(case)
    for _ in range(30):
        api.touch("roots", f"leaf/{SERVICE}", "intentions", f"health/{UPSTREAM}")
    subject.renews()
    leave(api, subject)
    api.rewind()
    api.set_intentions(intention(EVIL, SERVICE, "deny"), intention(CALLER, SERVICE, "deny"))
    come_back(api)
    check.within(subject.refused_inbound, "what changed meanwhile counts", 10 * slowness(), step=0.05)
    api.set_intentions(intention(EVIL, SERVICE, "deny"))
    check.within(subject.inbound_works, "and what changes then", 10 * slowness(), step=0.05)
    subject.held.clear()
    subject.renews()


def test_row_08_an_agent_that_comes_back_with_lower_indexes(case):
    def leave(api, subject):
        api.stop()
        if subject.is_mooring:
            for name in ("roots", "leaf", "intentions"):
                check.within(lambda n=name: subject.watch(n)["errors"], f"{name}: a failure", 5 * slowness())

    starts_again_at_index_2(case, leave, lambda api: api.start())


def test_row_08_connections_that_drop_and_indexes_that_start_again(case):
    """As behind a balancer that moves to another agent: no connection is ever refused."""
    starts_again_at_index_2(case, lambda api, subject: None, lambda api: api.hang_up())


def useless_index(case, headers):
    """No query blocks, no index says anything: one request a second for each document, and news arrive."""
    api, subject = start(case)
    api.fault("*", headers=headers)
    started = now()
    while now() - started < 1.5:
        still(subject)
        time.sleep(0.2)
    seconds = now() - started
    for pattern in watched():
        count = len(asked_since(api, pattern, started))
        # Intentions may be looked at every half second; 4 requests may come at once, by the rate's burst.
        most = (2 if pattern == MATCH else 1) * seconds + 5
        check.true(count <= most, f"{count} requests for {pattern} in {seconds:.1f} s")
    subject.renews(3)
    if subject.is_mooring:
        api.set_intentions(intention(EVIL, SERVICE, "deny"), intention(CALLER, SERVICE, "deny"))
        check.within(subject.refused_inbound, "a new deny counts", 1.5 * slowness(), step=0.02)


def test_row_09_an_index_of_zero(case):
    useless_index(case, {"X-Consul-Index": "0"})


def test_row_09_no_index(case):
    useless_index(case, {"X-Consul-Index": None})


def test_row_09_an_index_that_never_moves(case):
    useless_index(case, {"X-Consul-Index": "7"})


def test_row_09_an_index_that_is_no_number(case):
    useless_index(case, {"X-Consul-Index": "18446744073709551616"})
