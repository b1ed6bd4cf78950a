"""Twelve ways for a connection to end: each has a reason of its own, and log, metric, /recent and `why` have the same one."""

import json

from lib import apps, certs, check, tlspeer
from lib.blackhole import BlackHole
from lib.case import slowness
from lib.consul import Consul
from lib.metrics import scrape
from lib.mooring import Mooring, run
from lib.ports import free_port
from lib.shortage import Limit
from lib.static import Static

EXPECTED_SECONDS = 20
GOOD = ("done", "drained")  # nothing is to be looked at next


def access_log(case):
    return {"access_log": {"to": str(case.directory / "access.log"), "format": "json"}}


def logged(case, reason):
    with open(case.directory / "access.log", encoding="utf-8") as file:
        lines = [json.loads(line) for line in file if line.endswith("\n")]
    return [line for line in lines if line.get("reason") == reason]


def told(case, mooring, direction, reason, source, destination):
    """told asserts that everybody who is asked says so of the connection that has just ended."""
    mooring.wait_closed(direction, reason)
    line = check.within(lambda: logged(case, reason), f"a line of the access log with {reason}", 5 * slowness())[-1]
    check.equal((line["direction"], line["destination"]), (direction, destination), "whose it is in the log")
    seen = scrape(mooring)
    check.equal(seen.value("mooring_connections_closed_total", direction=direction, reason=reason,
                           source_service=line["source"], destination_service=destination), 1, "the metric")
    recent = json.loads(mooring.admin(f"/recent?match={reason}")[1])
    check.equal([one["reason"] for one in recent["ended"]], [reason], "/recent")
    host, port = mooring.listener("admin")
    code, said, _ = run("why", "-admin-addr", f"{host}:{port}", source, destination)
    check.true(code in (0, 2), f"why: exit code {code}")
    found = said.partition("What did happen")[2]
    check.true(f"{direction}, {reason}: " in found, f"why: {said}")
    check.equal("next: " in found, reason not in GOOD, f"a next step in: {found}")
    return said


def test_a_deny(case):
    static = Static(case, **access_log(case))
    tlspeer.try_in_vain(static.dial(identity=static.authority.leaf("api")))
    told(case, static.mooring, "inbound", "denied", "api", "payment")


def test_a_live_cut(case):
    consul, app = Consul(case), apps.App(case, apps.echo)
    mooring = Mooring.connect_proxy(case, "-http-addr", consul.address, "-service", "pay", "-service-addr", f"127.0.0.1:{app.port}",
                                    "-listen", "127.0.0.1:0", "-access-log", case.directory / "access.log",
                                    "-access-log-format", "json")
    caller = tlspeer.connect(case, mooring.public, certs.from_agent(consul.leaf("web")), consul.roots_pem())
    caller.handshake()
    check.equal(caller.send(b"ping").receive(4), b"ping", "echo")
    consul.intention("web", "pay", "deny")
    said = told(case, mooring, "inbound", "revoked", "web", "pay")
    check.true("denied by intention web => pay" in said, said)


def test_a_wrong_identity(case):
    static = Static(case, **access_log(case))
    client = static.client()
    peer = static.endpoint.accept(static.authority.leaf("mallory"), static.roots)
    tlspeer.try_in_vain(peer)
    check.equal(client.drain(), (b"", "reset"), "what the app gets")
    told(case, static.mooring, "outbound", "san_mismatch", "payment", "db")


def test_a_callers_leaf_that_has_expired(case):
    static = Static(case, **access_log(case))
    tlspeer.try_in_vain(static.dial(identity=static.authority.leaf("web", start=-2 * certs.HOUR, lifetime=certs.HOUR)))
    said = told(case, static.mooring, "inbound", "cert_expired", "web", "payment")
    check.true("this may have been somebody else" in said, said)


def test_an_app_that_is_down(case):
    static = Static(case, public={"local_app": f"127.0.0.1:{free_port()}"}, **access_log(case))
    tlspeer.try_in_vain(static.dial())
    told(case, static.mooring, "inbound", "local_connect_failed", "web", "payment")


def test_a_black_hole(case):
    static = Static(case, endpoints=[f"127.0.0.1:{BlackHole(case).port}"], connect_timeout="500ms", **access_log(case))
    check.equal(static.client().drain(), (b"", "reset"), "what the app gets")
    told(case, static.mooring, "outbound", "connect_timeout", "payment", "db")


def test_a_reset(case):
    static = Static(case, **access_log(case))
    caller = static.caller()
    check.equal(caller.send(b"ping").receive(4), b"ping", "echo")
    apps.reset(caller.socket)
    told(case, static.mooring, "inbound", "reset", "web", "payment")


def test_a_half_close_that_both_sides_have_followed(case):
    static = Static(case, **access_log(case))
    caller = static.caller()
    caller.send(b"ping")
    caller.notify()
    check.equal(caller.drain()[0], b"ping", "echo after our end")
    told(case, static.mooring, "inbound", "done", "web", "payment")


def test_silence(case):
    static = Static(case, idle_timeout="200ms", **access_log(case))
    caller = static.caller()
    check.equal(caller.send(b"ping").receive(4), b"ping", "echo")
    told(case, static.mooring, "inbound", "idle_timeout", "web", "payment")


def echo_but_questions(app, seen):
    while data := seen.connection.recv(1 << 16):
        if not data.startswith(b"question"):
            seen.connection.sendall(data)


def test_a_drain(case):
    static = Static(case, echo_but_questions, drain_time="20s", **access_log(case))
    caller, other = static.caller(), static.caller()
    check.equal(caller.send(b"ping").receive(4), b"ping", "echo")
    # One whose answer is owed keeps the process, and with it the admin port.
    owed = static.caller()
    owed.send(b"question")
    other.send(b"more")
    check.equal(other.receive(4), b"more", "echo")
    static.mooring.process.send(15)
    caller.drain()
    other.drain()
    static.mooring.wait_closed("inbound", "drained", 2)
    check.within(lambda: len(logged(case, "drained")) == 2, "two lines", 5 * slowness())
    check.equal(scrape(static.mooring).value("mooring_connections_closed_total", reason="drained", source_service="web"), 2,
                "the metric")
    host, port = static.mooring.listener("admin")
    _, said, _ = run("why", "-admin-addr", f"{host}:{port}", "web", "payment")
    check.true("inbound, drained, 2 times: " in said and "draining" in said, said)
    owed.close()


def test_a_shortage_of_descriptors(case):
    static = Static(case, **access_log(case))
    client, server = static.called()
    client.send(b"ping")
    check.equal(server.receive(4), b"ping", "one that lives through it")
    # Room for the accepted connection, none for the one to the instance.
    limit = Limit(case, static.mooring.process, spare=1)
    check.equal(static.client().drain(), (b"", "reset"), "what the app gets")
    limit.lift()
    told(case, static.mooring, "outbound", "out_of_resources", "payment", "db")


def test_an_agent_that_is_not_there(case):
    mooring = Mooring.connect_proxy(case, "-http-addr", f"127.0.0.1:{free_port()}", "-service", "web", "-upstream", "db:127.0.0.1:0",
                                    "-connect-timeout", "300ms", "-start-wait", "0s", "-access-log", case.directory / "access.log",
                                    "-access-log-format", "json", ready=False)
    check.equal(apps.Client(case, mooring.upstream("db")).drain(), (b"", "reset"), "what the app gets")
    said = told(case, mooring, "outbound", "not_ready", "web", "db")
    check.true("  NO   " in said and "it would not work" in said, said)
