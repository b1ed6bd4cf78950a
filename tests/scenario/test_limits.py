"""Limits by number of connections: at each the next is refused at once and named, and one that ends makes room for another."""

import json

from lib import apps, check, tlspeer
from lib.case import slowness
from lib.metrics import scrape
from lib.mooring import run
from lib.static import Static

EXPECTED_SECONDS = 12
FULL = (b"", "reset")


def limit(static, name, listener):
    return next(one for one in static.mooring.status()["limits"] if (one["limit"], one["listener"]) == (name, listener))


def used(static, name, listener, count):
    check.within(lambda: limit(static, name, listener)["used"] == count, f"{name}: {count} used", 5 * slowness())


def named(static, direction, name, most, listener="", refused=1):
    """named asserts that everybody who is asked names the limit that has refused so many."""
    static.mooring.wait_closed(direction, "over_limit", refused)
    recent = check.within(lambda: json.loads(static.mooring.admin("/recent?match=over_limit")[1])["failed"], "/recent has it",
                          5 * slowness())
    check.equal(recent[0]["detail"], f"{name} is {most}", "/recent")
    seen = scrape(static.mooring)
    labels = {"limit": name, **({"service": "payment", "listener": listener} if listener else {})}
    check.equal(seen.value("mooring_over_limit_total", **labels), refused, "the metric of refusals")
    check.equal(seen.value("mooring_connections_limit", **labels), most, "the metric of the limit")
    static.mooring.wait_log(rf"\[WARN\].*reason=\"?over_limit.*{name} is {most}")
    if listener:
        one = limit(static, name, listener)
        check.equal((one["most"], one["refused"]), (most, refused), "/status")
        host, port = static.mooring.listener("admin")
        check.true(name in run("status", "-admin-addr", f"{host}:{port}")[1], "mooring status")
        said = run("why", "-admin-addr", f"{host}:{port}", *(("web", "payment") if direction == "inbound" else ("payment", "db")))[1]
        check.true(f"{name}: " in said and f"{direction}, over_limit" in said and "next: " in said, f"why: {said}")


def echoes(client, server):
    client.send(b"ping")
    return server.receive(4) == b"ping"


def test_the_connections_of_an_upstream(case):
    static = Static(case, upstream={"max_connections": 2})
    first, second = static.called(), static.called()
    used(static, "max_connections", "upstream:db", 2)
    check.equal(static.client().drain(), FULL, "what the third gets")
    check.true(not static.endpoint.pending(0), "no instance was dialled for it")
    named(static, "outbound", "max_connections", 2, "upstream:db")
    check.true(echoes(*first) and echoes(*second), "the others live")
    for end in first:
        end.close()
    used(static, "max_connections", "upstream:db", 1)
    check.true(echoes(*static.called()), "the next is let in")
    check.equal(static.client().drain(), FULL, "and no other")


def test_the_connections_of_an_upstream_that_have_no_instance_yet(case):
    static = Static(case, upstream={"max_pending": 1})
    waits = static.client()
    used(static, "max_pending", "upstream:db", 1)
    check.equal(static.client().drain(), FULL, "what the second gets")
    named(static, "outbound", "max_pending", 1, "upstream:db")
    peer = static.endpoint.accept(static.db, static.roots)
    peer.handshake()
    check.true(echoes(waits, peer), "the first has its instance")
    used(static, "max_pending", "upstream:db", 0)
    check.true(echoes(*static.called()), "the next is let in")


def test_a_limit_of_0_lets_no_connection_to_an_upstream(case):
    static = Static(case, upstream={"max_connections": 0})
    check.equal(static.client().drain(), FULL, "what the first gets")
    named(static, "outbound", "max_connections", 0, "upstream:db")


def refused_caller(static, **options):
    """refused_caller goes through the handshake, and returns the alert by which it is refused."""
    peer = static.dial(**options)
    tlspeer.try_in_vain(peer)
    return peer.alert()


