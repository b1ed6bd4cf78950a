"""/metrics: who talks to whom, exactly, in both formats, and nothing in it that has no bound."""

import urllib.request

from lib import check, tlspeer
from lib.metrics import Scrape, scrape
from lib.static import Static

EXPECTED_SECONDS = 8
INBOUND = {"direction": "inbound", "service": "payment", "destination_service": "payment"}
OUTBOUND = {"direction": "outbound", "service": "payment", "source_service": "payment"}


def test_each_pair_of_services_is_counted_by_itself_and_exactly(case):
    static = Static(case, rules=[{"source": "web", "action": "allow"}, {"source": "api", "action": "allow"}])
    for size in (10, 200):
        caller = static.caller()
        check.equal(caller.send(b"x" * size).receive(size), b"x" * size, "echo")
        caller.notify()
    api = static.dial(identity=static.authority.leaf("api"))
    api.handshake()
    check.equal(api.send(b"y" * 7).receive(7), b"y" * 7, "echo")
    static.mooring.wait_closed("inbound", "done", 2)
    seen = scrape(static.mooring)
    web, open_one = {**INBOUND, "source_service": "web"}, {**INBOUND, "source_service": "api"}
    check.equal(seen.value("mooring_connections_opened_total", **web), 2, "opened by web")
    check.equal(seen.value("mooring_connections_closed_total", reason="done", **web), 2, "closed")
    check.equal(seen.value("mooring_connections_open", **web), 0, "open of web")
    check.equal(seen.value("mooring_received_bytes_total", **web), 210, "bytes from web")
    check.equal(seen.value("mooring_sent_bytes_total", **web), 210, "bytes to web")
    check.equal(seen.value("mooring_connections_open", **open_one), 1, "open of api")
    check.equal(seen.value("mooring_authorizations_total", decision="allowed", **web), 2, "let in")
    check.equal(seen.value("mooring_estimated_requests_total", **web), 2, "requests, estimated")
    for family in ("connect", "handshake", "first_byte", "connection_lifetime", "estimated_response"):
        check.equal(seen.value(f"mooring_{family}_seconds_count", **web), 2, family)
    check.equal(seen.value("mooring_handshakes_total", direction="inbound", result="done"), 3, "handshakes")
    api.close()


def test_who_is_refused_has_a_reason_and_who_proves_nothing_is_called_so(case):
    static = Static(case)
    tlspeer.try_in_vain(static.dial(identity=static.authority.leaf("mallory")))
    static.mooring.wait_closed("inbound", "denied")
    tlspeer.try_in_vain(static.dial(identity=None))
    static.mooring.wait_closed("inbound", "no_client_certificate")
    seen = scrape(static.mooring)
    mallory = {**INBOUND, "source_service": "mallory"}
    check.equal(seen.value("mooring_authorizations_total", decision="denied", **mallory), 1, "refused")
    check.equal(seen.value("mooring_connections_closed_total", reason="denied", **mallory), 1, "its reason")
    check.equal(seen.value("mooring_connections_closed_total", reason="no_client_certificate", source_service="unproven"), 1,
                "the stranger's")
    check.equal(seen.value("mooring_handshakes_total", direction="inbound", result="failed"), 1, "its handshake")


def test_an_upstream_is_counted_with_its_endpoints_and_where_no_instance_is_there(case):
    static = Static(case)
    client, peer = static.called()
    client.send(b"question")
    check.equal(peer.receive(8), b"question", "what came")
    peer.send(b"ok")
    check.equal(client.receive(2), b"ok", "answer")
    seen = scrape(static.mooring)
    db = {**OUTBOUND, "destination_service": "db"}
    check.equal(seen.value("mooring_connections_open", **db), 1, "open")
    endpoint = {"service": "payment", "destination_service": "db", "endpoint": "#1"}
    check.equal(seen.value("mooring_endpoint_attempts_total", **endpoint), 1, "attempts")
    check.equal(seen.value("mooring_endpoint_in_flight", **endpoint), 1, "in flight")
    check.equal(seen.value("mooring_endpoint_state", state="ok", **endpoint), 1, "state")
    peer.close()
    client.close()
    static.endpoint.close()
    check.equal(static.client().drain(), (b"", "reset"), "what the application gets")
    static.mooring.wait_closed("outbound", "connect_refused")
    seen = scrape(static.mooring)
    check.equal(seen.value("mooring_connections_closed_total", reason="connect_refused", **db), 1, "nobody there")
    check.equal(seen.value("mooring_endpoint_failures_total", **endpoint), 1, "failures")
    check.equal(seen.value("mooring_endpoint_state", state="failing", **endpoint), 1, "state then")
    check.equal(seen.value("mooring_attempts_failed_total", reason="connect_refused"), 1, "by reason")


def test_openmetrics_is_given_to_those_who_ask_and_no_address_is_a_label(case):
    static = Static(case)
    static.serves()
    host, port = static.mooring.listener("admin")
    request = urllib.request.Request(f"http://{host}:{port}/metrics", headers={
        "Accept": "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        check.true(answer.headers["Content-Type"].startswith("application/openmetrics-text"), "the type says so")
        text = answer.read().decode()
    check.true(text.endswith("# EOF\n"), "it ends as OpenMetrics does")
    read = Scrape(text)
    check.equal(read.types.get("mooring_connections_opened"), "counter", "counters are called without _total")
    for name, labels, _ in read.samples:
        for key, value in labels.items():
            check.true("127.0.0.1" not in value and "spiffe:" not in value, f"{name}: {key} is {value}")


def test_what_all_services_share_is_told_once(case):
    static = Static(case)
    seen = scrape(static.mooring)
    check.equal(len(seen.values("mooring_build_info")), 1, "the program")
    check.equal(seen.value("mooring_ready", service="payment"), 1, "ready")
    for name in ("process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds",
                 "mooring_buffer_limit_bytes", "mooring_leaf_certificate_expiry_timestamp_seconds"):
        check.true(seen.value(name) > 0, f"{name} is there")
    check.true({"control", "worker-1"} <= seen.label_values("mooring_loop_lag_seconds", "loop"), "each loop's lag")
    check.equal(static.mooring.admin("/metrics?service=nobody")[0], 404, "of a service that is not here")
