"""The agent is killed, hangs, is slow, or comes back as another one (rows 1 to 3, 18, 19, 21)."""

import re

from faults.subject import CALLER, SERVICE, UPSTREAM, Subject, only_mooring
from lib import agent as scripted
from lib import check
from lib.case import now, slowness
from lib.consul import Consul
from lib.mooring import Mooring, run
from lib.names import Machine, name

EXPECTED_SECONDS = 45
AGENT = name("agent")
RETURN = 10.0  # seconds from the agent's first answer to fresh state


def goes_on(subject, traffic, held):
    """goes_on asserts that connections of every age work, and none of them waits for the agent."""
    traffic.more(8, 20)
    traffic.stop()
    held.works()
    subject.hold()
    check.true(traffic.slowest < 1.0 * slowness(), f"the slowest new connection took {traffic.slowest:.2f} s")


def fresh_within(subject, consul, seconds=RETURN):
    """fresh_within asserts that what is written to a Consul now counts: a deny, and its end."""
    deadline = now() + seconds * slowness()
    consul.intention(CALLER, SERVICE, "deny")
    check.within(subject.refused_inbound, "a new deny counts", max(0.1, deadline - now()), step=0.05)
    consul.delete_intention(CALLER, SERVICE)
    check.within(subject.inbound_works, "its end counts", 10 * slowness(), step=0.05)
    if subject.is_mooring:
        def all_fresh():
            watches = subject.status()["watches"]
            late = [w["name"] for w in watches if w["state"] == "retrying" or w["source"] != "agent"]
            check.equal(late, [], "watches without a fresh answer")
            return True

        check.within(all_fresh, "every document is fresh", max(0.1, deadline - now()), step=0.05)


def test_row_01_agent_killed(case):
    consul = Consul(case)
    subject = Subject.real(case, consul)
    held, traffic = subject.hold(), subject.traffic()
    consul.kill()
    if subject.is_mooring:
        subject.wait_log("watch failed")
    goes_on(subject, traffic, held)
    if subject.is_mooring:
        check.equal(subject.program.admin("/ready")[0], 200, "/ready during the outage")


def test_row_02_agent_stopped(case):
    consul = Consul(case)
    subject = Subject.real(case, consul)
    held, traffic = subject.hold(), subject.traffic()
    consul.pause()
    goes_on(subject, traffic, held)
    consul.resume()
    fresh_within(subject, consul)


def slow(case, delay):
    api = scripted.Agent(case)
    subject = Subject.scripted(case, api)
    held = subject.hold()
    api.fault("*", delay=delay)
    goes_on(subject, subject.traffic(), held)
    api.lift()


def test_a_question_that_the_agent_owes_an_answer_to_is_not_ok(case):
    only_mooring("it has no status")
    api = scripted.Agent(case)
    api.fault("/v1/agent/connect/ca/leaf/*", hang=True)
    proxy = Mooring.connect_proxy(case, "-http-addr", api.address, "-service", SERVICE, "-upstream",
                                  f"{UPSTREAM}:127.0.0.1:0", ready=False)

    def leaf():
        [watch] = [one for one in proxy.status()["watches"] if one["name"] == "leaf"]
        check.equal(watch["state"], "unanswered", "state of the leaf's watch")
        return watch

    watch = check.within(leaf, "the question about the leaf is overdue", 9 * slowness())
    check.true(watch["unanswered_seconds"] >= 2, f"seconds since it was asked: {watch['unanswered_seconds']}")
    code, table, _ = run("status", "-admin-addr", "%s:%s" % proxy.listener("admin"))
    check.equal(code, 0, "exit code of mooring status")
    check.true(re.search(r"^leaf +unanswered for \d+(\.\d)?s ", table, re.MULTILINE), f"the table:\n{table}")


def test_row_03_agent_slow_by_1_s(case):
    slow(case, 1)


def test_row_03_agent_slow_by_5_s(case):
    slow(case, 5)


def test_row_03_agent_slow_and_its_news_still_arrive(case):
    api = scripted.Agent(case)
    subject = Subject.scripted(case, api)
    api.fault("*/ca/*", delay=1)
    before = subject.serial()
    api.rotate_leaf(SERVICE)
    check.within(lambda: subject.serial() != before, "the new leaf arrives", 10 * slowness(), step=0.05)


def comes_back_as_another(case):
    """A development agent keeps nothing: started again it has a new CA, a new trust domain, no services."""
    consul = Consul(case)
    subject = Subject.real(case, consul, register=True)
    held = subject.hold()
    old, domain = subject.web, consul.trust_domain
    consul.restart()
    back = now()
    check.true(consul.trust_domain != domain, "the agent has another trust domain")
    consul.register_proxy(UPSTREAM, subject.far.port)
    subject.refresh_peers()
    return consul, subject, held, old, back


def left(back):
    return max(0.1, back + RETURN * slowness() - now())