def test_callers_that_were_let_in(case):
    static = Static(case, public={"max_inbound_connections": 2})
    first, second = static.caller(), static.caller()
    for peer in (first, second):
        check.equal(peer.send(b"ping").receive(4), b"ping", "echo")
    # Who is not let in takes nobody's place.
    strangers = [apps.Client(case, static.public) for _ in range(5)]
    tlspeer.try_in_vain(static.dial(identity=static.authority.leaf("api")))
    used(static, "max_inbound_connections", "public", 2)
    dialled = len(static.app.seen)
    check.equal(refused_caller(static), "INTERNAL_ERROR", "the alert")
    check.equal(len(static.app.seen), dialled, "dials of the app")
    named(static, "inbound", "max_inbound_connections", 2, "public")
    first.close()
    used(static, "max_inbound_connections", "public", 1)
    check.true(static.serves(), "the next is let in")
    for stranger in strangers:
        stranger.close()


def test_callers_of_one_identity(case):
    static = Static(case, public={"max_connections_per_identity": 1}, default="allow")
    first = static.caller()
    check.equal(first.send(b"ping").receive(4), b"ping", "echo")
    check.equal(refused_caller(static), "INTERNAL_ERROR", "the alert")
    named(static, "inbound", "max_connections_per_identity", 1, "public")
    check.equal(limit(static, "max_connections_per_identity", "public")["identity"], static.web.uri, "who has most")
    other = static.dial(identity=static.authority.leaf("api"))
    other.handshake()
    check.equal(other.send(b"ping").receive(4), b"ping", "another identity is unaffected")
    first.close()
    other.close()
    used(static, "max_connections_per_identity", "public", 0)
    check.true(static.serves(), "the next is let in")


def test_all_connections_of_the_process(case):
    static = Static(case, max_total_connections=2)
    caller = static.caller()
    check.equal(caller.send(b"ping").receive(4), b"ping", "echo")
    called = static.called()
    check.true(echoes(*called), "echo")
    check.equal(static.client().drain(), FULL, "what the app's next gets")
    named(static, "outbound", "max_total_connections", 2)
    check.equal(apps.Client(case, static.public).drain(), FULL, "what the next caller gets")
    static.mooring.wait_closed("inbound", "over_limit")
    seen = static.mooring.status()["admission"]["connections"]
    check.equal((seen["limit"], seen["open"], seen["refused"]), (2, 2, 2), "/status")
    host, port = static.mooring.listener("admin")
    said = run("status", "-admin-addr", f"{host}:{port}")[1]
    check.true("max_total_connections  2 of 2, 2 refused" in said, f"mooring status: {said}")
    for end in called:
        end.close()
    check.within(lambda: static.mooring.status()["admission"]["connections"]["open"] == 1, "one has ended", 5 * slowness())
    check.true(echoes(*static.called()), "the next is let in")


def test_ends_of_every_kind_give_their_places_back(case):
    static = Static(case, upstream={"max_connections": 3, "max_pending": 2, "connect_timeout": "300ms"},
                    public={"max_inbound_connections": 3, "max_connections_per_identity": 3}, max_total_connections=50)
    for _ in range(case.scale(10, 200)):
        client, peer = static.called()
        peer.reset()
        client.drain()
        static.client().drain()  # no instance answers in time
        static.endpoint.accept_socket().close()
        client = static.client()
        apps.reset(client.socket)  # the app goes while it waits
        static.endpoint.accept_socket().close()
        apps.reset(static.caller().socket)
        tlspeer.try_in_vain(static.dial(identity=static.authority.leaf("api")))
    static.mooring.wait_idle()
    for one in static.mooring.status()["limits"]:
        check.equal((one["used"], one["refused"]), (0, 0), f"what is left of {one['limit']}")
    check.equal(static.mooring.status()["admission"]["connections"]["open"], 0, "what is left of the process's")


test_ends_of_every_kind_give_their_places_back.limit = 120


def test_a_limit_that_is_none_is_refused_with_its_place(case):
    def said(text):
        path = case.write("bad.yaml", text)
        code, out, err = run("validate", path)
        check.equal(code, 1, "exit code")
        return out + err

    upstream = "service: web\nupstreams:\n  - service: db\n    listen: 127.0.0.1:9191\n    {}\n"
    for key in ("max_connections", "max_pending"):
        text = said(upstream.format(f"{key}: -1"))
        check.true(":5:" in text and f"{key}" in text and "number from 0" in text, text)
    text = said(upstream.format("no_endpoint: maybe"))
    check.true(":5:" in text and "neither refuse nor reset" in text, text)
    for line in ("max_total_connections: 0", "rate_per_address: -1", "burst_per_address: lots"):
        text = said(upstream.format("any_case: false") + line + "\n")
        check.true(":6:" in text and "number from 1" in text, text)
