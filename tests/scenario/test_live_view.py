"""What is under way, for people: live connections, who talks to whom, the short status, the page."""

import json
import re
import signal
import socket
import urllib.error
import urllib.request
from pathlib import Path

from lib import apps, certs, check, crowd
from lib.case import slowness
from lib.evil import EVIL, with_evil_names
from lib.mooring import Mooring, host_port
from lib.ports import free_port
from lib.static import Static, identity_files

EXPECTED_SECONDS = 8


def ask(mooring, path):
    code, text = mooring.admin(path)
    check.equal(code, 200, f"{path}: {text[:300]}")
    return json.loads(text)


def connections(mooring, query=""):
    return ask(mooring, "/connections" + query)


def flow(mooring, **wanted):
    found = [one for one in ask(mooring, "/traffic")["flows"] if all(one[key] == value for key, value in wanted.items())]
    check.equal(len(found), 1, f"flows that are {wanted}")
    return found[0]


def test_each_live_connection_is_told_with_who_how_and_how_much(case):
    static = Static(case)
    caller = static.caller()
    check.equal(caller.send(b"x" * 300).receive(300), b"x" * 300, "echo")
    client, peer = static.called()
    client.send(b"question")
    check.equal(peer.receive(8), b"question", "what came")
    stranger = static.dial()  # says nothing
    listed = check.within(lambda: (found := connections(static.mooring))["matched"] == 3 and found, "all three are there")
    check.equal((listed["total"], len(listed["connections"])), (3, 3), "how many")
    ids = [one["id"] for one in listed["connections"]]
    check.equal(ids, sorted(set(ids), reverse=True), "the newest is first, and each has a number of its own")
    by_state = {(one["direction"], one["state"]): one for one in listed["connections"]}
    inbound, outbound = by_state["inbound", "relaying"], by_state["outbound", "relaying"]
    check.equal((inbound["source"], inbound["destination"]), ("web", "payment"), "who calls whom")
    check.true(inbound["identity"].endswith("/svc/web") and "web" in inbound["decided_by"], f"who it is, and what let it in: {inbound}")
    check.equal(inbound["endpoint"], f"127.0.0.1:{static.app.port}", "the app")
    check.equal((inbound["bytes_in"], inbound["bytes_out"]), (300, 300), "bytes, as of now")
    check.equal((inbound["tls"]["version"], inbound["tls"]["resumed"]), ("TLSv1.3", False), "TLS")
    check.true(0 <= inbound["idle_seconds"] <= inbound["age_seconds"], f"age and idle time: {inbound}")
    check.equal((outbound["source"], outbound["destination"]), ("payment", "db"), "whom we call")
    check.equal((outbound["endpoint"], outbound["bytes_in"], outbound["bytes_out"]), (f"127.0.0.1:{static.endpoint.port}", 8, 0), "the upstream's")
    unproven = by_state["inbound", "handshake"]
    check.equal((unproven["source"], unproven["tls"], unproven["endpoint"]), ("", None, None), "a stranger")
    for one in (stranger, caller, client, peer):
        one.close()
    check.within(lambda: connections(static.mooring)["total"] == 0, "all are gone")


def test_connections_are_searched_sorted_and_come_in_pages(case):
    static = Static(case)
    callers = [static.caller() for _ in range(5)]
    for size, caller in enumerate(callers, start=1):
        check.equal(caller.send(b"x" * 10 * size).receive(10 * size), b"x" * 10 * size, "echo")
    client, _ = static.called()
    busy = connections(static.mooring, "?sort=bytes&limit=2")
    check.equal([one["bytes_in"] for one in busy["connections"]], [50, 40], "those with most bytes")
    check.equal((busy["matched"], busy["total"]), (6, 6), "of how many")
    rest = connections(static.mooring, "?sort=bytes&limit=2&offset=4")
    check.equal([one["bytes_in"] for one in rest["connections"]], [10, 0], "the last page")
    found = connections(static.mooring, "?match=INBOUND%20web%20relaying")
    check.equal((found["matched"], {one["source"] for one in found["connections"]}), (5, {"web"}), "each word is found")
    check.equal(connections(static.mooring, f"?match=127.0.0.1:{static.endpoint.port}")["matched"], 1, "by an endpoint")
    check.equal(connections(static.mooring, "?match=nobody")["connections"], [], "what nobody has")
    check.equal(connections(static.mooring, "?service=payment")["total"], 6, "of one service")
    for query in ("?limit=501", "?limit=-1", "?offset=x", "?offset=2001", "?sort=age", "?limit="):
        check.equal(static.mooring.admin("/connections" + query)[0], 400, query)
    check.equal(static.mooring.admin("/connections?service=nobody")[0], 404, "of a service that is not here")


