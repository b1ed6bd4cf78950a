"""What an operator does with a real agent: registrations, ACLs, tokens, queries, unix socket, live configuration."""

import json
import os

from lib import apps, check, consul_version
from lib.case import slowness
from lib.consul import Consul
from lib.mooring import Mooring, run
from lib.ports import free_port

EXPECTED_SECONDS = 40


def setup_module(case):
    global consul, acl
    consul = Consul(case, socket=True)
    acl = Consul(case, acl="deny")


class Leaderless(Consul):
    """A server that waits for a second one, which never comes: its HTTP API answers."""

    def __init__(self, case):
        super().__init__(case, keep_state=True, acl="deny", bootstrap_expect=2)

    def wait_ready(self, seconds=20):
        def answers():
            try:
                return self.get("/v1/status/leader") == ""
            except OSError:
                return False

        check.within(answers, "consul answers", seconds * slowness(), step=0.03)


def service(name, app_port, upstreams=(), config=None, port=None):
    """A service instance with its sidecar, as an operator registers it: with the agent's own checks, the first of which may take 10 s."""
    return {"ID": f"{name}-1", "Name": name, "Port": app_port,
            "Connect": {"SidecarService": {"Port": port or free_port(), "Checks": [], "Proxy": {
                "Upstreams": list(upstreams), **({"Config": config} if config else {})}}}}


def upstream(name, port, **fields):
    return {"DestinationName": name, "LocalBindPort": port, **fields}


def sidecar(case, agent, instance, *flags, **options):
    return Mooring.connect_proxy(case, "-http-addr", agent.address, "-sidecar-for", instance, *flags, **options)


def test_sidecar_for_serves_both_ways_from_the_registration(case):
    app = apps.App(case, apps.echo)
    port = free_port()
    consul.register(service("pay", app.address[1]))
    consul.register(service("shop", 1, [upstream("pay", port)]))
    sidecar(case, consul, "pay-1", name="mooring-pay")
    shop = sidecar(case, consul, "shop-1", name="mooring-shop")
    check.within(lambda: apps.ping(("127.0.0.1", port)), "a call goes through", 15)
    check.equal(shop.status()["proxy_id"], "shop-1-sidecar-proxy", "proxy ID")


def test_sidecar_for_ignores_letter_case(case):
    consul.register(service("Upper", 1))
    proxy = sidecar(case, consul, "UPPER-1")
    check.equal(proxy.status()["service"], "Upper", "service")


def test_sidecar_for_waits_until_the_service_is_registered(case):
    proxy = Mooring.connect_proxy(case, "-http-addr", consul.address, "-sidecar-for", "late-1", ready=False)
    proxy.wait_log("No sidecar proxy registered for late-1")
    consul.register(service("late", 1))
    proxy.wait_ready(20)


def test_sidecar_for_with_no_wait_fails_at_once_as_consul_does(case):
    code, _, errors = run("connect", "proxy", "-http-addr", consul.address, "-sidecar-for", "nope", "-no-wait")
    check.equal(code, 1, "exit code")
    check.true("==> " in errors and "No sidecar proxy registered for nope" in errors, errors)


def test_several_sidecars_are_named_and_end_the_process(case):
    consul.register(service("twin", 1))
    consul.register({"Kind": "connect-proxy", "ID": "twin-second", "Name": "twin-second", "Port": free_port(),
                     "Proxy": {"DestinationServiceName": "twin", "DestinationServiceID": "twin-1"}})
    code, _, errors = run("connect", "proxy", "-http-addr", consul.address, "-sidecar-for", "twin-1")
    check.equal(code, 1, "exit code")
    check.true("More than one sidecar proxy registered for twin-1" in errors, errors)
    check.true("twin-1-sidecar-proxy" in errors and "twin-second" in errors, errors)


def test_proxy_id_waits_for_its_registration_and_then_serves(case):
    app = apps.App(case, apps.echo)
    proxy = Mooring.connect_proxy(case, "-http-addr", consul.address, "-proxy-id", "own-proxy", ready=False)
    proxy.wait_log("unknown service ID")
    consul.register({"Kind": "connect-proxy", "ID": "own-proxy", "Name": "own-proxy", "Port": free_port(),
                     "Proxy": {"DestinationServiceName": "own", "LocalServicePort": app.address[1]}})
    proxy.wait_ready(20)
    check.equal(proxy.status()["service"], "own", "service")


