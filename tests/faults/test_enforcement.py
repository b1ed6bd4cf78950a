"""Intentions that change while connections are open (rows 54 to 57): what is forbidden is cut, in time."""

import threading
import time

from faults.subject import SERVICE, Subject, only_mooring
from lib import agent as scripted
from lib import certs, check, tlspeer
from lib.case import now, slowness
from lib.consul import Consul

EXPECTED_SECONDS = 35


def deny(source="web", destination=SERVICE):
    return scripted.intention(source, destination, "deny")


def allow(source="web", destination=SERVICE, **fields):
    return scripted.intention(source, destination, "allow", **fields)


def admitted(subject, identity=None):
    """admitted tells whether a new call gets its echo now. One that is not must end without a byte, soon."""
    peer = None
    try:
        peer = subject.caller(identity)
        data = peer.send(b"ping").receive(4)
        if data == b"ping":
            return True
        check.equal(data, b"", "bytes of a call that is not served")
        check.true(peer.ended_within(3), "a call that is not served is ended")
        return False
    except (OSError, tlspeer.Refused):
        return False
    finally:
        if peer:
            peer.close()


def refused_without_a_dial(subject, what, identity=None):
    """refused_without_a_dial asserts that a new call is refused, and that the application does not hear of it. (The
    Go proxy dials it before it decides.)"""
    count = subject.app.count()
    check.true(not admitted(subject, identity), what)
    if subject.is_mooring:
        check.equal(subject.app.count(), count, f"connections at the application: {what}")


def becomes_admitted(subject, seconds, identity=None, what="a new call is let in"):
    check.within(lambda: admitted(subject, identity), what, seconds)


def becomes_refused(subject, seconds, identity=None, what="a new call is refused"):
    check.within(lambda: not admitted(subject, identity), what, seconds)


class Connection:
    """One open call at the public listener: the caller's end, and what the application has of it."""

    def __init__(self, subject, identity=None, tls=None):
        self.app = subject.app
        before = self.app.count()
        self.peer = tlspeer.connect(subject.case, subject.public, identity or subject.web, subject.roots, tls)
        self.peer.handshake()
        self.works()
        self.seen = self.app.connection(before)

    def works(self):
        check.equal(self.peer.send(b"still").receive(5), b"still", "echo on a connection held open")
        return True

    def cut_by(self, deadline, how=("alert", "reset")):
        """cut_by asserts that both ends of it are over at that time, the caller's not as by a clean close."""
        self.peer.limit = max(0.05, deadline - now())
        data, end = self.peer.drain()
        check.equal(data, b"", "bytes after the last echo")
        check.one_of(end, how, "the end of the caller's connection")
        self.app.wait(lambda: self.seen.end, "the end at the application", max(0.05, deadline - now()) / slowness())


def denied_while_open(case, subject, write, erase, seconds):
    """denied_while_open holds calls in both TLS versions, denies web by write() and lets it in by erase()."""
    held = [Connection(subject, tls=tls) for tls in ("1.2", "1.3", "1.3")]
    neighbour = Connection(subject, subject._identity("other"))
    outbound = subject.hold(inbound=False)
    started = now()
    write()
    ends = ("alert", "reset") if subject.is_mooring else ("alert", "reset", "notify", "truncated")
    for one in held:
        one.cut_by(started + seconds * slowness(), ends)
    neighbour.works()
    outbound.works()
    refused_without_a_dial(subject, "a new call is refused")
    if subject.is_mooring:
        check.equal(subject.closed("inbound", "revoked"), 3, "connections closed as revoked")
    started = now()
    erase()
    becomes_admitted(subject, started + seconds * slowness() - now())
    neighbour.works()


def test_row_54_a_deny_on_a_real_consul_cuts_live_calls_within_a_second(case):
    consul = Consul(case)
    subject = Subject.real(case, consul)
    denied_while_open(case, subject, lambda: consul.intention("web", SERVICE, "deny"),
                      lambda: consul.delete_intention("web", SERVICE), 1.0)


def test_row_54_a_deny_on_a_newer_agent_cuts_live_calls_within_a_second(case):
    api = scripted.Agent(case)
    subject = Subject.scripted(case, api)
    denied_while_open(case, subject, lambda: api.set_intentions(deny()), api.set_intentions, 1.0)


def test_row_54_a_deny_that_cannot_be_waited_for_cuts_within_a_second_and_a_half(case):
    only_mooring("the Go proxy asks the agent about each connection and watches no intentions")
    api = scripted.Agent(case, modern=False)
    api.fault("/v1/connect/intentions", status=403, body=b"Permission denied")
    subject = Subject.scripted(case, api)
    denied_while_open(case, subject, lambda: api.set_intentions(deny()), api.set_intentions, 1.5)
    # Twice a second, and not more: the agent serves others, too.
    asked = len(api.asked("/v1/connect/intentions/match"))
    started = now()
    api.wait_asked("/v1/connect/intentions/match", asked + 3)
    check.true(now() - started > 0.8, f"three polls took {now() - started:.2f} s")


