"""How many connections to the agent there are, and what is seen over so few."""

import http.client
import subprocess
import threading
import time

from lib import apps, check
from lib.case import now, peer_binary, sanitized, slowness
from lib.consul import Consul
from lib.mesh import Mesh
from lib.mooring import Mooring
from lib.ports import free_port

EXPECTED_SECONDS = 24
AGENT_LIMIT = 200  # limits.http_max_conns_per_client, as Consul sets it
CLIENTS = 12       # connections that are left to others


def agent_side(port):
    """agent_side counts the connections that the agent has: those whose other end has closed count until it closes them."""
    with open("/proc/net/tcp") as lines:
        rows = [line.split()[1:4] for line in lines]
    # The kernel hands the table out in parts: a row may come twice when others go meanwhile.
    return len({other for own, other, state in rows if own.endswith(f":{port:04X}") and state in ("01", "08")})


class Gauge:
    """Gauge reads the number of the agent's connections all the time, and remembers the most."""

    def __init__(self, case, agent):
        self.port, self.most, self.ended = agent.port, 0, False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        case.undo(self.stop)

    def run(self):
        while not self.ended:
            started = time.monotonic()
            seen = agent_side(self.port)
            if time.monotonic() - started < 0.05:  # else it is a sum over some time: connections of others came and went
                self.most = max(self.most, seen)
            time.sleep(0.004)

    def stop(self):
        self.ended = True
        self.thread.join()


class OtherClient:
    """OtherClient asks the agent over a new connection again and again: none may be refused."""

    def __init__(self, case, agent):
        self.agent, self.failures, self.asked, self.ended = agent, [], 0, False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        case.undo(self.stop)

    def run(self):
        while not self.ended:
            connection = http.client.HTTPConnection("127.0.0.1", self.agent.port, timeout=10 * slowness())
            try:
                connection.request("GET", "/v1/status/leader")
                code = connection.getresponse().status
                if code != 200:
                    self.failures.append(code)
            except OSError as error:
                self.failures.append(repr(error))
            finally:
                connection.close()
            self.asked += 1
            time.sleep(0.05)

    def stop(self):
        self.ended = True
        self.thread.join()

    def never_refused(self):
        self.stop()
        check.true(self.asked > 0, "the other client has asked")
        check.equal(self.failures, [], f"refusals to another client, of {self.asked} questions")
        members = subprocess.run([peer_binary("consul"), "members", "-http-addr", self.agent.address],
                                 capture_output=True, text=True, timeout=20 * slowness(), check=False)
        check.equal(members.returncode, 0, f"consul members: {members.stderr}")


def definition(name, upstreams):
    """definition is a service with a sidecar that has these upstreams, by name and (host, port)."""
    return {"ID": f"{name}-1", "Name": name, "Port": free_port(), "Connect": {"SidecarService": {
        "Port": free_port(), "Checks": [],
        "Proxy": {"Upstreams": [{"DestinationName": up, "LocalBindAddress": host, "LocalBindPort": port}
                                for up, (host, port) in upstreams.items()]}}}}


def mounted(names, network):
    """mounted gives each name an address of its own: one port, and hosts of 127.x."""
    port = free_port()
    return {name: (f"127.{network}.{n // 200}.{n % 200 + 1}", port) for n, name in enumerate(names)}


def sidecar(case, agent, name, **options):
    return Mooring.connect_proxy(case, "-http-addr", agent.address, "-sidecar-for", f"{name}-1", name=f"mooring-{name}",
                                 level="INFO", **options)


def watch(subject, upstream):
    return next(w for w in subject.status()["watches"] if w["name"] == f"upstream:{upstream}")


def endpoints(subject, upstream):
    return next(u for u in subject.status()["upstreams"] if u["name"] == upstream)["endpoints"]


def seen_within(case, agent, subject, upstream, seconds, port=20001):
    """seen_within asserts that a new instance, and its end, are seen within that time."""
    before = endpoints(subject, upstream)
    identifier = agent.register_proxy(upstream, port)
    # The status of 230 upstreams is long: asked for all the time, it is what the loop is busy with.
    check.within(lambda: len(endpoints(subject, upstream)) == len(before) + 1, f"a new instance of {upstream} is seen",
                 seconds * slowness(), step=0.1)
    agent.deregister(identifier)
    check.within(lambda: endpoints(subject, upstream) == before, "its end is seen", seconds * slowness(), step=0.1)