def test_upstreams_are_added_changed_and_removed_live_while_others_go_on(case):
    app = apps.App(case, apps.echo)
    consul.register(service("back", app.address[1]))
    sidecar(case, consul, "back-1", name="mooring-back")
    first, second, third = free_port(), free_port(), free_port()
    consul.register(service("front", 1, [upstream("back", first)], port=(public := free_port())))
    front = sidecar(case, consul, "front-1", name="mooring-front")
    check.within(lambda: apps.ping(("127.0.0.1", first)), "the first upstream works", 15)
    held = apps.Client(case, ("127.0.0.1", first)).send(b"before ")
    check.equal(held.receive(7), b"before ", "the held connection echoes")

    # One more listener: of the same service on another port, where the agent takes that.
    if consul_version.refuses_two_upstreams_of_one_name():
        more = upstream("back", second, Datacenter="dc1")
    else:
        more = upstream("back", second, DestinationType="service")
    consul.register(service("front", 1, [upstream("back", first), more], port=public))
    check.within(lambda: apps.ping(("127.0.0.1", second)), "the added upstream works", 10)
    # The added one moves, the first one goes.
    consul.register(service("front", 1, [upstream("back", third)], port=public))
    check.within(lambda: apps.ping(("127.0.0.1", third)), "the moved upstream works", 10)
    for gone in (first, second):
        check.within(lambda: refused(gone), f"port {gone} is closed", 10)
    held.send(b"after")
    check.equal(held.receive(5), b"after", "the connection of a removed upstream goes on")
    check.equal(front.closed("outbound", "reset"), 0, "no connection was reset")


def refused(port):
    try:
        apps.Client(None, ("127.0.0.1", port), seconds=2).close()
    except OSError:
        return True
    return False


def test_an_upstream_that_cannot_bind_live_is_retried_and_harms_nothing(case):
    app = apps.App(case, apps.echo)
    consul.register(service("store", app.address[1]))
    sidecar(case, consul, "store-1", name="mooring-store")
    good, public = free_port(), free_port()
    consul.register(service("desk", 1, [upstream("store", good)], port=public))
    desk = sidecar(case, consul, "desk-1", name="mooring-desk")
    check.within(lambda: apps.ping(("127.0.0.1", good)), "the upstream works", 15)
    squatter = apps.App(case, apps.echo)
    consul.register(service("desk", 1, [upstream("store", good), upstream("other", squatter.address[1])],
                            port=public))

    def shown():
        return [each for each in desk.status()["listeners"] if each["state"] == "failed"]

    check.within(shown, "the failed listener is in /status", 10)
    check.true(str(squatter.address[1]) in shown()[0]["error"], f"{shown()}")
    check.true(apps.ping(("127.0.0.1", good)), "the other upstream goes on")
    check.equal(desk.admin("/ready")[0], 200, "/ready")
    squatter.close()
    check.within(lambda: not shown(), "it is open once the port is free", 10)


def test_config_of_the_registration_is_obeyed_live(case):
    app = apps.App(case, apps.echo)
    public = free_port()
    consul.register(service("tuned", app.address[1], port=public, config={"local_idle_timeout_ms": 60000}))
    consul.register(service("tuner", 1, [upstream("tuned", port := free_port())]))
    tuned = sidecar(case, consul, "tuned-1", name="mooring-tuned")
    sidecar(case, consul, "tuner-1", name="mooring-tuner")
    check.within(lambda: apps.ping(("127.0.0.1", port)), "a call goes through", 15)
    # Another app address, an idle limit as a float, and a key that nobody knows.
    other = apps.App(case, apps.greet)
    consul.register(service("tuned", other.address[1], port=public,
                            config={"local_idle_timeout_ms": 300.0, "local_idle_timeout": 5}))
    tuned.wait_log("local_idle_timeout is not known")

    def greeted():
        client = apps.Client(None, ("127.0.0.1", port), seconds=5)
        try:
            return client.receive(5) == b"hello" and client.drain()[1] in ("eof", "reset")
        except OSError:
            return False
        finally:
            client.close()

    check.within(greeted, "the new app answers and the idle limit ends the connection", 15)
    tuned.wait_closed("inbound", "idle_timeout")


def test_an_upstream_on_a_unix_socket_gets_its_mode_and_works(case):
    app = apps.App(case, apps.echo)
    consul.register(service("deep", app.address[1]))
    sidecar(case, consul, "deep-1", name="mooring-deep")
    path = case.directory / "deep.sock"
    # Consul 1.8 does not know the field; the YAML form has it.
    Mooring.from_yaml(case, {"service": "diver", "agent": {"address": consul.address},
                             "upstreams": [{"service": "deep", "listen": f"unix:{path}",
                                            "socket_mode": "0660"}]}, name="mooring-diver")
    check.equal(oct(os.stat(path).st_mode & 0o777), "0o660", "mode of the socket")
    check.within(lambda: unix_ping(path), "a call through the socket", 15)


