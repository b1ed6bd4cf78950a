"""Which target an upstream's connections go to while the agent cannot say: what no real agent can be made to show."""

from faults.peers import FarService
from lib import agent as scripted
from lib import apps, check, statefile
from lib.case import now, slowness
from lib.mooring import Mooring
from lib.ports import free_port

EXPECTED_SECONDS = 12
KNOWN = 6  # seconds in which a change of the chain is seen: it is polled every 3 s


class Targets:
    """An agent, instances of `db`, `spare` and `other`, and web's sidecar with the upstream db."""

    def __init__(self, case, *chain, **options):
        self.case = case
        self.api = scripted.Agent(case, **options)
        self.far = {name: FarService(case, self.api.authority.leaf(name), self.api.authority.pem)
                    for name in ("db", "spare", "other")}
        for name, far in self.far.items():
            self.api.set_instances(name, far.address)
        self.api.set_chain("db", *chain)
        self.upstream = ("127.0.0.1", free_port())
        self.program = None

    def start(self, *flags, ready=True):
        self.program = Mooring.connect_proxy(self.case, "-http-addr", self.api.address, "-service", "web", "-upstream",
                                             f"db:127.0.0.1:{self.upstream[1]}", *flags, ready=ready)
        return self

    def goes_to(self, name):
        """goes_to tells whether a new connection comes out at that service, and there alone."""
        before = {each: far.app.count() for each, far in self.far.items()}
        works = apps.ping(self.upstream)
        return works and [each for each, far in self.far.items() if far.app.count() != before[each]] == [name]

    def comes_to(self, name, what, seconds=KNOWN):
        check.within(lambda: self.goes_to(name), what, seconds * slowness())

    def asked_again(self, count=2):
        """asked_again waits until the chain has been asked for that often from now on."""
        before = len(self.api.asked("/v1/discovery-chain/db"))
        self.api.wait_asked("/v1/discovery-chain/db", before + count, seconds=30)

    def row(self):
        return next(one for one in self.program.status()["upstreams"] if one["name"] == "db")

    def watch(self, name):
        return next(one for one in self.program.status()["watches"] if one["name"] == name)


def test_the_scripted_agent_compiles_a_default_chain_as_a_real_one(case):
    for modern, identifier in ((True, "db.default.default.dc1"), (False, "db.default.dc1")):
        targets = Targets(case, modern=modern).start()
        check.true(targets.goes_to("db"), "connections go to the service itself")
        check.equal(targets.row()["catalog"]["targets"], [], "targets: of a chain that leads to the upstream itself nothing is told")
        chain = targets.api.answer(targets.api.asked("/v1/discovery-chain/db")[0])[0]["Chain"]
        check.equal((list(chain["Targets"]), chain["Default"]), ([identifier], True), "its targets")
        check.equal(chain["Targets"][identifier]["SNI"], f"db.default.dc1.internal.{targets.api.trust_domain}", "SNI")


def saved(folder, *questions):
    """saved waits until the answers to these are on disk."""
    def look():
        files = [path for path in folder.rglob("state") if path.is_file()]
        names = [document.name for path in files for document in statefile.read(path).documents]
        return all(any(question in name for name in names) for question in questions)

    check.within(look, f"{questions} are in the state file", 10 * slowness())


def holds_through(case, expected_error, **fault):
    """holds_through breaks the chain's answers after a good one: it holds, all else goes on, and the next good one
    is followed."""
    targets = Targets(case, "spare").start()
    check.true(targets.goes_to("spare"), "connections go where the chain leads")
    second = FarService(case, targets.api.authority.leaf("spare"), targets.api.authority.pem)
    broken = targets.api.fault("/v1/discovery-chain/*", **fault)
    targets.asked_again()
    check.within(lambda: targets.watch("chain:db")["last_error"], "an error in /status", 20 * slowness())
    error = targets.watch("chain:db")["last_error"]
    check.true(expected_error in error, f"which: {error}")
    check.true(targets.goes_to("spare"), "the last good chain holds")
    targets.api.set_instances("spare", second.address)
    check.within(lambda: apps.ping(targets.upstream) and second.app.count(), "its target's instances are followed on",
                 5 * slowness())
    check.equal(targets.program.admin("/ready")[0], 200, "/ready")
    targets.api.set_chain("db", "other")
    targets.api.lift(broken)
    targets.comes_to("other", "the next good chain is followed", 15)
    check.equal(targets.watch("chain:db")["last_error"], "", "and the error is over")


def test_a_chain_that_turns_to_garbage_is_not_taken_up(case):
    holds_through(case, "is not valid JSON", body=b'{"Chain": {')


