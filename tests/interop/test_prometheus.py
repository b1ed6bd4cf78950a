"""A real Prometheus over two Moorings, two Envoys and a Consul: what Consul's UI and dashboards ask, and our own alerts."""

import concurrent.futures
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from lib import apps, check, tlspeer
from lib.case import peer_binary, slowness
from lib.mesh import Mesh
from lib.metrics import scrape
from lib.prometheus import Prometheus, promtool
from lib.static import Static

EXPECTED_SECONDS = 60
OBSERVE = Path(__file__).resolve().parents[2] / "examples" / "observe"
DATA = Path(__file__).resolve().parents[1] / "data"
KINDS = ("mooring", "envoy")
SIZES = itertools.cycle((1, 100, 5_000, 40_000))
TAGS = "consul_source_service,consul_source_datacenter,consul_source_namespace"


class Pair:
    """Pair is web and db with sidecars of one kind, which Prometheus scrapes."""

    def __init__(self, case, mesh, kind):
        options = {"tags": True} if kind == "envoy" else {}
        self.kind, self.web, self.db = kind, mesh.name("web"), mesh.name("db")
        self.app = apps.App(case, apps.echo)
        self.inbound = mesh.inbound(case, kind, self.db, self.app.address, **options)
        self.outbound = mesh.outbound(case, kind, self.web, self.db, **options)
        self.targets = [program.listener("admin") if kind == "mooring" else ("127.0.0.1", program.admin_port)
                        for program in (self.inbound.program, self.outbound.program)]

    def call(self, case, sizes):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for received, end in pool.map(lambda size: apps.exchange(case, self.outbound.address, apps.pattern(size)), sizes):
                check.equal(end, "eof", f"the end of {len(received)} bytes")

    def named(self, text):
        """named puts our words in the place of this pair's names."""
        return text.replace(self.web, "web").replace(self.db, "db")


def source(service):
    return f'consul_source_service="{service}",consul_source_datacenter="dc1",consul_source_namespace="default"'


def topology(pair):
    """topology are the queries of the UI's page of db and of web, each with what its rate has to come to."""
    count, size = "connections", "bytes"
    inbound = source(pair.db) + ',envoy_tcp_prefix="public_listener"'
    upstream = source(pair.web) + ',envoy_tcp_prefix=~"upstream.*"'
    downstream = (f'consul_destination_service="{pair.db}",consul_destination_datacenter="dc1",'
                  'consul_destination_namespace="default"')
    by_upstream = " by (consul_upstream_service,consul_upstream_datacenter,consul_upstream_namespace)"
    for selector, prefix, failed, by in ((inbound, "envoy_tcp_downstream_cx", "_no_route", ""),
                                         (upstream, "envoy_tcp_downstream_cx", "_no_route", by_upstream),
                                         (downstream, "envoy_cluster_upstream_cx", "_connect_fail", f" by ({TAGS})")):
        for metric, factor, what in (("_total", 1, count), ("_rx_bytes_total", 8, size), ("_tx_bytes_total", 8, size),
                                     (failed, 1, None)):
            query = f"sum(rate({prefix}{metric}{{{selector}}}[15m])){by}"
            yield (f"{factor} * {query}" if factor > 1 else query), factor, what, f"{prefix}{metric}{{{selector}}}"


def panels(pair):
    """panels are those queries of Consul's dashboards that layer 4 can answer."""
    both = f'local_cluster=~"{pair.web}|{pair.db}"'
    for name in ("rx_bytes_total", "tx_bytes_total", "rx_bytes_buffered", "tx_bytes_buffered"):
        yield f"sum(rate(envoy_tcp_downstream_cx_{name}{{{both}}}[10m])) by (local_cluster, envoy_tcp_prefix)"
    yield f"sum(envoy_tcp_downstream_cx_total{{{both}}}) by (local_cluster, consul_upstream_service)"
    yield (f'sum(irate(envoy_cluster_upstream_rq_total{{local_cluster=~"{pair.web}",consul_destination_service=~"{pair.db}"}}[10m]))'
           " by (local_cluster, consul_destination_service)")
    for name in ("live", "uptime", "memory_heap_size", "memory_allocated"):
        yield f"sum(envoy_server_{name}{{{both}}}) by (consul_source_service)"
    for name in ("membership_healthy", "membership_total", "upstream_cx_active"):
        yield f"sum(envoy_cluster_{name}{{{both}}}) by (local_cluster, envoy_cluster_name)"
    for name in ("downstream_cx_overload_reject", "downstream_global_cx_overflow"):
        yield f"sum(rate(envoy_listener_{name}{{{both}}}[10m])) by (local_cluster)"