def unix_ping(path):
    import socket
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        try:
            client.connect(str(path))
            client.sendall(b"ping")
            return client.recv(4) == b"ping"
        except OSError:
            return False


def test_a_prepared_query_is_an_upstream(case):
    app = apps.App(case, apps.echo)
    consul.register(service("queried", app.address[1]))
    sidecar(case, consul, "queried-1", name="mooring-queried")
    consul.prepared_query("find-queried", "queried")
    asker = Mooring.connect_proxy(case, "-http-addr", consul.address, "-service", "asker",
                                  "-upstream", "find-queried.query:127.0.0.1:0")
    address = asker.upstream("find-queried.query")
    # A query is polled, every ten seconds.
    check.within(lambda: apps.ping(address), "a call goes through", 20)
    [view] = asker.status()["upstreams"]
    check.equal(view["type"], "prepared_query", "type")
    check.equal(view["spiffe_id"], consul.uri("queried"), "identity: the Service of the answer")


def test_the_agent_over_a_unix_socket(case):
    proxy = Mooring.connect_proxy(case, "-http-addr", f"unix://{consul.socket}", "-service", "near",
                                  "-service-addr", "127.0.0.1:1", "-listen", "127.0.0.1:0")
    check.equal(proxy.status()["state"], "ready", "state")


def test_default_deny_with_a_service_identity_token(case):
    app = apps.App(case, apps.echo)
    # -register registers the name vault-proxy, as consul does: its own permission.
    token = {"vault": acl.service_token("vault", "vault-proxy")[0], "clerk": acl.service_token("clerk")[0]}
    vault = Mooring.connect_proxy(case, "-http-addr", acl.address, "-token", token["vault"], "-service", "vault",
                                  "-service-addr", f"127.0.0.1:{app.address[1]}", "-listen", "127.0.0.1:0",
                                  "-register", name="mooring-vault")
    clerk = Mooring.connect_proxy(case, "-http-addr", acl.address, "-service", "clerk", "-upstream",
                                  "vault:127.0.0.1:0", env={"CONSUL_HTTP_TOKEN": token["clerk"]},
                                  name="mooring-clerk")
    check.equal(vault.status()["intentions"]["default"], "deny", "default")
    check.within(lambda: clerk.status()["upstreams"][0]["endpoints"], "clerk sees vault", 15)
    check.true(not apps.ping(clerk.upstream("vault")), "the default denies")
    check.equal(app.count(), 0, "connections at the app")
    acl.intention("clerk", "vault", "allow")
    check.within(lambda: apps.ping(clerk.upstream("vault")), "an intention allows", 5)
    # The secret is neither in argv nor in the log.
    with open(f"/proc/{vault.pid}/cmdline", "rb") as file:
        check.true(token["vault"].encode() not in file.read(), "the token is not in argv")
    check.true(token["vault"] not in vault.process.log(), "the token is not in the log")


def test_a_token_without_permission_says_so_and_what_is_missing(case):
    token, _ = acl.service_token("nothing")
    # A service whose leaf nobody has asked for: Consul hands one that it has at hand to any token.
    proxy = Mooring.connect_proxy(case, "-http-addr", acl.address, "-token", token, "-service", "strongroom",
                                  "-service-addr", "127.0.0.1:1", "-listen", "127.0.0.1:0", ready=False)
    proxy.wait_log("a permission is missing from the token")
    check.equal(proxy.admin("/ready")[0], 503, "/ready")


def test_a_token_that_an_agent_without_a_leader_refuses_is_not_called_unknown(case):
    agent = Leaderless(case)
    proxy = Mooring.connect_proxy(case, "-http-addr", agent.address, "-token", agent.token, "-proxy-id", "web-proxy",
                                  ready=False)
    proxy.wait_log(r"\[WARN\].*the agent has no leader and refuses every token.*watch=proxy_config")
    code, reasons = proxy.admin("/ready")
    check.equal(code, 503, "/ready")
    check.true("or the agent has not reached a leader yet" in reasons, f"what /ready says: {reasons}")
    check.equal(proxy.lines("ERROR"), [], "errors")


def test_sidecar_for_without_a_token_smells_of_a_missing_permission(case):
    proxy = Mooring.connect_proxy(case, "-http-addr", acl.address, "-sidecar-for", "vault-1", ready=False)
    proxy.wait_log("service:read")


