"""What Mooring says by Envoy's names, beside what Envoy 1.40 says of the same traffic.

Envoy is bootstrapped as `consul connect envoy` of 1.21 does it. A tag that is empty is no tag to Prometheus.
"""

import itertools

from lib import apps, check
from lib.case import sanitized, slowness
from lib.mesh import Mesh
from lib.metrics import Scrape, scrape

EXPECTED_SECONDS = 15
SIZES = (1, 10, 2_000, 70_000, 300_000)

# The names that Consul's UI and dashboards ask for. Counts agree exactly; gauges do at rest.
TCP = ("envoy_tcp_downstream_cx_total", "envoy_tcp_downstream_cx_rx_bytes_total", "envoy_tcp_downstream_cx_tx_bytes_total",
       "envoy_tcp_downstream_cx_no_route", "envoy_tcp_downstream_cx_rx_bytes_buffered",
       "envoy_tcp_downstream_cx_tx_bytes_buffered")
CLUSTER = ("envoy_cluster_upstream_cx_total", "envoy_cluster_upstream_cx_active", "envoy_cluster_upstream_cx_connect_fail",
           "envoy_cluster_upstream_cx_rx_bytes_total", "envoy_cluster_upstream_cx_tx_bytes_total",
           "envoy_cluster_upstream_rq_total", "envoy_cluster_membership_healthy", "envoy_cluster_membership_total")
LISTENER = ("envoy_listener_downstream_cx_overload_reject", "envoy_listener_downstream_global_cx_overflow")
SERVER = ("envoy_server_live", "envoy_server_uptime", "envoy_server_memory_heap_size", "envoy_server_memory_allocated")


def setup_module(case):
    global mesh
    mesh = Mesh(case)


def read(program):
    return scrape(program) if program.kind == "mooring" else Scrape(program.admin("/stats/prometheus"))


def series(scraped, names, mine):
    """series are the values of those names by their tags. `mine` are names of services, by the words that stand for them."""
    found = {}
    for name, labels, value in scraped.samples:
        if name in names:
            tags = {}
            for key, text in labels.items():
                for real, word in mine.items():
                    text = text.replace(real, word)
                if text:
                    tags[key] = text
            if "envoy_listener_address" in tags:
                tags["envoy_listener_address"] = "somewhere"
            found[name, tuple(sorted(tags.items()))] = value
    return found


class Told:
    """Told is a pair of sidecars of one kind, and what they say."""

    def __init__(self, case, kind):
        options = {"tags": True} if kind == "envoy" else {}
        self.web, self.db = mesh.name("web"), mesh.name("db")
        self.app = apps.App(case, apps.echo)
        self.inbound = mesh.inbound(case, kind, self.db, self.app.address, **options)
        self.outbound = mesh.outbound(case, kind, self.web, self.db, **options)
        self.mine = {self.web: "web", self.db: "db"}

    def says(self, names):
        both = {}
        for side, sidecar in (("inbound", self.inbound), ("outbound", self.outbound)):
            for (name, tags), value in series(read(sidecar.program), names, self.mine).items():
                both[side, name, tags] = value
        return both


def agree(case, first, second, names):
    def look():
        one, other = first.says(names), second.says(names)
        check.equal(sorted(one), sorted(other), "series")
        differ = {key: (value, other[key]) for key, value in one.items() if value != other[key]}
        check.equal(differ, {}, "values: (Envoy's, Mooring's)")
        return True

    check.within(look, "both say the same", 8 * slowness(), step=0.1)


def test_the_same_traffic_is_told_alike(case):
    both = [Told(case, kind) for kind in ("envoy", "mooring")]
    agree(case, *both, TCP + CLUSTER + LISTENER)
    for told, size in itertools.product(both, SIZES):
        check.equal(apps.exchange(case, told.outbound.address, apps.pattern(size))[1], "eof", "its end")
    agree(case, *both, TCP + CLUSTER + LISTENER)
    seen = read(both[1].inbound.program)
    check.equal(seen.value("envoy_tcp_downstream_cx_total", envoy_tcp_prefix="public_listener"), len(SIZES), "connections")
    check.equal(seen.value("envoy_tcp_downstream_cx_rx_bytes_total", envoy_tcp_prefix="public_listener"), sum(SIZES), "bytes")