def test_a_chain_whose_target_is_missing_is_not_taken_up(case):
    holds_through(case, "is missing, and a resolver names it", body=(
        b'{"Chain": {"ServiceName": "db", "Datacenter": "dc1", "StartNode": "resolver:db", "Targets": {}, "Nodes": '
        b'{"resolver:db": {"Type": "resolver", "Resolver": {"Target": "db.default.dc1"}}}}}'))


def test_half_a_chain_is_not_taken_up(case):
    holds_through(case, "", truncate=True)


def test_a_chain_that_comes_to_make_no_sense_is_not_taken_up(case):
    holds_through(case, "circular", status=500, body=b"Error: detected circular resolver redirect: [db -> spare -> db]")


def test_a_chain_that_is_refused_later_holds(case):
    holds_through(case, "403", status=403, body=b"Permission denied")


def test_an_agent_that_hangs_on_chains_alone_hinders_nothing_else(case):
    targets = Targets(case, "spare").start()
    check.true(targets.goes_to("spare"), "connections go where the chain leads")
    hanging = targets.api.fault("/v1/discovery-chain/*", hang=True)
    targets.asked_again(1)
    targets.api.set_instances("spare", targets.far["other"].address)
    targets.far["other"].identity = targets.far["spare"].identity
    targets.comes_to("other", "its target's instances are followed", 5)
    targets.api.set_chain("db", "db")
    targets.api.lift(hanging)
    targets.comes_to("db", "the chain is followed again", 15)


test_an_agent_that_hangs_on_chains_alone_hinders_nothing_else.limit = 60


def test_a_hanging_chain_at_the_start_is_waited_for_and_then_followed(case):
    targets = Targets(case, "spare")
    hanging = targets.api.fault("/v1/discovery-chain/*", hang=True)
    targets.start(ready=False)
    targets.api.wait_asked("/v1/discovery-chain/db")
    client = apps.Client(case, targets.upstream)
    client.send(b"ping")
    targets.api.lift(hanging)
    check.equal(client.receive(4), b"ping", "the connection that waited gets through")
    check.equal((targets.far["spare"].app.count(), targets.far["db"].app.count()), (1, 0),
                "where the chain leads, and nowhere else")
    targets.program.wait_ready()


def test_connections_fail_over_and_back_at_once_by_the_agents_word(case):
    targets = Targets(case, "db", "spare", "other").start()
    check.true(targets.goes_to("db"), "connections go to the service itself")
    check.equal(len(targets.api.asked("/v1/health/connect/other")), 0, "the third is not asked for")
    for gone, goes in (("db", "spare"), ("spare", "other")):
        targets.api.set_instances(gone)
        began = now()
        check.within(lambda goes=goes: targets.goes_to(goes), f"without {gone} connections go to {goes}", slowness())
        check.below(now() - began, slowness(), "seconds until then")
    targets.api.set_instances("db", targets.far["db"].address)
    check.within(lambda: targets.goes_to("db"), "back", slowness())


def test_killed_while_failed_over_and_started_without_an_agent_it_goes_on_to_the_failover_target(case):
    targets = Targets(case, "db", "spare")
    targets.api.set_instances("db")
    folder = case.directory / "state"
    targets.start("-state-dir", str(folder))
    check.true(targets.goes_to("spare"), "connections go to who stands in")
    saved(folder, "/v1/discovery-chain/db", "/v1/health/connect/db", "/v1/health/connect/spare")
    targets.program.kill()
    targets.api.stop()
    began = now()
    targets.start("-state-dir", str(folder), ready=False)
    check.within(lambda: targets.goes_to("spare"), "connections go to who stands in, from disk", 1.5 * slowness())
    check.true(now() - began < 1.5 * slowness(), "soon after its start")
    check.true("no healthy instance" in targets.row()["catalog"]["failed_over"], f"why: {targets.row()['catalog']}")
    for name in ("chain:db", "upstream:db", "upstream:db => spare.default.default.dc1"):
        check.equal(targets.watch(name)["source"], "disk", f"source of {name}")
    # The agent's word holds once it has one again.
    targets.api.set_instances("db", targets.far["db"].address)
    targets.api.start()
    targets.comes_to("db", "back by the agent's word", 15)


def test_started_without_an_agent_a_saved_redirect_is_followed(case):
    targets = Targets(case, "spare")
    folder = case.directory / "state"
    targets.start("-state-dir", str(folder))
    check.true(targets.goes_to("spare"), "connections go where the chain leads")
    saved(folder, "/v1/discovery-chain/db", "/v1/health/connect/spare")
    targets.program.kill()
    targets.api.fault("*", hang=True)
    targets.start("-state-dir", str(folder), ready=False)
    check.within(lambda: targets.goes_to("spare"), "connections go there, from disk", 1.5 * slowness())
    check.equal(targets.row()["spiffe_id"], targets.api.authority.uri("spare"), "whom it must prove to be")