def test_a_rewritten_token_file_is_in_force_without_a_restart(case):
    wrong, _ = acl.service_token("nobody")
    right, _ = acl.service_token("keeper")
    path = case.write("token", wrong + "\n")
    proxy = Mooring.connect_proxy(case, "-http-addr", acl.address, "-token-file", path, "-service", "keeper",
                                  "-service-addr", "127.0.0.1:1", "-listen", "127.0.0.1:0", ready=False)
    proxy.wait_log("a permission is missing")
    case.write("token", right + "\n")
    proxy.wait_ready(20)


def test_registration_is_made_kept_and_removed(case):
    app = apps.App(case, apps.echo)
    proxy = Mooring.connect_proxy(case, "-http-addr", consul.address, "-service", "reg", "-service-addr",
                                  f"127.0.0.1:{app.address[1]}", "-listen", "127.0.0.1:0", "-register",
                                  "-register-id", "a1")
    check.within(lambda: consul.instances("reg"), "it is in the catalog, passing", 5)
    [entry] = consul.instances("reg")
    check.equal(entry["Service"]["ID"], "reg-proxy-a1", "ID")
    check.equal(entry["Service"]["Port"], proxy.public[1], "port")
    checks = [each for each in entry["Checks"] if each["CheckID"] == "reg-proxy-a1-ttl"]
    check.equal([each["Status"] for each in checks], ["passing"], "TTL check")
    definition = consul.get("/v1/agent/service/reg-proxy-a1")
    check.equal(definition["Proxy"]["DestinationServiceName"], "reg", "destination")
    # Somebody else, or a restart of the agent, removes it: the next heartbeat brings it back.
    consul.deregister("reg-proxy-a1")
    check.within(lambda: consul.instances("reg"), "it is back", 20)
    check.equal(proxy.stop(), 0, "exit code")
    check.equal(consul.instances("reg"), [], "catalog after the end")


def test_a_registration_without_an_address_has_the_nodes_and_a_loopback_one_is_warned_of(case):
    app = apps.App(case, apps.echo)
    proxy = Mooring.connect_proxy(case, "-http-addr", consul.address, "-service", "everywhere", "-service-addr",
                                  f"127.0.0.1:{app.address[1]}", "-listen", ":0", "-register")
    check.within(lambda: consul.instances("everywhere"), "it is in the catalog, passing", 5)
    [entry] = consul.instances("everywhere")
    check.equal((entry["Service"]["Address"], entry["Node"]["Address"]), ("", "127.0.0.1"), "of the service, of the node")
    proxy.wait_log(r"\[WARN\].*registered with a loopback address.*id=everywhere-proxy address=127.0.0.1", 25)


def test_registration_comes_only_when_it_can_serve(case):
    """The agent refuses the leaf to this token, so nothing may be registered."""
    token = acl.put("/v1/acl/token", {"Policies": []})["SecretID"]
    proxy = Mooring.connect_proxy(case, "-http-addr", acl.address, "-token", token, "-service", "early",
                                  "-service-addr", "127.0.0.1:1", "-listen", "127.0.0.1:0", "-register", ready=False)
    proxy.wait_log("agent refuses: watch=leaf")
    check.equal(acl.instances("early"), [], "catalog")


def registered(case, service_name, app, *flags, name):
    return Mooring.connect_proxy(case, "-http-addr", consul.address, "-service", service_name, "-service-addr",
                                 f"127.0.0.1:{app.address[1]}", "-listen", "127.0.0.1:0", "-register", *flags,
                                 name=name)


def test_sigterm_takes_one_of_two_out_of_the_catalog_drains_and_ends_with_0(case):
    app = apps.App(case, apps.debtor)
    proxy = registered(case, "leaver", app, "-drain-time", "20s", name="mooring-leaver")
    caller = Mooring.connect_proxy(case, "-http-addr", consul.address, "-service", "stayer", "-upstream",
                                   "leaver:127.0.0.1:0", name="mooring-stayer")
    check.within(lambda: apps.ping(caller.upstream("leaver")), "a call goes through", 15)
    held = apps.Client(case, caller.upstream("leaver")).send(b"owe")
    debt = app.wait(lambda: [seen for seen in app.seen if seen.head == b"owe"], "the request is at the application")[0]
    registered(case, "leaver", app, "-register-id", "other", name="mooring-other")
    check.within(lambda: len(consul.instances("leaver")) == 2, "two instances", 5)
    proxy.process.send(15)
    check.within(lambda: len(consul.instances("leaver")) == 1, "it is out of the catalog", 2)
    check.equal(proxy.admin("/ready")[0], 503, "/ready while draining")
    debt.go.set()
    check.equal(held.drain(), (b"owe", "eof"), "the answer that was owed, then the end")
    check.equal(proxy.process.wait(10), 0, "exit code")