def test_row_54_wildcard_denies_cut_whom_no_narrower_intention_allows(case):
    api = scripted.Agent(case)
    subject = Subject.scripted(case, api)
    other = subject._identity("other")
    for title, rule in (("* => db", deny("*", SERVICE)), ("* => *", deny("*", "*"))):
        web, stranger = Connection(subject), Connection(subject, other)
        started = now()
        api.set_intentions(rule, allow())
        stranger.cut_by(started + slowness(), ("alert", "reset", "notify", "truncated"))
        web.works()
        check.true(not admitted(subject, other), f"{title}: a new call of another is refused")
        check.true(admitted(subject), f"{title}: a new call of web is let in")
        api.set_intentions()
        becomes_admitted(subject, slowness(), other, f"{title} deleted")
    web = Connection(subject)
    started = now()
    api.set_intentions(deny("web", "*"))
    web.cut_by(started + slowness(), ("alert", "reset", "notify", "truncated"))


def test_row_54_on_revoke_keep_leaves_live_calls_and_refuses_new_ones(case):
    only_mooring("no such setting there")
    api = scripted.Agent(case)
    subject = Subject.scripted(case, api, flags=["-on-revoke", "keep"])
    held = Connection(subject)
    api.set_intentions(deny())
    becomes_refused(subject, slowness())
    subject.program.wait_closed("inbound", "denied", seconds=1)
    # Longer than a cut would take.
    check.stays(held.works, "the live call", 1.2)
    check.within(lambda: subject.program.active("inbound") == 1, "only the live call is left", slowness())


def test_row_54_a_grace_time_lets_live_calls_end_by_themselves(case):
    only_mooring("no such setting there")
    api = scripted.Agent(case)
    subject = Subject.scripted(case, api, flags=["-revoke-grace", "2s"])
    held = Connection(subject)
    started = now()
    api.set_intentions(deny())
    becomes_refused(subject, slowness(), what="new calls are refused at once")
    before = subject.closed("inbound", "revoked")  # a call that was being dialled may count as such
    while now() < started + 1.7:
        held.works()
        time.sleep(0.05)
    held.cut_by(started + 3 * slowness())
    check.equal(subject.closed("inbound", "revoked"), before + 1, "connections closed as revoked")


def test_row_54_a_deny_taken_back_within_the_grace_time_cuts_nobody(case):
    only_mooring("no such setting there")
    api = scripted.Agent(case)
    subject = Subject.scripted(case, api, flags=["-revoke-grace", "1s"])
    held = Connection(subject)
    api.set_intentions(deny())
    subject.wait_log("intentions taken up", count=2)
    api.set_intentions()
    subject.wait_log("intentions taken up", count=3)
    check.stays(held.works, "the live call", 1.6)


def test_row_54_on_revoke_quiet_ends_idle_calls_and_awaits_an_answer_that_is_owed(case):
    only_mooring("no such setting there")
    consul = Consul(case)
    subject = Subject.real(case, consul, flags=["-on-revoke", "quiet", "-revoke-grace", "20s"])
    idle = [Connection(subject) for _ in range(3)]
    asked, told = threading.Event(), threading.Event()

    def answers_when_told(app, seen):
        seen.connection.sendall(seen.connection.recv(5))
        seen.connection.recv(8)
        asked.set()
        told.wait(60)
        seen.connection.sendall(b"answer")
        app.read_to_end(seen)

    subject.app.behaviour = answers_when_told
    busy = Connection(subject)
    busy.peer.send(b"question")
    check.true(asked.wait(10), "the question is at the application")
    started = now()
    consul.intention("web", SERVICE, "deny")
    for one in idle:
        one.cut_by(started + 4 * slowness(), ("notify",))
    refused_without_a_dial(subject, "a new call is refused at once")
    told.set()
    check.equal(busy.peer.receive(6), b"answer", "the answer that is owed")
    busy.cut_by(now() + 3 * slowness(), ("notify",))
    for one in (*idle, busy):
        one.peer.close()
    check.within(lambda: subject.closed("inbound", "revoked") == 4, "all four are closed as revoked", 3 * slowness())


DEFAULT_DENIES = r"default for callers that no intention covers.*default=\"?deny"


def test_row_54_a_default_turned_to_deny_cuts_whom_nothing_allows(case):
    only_mooring("the Go proxy asks the agent about each connection, and never again")
    api = scripted.Agent(case)
    api.set_intentions(allow("friend"))
    subject = Subject.scripted(case, api)
    held, friend = Connection(subject), Connection(subject, subject._identity("friend"))
    started = now()
    api.default = api.policy_header = "deny"
    api.set_intentions(allow("friend"), allow("another"))  # any answer brings the header
    held.cut_by(started + slowness())
    friend.works()
    check.equal(subject.closed("inbound", "revoked"), 1, "connections closed as revoked")