def test_a_live_connection_and_a_health_check_are_told_alike(case):
    both = [Told(case, kind) for kind in ("envoy", "mooring")]
    clients = [apps.Client(case, told.outbound.address) for told in both]
    for client, told in zip(clients, both):
        client.send(b"ping")
        check.equal(client.receive(4), b"ping", "echo")
        apps.bare_connect(told.inbound.address)
    agree(case, *both, TCP[:1])
    for told in both:
        seen = read(told.outbound.program)
        for name in ("envoy_cluster_upstream_cx_active", "envoy_cluster_upstream_cx_total", "envoy_cluster_upstream_rq_total"):
            check.equal(seen.value(name, consul_destination_service=told.db), 1, f"{name} by {told.outbound.kind}")
    # Envoy has dialled the application for the check, too; Mooring does so only for whom intentions let in.
    for told, dialled in zip(both, (2, 1)):
        seen = read(told.inbound.program)
        check.equal(seen.value("envoy_cluster_upstream_cx_total", envoy_cluster_name="local_app"), dialled,
                    f"the application's connections by {told.inbound.kind}")
    for client in clients:
        client.close()


def test_an_instance_that_is_not_there_is_told_alike(case):
    """One attempt for each connection at both: Mooring has no other instance to try."""
    both = [Told(case, kind) for kind in ("envoy", "mooring")]
    for told in both:
        told.inbound.process.kill() if told.inbound.kind == "envoy" else told.inbound.program.kill()
        for _ in range(3):
            apps.Client(case, told.outbound.address).drain()
    for told in both:
        def look(told=told):
            seen = read(told.outbound.program)
            check.equal([seen.value(name, **labels) for name, labels in (
                ("envoy_cluster_upstream_cx_connect_fail", {"consul_destination_service": told.db}),
                ("envoy_cluster_upstream_cx_total", {"consul_destination_service": told.db}),
                ("envoy_cluster_upstream_rq_total", {"consul_destination_service": told.db}),
                ("envoy_tcp_downstream_cx_total", {"consul_upstream_service": told.db}),
                ("envoy_tcp_downstream_cx_no_route", {"consul_upstream_service": told.db}))], [3, 3, 0, 3, 0],
                f"failed, tried, requests, accepted, no route by {told.outbound.kind}")
            return True

        check.within(look, "three failures", 8 * slowness(), step=0.1)


def test_the_process_is_told_alike(case):
    both = [Told(case, kind) for kind in ("envoy", "mooring")]
    one, other = (told.says(SERVER) for told in both)
    check.equal(sorted(one), sorted(other), "series")
    for (_, name, _), value in other.items():
        check.true(value == 1 if name == "envoy_server_live" else value >= 0, f"{name} is {value}")
    heap = {name: value for (side, name, _), value in other.items() if side == "inbound"}
    if sanitized():
        return  # its allocator is another
    check.true(0 < heap["envoy_server_memory_allocated"] <= heap["envoy_server_memory_heap_size"], f"memory: {heap}")


def test_what_kinds_they_are_is_told_alike_and_all_of_it_can_be_switched_off(case):
    both = [Told(case, kind) for kind in ("envoy", "mooring")]
    types = [read(told.outbound.program).types for told in both]
    for name in TCP + CLUSTER + LISTENER + SERVER:
        check.equal(types[1].get(name), types[0].get(name), name)
    app = apps.App(case, apps.echo)
    silent = mesh.inbound(case, "mooring", mesh.name("db"), app.address, flags=("-metrics-envoy-names=false",))
    check.true(not any(name.startswith("envoy_") for name, _, _ in scrape(silent.program).samples), "no name of Envoy's")
