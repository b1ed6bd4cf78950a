"""An instance that fails again and again is left out, says so everywhere, and the last one stays."""

import json

from lib import apps, check, tlspeer
from lib import agent as scripted
from lib.mooring import Mooring, run
from lib.ports import free_port
from lib.static import Static

EXPECTED_SECONDS = 6
LONG = "60s"  # an ejection that is not over before the test is


def served(static, endpoint):
    """served is one call that arrives at the endpoint, which is played here."""
    client = static.client()
    peer = endpoint.accept(static.db, static.roots)
    peer.handshake()
    client.send(b"ping")
    check.equal(peer.receive(4), b"ping", "request")
    client.close()
    peer.close()


def details(mooring):
    return mooring.status()["upstreams"][0]["endpoint_details"]


def with_one_dead(case, **settings):
    """with_one_dead is a mooring whose first instance refuses, and the other one."""
    other = tlspeer.Endpoint(case)
    static = Static(case, endpoints=[f"127.0.0.1:{free_port()}", f"127.0.0.1:{other.port}"], balance="round_robin",
                    eject_time=LONG, eject_longest=LONG, **settings)
    return static, other


def test_the_third_refusal_ejects_one_of_two_and_no_call_meets_it_then(case):
    static, other = with_one_dead(case)
    for _ in range(6):  # they take turns: three of these begin with the dead one
        served(static, other)
    static.mooring.wait_log(r"\[WARN\].*endpoint ejected: upstream=db .*reason=connect_refused failures_in_a_row=3 milliseconds=")
    for _ in range(6):
        served(static, other)
    check.equal(static.mooring.attempts_failed(), {"connect_refused": 3}, "attempts that failed")
    dead = details(static.mooring)[0]
    check.equal((dead["state"], dead["ejections"], dead["failures_in_a_row"]), ("ejected", 1, 3), "the dead one")
    check.true(50 < dead["ejected_seconds_left"] < 76, f"for how much longer: {dead}")
    check.true(0 <= dead["state_seconds"] < 10, f"since when: {dead}")
    check.equal(static.mooring.status()["upstreams"][0]["ejected"], 1, "how many are out")


def test_an_ejection_stands_in_metrics_status_and_why(case):
    static, other = with_one_dead(case, eject_after=1)
    for _ in range(2):
        served(static, other)
    text = static.mooring.admin("/metrics")[1]
    for series in ('mooring_endpoint_state{service="payment",destination_service="db",destination_datacenter="dc1",endpoint="#1",'
                   'state="ejected"} 1', 'mooring_endpoints_ejected{', 'mooring_ejections_total{', 'mooring_probes_total{',
                   'envoy_cluster_outlier_detection_ejections_active{', 'envoy_cluster_outlier_detection_ejections_enforced_total{'):
        check.true(any(line.startswith(series) for line in text.splitlines()), f"{series} in {text[:3000]}")
    counted = [line for line in text.splitlines() if line.startswith(("mooring_ejections_total", "mooring_endpoints_ejected",
                                                                      "envoy_cluster_outlier_detection")) and "db" in line]
    check.equal([line.rsplit(" ", 1)[1] for line in counted], ["1"] * 4, f"counts: {counted}")
    host, port = static.mooring.listener("admin")
    code, said, _ = run("status", "-admin-addr", f"{host}:{port}")
    check.true(code == 0 and "2, 1 ejected: connect_refused" in said, said)
    code, said, _ = run("why", "-admin-addr", f"{host}:{port}", "payment", "db")
    check.true(code == 0 and "its last 1 attempts failed, the last one for connect_refused" in said and "ejected for " in said, said)


def test_the_only_instance_is_never_ejected(case):
    static = Static(case, endpoints=[f"127.0.0.1:{free_port()}"], eject_after=1)
    for _ in range(4):
        check.equal(static.client().drain(), (b"", "reset"), "what the application gets")
    only = details(static.mooring)[0]
    check.equal((only["state"], only["ejections"], only["failures"]), ("failing", 0, 4), "the only one")


def test_where_the_last_one_in_service_fails_the_ejected_one_is_the_last_resort(case):
    port, other = free_port(), tlspeer.Endpoint(case)
    static = Static(case, endpoints=[f"127.0.0.1:{port}", f"127.0.0.1:{other.port}"], balance="round_robin", eject_after=1,
                    eject_time=LONG, eject_longest=LONG)
    for _ in range(2):
        served(static, other)
    check.equal(details(static.mooring)[0]["state"], "ejected", "the dead one")
    back = tlspeer.Endpoint(case, port=port)
    other.close()
    served(static, back)
    check.within(lambda: [one["state"] for one in details(static.mooring)] == ["failing", "ok"], "it is back, since it has proven itself")
    static.mooring.wait_log(r"endpoint back in service: upstream=db ")


