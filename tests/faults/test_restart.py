"""Row 69: killed with -9 and started again while the agent is dead or hangs, it serves within a second of its
start, both ways, and says how old its knowledge is; in every form in which a sidecar can be started."""


from faults.subject import CALLER, SERVICE, UPSTREAM, FarService, Subject, only_mooring
from lib import agent as scripted
from lib import apps, check, statefile, tlspeer
from lib.case import now, slowness
from lib.consul import Consul
from lib.mooring import Mooring
from lib.ports import free_port

EXPECTED_SECONDS = 6


class Form:
    """A sidecar of `db` with upstream `store`, started as `run(ready)` does, and its peers."""

    def __init__(self, case, api, run, subdirectory):
        self.case, self.api, self.run = case, api, run
        self.path = case.directory / "state" / subdirectory / "state"
        self.app = apps.App(case, apps.echo)
        self.far = FarService(case, api.authority.leaf(UPSTREAM), api.authority.pem)
        api.set_instances(UPSTREAM, self.far.address)
        self.web = api.authority.leaf(CALLER)
        self.public, self.upstream = ("127.0.0.1", free_port()), ("127.0.0.1", free_port())
        self.program = None

    def start(self, ready=True):
        self.program = self.run(self, ready)

    def serves_both_ways(self):
        peer = tlspeer.connect(None, self.public, self.web, self.api.authority.pem, seconds=2)
        try:
            peer.handshake()
            check.equal(peer.send(b"ping").receive(4), b"ping", "echo inbound")
        finally:
            peer.close()
        check.true(apps.ping(self.upstream), "echo outbound")
        return True


def serves_within_a_second(start, serves, program):
    """serves_within_a_second starts, and asserts that it serves in time, from disk, and says so with an age."""
    started = now()
    start()

    def does():
        if not program().process.running():
            raise RuntimeError(program().process.describe())
        return serves()

    check.within(does, "it serves both ways within 1 s of its start", started + slowness() - now())
    for watch in ("roots", "leaf", "intentions"):
        program().wait_log(rf"\[WARN\].*serving from saved state.*watch=\"?{watch}.*age_seconds=\"?\d+")
    status = program().status()
    sources = {w["name"]: w["source"] for w in status["watches"]}
    for name in ("roots", "leaf", "intentions"):
        check.equal(sources[name], "disk", f"source of {name} in /status")
    check.equal(program().admin("/ready")[0], 200, "/ready")


def through_dead_and_hanging_agents(case, run, subdirectory):
    only_mooring("it keeps no state")
    api = scripted.Agent(case)
    form = Form(case, api, run, subdirectory)
    form.start()
    check.within(form.serves_both_ways, "it serves", 5 * slowness())
    statefile.wait_whole(form.path, f"upstream:{UPSTREAM}")
    check.within(lambda: any(f"/v1/health/connect/{UPSTREAM}" in d.name for d in statefile.read(form.path).documents),
                 "endpoints are in the file", 3 * slowness())
    form.program.kill()
    api.stop()
    serves_within_a_second(lambda: form.start(False), form.serves_both_ways, lambda: form.program)
    form.program.kill()
    api.start()
    hanging = api.fault("*", hang=True)
    serves_within_a_second(lambda: form.start(False), form.serves_both_ways, lambda: form.program)
    # The agent's answers take over when it gives them.
    api.lift(hanging)

    def all_live():
        sources = {w["name"]: w["source"] for w in form.program.status()["watches"]}
        check.true(set(sources.values()) == {"agent"}, f"sources: {sources}")
        return True

    check.within(all_live, "all is from the agent", 10 * slowness())
    form.serves_both_ways()


def test_row_69_restart_of_the_service_form(case):
    def run(form, ready):
        return Mooring.connect_proxy(
            case, "-http-addr", form.api.address, "-service", SERVICE, "-service-addr",
            f"127.0.0.1:{form.app.port}", "-listen", f"127.0.0.1:{form.public[1]}", "-upstream",
            f"{UPSTREAM}:127.0.0.1:{form.upstream[1]}", "-state-dir", case.directory / "state", ready=ready)

    through_dead_and_hanging_agents(case, run, f"service.{SERVICE}")


def registered(form):
    """registered puts the sidecar into the agent, as an operator would."""
    if f"{SERVICE}-1-sidecar-proxy" not in form.api.services:
        form.api.set_proxy(f"{SERVICE}-1-sidecar-proxy", SERVICE, port=form.public[1], local_port=form.app.port,
                           upstreams=[{"DestinationType": "service", "DestinationName": UPSTREAM,
                                       "LocalBindPort": form.upstream[1]}])


def test_row_69_restart_of_the_proxy_id_form(case):
    def run(form, ready):
        registered(form)
        return Mooring.connect_proxy(case, "-http-addr", form.api.address, "-proxy-id", f"{SERVICE}-1-sidecar-proxy",
                                     "-state-dir", case.directory / "state", ready=ready)

    through_dead_and_hanging_agents(case, run, f"proxy.{SERVICE}-1-sidecar-proxy")