def test_a_search_and_a_drain_are_states_of_their_own(case):
    static = Static(case, behaviour=apps.sink, drain_time="30s")
    waiting = static.caller()
    waiting.send(b"a question that nobody answers")
    client = static.client()  # the endpoint does not take part in the handshake
    listed = check.within(lambda: connections(static.mooring, "?match=searching")["connections"], "a search is seen")
    check.equal((listed[0]["destination"], listed[0]["endpoint"]), ("db", f"127.0.0.1:{static.endpoint.port}"), "whom it tries")
    check.within(lambda: connections(static.mooring, "?match=relaying%20inbound")["matched"] == 1, "the question has come")
    static.mooring.process.send(signal.SIGTERM)
    check.within(lambda: connections(static.mooring, "?match=draining%20inbound")["matched"] == 1, "a drain waits for its answer")
    static.mooring.kill()
    waiting.close()
    client.close()


def test_who_talks_to_whom_has_counts_failures_and_times(case):
    static = Static(case)
    caller = static.caller()
    for _ in range(4):
        check.equal(caller.send(b"x" * 100).receive(100), b"x" * 100, "echo")
    web = flow(static.mooring, source="web", destination="payment", direction="inbound")
    check.equal((web["opened"], web["open"], web["failed"], web["closed"]), (1, 1, 0, {}), "connections")
    # No sweep is awaited: who asks gets what has moved by now.
    check.equal((web["bytes_in"], web["bytes_out"], web["requests"]), (400, 400, 4), "bytes and requests of one that lives")
    check.equal(sum(web["answer"]["below"]), 4, "answers")
    check.true(0 < web["answer"]["p50_seconds"] <= web["answer"]["p99_seconds"], f"times: {web['answer']}")
    try:
        static.dial(identity=static.authority.leaf("mallory")).handshake().receive(1)
    except Exception:  # noqa: it is refused, by whatever the client sees of that
        pass
    static.mooring.wait_closed("inbound", "denied")
    refused = flow(static.mooring, source="mallory", direction="inbound")
    check.equal((refused["failed"], refused["closed"]), (1, {"denied": 1}), "a refusal")
    first = ask(static.mooring, "/traffic?sort=failed&limit=1")
    check.equal((first["matched"], [one["source"] for one in first["flows"]]), (2, ["mallory"]), "by failures")
    check.equal(ask(static.mooring, "/traffic?match=MALLORY")["matched"], 1, "found by a name")
    check.equal(static.mooring.admin("/traffic?sort=colour")[0], 400, "an order that there is not")


def test_an_endpoint_says_its_state_and_why(case):
    static = Static(case)
    details = static.mooring.status()["upstreams"][0]["endpoint_details"]
    check.equal([(one["state"], one["last_failure"]) for one in details], [("unused", None)], "before anything")
    static.endpoint.close()
    check.equal(static.client().drain(), (b"", "reset"), "what the application gets")
    brief = ask(static.mooring, "/status?brief=1")["service"]["upstreams"]
    one = brief["list"][0]
    endpoint = one["endpoints"][0]
    check.equal((endpoint["state"], endpoint["last_failure"]["reason"], endpoint["failures_in_a_row"]), ("failing", "connect_refused", 1), "why")
    check.equal((brief["troubled"], one["name"]), (1, "db"), "an upstream in trouble")
    check.true("has failed" in one["trouble"], one["trouble"])


LONG = "upstream-%03d-with-a-rather-long-name-as-they-have-them"


def listeners_of(mooring):
    """listeners_of are those of /status, whatever is logged."""
    return {one["name"]: host_port(one["address"]) for one in mooring.status()["listeners"]}


# What the page asks for in one refresh (proxy/admin/page/page.js).
REFRESH = ("/status?brief=1&offset=0&limit=20", "/traffic?offset=0&limit=40&sort=bytes", "/connections?offset=0&limit=25&sort=newest")


def cpu_of_threads(pid):
    """cpu_of_threads is the CPU time of each thread in ms, by its number; the first is the control thread's."""
    times = {}
    for thread in sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda path: int(path.name)):
        times[int(thread.name)] = int((thread / "schedstat").read_text().split()[0]) / 1e6
    return times