def test_row_54_an_agent_that_returns_with_default_deny_is_obeyed_within_a_second_of_learning_it(case):
    only_mooring("the Go proxy asks the agent about each connection, and never again")
    api = scripted.Agent(case, modern=False)  # no header: the default is learnt by asking
    subject = Subject.scripted(case, api)
    held = Connection(subject)
    api.stop()
    subject.inbound_works()
    api.default = "deny"
    api.start()
    subject.wait_log(DEFAULT_DENIES, 10)
    held.cut_by(now() + slowness())


def test_row_54_a_caller_whose_leaf_has_expired_since_is_not_cut_for_it(case):
    only_mooring("it judges no live connection")
    api = scripted.Agent(case)
    subject = Subject.scripted(case, api)
    short = {"lifetime": certs.HOUR + 2 * certs.HOUR / 3600}
    web = api.authority.leaf("web", **short)
    subject.far.identity = api.authority.leaf("store", **short)
    expired = time.time() + 2
    held = subject.hold(web)
    subject.far.identity = api.authority.leaf("store")
    check.within(lambda: time.time() > expired, "the leaves have expired", 4)
    # Changes that have every live connection judged again, by intention and by chain.
    api.set_intentions(deny("somebody"))
    subject.wait_log("intentions taken up", count=2)
    for roots in ((api.authority, certs.Authority("Second Root")), (api.authority,)):
        api.set_roots(*roots)
        check.within(lambda n=len(roots): subject.status()["roots"]["count"] == n, "the roots are known",
                     5 * slowness())
    check.stays(held.works, "connections of expired leaves", 1.2)
    check.true(not admitted(subject, web), "a new call with the expired leaf is refused")
    subject.program.wait_closed("inbound", "cert_expired")


def test_row_54_max_connection_age_ends_every_connection_at_its_age(case):
    only_mooring("no such setting there")
    subject = Subject.scripted(case, scripted.Agent(case), flags=["-max-connection-age", "1s"])
    started = now()
    held = subject.hold()
    while now() < started + 0.9:
        held.works()
        time.sleep(0.05)
    # Looked at by the sweep every 5 s.
    held.cut_within(started + 6.5 - now())
    for direction in ("inbound", "outbound"):
        subject.program.wait_closed(direction, "max_connection_age", seconds=1)
    subject.works_new()


def test_an_intention_policy_of_allow_stands_under_acls_that_deny(case):
    only_mooring("the Go proxy asks the agent about each connection")
    api = scripted.Agent(case, default="deny")
    api.intention_policy = "allow"
    api.set_intentions(deny("other"))
    subject = Subject.scripted(case, api)
    held = Connection(subject)
    refused_without_a_dial(subject, "whom an intention denies", subject._identity("other"))
    # Every answer bears the header of the ACLs' default; none overturns what was asked for.
    api.set_intentions(deny("other"), deny("another"))
    subject.wait_log("intentions taken up", count=2)
    check.stays(held.works, "the connection that the policy allows", 0.5)
    # The policy itself, asked for again after a change of the list, does.
    api.intention_policy = "deny"
    started = now()
    api.set_intentions(deny("other"))
    held.cut_by(started + slowness())
    subject.wait_log(DEFAULT_DENIES)


def test_a_default_of_acls_that_allows_our_token_is_vetoed_by_the_header(case):
    only_mooring("the Go proxy asks the agent about each connection")
    api = scripted.Agent(case, default="allow")
    api.policy_header = "deny"
    api.set_intentions(allow("web"))
    subject = Subject.scripted(case, api)
    other = subject._identity("other")
    refused_without_a_dial(subject, "a caller whom nothing covers", other)
    # An agent that is given a policy for intentions by its configuration has been restarted for it.
    api.stop()
    api.intention_policy = "allow"
    api.start()
    becomes_admitted(subject, 12 * slowness(), other, what="calls come in once the policy is learnt")


def test_row_55_a_cold_start_that_cannot_learn_the_intentions_lets_nobody_in(case):
    api = scripted.Agent(case)
    faults = [api.fault("/v1/connect/intentions*", status=500, body=b"rpc error: No cluster leader"),
              api.fault("/v1/agent/connect/authorize", status=500, body=b"rpc error: No cluster leader")]
    subject = Subject.scripted(case, api, ready=False)
    api.wait_asked("/v1/agent/connect/ca/leaf/*")
    end = now() + 1.5
    while now() < end:
        refused_without_a_dial(subject, "a call while no intention is known is refused")
        if subject.is_mooring:
            check.equal(subject.program.admin("/ready")[0], 503, "/ready")
        time.sleep(0.05)
    for fault in faults:
        api.lift(fault)
    becomes_admitted(subject, 12 * slowness(), what="calls come in once it is known")


