"""`mooring why`: what would become of a call, from the running proxy's own decision, with what to look at next."""

import json

from lib import apps, check, tlspeer
from lib.consul import Consul
from lib.mooring import Mooring, run
from lib.ports import free_port
from lib.static import Static

EXPECTED_SECONDS = 8


def why(mooring, source, destination, *flags):
    """why is (exit code, output)."""
    host, port = mooring.listener("admin")
    code, output, error = run("why", "-admin-addr", f"{host}:{port}", *flags, source, destination)
    check.equal(error, "", "standard error")
    return code, output


def test_each_step_of_a_call_is_named_with_the_intention_that_decides(case):
    static = Static(case)
    code, said = why(static.mooring, "web", "payment")
    check.equal(code, 0, "nothing is in the way")
    check.true("allowed by intention web => payment" in said, said)
    code, said = why(static.mooring, "api", "payment")
    check.equal(code, 2, "something is")
    check.true("api => payment: it would not work" in said, said)
    check.true("  NO   intentions: denied by no intention covers api, the default is deny" in said, said)
    check.true("next: A rule in `intentions` of the file" in said, said)


def test_an_upstream_is_explained_by_its_instances(case):
    static = Static(case)
    code, said = why(static.mooring, "payment", "db")
    check.true(code == 0 and "not tried yet" in said and static.authority.uri("db") in said, said)
    static.endpoint.close()
    check.equal(static.client().drain(), (b"", "reset"), "a call")
    code, said = why(static.mooring, "payment", "db")
    check.true(code == 2 and ": its last 1 attempts failed" in said, said)


def test_an_instance_that_fails_is_in_the_way_only_where_no_other_is_left(case):
    other = tlspeer.Endpoint(case)
    static = Static(case, endpoints=[f"127.0.0.1:{free_port()}", f"127.0.0.1:{other.port}"], balance="round_robin")
    for _ in range(2):  # they take turns: one of the two begins with the dead one
        client = static.client()
        peer = other.accept(static.db, static.roots)
        peer.handshake()
        client.close()
        peer.close()
    code, said = why(static.mooring, "payment", "db")
    check.true(code == 0 and ": its last 1 attempts failed" in said, said)


def test_what_is_not_of_this_proxy_is_answered_by_what_is(case):
    static = Static(case)
    code, said = why(static.mooring, "shop", "basket")
    check.true(code == 2 and "service payment, upstreams db" in said, said)
    host, port = static.mooring.listener("admin")
    code, _, error = run("why", "-admin-addr", f"{host}:{port}", "shop")
    check.true(code != 0 and "it takes two names" in error, error)
    check.equal(static.mooring.admin("/why?source=shop")[0], 400, "one name over HTTP")


def test_consul_is_asked_what_only_the_peer_knows_and_a_spiffe_id_is_a_name_as_well(case):
    consul = Consul(case)
    app = apps.App(case, apps.echo)
    port = free_port()
    consul.register({"ID": "pay-1", "Name": "pay", "Port": app.port,
                     "Connect": {"SidecarService": {"Port": free_port(), "Checks": [], "Proxy": {"Upstreams": [
                         {"DestinationName": "db", "LocalBindPort": port}]}}}})
    consul.intention("web", "pay", "deny")
    consul.intention("pay", "db", "deny")
    mooring = Mooring.connect_proxy(case, "-http-addr", consul.address, "-sidecar-for", "pay-1")
    check.within(lambda: why(mooring, "web", "pay")[0] == 2, "the intention has arrived", 10)
    code, said = why(mooring, consul.uri("web"), "pay")
    check.true(code == 2 and "denied by intention web => pay" in said, said)
    check.true("next: `consul intention create -allow web pay`" in said, said)
    code, text = why(mooring, "pay", "db", "-json")
    document = json.loads(text)
    check.equal((code, document["consul"]["allowed"]), (0, False), "what Consul says of the upstream")
    check.true("default_intention_policy" in document["consul"]["note"], document["consul"]["note"])
    code, said = why(mooring, "pay", "db")
    check.true(code == 2 and "none is healthy" in said and "Consul says: denied" in said, said)
    consul.kill()
    code, said = why(mooring, "pay", "db")
    check.true("Consul says: no answer" in said, said)
