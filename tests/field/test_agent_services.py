"""Many services in one process, at one real agent on its default limits: how many connections that takes, and how soon each hears."""

from field.test_agent_connections import Gauge, OtherClient, agent_side
from lib import apps, check
from lib.case import now, slowness
from lib.consul import Consul
from lib.mooring import Mooring
from lib.ports import free_port

EXPECTED_SECONDS = 45


def allowed(services):
    """allowed is how many connections so many services may have at the agent."""
    return min(3 * services + 5, 16)


class Process:
    """Process is so many services s0, s1, ... in one process. Each calls the next one, the last one the first."""

    def __init__(self, case, agent, services, token=False):
        self.agent, self.names = agent, [f"s{n}" for n in range(services)]
        self.accessors, entries = {}, []
        app = apps.App(case, apps.echo)
        port = free_port()
        self.calls = {name: (f"127.81.0.{n + 1}", port) for n, name in enumerate(self.names)}
        for n, name in enumerate(self.names):
            host, port = self.calls[name]
            agent.register_proxy(name, free_port(), identifier=f"{name}-proxy", LocalServiceAddress="127.0.0.1",
                                 LocalServicePort=app.port,
                                 Upstreams=[{"DestinationName": self.next(name), "LocalBindAddress": host,
                                             "LocalBindPort": port}])
            entry = {"proxy_id": f"{name}-proxy"}
            if token:
                secret, self.accessors[name] = agent.service_token(name)
                entry["token_file"] = case.write(f"{name}.token", secret)
            entries.append(entry)
        self.gauge = Gauge(case, agent)
        self.started = now()
        self.subject = Mooring.from_yaml(case, {"agent": {"address": agent.address}, "services": entries}, level="INFO",
                                         ready=False)

    def next(self, name):
        return self.names[(self.names.index(name) + 1) % len(self.names)]

    def serves(self, name):
        return apps.ping(self.calls[name])

    def watches(self, name):
        return self.subject.status(name)["watches"] if len(self.names) > 1 else self.subject.status()["watches"]

    def denied_within_a_second(self, name):
        """denied_within_a_second asserts that of the next service, and that the end of the deny is heard as soon."""
        self.agent.intention(name, self.next(name), "deny")
        written = now()
        check.within(lambda: not self.serves(name), f"{self.next(name)} denies {name}", 3 * slowness(), step=0.01)
        check.below(now() - written, 1.0 * slowness(), "seconds from the deny to the refusal")
        self.agent.intention(name, self.next(name), "allow")
        check.within(lambda: self.serves(name), f"{self.next(name)} allows {name} again", 1.0 * slowness(), step=0.01)


def counted(case, services):
    agent = Consul(case)
    before = agent_side(agent.port)
    other = OtherClient(case, agent)
    process = Process(case, agent, services)
    process.subject.wait_ready(30)
    check.below(now() - process.started, 15 * slowness(), "seconds to ready")
    for name in process.names:
        check.within(lambda n=name: process.serves(n), f"{name} is served", 10 * slowness())
    for name in {process.names[0], process.names[services // 2], process.names[-1]}:
        process.denied_within_a_second(name)
    seen = process.subject.status()["agent"]
    process.gauge.stop()
    other.never_refused()
    check.true(seen["connections"] <= allowed(services), f"connections by /status: {seen}")
    check.true(process.gauge.most <= before + allowed(services) + 2,
               f"{process.gauge.most} connections at the agent at most: {before} were there, one is another client's, one the test's")
    return process


def test_one_service_has_eight_connections_at_most(case):
    counted(case, 1)


def test_three_services_have_fourteen(case):
    process = counted(case, 3)
    check.true(all(watch["asks"] == "blocking" for name in process.names for watch in process.watches(name)
                   if watch["name"] in ("proxy_config", "roots", "leaf")), "configuration, roots and leaves wait for changes")


def test_five_services_have_sixteen(case):
    counted(case, 5)


def test_forty_services_have_sixteen_too_and_every_change_is_seen_in_time(case):
    process = counted(case, 40)
    asks = {watch["name"]: watch["asks"] for watch in process.watches("s7-proxy")}
    check.equal((asks["roots"], asks["leaf"], asks["proxy_config"]), ("blocking", "polled", "polled"), "how s7 asks")
    check.equal(asks["intention_list"], "blocking", "the list of intentions wakes the matches")


def test_with_a_token_each_they_hear_of_a_deny_in_time_and_a_deleted_one_takes_no_roots_from_the_others(case):
    services = case.scale(8, 20)
    agent = Consul(case, acl="deny")
    process = Process(case, agent, services, token=True)
    for name in process.names:
        agent.intention(name, process.next(name), "allow")
    process.subject.wait_ready(30)
    for name in process.names:
        check.within(lambda n=name: process.serves(n), f"{name} is served", 10 * slowness())
    for name in process.names[:3]:
        process.denied_within_a_second(name)
    # It is the first one's token that the shared questions are asked with.
    agent.delete_token(process.accessors["s0"])
    check.within(lambda: any("403" in watch["last_error"] for watch in process.watches("s0-proxy")), "s0 is refused", 10 * slowness())
    agent.rotate_root()
    check.within(lambda: all(process.subject.status(f"{name}-proxy")["roots"]["count"] == 2 for name in process.names),
                 "everybody has the new root", 10 * slowness(), step=0.1)
    for name in process.names[1:-1]:
        check.true(process.serves(name), f"{name} is served")
    process.denied_within_a_second("s2")