def test_row_55_a_cold_start_that_cannot_learn_the_default_lets_in_nobody_but_the_allowed(case):
    only_mooring("the Go proxy asks the agent about each connection")
    api = scripted.Agent(case, modern=False)
    api.fault("/v1/agent/connect/authorize", status=403, body=b"Permission denied")
    api.set_intentions(allow("web"))
    subject = Subject.scripted(case, api)
    other = subject._identity("other")
    refused_without_a_dial(subject, "a call of somebody whom nothing covers is refused", other)
    subject.inbound_works()


class Callers:
    """Calls from web, one after the other in some threads; each is let in or refused, and none may hang."""

    def __init__(self, subject, threads=3):
        self.subject, self.wrong = subject, []
        self.served = self.refused = 0
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]
        for one in self.threads:
            one.start()

    def _run(self):
        while not self.stopping.wait(0.01):
            peer = None
            try:
                peer = self.subject.caller(seconds=5)
                data, how = peer.send(b"ping").receive(4), None
                if data == b"ping":
                    self.served += 1
                    continue
                data, how = peer.drain()
                if how == "timeout":
                    self.wrong.append("a call was neither served nor refused")
                self.refused += 1
            except (OSError, tlspeer.Refused):
                self.refused += 1
            finally:
                if peer:
                    peer.close()

    def stop(self):
        self.stopping.set()
        for one in self.threads:
            one.join(10 * slowness())
        check.equal(self.wrong, [], "calls that hung")
        check.true(self.served > 0 and self.refused > 0,
                   f"the flapping was seen: {self.served} served, {self.refused} refused")


def flapping(case, subject, write, seconds):
    """flapping has write(True) allow web and write(False) deny it, 20 times a second."""
    write(True)
    becomes_admitted(subject, 2 * slowness())
    before = len(subject.process.descriptors())
    callers = Callers(subject)
    started, turns = now(), 0
    while now() < started + seconds:
        write(turns % 2 == 0)
        turns += 1
        time.sleep(max(0.0, started + turns / 20 - now()))
    for last in (True, False, True, False):
        written = now()
        write(last)
        # Three in a row: one alone may meet an earlier change that is still under way.
        check.within(lambda: all(admitted(subject) == last for _ in range(3)),
                     f"the last word holds: {'allow' if last else 'deny'}", written + slowness() - now())
    # Denied by now: whoever was let in before has been cut, or has left by itself.
    callers.stop()
    if subject.is_mooring:
        subject.program.wait_idle(2)
        # Two more for connections to the agent, which come and go.
        check.within(lambda: len(subject.process.descriptors()) <= before + 2, "descriptors as before", 5 * slowness())
    write(True)
    becomes_admitted(subject, 2 * slowness())


def test_row_56_flapping_intentions_end_with_the_last_word_and_without_a_leak(case):
    api = scripted.Agent(case)
    subject = Subject.scripted(case, api, level="INFO")
    flapping(case, subject, lambda allowed: api.set_intentions(allow() if allowed else deny()),
             case.scale(2, 30))


def test_row_56_flapping_intentions_on_a_real_consul(case):
    consul = Consul(case)
    subject = Subject.real(case, consul, level="INFO")
    flapping(case, subject, lambda allowed: consul.intention("web", SERVICE, "allow" if allowed else "deny"),
             case.scale(2, 30))


test_row_56_flapping_intentions_end_with_the_last_word_and_without_a_leak.limit = 80
test_row_56_flapping_intentions_on_a_real_consul.limit = 80


def test_row_57_an_intention_that_comes_to_need_more_than_an_identity_cuts_and_denies(case):
    api = scripted.Agent(case)
    api.set_intentions(allow())
    subject = Subject.scripted(case, api)
    permissions = [{"Action": "allow", "HTTP": {"PathPrefix": "/"}}]
    kinds = [("L7 permissions", {"Action": None, "Permissions": permissions})]
    if subject.is_mooring:  # the scripted agent cannot say what a real one would answer the Go proxy on these
        kinds += [("permissions beside an action", {"Permissions": permissions}),
                  ("a JWT", {"JWT": {"Providers": [{"Name": "okta"}]}}),
                  ("an action of the future", {"Action": "audit"})]
    for title, fields in kinds:
        held = Connection(subject)
        started = now()
        api.set_intentions(allow(**fields))
        held.cut_by(started + slowness(), ("alert", "reset", "notify", "truncated"))
        refused_without_a_dial(subject, f"a new call under an intention with {title} is refused")
        api.set_intentions(allow())
        becomes_admitted(subject, slowness(), what=f"allowed again after {title}")