def test_the_only_instance_stays_in_the_catalog_and_an_operators_maintenance_is_left_alone(case):
    app = apps.App(case, apps.echo)
    kept = service("kept", app.address[1])
    kept["Connect"]["SidecarService"]["Checks"] = [{"TTL": "10m", "Status": "passing"}]
    consul.register(kept)
    proxy = sidecar(case, consul, "kept-1")
    check.within(lambda: consul.instances("kept"), "passing", 10)
    check.equal(proxy.stop(), 0, "exit code")
    proxy.wait_log("staying in the catalog during the drain: id=kept-1-sidecar-proxy reason=\"no other healthy")
    checks = consul.get("/v1/agent/checks")
    check.true("_service_maintenance:kept-1-sidecar-proxy" not in checks, f"no maintenance in {checks}")
    # What a drain that was killed has left is ended by the next start.
    reason = "mooring:+draining+before+its+end"
    consul.put(f"/v1/agent/service/maintenance/kept-1-sidecar-proxy?enable=true&reason={reason}")
    again = sidecar(case, consul, "kept-1", name="mooring-again")
    check.within(lambda: consul.instances("kept"), "back in the catalog", 15)
    check.equal(again.stop(), 0, "exit code")
    # An operator's own maintenance is not ours to end.
    consul.put("/v1/agent/service/maintenance/kept-1-sidecar-proxy?enable=true&reason=upgrade")
    third = sidecar(case, consul, "kept-1", name="mooring-third")
    check.equal(third.status()["state"], "ready", "state")
    check.equal(third.stop(), 0, "exit code")
    check.stays(lambda: consul.instances("kept") == [], "the operator's maintenance stays", 1.5)


def test_a_later_sigterm_ends_at_once_and_sighup_never_does(case):
    app = apps.App(case, apps.debtor)
    proxy = registered(case, "hup", app, "-drain-time", "30s", name="mooring-hup")
    caller = Mooring.connect_proxy(case, "-http-addr", consul.address, "-service", "hupper", "-upstream",
                                   "hup:127.0.0.1:0", name="mooring-hupper")
    check.within(lambda: apps.ping(caller.upstream("hup")), "a call goes through", 15)
    apps.Client(case, caller.upstream("hup")).send(b"owe")
    app.wait(lambda: [seen for seen in app.seen if seen.head == b"owe"], "the request is at the application")
    proxy.process.send(1)
    proxy.wait_log("SIGHUP")
    check.true(proxy.process.running(), "alive after SIGHUP")
    proxy.process.send(15)
    proxy.wait_log("draining")
    # A supervisor signals the process and then its group: that is one signal.
    proxy.process.send(15)
    proxy.process.send(1)
    check.stays(lambda: proxy.process.running(), "alive after the same signal twice", 1.1)
    proxy.process.send(15)
    check.equal(proxy.process.wait(2), 0, "exit code")
    check.equal(consul.instances("hup"), [], "deregistered")


def test_an_agent_outage_stops_neither_new_connections_nor_readiness(case):
    agent = Consul(case)
    app = apps.App(case, apps.echo)
    agent.register(service("tough", app.address[1]))
    agent.register(service("user", 1, [upstream("tough", port := free_port())]))
    tough = sidecar(case, agent, "tough-1", name="mooring-tough")
    user = sidecar(case, agent, "user-1", name="mooring-user")
    check.within(lambda: apps.ping(("127.0.0.1", port)), "a call goes through", 15)
    agent.kill()
    tough.wait_log("watch failed")
    for _ in range(20):
        apps.echo_works(case, ("127.0.0.1", port))
    for proxy in (tough, user):
        check.equal(proxy.admin("/ready")[0], 200, "/ready")


def test_log_json_is_one_object_a_line(case):
    proxy = Mooring.connect_proxy(case, "-http-addr", consul.address, "-service", "loud", "-service-addr",
                                  "127.0.0.1:1", "-listen", "127.0.0.1:0", "-log-json", ready=False)
    proxy.wait_log("\"@message\":\"ready\"", 15)
    for line in proxy.process.whole_lines():
        entry = json.loads(line)
        check.true({"@level", "@module", "@timestamp", "@message"} <= set(entry), line)
