"""An agent that takes the registration and refuses what keeps it: asked in bounds, said once, and it recovers by itself."""

from lib import agent as scripted
from lib import apps, check
from lib.case import slowness
from lib.mooring import Mooring

EXPECTED_SECONDS = 25
HEARTBEAT = "/v1/agent/check/pass/reg-proxy-ttl"


def registered(case, api, ready=True):
    app = apps.App(case, apps.echo)
    return Mooring.connect_proxy(case, "-http-addr", api.address, "-service", "reg", "-service-addr",
                                 f"127.0.0.1:{app.address[1]}", "-listen", "127.0.0.1:0", "-register", ready=ready)


def degraded(proxy):
    return [line for line in proxy.admin("/ready")[1].splitlines() if line.startswith("degraded: our registration: ")]


def refuses_each_heartbeat(case, status, body, registrations):
    api = scripted.Agent(case)
    fault = api.fault(HEARTBEAT, status=status, body=body)
    proxy = registered(case, api)
    first = api.wait_asked(HEARTBEAT)
    # 1/4, 1/2, 1, 2 and 4 s, less up to half: so many fit into five seconds at most.
    check.within(lambda: api.asked(HEARTBEAT)[-1].at > first.at + 5, "five seconds of it", 15 * slowness())
    asked = [one for one in api.asked(HEARTBEAT) if one.at <= first.at + 5]
    check.true(4 <= len(asked) <= 9, f"heartbeats in five seconds: {len(asked)}")
    check.below(len([one for one in api.asked("/v1/agent/service/register") if one.at <= first.at + 5]), registrations,
                "registrations in five seconds")
    [line] = degraded(proxy)
    check.true(str(status) in line and body.decode() in line, f"what is degraded: {line!r}")
    check.equal(proxy.admin("/ready")[0], 200, "/ready")
    said = len([line for line in proxy.lines("WARN") + proxy.lines("ERROR") if body.decode() in line])
    check.equal(said, 1, "lines about it")
    api.lift(fault)
    check.within(lambda: not degraded(proxy), "it recovers", 5 * slowness())
    proxy.wait_log("the agent takes our heartbeats again")
    check.equal(proxy.status()["registered"], True, "/status")
    check.equal(proxy.stop(), 0, "exit code")
    check.equal(api.services, {}, "services at the agent after the end")


def test_a_heartbeat_that_is_not_known_after_each_registration_404(case):
    refuses_each_heartbeat(case, 404, b"Unknown check", 10)


def test_a_heartbeat_that_is_not_known_after_each_registration_500_as_of_1_8(case):
    refuses_each_heartbeat(case, 500, b"Unknown check", 10)


def test_a_heartbeat_that_is_forbidden_registers_nothing_anew(case):
    refuses_each_heartbeat(case, 403, b"Permission denied", 2)


def test_an_agent_that_has_lost_it_gets_it_again_at_once(case):
    api = scripted.Agent(case)
    proxy = registered(case, api)
    api.wait_asked(HEARTBEAT)
    api.checks.clear()
    api.remove_service("reg-proxy")
    lost = api.wait_asked(HEARTBEAT, count=2, seconds=12)
    again = api.wait_asked("/v1/agent/service/register", count=2)
    check.below(again.at - lost.at, 0.2 * slowness(), "seconds until it is registered again")
    api.wait_asked(HEARTBEAT, count=3)
    check.equal(degraded(proxy), [], "degraded")


def test_who_cannot_be_found_is_not_ready(case):
    api = scripted.Agent(case)
    fault = api.fault("/v1/agent/service/register", status=403, body=b"Permission denied")
    proxy = registered(case, api, ready=False)
    line = proxy.wait_log(r"\[ERROR\].*agent refuses: id=reg-proxy.*").group(0)
    what = 'it takes service:write on \\"reg-proxy\\" and \\"reg\\"'
    check.true(what in line, f"what it takes: {line}")
    code, reasons = proxy.admin("/ready")
    check.equal(code, 503, "/ready")
    [reason] = reasons.splitlines()
    check.true(reason.startswith("not registered, so no caller can find it: register reg-proxy: the agent answered 403"),
               f"/ready: {reason}")
    check.equal(proxy.status()["not_ready"], [reason], "/status")
    check.equal([line for line in proxy.lines("INFO") if line.endswith("sidecar: ready")], [], "lines that say ready")
    api.lift(fault)
    proxy.wait_ready(10)
    check.equal(degraded(proxy), [], "degraded")
    # A heartbeat that is refused later is no such thing: the agent has the entry, and says so to callers.
    api.fault(HEARTBEAT, status=403, body=b"Permission denied")
    check.within(lambda: degraded(proxy), "degraded", 15 * slowness())
    check.equal(proxy.admin("/ready")[0], 200, "/ready")


def test_an_agent_that_does_not_take_a_registration_for_an_outage_leaves_it_ready(case):
    api = scripted.Agent(case)
    fault = api.fault("/v1/agent/service/register", status=500, body=b"rpc error")
    proxy = registered(case, api)
    [line] = degraded(proxy)
    check.true("not taken yet: register reg-proxy: the agent answered 500 (rpc error)" in line, f"degraded: {line}")
    check.equal(proxy.status()["registered"], False, "/status")
    api.lift(fault)
    check.within(lambda: not degraded(proxy), "it is taken", 10 * slowness())
