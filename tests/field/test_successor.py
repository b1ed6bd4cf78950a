"""Two processes of one registration overlap: the old one's end takes nothing from the one that has taken its place."""

from field.service import Catalog
from lib import agent as scripted
from lib import apps, check
from lib.case import Process, peer_binary, slowness
from lib.consul import Consul
from lib.mooring import Mooring
from lib.ports import free_port

EXPECTED_SECONDS = 20


def setup_module(case):
    global consul
    consul = Consul(case)


def start(case, agent, service, name, *flags, suffix="a1"):
    """start is a sidecar of `service` that registers as <service>-proxy-<suffix>, at a port of its own."""
    app = apps.App(case, apps.echo)
    return Mooring.connect_proxy(case, "-http-addr", agent.address, "-service", service, "-service-addr",
                                 f"127.0.0.1:{app.address[1]}", "-listen", f"127.0.0.1:{free_port()}", "-register",
                                 "-register-id", suffix, *flags, name=name)


def port_of(service, suffix="a1"):
    """port_of is where callers are sent that are sent to the instance; None: they are not."""
    ports = [entry["Service"]["Port"] for entry in consul.instances(service)
             if entry["Service"]["ID"] == f"{service}-proxy-{suffix}"]
    return ports[0] if ports else None


def watched(case, service):
    """watched follows the catalog from now on."""
    catalog = Catalog(case, consul, service, name="{}-proxy")
    check.within(lambda: catalog.states, "the catalog has been seen", 5 * slowness())
    return catalog


def told(catalog, identifier):
    """told is what the catalog said of the instance, one after the other, until now. None: it was not there."""
    catalog.stop()
    seen = []
    for _, state in catalog.states:
        checks = state.get(identifier)
        status = None if checks is None else "critical" if "critical" in checks.values() else "passing"
        if seen[-1:] != [status]:
            seen.append(status)
    return seen


def overlap(case, service, *flags):
    """overlap starts an old and a new process, and returns them when the entry is the new one's."""
    old = start(case, consul, service, "mooring-old", *flags)
    check.within(lambda: port_of(service) == old.public[1], "the old one is in the catalog", 5 * slowness())
    new = start(case, consul, service, "mooring-new", *flags)
    check.within(lambda: port_of(service) == new.public[1], "the new one has taken its place", 5 * slowness())
    return old, new


def test_the_end_of_the_old_one_leaves_the_entry_of_the_new_one(case):
    old, new = overlap(case, "heir")
    catalog = watched(case, "heir")
    check.equal(old.stop(), 0, "exit code")
    old.wait_log("another process has registered in our place")
    check.equal(port_of("heir"), new.public[1], "the entry after the old one's end")
    check.equal(told(catalog, "heir-proxy-a1"), ["passing"], "states that callers were told")
    check.equal(new.stop(), 0, "exit code")
    check.equal(port_of("heir"), None, "the entry after the new one's end")


def test_a_drain_of_the_old_one_does_not_make_the_check_of_the_new_one_critical(case):
    old, new = overlap(case, "twin", "-drain-time", "2s")
    start(case, consul, "twin", "mooring-other", suffix="b2")
    check.within(lambda: len(consul.instances("twin")) == 2, "another instance could take over", 5 * slowness())
    catalog = watched(case, "twin")
    check.equal(old.stop(), 0, "exit code")
    check.equal(told(catalog, "twin-proxy-a1"), ["passing"], "states that callers were told")
    check.equal(port_of("twin"), new.public[1], "the entry after the old one's end")


def test_consuls_own_proxy_in_our_place_keeps_its_entry(case):
    old = start(case, consul, "back", "mooring-old")
    check.within(lambda: port_of("back") == old.public[1], "we are in the catalog", 5 * slowness())
    port = free_port()
    Process(case, [peer_binary("consul"), "connect", "proxy", "-http-addr", consul.address, "-service", "back",
                   "-service-addr", "127.0.0.1:1", "-listen", f"127.0.0.1:{port}", "-register", "-register-id", "a1"],
            "go-back")
    check.within(lambda: port_of("back") == port, "Consul's proxy has taken our place", 15 * slowness())
    check.equal(old.stop(), 0, "exit code")
    check.equal(port_of("back"), port, "the entry after our end")


def test_an_entry_of_which_the_agent_does_not_say_whose_it_is_stays_and_the_end_does_not_wait_for_it(case):
    api = scripted.Agent(case)
    proxy = start(case, api, "mute", "mooring")
    api.wait_asked("/v1/agent/check/pass/mute-proxy-a1-ttl")
    api.fault("/v1/agent/service/mute-proxy-a1", status=500, body=b"rpc error")
    check.equal(proxy.stop(), 0, "exit code")
    check.equal(len(api.asked("/v1/agent/service/mute-proxy-a1")), 3, "looks")
    check.equal(api.asked("/v1/agent/service/deregister/*"), [], "removals")
    proxy.wait_log("not deregistered; the agent will do it")


def test_a_look_that_fails_once_is_made_again(case):
    api = scripted.Agent(case)
    proxy = start(case, api, "busy", "mooring")
    api.wait_asked("/v1/agent/check/pass/busy-proxy-a1-ttl")
    api.fault("/v1/agent/service/busy-proxy-a1", status=429, body=b"slow down", times=1)
    check.equal(proxy.stop(), 0, "exit code")
    check.equal(len(api.asked("/v1/agent/service/busy-proxy-a1")), 2, "looks")
    check.equal(len(api.asked("/v1/agent/service/deregister/busy-proxy-a1")), 1, "removals")