def series_of(pair, answer):
    return sorted(pair.named(json.dumps(labels, sort_keys=True)) for labels, _ in answer)


def test_consuls_page_and_dashboards_are_answered_as_with_envoy_and_counters_are_exact(case):
    mesh = Mesh(case, telemetry={"prometheus_retention_time": "1m"})
    pairs = {kind: Pair(case, mesh, kind) for kind in KINDS}
    prometheus = Prometheus(
        case, {**{kind: pair.targets for kind, pair in pairs.items()}, "consul": [("127.0.0.1", mesh.consul.port)]},
        paths={"envoy": "/stats/prometheus", "consul": "/v1/agent/metrics"}, params={"consul": {"format": ["prometheus"]}})
    check.within(lambda: prometheus.value('count(up == 1)') == 5, "all five are scraped", 20 * slowness(), step=0.2)
    sizes = [next(SIZES) for _ in range(1000)]
    for pair in pairs.values():
        pair.call(case, sizes)
    expected = {"connections": len(sizes), "bytes": sum(sizes), None: 0}

    def told(pair):
        for _, _, what, selector in topology(pair):
            check.equal(prometheus.value(selector), expected[what], selector)
        return True

    for pair in pairs.values():
        check.within(lambda pair=pair: told(pair), f"{pair.kind}: exact counts in Prometheus", 20 * slowness(), step=0.5)
    # One more round of scrapes, so that a rate over the last two samples is there, too.
    count = len(prometheus.samples(f'up{{instance="{"%s:%d" % pairs["mooring"].targets[0]}"}}'))
    check.within(lambda: len(prometheus.samples(f'up{{instance="{"%s:%d" % pairs["mooring"].targets[0]}"}}')) > count + 1,
                 "two more scrapes", 10 * slowness(), step=0.2)
    answers = {kind: [] for kind in KINDS}
    for kind, pair in pairs.items():
        for query, factor, what, selector in topology(pair):
            moment = prometheus.value("vector(time())")
            answer = prometheus.query(query, time=moment)
            answers[kind].append(series_of(pair, answer))
            check.equal(len(answer), 1, f"series of {query}")
            # Prometheus takes the growth between the first and the last sample, and adds at most half of their distance on
            # either side.
            times = [time for time, _ in prometheus.samples(selector) if time <= moment]
            most = 1 + (times[-1] - times[0]) / (len(times) - 1) / (times[-1] - times[0]) * 1.1
            grown = answer[0][1] * 900 / factor
            check.true(expected[what] * 0.999 <= grown <= expected[what] * most * 1.001,
                       f"{kind}: {query} comes to {grown}, with {expected[what]} counted and at most {most} times that")
        for query in panels(pair):
            answer = prometheus.query(query)
            check.true(answer, f"{kind}: no answer to {query}")
            answers[kind].append(series_of(pair, answer))
    check.equal(answers["mooring"], answers["envoy"], "series of all answers")


test_consuls_page_and_dashboards_are_answered_as_with_envoy_and_counters_are_exact.limit = 240


def own(text):
    """own leaves out what is called as Envoy calls it: not all of that goes by Prometheus's conventions."""
    return "\n".join(line for line in text.splitlines() if not re.match(r"(# \w+ )?envoy_", line)) + "\n"


def test_promtool_finds_no_fault_with_our_families(case):
    static = Static(case)
    for moment in ("at rest", "with traffic"):
        text = own(scrape(static.mooring).text)
        check.equal(promtool("check", "metrics", stdin=text), (0, ""), f"what promtool says {moment}")
        static.serves()
        client, peer = static.called()
        client.send(b"x")
        peer.receive(1)


