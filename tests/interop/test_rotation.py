"""Leaf and roots rotate under traffic: no connection fails and none is dropped (I15)."""

import threading

from lib import agent, apps, certs, check
from lib.case import slowness
from lib.mesh import PAIR_WITH_ITSELF, PAIRS_WITH_GO, Mesh, pair_name
from lib.mooring import Mooring

EXPECTED_SECONDS = 45
PAIRS = [("mooring", "envoy", "1.3"), ("envoy", "mooring", "1.2")] + PAIRS_WITH_GO + PAIR_WITH_ITSELF


class Traffic:
    """New connections one after the other, and one that stays, until stop()."""

    def __init__(self, case, name, address):
        self.name, self.address = name, address
        self.made, self.failures = 0, []
        self.live = apps.Client(case, address)
        check.equal(self.live.send(b"first").receive(5), b"first", f"{name}: the connection that stays")
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.stopping.wait(0.05):
            try:
                client = apps.Client(None, self.address)
                try:
                    answer = client.send(b"ping").receive(4)
                finally:
                    client.close()
                if answer != b"ping":
                    raise OSError(f"answer {answer!r}")
                self.made += 1
            except OSError as error:
                self.failures.append(f"after {self.made}: {error}")

    def stop(self):
        self.stopping.set()
        self.thread.join(30)

    def verdict(self):
        check.equal(self.failures, [], f"{self.name}: failed connections ({self.made} succeeded)")
        check.equal(self.live.send(b"still").receive(5), b"still", f"{self.name}: the connection that stayed")


def test_I15_a_root_rotates_under_traffic_in_every_pair(case):
    mesh = Mesh(case)
    pairs = [mesh.pair(case, client, server, apps.echo, tls) for client, server, tls in PAIRS]
    traffic = [Traffic(case, pair_name(*kind), pair.address) for kind, pair in zip(PAIRS, pairs)]
    moorings = [m for pair in pairs for m in pair.moorings()]
    envoys = [s.program for pair in pairs for s in (pair.inbound, pair.outbound) if s.kind == "envoy"]
    before = {m.pid: m.status()["leaf"]["serial"] for m in moorings}
    made = [t.made for t in traffic]
    mesh.consul.rotate_root()

    def renewed():
        # The agent renews leaves at a time of its choice within half a minute.
        for envoy in envoys:
            envoy.refresh()
        old = [m.process.name for m in moorings if m.status()["leaf"]["serial"] == before[m.pid]]
        check.equal(old, [], "moorings with the old leaf")
        return True

    check.within(renewed, "every mooring shows a new leaf", 40 * slowness(), step=0.2)
    for one, count in zip(traffic, made):
        check.within(lambda t=one, n=count: t.made > n + 20 or t.failures, f"{one.name}: more connections", 20)
    for one in traffic:
        one.stop()
    for one in traffic:
        one.verdict()
    for mooring in moorings:
        check.equal(mooring.status()["roots"]["count"], 2, f"roots in {mooring.process.name}")


test_I15_a_root_rotates_under_traffic_in_every_pair.limit = 90


def scripted_pair(case):
    api = agent.Agent(case)
    app = apps.App(case, apps.echo)
    inbound = Mooring.connect_proxy(case, "-http-addr", api.address, "-service", "db", "-service-addr",
                                    f"127.0.0.1:{app.port}", "-listen", "127.0.0.1:0", name="mooring-db")
    api.set_instances("db", inbound.public)
    outbound = Mooring.connect_proxy(case, "-http-addr", api.address, "-service", "web", "-upstream",
                                     "db:127.0.0.1:0", name="mooring-web")
    return api, inbound, outbound


def test_I15_leaves_rotate_many_times_under_traffic(case):
    api, inbound, outbound = scripted_pair(case)
    traffic = Traffic(case, "mooring_to_mooring", outbound.upstream("db"))
    for _ in range(case.scale(10, 100)):
        serials = [m.status()["leaf"]["serial"] for m in (inbound, outbound)]
        api.rotate_leaf("db")
        api.rotate_leaf("web")
        check.within(lambda: all(m.status()["leaf"]["serial"] != s
                                 for m, s in zip((inbound, outbound), serials)),
                     "both moorings have the new leaf", 5 * slowness())
        made = traffic.made
        check.within(lambda: traffic.made > made or traffic.failures, "a connection under the new leaf", 5)
    traffic.stop()
    traffic.verdict()


def test_I15_leaves_signed_by_either_root_are_good_while_both_are_listed(case):
    api, inbound, outbound = scripted_pair(case)
    traffic = Traffic(case, "mooring_to_mooring", outbound.upstream("db"))
    old, new = api.authority, certs.Authority("Second Root")
    api.set_roots(new, old)
    for program in (inbound, outbound):
        check.within(lambda p=program: p.status()["roots"]["count"] == 2, "both roots are known")
    # Only db moves to the new root: for a while the two sides live under different ones.
    api.set_leaf("db", new.leaf("db"))
    serial = outbound.status()["leaf"]["serial"]
    made = traffic.made
    check.within(lambda: traffic.made > made + 3 or traffic.failures, "connections under both roots", 10)
    api.set_leaf("web", new.leaf("web"))
    check.within(lambda: outbound.status()["leaf"]["serial"] != serial, "web has moved, too")
    api.set_roots(new)
    for program in (inbound, outbound):
        check.within(lambda p=program: p.status()["roots"]["count"] == 1, "the old root is gone")
    made = traffic.made
    check.within(lambda: traffic.made > made + 3 or traffic.failures, "connections under the new root", 10)
    traffic.stop()
    check.equal(traffic.failures, [], f"failed connections ({traffic.made} succeeded)")
    # The one that was there before the rotation leads to the root that is gone.
    check.equal(traffic.live.drain()[1], "reset", "the end of the connection under the removed root")
    check.within(lambda: outbound.closed("outbound", "root_removed") + inbound.closed("inbound", "root_removed") > 0,
                 "the cut is counted")