def test_row_69_restart_of_the_sidecar_for_form(case):
    def run(form, ready):
        registered(form)
        return Mooring.connect_proxy(case, "-http-addr", form.api.address, "-sidecar-for", f"{SERVICE}-1",
                                     "-state-dir", case.directory / "state", ready=ready)

    through_dead_and_hanging_agents(case, run, f"sidecar-for.{SERVICE}-1")


def test_row_69_restart_of_the_yaml_form(case):
    def run(form, ready):
        return Mooring.from_yaml(case, {
            "service": SERVICE, "agent": {"address": form.api.address}, "state_dir": case.directory / "state",
            "public_listener": {"address": f"127.0.0.1:{form.public[1]}", "local_app": f"127.0.0.1:{form.app.port}"},
            "upstreams": [{"service": UPSTREAM, "listen": f"127.0.0.1:{form.upstream[1]}"}]}, ready=ready)

    through_dead_and_hanging_agents(case, run, f"service.{SERVICE}")


def test_row_69_restart_beside_a_real_consul_that_is_stopped_and_then_dead(case):
    consul = Consul(case)
    directory = case.directory / "state"
    subject = Subject.real(case, consul, state_dir=directory)
    if subject.is_mooring:
        path = statefile.of_service(directory, SERVICE)
        statefile.wait_whole(path, f"upstream:{UPSTREAM}")
        check.within(lambda: UPSTREAM.encode() in path.read_bytes(), "endpoints are in the file", 3 * slowness())
    for harm in (consul.pause, consul.kill):
        subject.kill()
        harm()
        if subject.is_mooring:
            serves_within_a_second(lambda: subject.start(ready=False), subject.works_new, lambda: subject.program)
        else:
            started = now()
            subject.start(ready=False)
            check.within(subject.works_new, "it serves both ways within 1 s of its start", started + 1 - now())


def test_row_69_intentions_are_enforced_from_disk_as_they_were(case):
    only_mooring("it keeps no state")
    api = scripted.Agent(case, default="deny")
    api.set_intentions(scripted.intention(CALLER, SERVICE, "allow"))
    directory = case.directory / "state"
    subject = Subject.scripted(case, api, state_dir=directory)
    statefile.wait_whole(statefile.of_service(directory, SERVICE), f"upstream:{UPSTREAM}")
    subject.kill()
    api.stop()
    subject.start(ready=False)
    check.within(subject.inbound_works, "web is let in", slowness())
    count = subject.app.count()
    check.true(subject.refused_inbound(api.authority.leaf("other")), "another is refused")
    check.equal(subject.app.count(), count, "connections at the application")


def test_row_69_a_deny_written_during_the_outage_counts_soon_after_it(case):
    only_mooring("it keeps no state")
    api, directory = scripted.Agent(case), case.directory / "state"
    subject = Subject.scripted(case, api, state_dir=directory)
    statefile.wait_whole(statefile.of_service(directory, SERVICE), f"upstream:{UPSTREAM}")
    subject.kill()
    api.stop()
    subject.start(ready=False)
    check.within(subject.inbound_works, "web is let in", slowness())
    held = subject.hold(outbound=False)
    api.set_intentions(scripted.intention(CALLER, SERVICE, "deny"))
    api.start()
    held.cut_within(10)
    check.true(subject.refused_inbound(), "a new call is refused")


def test_row_69_a_living_agent_is_believed_before_the_disk(case):
    only_mooring("it keeps no state")
    api, directory = scripted.Agent(case), case.directory / "state"
    subject = Subject.scripted(case, api, state_dir=directory)
    statefile.wait_whole(statefile.of_service(directory, SERVICE), f"upstream:{UPSTREAM}")
    subject.kill()
    api.set_intentions(scripted.intention(CALLER, SERVICE, "deny"))
    count = subject.app.count()
    subject.start(ready=False)
    subject.program.wait_ready()
    check.true(subject.refused_inbound(), "web is refused")
    check.equal(subject.app.count(), count, "connections at the application")
    check.true("serving from saved state" not in subject.process.stderr(), "nothing comes from the disk")


NO_STATE = "no state directory: a restart while the agent is away will not serve"


def test_row_69_without_a_state_directory_it_says_so_once_and_does_not_serve_after_a_restart(case):
    only_mooring("it keeps no state")
    api = scripted.Agent(case)
    subject = Subject.scripted(case, api)
    subject.wait_log(NO_STATE)
    check.equal(subject.process.stderr().count(NO_STATE), 1, "lines about it")
    check.equal(subject.status()["state_file"], None, "state_file in /status")
    subject.kill()
    api.stop()
    subject.start(ready=False)
    subject.wait_log("watch failed")
    check.equal(subject.program.admin("/ready")[0], 503, "/ready")
    check.true(subject.refused_inbound(listens=False), "a caller is refused")
    subject.kill()
    api.start()
    subject.flags += ["-state-dir", str(case.directory / "state")]
    subject.start()
    check.true(NO_STATE not in subject.process.stderr(), "the line is gone with a state directory")