def test_one_that_is_back_is_proven_by_a_probe_beside_a_call_and_then_used_again(case):
    port, other = free_port(), tlspeer.Endpoint(case)
    static = Static(case, endpoints=[f"127.0.0.1:{port}", f"127.0.0.1:{other.port}"], balance="round_robin", eject_after=1,
                    eject_time="300ms", eject_longest="300ms", attempt_delay="30s")
    for _ in range(2):
        served(static, other)
    dead = f"127.0.0.1:{port}"
    state = lambda: next(one for one in details(static.mooring) if one["address"] == dead)  # noqa: E731
    check.within(lambda: state()["state"] == "probation", "its time is over, and nothing has proven it")
    back = tlspeer.Endpoint(case, port=port)
    served(static, other)  # in its turn the other one, with the probe beside it
    probe = back.accept(static.db, static.roots)
    probe.handshake()
    check.equal(probe.drain(), (b"", "notify"), "what the instance gets of a probe")
    check.within(lambda: state()["state"] == "ok", "it is back in service")
    check.equal((state()["probes"], state()["probes_failed"], state()["attempts"]), (1, 0, 1), "the probe is counted apart")
    called = set()
    for _ in range(2):
        client = static.client()
        turn = check.within(lambda: next((one for one in (back, other) if one.pending()), None), "an instance is called")
        called.add(turn)
        turn.accept(static.db, static.roots).handshake()
        client.close()
    check.equal(len(called), 2, "they take turns again")


def test_an_ejection_holds_on_every_worker_and_survives_a_new_list(case):
    api, other, dead = scripted.Agent(case), tlspeer.Endpoint(case), ("127.0.0.1", free_port())
    api.set_instances("db", dead, other.address)
    mooring = Mooring.connect_proxy(case, "-http-addr", api.address, "-service", "web", "-upstream", "db:127.0.0.1:0", "-workers", "2",
                                    "-balance", "round_robin", "-eject-after", "1", "-eject-time", LONG, "-eject-longest", LONG)
    db, roots = api.authority.leaf("db"), api.authority.pem
    for _ in range(8):
        client = apps.Client(case, mooring.upstream("db")).send(b"x")
        peer = other.accept(db, roots)
        peer.handshake()
        check.equal(peer.receive(1), b"x", "request")
        client.close()
    check.equal(mooring.attempts_failed(), {"connect_refused": 1}, "attempts that failed, of two workers in turns")
    api.set_instances("db", other.address, dead, ("127.0.0.1", free_port()))
    check.within(lambda: len(details(mooring)) == 3, "the new list is in force")
    states = {one["address"]: one["state"] for one in details(mooring)}
    check.equal(states["%s:%d" % dead], "ejected", f"the dead one in {states}")


def test_with_0_nobody_is_ejected(case):
    static, other = with_one_dead(case, eject_after=0)
    for _ in range(10):
        served(static, other)
    check.equal(details(static.mooring)[0]["ejections"], 0, "ejections")
    check.equal(static.mooring.attempts_failed(), {"connect_refused": 5}, "attempts that failed")


def test_passive_health_check_of_a_registration_is_obeyed_and_its_mistakes_are_named(case):
    api = scripted.Agent(case)
    api.set_instances("db", ("127.0.0.1", free_port()), ("127.0.0.1", free_port()))
    api.set_proxy("web-1", "web", upstreams=[{"DestinationName": "db", "LocalBindPort": free_port(), "Config": {
        "passive_health_check": {"MaxFailures": 1, "BaseEjectionTime": 90_000_000_000, "MaxEjectionPercent": 300}}}])
    mooring = Mooring.connect_proxy(case, "-http-addr", api.address, "-proxy-id", "web-1", "-eject-longest", "90s")
    mooring.wait_log(r"upstream db Config: passive_health_check.MaxEjectionPercent = .*300.*: write a number from 0 to 100; the default holds")
    apps.Client(case, mooring.upstream("db")).drain()
    check.within(lambda: sorted(one["state"] for one in details(mooring)) == ["ejected", "failing"], "the first of two is ejected")
    out = next(one for one in details(mooring) if one["state"] == "ejected")
    check.true(out["ejected_seconds_left"] > 80, json.dumps(out))