def test_230_upstreams_take_eight_connections_and_every_change_is_seen_in_time(case):
    if sanitized():
        raise check.Skip("230 upstreams and a status of all of them keep a sanitizer busy for longer than a change may take")
    mesh = Mesh(case)
    agent = mesh.consul
    app = apps.App(case, apps.echo)
    # Two that are called; the others have no instances, which is an answer as well.
    for name in ("up000", "up229"):
        inbound = Mooring.connect_proxy(case, "-http-addr", agent.address, "-service", name, "-service-addr",
                                        f"127.0.0.1:{app.port}", "-listen", "127.0.0.1:0", name=f"mooring-{name}")
        agent.register_proxy(name, inbound.public[1])
    inbounds = agent_side(agent.port)
    ports = mounted([f"up{n:03d}" for n in range(230)], 70)
    agent.register(definition("many", ports))
    other = OtherClient(case, agent)
    # What was there before: the two inbound sidecars, and the other client's one at a time.
    gauge = Gauge(case, agent)
    started = now()
    subject = sidecar(case, agent, "many")
    ready = now() - started
    for name in ("up000", "up229"):
        check.within(lambda n=name: apps.ping(ports[n]), f"{name} is served", 10 * slowness())
    status = subject.status()
    check.true(status["agent"]["connections"] <= 8, f"connections by /status: {status['agent']}")
    check.equal(status["agent"]["max_connections"], 8, "their limit")

    def waiting():
        return [w["asks"] for w in subject.status()["watches"] if w["name"].startswith("upstream:")].count("blocking")

    check.within(lambda: waiting() == 3, "three upstreams wait for changes", 10 * slowness(), step=0.5)
    check.true(all(w["asks"] == "blocking" for w in status["watches"] if w["name"] in ("proxy_config", "roots", "leaf")),
               "configuration, roots and leaf wait on a connection of their own")
    # In use lately: it comes to wait for changes, and is quick. Without a use: asked in turn.
    check.within(lambda: watch(subject, "up229")["asks"] == "blocking", "an upstream in use waits", 10 * slowness(),
                 step=0.1)
    seen_within(case, agent, subject, "up229", 1.0)
    polled = next(w["name"].removeprefix("upstream:") for w in subject.status()["watches"]
                  if w["asks"] == "polled" and w["name"].startswith("upstream:"))
    # From its second question on: the first is for what nobody knows yet.
    check.within(lambda: watch(subject, polled)["cached"], "a polled upstream is asked of the agent's cache", 6 * slowness())
    for n in range(case.scale(1, 5)):
        seen_within(case, agent, subject, polled, 3.0, port=20001 + n)
    gauge.stop()
    other.never_refused()
    check.true(gauge.most <= inbounds + 8 + 1 + 1, f"{gauge.most} connections at the agent at most: {inbounds} were there, one "
               "is the other client's, one a registration's")
    check.below(ready, 10 * slowness(), "seconds to ready")


def several(case, sidecars, upstreams, each):
    """several asserts that all of so many sidecars are ready and serve, within `each` connections, and lock nobody out."""
    share = sidecars * each + CLIENTS
    limits = None if case.scale(False, True) else {"http_max_conns_per_client": min(share, AGENT_LIMIT)}
    agent = Consul(case, limits=limits)
    app = apps.App(case, apps.echo)
    back = Mooring.connect_proxy(case, "-http-addr", agent.address, "-service", "back", "-service-addr",
                                 f"127.0.0.1:{app.port}", "-listen", "127.0.0.1:0", name="mooring-back")
    agent.register_proxy("back", back.public[1])
    before = agent_side(agent.port)
    ports = {}
    for n in range(sidecars):
        ups = mounted(["back"] + [f"other{u}" for u in range(upstreams - 1)], 71 + n)
        ports[n] = ups["back"]
        agent.register(definition(f"one{n}", ups))
    other, gauge = OtherClient(case, agent), Gauge(case, agent)
    subjects = [sidecar(case, agent, f"one{n}", ready=False) for n in range(sidecars)]
    for subject in subjects:
        subject.wait_ready(60)
    for n in range(sidecars):
        check.within(lambda p=ports[n]: apps.ping(p), "each serves", 10 * slowness())
    gauge.stop()
    check.true(gauge.most <= before + sidecars * each + 1,
               f"{gauge.most} connections at the agent at most, of {sidecars} sidecars, {before} that were there, another client")
    other.never_refused()


def test_sidecars_with_fifteen_upstreams_share_an_agent_with_others(case):
    several(case, case.scale(3, 12), 15, 8)


def test_sidecars_with_one_upstream_share_an_agent_with_others(case):
    several(case, case.scale(4, 30), 1, 6)


test_sidecars_with_fifteen_upstreams_share_an_agent_with_others.limit = 120
test_sidecars_with_one_upstream_share_an_agent_with_others.limit = 120


def test_230_upstreams_are_fresh_within_ten_seconds_of_the_agents_return(case):
    agent = Consul(case, keep_state=True)
    app = apps.App(case, apps.echo)
    inbound = Mooring.connect_proxy(case, "-http-addr", agent.address, "-service", "back", "-service-addr",
                                    f"127.0.0.1:{app.port}", "-listen", "127.0.0.1:0", name="mooring-back")
    agent.register_proxy("back", inbound.public[1])
    ups = mounted([f"up{n:03d}" for n in range(229)] + ["back"], 70)
    agent.register(definition("many", ups))
    subject = sidecar(case, agent, "many")
    check.within(lambda: apps.ping(ups["back"]), "it serves", 10 * slowness())
    agent.kill()

    def unaware():
        names = [w["name"] for w in subject.status()["watches"] if w["state"] != "retrying"]
        return [name for name in names if name in ("roots", "leaf") or name.startswith("upstream:")]

    check.within(lambda: not unaware(), "every upstream's watch knows that the agent is gone", 10 * slowness(), step=0.2)
    check.true(apps.ping(ups["back"]), "what was known serves")
    gauge = Gauge(case, agent)
    agent.start()
    back = now()

    def fresh():
        watches = subject.status()["watches"]
        check.equal([w["name"] for w in watches if w["state"] != "ok" or w["source"] != "agent"], [], "watches that are late")
        return True

    check.within(fresh, "every document is fresh", 10 * slowness() - (now() - back), step=0.2)
    check.true(apps.ping(ups["back"]), "it serves")
    check.true(gauge.most <= 5 + 8 + 2, f"{gauge.most} connections at the agent at most")