def test_row_18_trust_domain_changed(case):
    _, subject, held, old, back = comes_back_as_another(case)
    check.within(subject.inbound_works, "callers of the new trust domain come in", left(back), step=0.05)
    subject.refused_inbound(old)
    held.cut_within(1)
    if subject.is_mooring:
        subject.program.wait_closed("inbound", {"root_removed", "foreign_trust_domain"})
        subject.program.wait_closed("outbound", {"root_removed", "foreign_trust_domain"})


def test_row_19_agent_back_with_its_state(case):
    consul = Consul(case, keep_state=True)
    subject = Subject.real(case, consul)
    held = subject.hold()
    consul.kill()
    traffic = subject.traffic()
    traffic.more(4, 20)
    consul.start()
    traffic.stop()
    held.works()
    subject.held.clear()  # the deny that follows is to close the caller's connection
    fresh_within(subject, consul)
    subject.works()


def test_row_19_a_server_that_reads_its_log_lets_nobody_in_whom_it_denied(case):
    """A leader of 1.8.7 answers before it has read its whole log: without the deny entries that stand late in it."""
    only_mooring("it asks the agent each time")
    consul = Consul(case, keep_state=True)
    consul.fill_log(150)
    for number in range(20):
        consul.intention(CALLER if number == 19 else f"other-{number}", SERVICE, "deny")
    consul.fill_log(150)
    subject = Subject.real(case, consul, register=False, ready=False)
    subject.wait_log("intentions taken up: count=20")
    for back in range(2):
        known = len(re.findall("intentions taken up", subject.process.log()))
        before = subject.watch("intentions")["updates"]
        consul.restart()
        while subject.watch("intentions")["updates"] == before or subject.watch("intentions")["state"] != "ok":
            subject.refused_inbound()
        check.equal(len(re.findall("intentions taken up", subject.process.log())), known,
                    f"lists of intentions that differ, at return {back + 1}")


def test_row_19_agent_back_with_lost_state(case):
    consul, subject, _, _, back = comes_back_as_another(case)
    check.within(subject.works_new, "new connections both ways", left(back), step=0.05)
    check.within(lambda: consul.instances(SERVICE), "the registration is repeated", left(back), step=0.05)
    subject.held.clear()
    fresh_within(subject, consul)


def test_row_19_agent_back_after_long_backoff(case):
    api = scripted.Agent(case)
    subject = Subject.scripted(case, api)
    api.stop()
    # Long enough for the pauses between the tries to grow.
    if subject.is_mooring:
        check.within(lambda: all(subject.watch(name)["errors"] >= 4 for name in ("leaf", "roots")),
                     "four tries for leaf and roots failed", 20 * slowness(), step=0.05)
    else:
        check.stays(lambda: True, "the outage", 6)
    api.start()
    subject.renews(RETURN)


def named(case, delay=0.0, **options):
    """A subject that reaches its agent by a name, whose resolution the test controls."""
    names = Machine(case).server
    names.answers[AGENT], names.delays[AGENT] = ["127.0.0.1"], delay
    api = scripted.Agent(case)
    api.address = f"{AGENT}:{api.port}"
    return api, names, Subject.scripted(case, api, **options)


def away(api, names, answer, delay=0.0):
    """The agent goes and comes back while its name is hard to resolve."""
    names.answers[AGENT], names.delays[AGENT] = answer, delay
    api.stop()
    api.start()


def back(names):
    names.answers[AGENT], names.delays[AGENT] = ["127.0.0.1"], 0


def test_row_21_agent_name_resolves_slowly(case):
    api, names, subject = named(case)
    held = subject.hold()
    away(api, names, ["127.0.0.1"], delay=4)
    traffic = subject.traffic()
    started = now()
    while subject.is_mooring and now() - started < 2:
        looked = now()
        subject.status()
        check.below(now() - looked, 1.0 * slowness(), "seconds that /status took")
    goes_on(subject, traffic, held)
    back(names)
    subject.renews(RETURN)


def test_row_21_agent_name_does_not_resolve(case):
    """The agent is where it was: a name that fails keeps what it had. Consul's proxy waits for the name."""
    api, names, subject = named(case)
    held = subject.hold()
    for answer in ("none", "again", "silent"):
        away(api, names, answer)
        goes_on(subject, subject.traffic(), held)
        if not subject.is_mooring:
            back(names)
        subject.renews(RETURN)


def test_row_21_agent_name_resolves_to_a_wrong_address(case):
    api, names, subject = named(case)
    held = subject.hold()
    away(api, names, ["127.0.0.9"])
    if subject.is_mooring:
        subject.wait_log("watch failed")
    goes_on(subject, subject.traffic(), held)
    back(names)
    subject.renews(RETURN)


def test_row_21_agent_name_that_is_slow_at_the_start(case):
    only_mooring("it has no /status")
    api, _, other = named(case, delay=0.7, ready=False)
    other.program.wait_log("listener open.*admin")
    looked = now()
    other.status()
    check.below(now() - looked, 1.0 * slowness(), "seconds that /status took while the name was asked for")
    check.within(other.works, "it serves once the name is known", RETURN * slowness(), step=0.05)