def test_a_refresh_of_the_page_is_bounded_however_much_there_is(case):
    """In a full run: 500 upstreams with 20 endpoints each, and 5,000 connections."""
    count, many = case.scale(60, 500), case.scale(300, 5000)
    nobody = free_port()
    silent = socket.create_server(("127.0.0.1", 0), backlog=4096)  # the kernel takes them, and no handshake is answered
    case.owns(silent)
    mooring = Mooring.from_yaml(case, {
        "service": "payment", "identity": identity_files(case, certs.Authority(), "payment"),
        "upstreams": [{"service": LONG % i, "listen": "127.0.0.1:0", "endpoints": [f"127.0.0.{1 + j}:{nobody}" for j in range(20)]}
                      for i in range(count - 1)]
                     + [{"service": "silent", "listen": "127.0.0.1:0", "connect_timeout": "300s",
                         "endpoints": ["127.0.0.1:%d" % silent.getsockname()[1]]}]}, level="INFO")
    upstreams = {name: address for name, address in listeners_of(mooring).items() if name.startswith("upstream:")}
    check.equal(len(upstreams), count, "listeners")
    for name, address in upstreams.items():
        if name != "upstream:silent":
            apps.Client(None, address).drain()  # there is nobody: each endpoint has a failure to tell of
    crowd.Crowd(case, upstreams["upstream:silent"]).join(many)
    check.within(lambda: connections(mooring, "?limit=0")["matched"] == many, "all are there", 60 * slowness(), step=0.1)
    refreshes, sizes, before = 20, [], cpu_of_threads(mooring.pid)
    for _ in range(refreshes):
        bodies = [mooring.admin(path)[1] for path in REFRESH]
        sizes.append([len(body) for body in bodies])
    spent = {thread: (time - before.get(thread, 0)) / refreshes for thread, time in cpu_of_threads(mooring.pid).items()}
    crowd.say(f"one refresh of the page, {count} upstreams, {many} connections: {sum(sizes[-1])} bytes, CPU in ms by thread: "
              + ", ".join(f"{time:.2f}" for time in spent.values() if time >= 0.01))
    for path, size in zip(REFRESH, sizes[-1]):
        check.below(size, 100_000, f"bytes of {path}")
    check.below(sum(sizes[-1]), 160_000, "bytes of one refresh")
    page = json.loads(bodies[0])["service"]["upstreams"]
    check.equal((page["total"], page["matched"], len(page["list"])), (count, count, 20), "upstreams in pages")
    check.equal((len(page["list"][0]["endpoints"]), page["list"][0]["endpoint_count"]), (8, 20), "endpoints of one: told, and there")
    last = ask(mooring, f"/status?brief=1&limit=20&offset={count - 5}")["service"]["upstreams"]["list"]
    check.equal(len(last), 5, "the last page")
    one = ask(mooring, "/status?brief=1&match=STREAM-007-")["service"]["upstreams"]
    check.equal((one["matched"], one["list"][0]["name"]), (1, LONG % 7), "found by its name")
    check.equal(len(ask(mooring, "/traffic?limit=40")["flows"]), 40, "pairs, in pages")


test_a_refresh_of_the_page_is_bounded_however_much_there_is.limit = 240


def test_the_page_lets_in_nothing_but_itself(case):
    static = Static(case)
    host, port = static.mooring.listener("admin")
    with urllib.request.urlopen(f"http://{host}:{port}/", timeout=5) as answer:
        page, headers = answer.read().decode(), answer.headers
    policy = headers["Content-Security-Policy"]
    check.true(policy.startswith("default-src 'none'; style-src 'sha256-") and "connect-src 'self'" in policy, policy)
    check.true("unsafe" not in policy and "require-trusted-types-for 'script'" in policy, policy)
    for name, value in (("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"), ("Cache-Control", "no-store"),
                        ("Content-Type", "text/html; charset=utf-8")):
        check.equal(headers[name], value, name)
    check.true("<noscript>" in page and '<a href="/status">' in page, "without JavaScript it says where to look")
    check.equal(re.findall(r'(?:src|href)="(?!/|#|data:,")[^"]*"|url\(|@import|innerHTML|insertAdjacent|document\.write|eval\(', page), [],
                "it loads nothing from elsewhere, and writes no HTML")
    check.equal(static.mooring.admin("/nothing")[0], 404, "what there is not")


def test_names_from_outside_stay_text(case):
    mooring, client, peer = with_evil_names(case)
    instance = check.within(lambda: connections(mooring, "?match=relaying")["connections"], "it relays")[0]["instance"]
    check.equal((instance["id"], instance["node"]), (EVIL, EVIL), "what the agent calls it")
    for path in ("/connections", "/traffic", "/status?brief=1", "/status"):
        body = mooring.admin(path)[1]
        check.true(body.isascii() and "\x1b" not in body, f"{path} is ASCII, and steers no terminal")
    client.close()
    peer.close()


def test_a_port_that_strangers_may_reach_has_none_of_it(case):
    static = Static(case, metrics={"address": "127.0.0.1:0"})
    host, port = static.mooring.listener("metrics")
    for path in ("/", "/connections", "/traffic", "/status?brief=1"):
        check.equal(static.mooring.admin(path)[0], 200, f"{path} on the admin port")
        try:
            urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=5).close()
            check.fail(f"{path} is answered on the metrics port")
        except urllib.error.HTTPError as error:
            check.equal(error.code, 404, f"{path} on the metrics port")
            error.close()