def test_promtool_accepts_the_alerts_and_they_fire_when_they_should(case):
    code, said = promtool("check", "rules", OBSERVE / "alerts.yml")
    check.equal(code, 0, said)
    code, said = promtool("test", "rules", DATA / "alerts_test.yml")
    check.equal(code, 0, said)


def test_alerts_fire_on_what_really_happens(case):
    rules = case.write("alerts.yml", re.sub(r"for: \d+m", "for: 1s", (OBSERVE / "alerts.yml").read_text()))
    static = Static(case)
    prometheus = Prometheus(case, {"mooring": [static.mooring.listener("admin")]}, rules=rules)
    check.within(lambda: prometheus.value("mooring_ready") == 1, "a scrape", 20 * slowness(), step=0.2)
    check.equal([alert["alertname"] for alert in prometheus.firing()], [], "alerts at rest")
    static.endpoint.close()
    check.equal(static.client().drain(), (b"", "reset"), "a client of db, which is not there")
    mallory = static.dial(identity=static.authority.leaf("mallory"))
    try:
        mallory.handshake()
        mallory.receive(1)
    except (tlspeer.Refused, OSError):
        pass

    def fires(name, **labels):
        return any(alert["alertname"] == name and labels.items() <= alert.items() for alert in prometheus.firing())

    check.within(lambda: fires("MooringDeniedCallers", source_service="mallory", destination_service="payment"),
                 "the alert of a denied caller", 20 * slowness(), step=0.2)
    check.within(lambda: fires("MooringEndpointFailing", service="payment", destination_service="db", endpoint="#1"),
                 "the alert of an endpoint", 20 * slowness(), step=0.2)
    check.true(not fires("MooringNotReady"), "it is ready")


def dashboard():
    return json.loads((OBSERVE / "dashboard.json").read_text())


def expressions():
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"].replace("$__rate_interval", "1m")
            for variable in ("service", "instance"):
                expression = expression.replace(f'"${variable}"', '".*"')
            yield panel["title"], expression


def test_every_panel_of_our_dashboard_is_a_question_that_has_an_answer(case):
    static = Static(case)
    prometheus = Prometheus(case, {"mooring": [static.mooring.listener("admin")]})
    check.within(lambda: prometheus.value("mooring_ready") == 1, "a scrape", 20 * slowness(), step=0.2)

    def traffic():
        static.serves()
        client, peer = static.called()
        client.send(b"question")
        check.equal(peer.receive(8), b"question", "question")
        peer.send(b"ok")
        check.equal(client.receive(2), b"ok", "answer")
        client.close()
        peer.close()

    traffic()
    check.within(lambda: len(prometheus.query("rate(mooring_connections_opened_total[1m])")) == 2, "rates", 20 * slowness(), step=0.2)
    traffic()
    for title, expression in expressions():
        answer = prometheus.query(expression)  # fails where it is no expression
        if not expression.endswith("> 0") and "mooring_watch" not in expression:
            check.true(answer, f"{title}: nothing answers {expression}")
    ids = [panel["id"] for panel in dashboard()["panels"]]
    check.equal(len(ids), len(set(ids)), "panels' ids")


def test_the_example_counts_every_payment_and_leaves_nothing(case):
    done = subprocess.run([sys.executable, "-B", OBSERVE / "observe.py", "--mooring", os.environ["MOORING_BIN"], "--seconds", "3"],
                          text=True, capture_output=True, timeout=120 * slowness(), check=False,
                          env={**os.environ, "TMPDIR": str(case.directory), "MOORING_PEERS": str(peer_binary("prometheus").parent)})
    check.equal(done.returncode, 0, done.stdout + done.stderr)
    check.true("Prometheus has them all" in done.stdout and "MooringDeniedCallers" in done.stdout, done.stdout)
    check.equal([name for name in os.listdir(case.directory) if name.startswith("mooring-observe-")], [], "folders left behind")


test_the_example_counts_every_payment_and_leaves_nothing.limit = 150
