"""`localhost` on machines with one address family, as agent, local app, endpoint and -listen.

Each machine is a network namespace: a loopback device and, mostly, an interface with an address of one family.
"""

from faults.peers import FarService
from faults.subject import CALLER, SERVICE, UPSTREAM
from lib import agent as scripted
from lib import apps, check, namespaces, tlspeer
from lib.case import slowness
from lib.mooring import Mooring
from lib.names import HOSTS, Machine

EXPECTED_SECONDS = 4


def machine(case, hosts=HOSTS):
    namespaces.own_network(case, "a machine with one address family")
    return Machine(case, hosts=hosts, server=False)


def serves(case, host, bound=None):
    """serves runs everything by the name localhost while the peers are on `host`, and asserts that all of it works and that
    the listeners are on `bound` (default: host)."""
    bound = bound or host
    api = scripted.Agent(case, host=host)
    far = FarService(case, api.authority.leaf(UPSTREAM), api.authority.pem, host=host)
    app = apps.App(case, apps.echo, host=host)
    api.set_instances(UPSTREAM, ("localhost", far.port))
    mooring = Mooring.connect_proxy(
        case, "-http-addr", f"localhost:{api.port}", "-service", SERVICE, "-service-addr", f"localhost:{app.port}",
        "-listen", "localhost:0", "-upstream", f"{UPSTREAM}:localhost:0", "-admin-addr", "localhost:0")
    for listener in ("public", f"upstream:{UPSTREAM}", "admin"):
        check.equal(mooring.listener(listener)[0], bound, f"where the listener {listener} is bound, by the log")
    shown = {view["name"]: view["address"] for view in mooring.status()["listeners"]}
    text = f"[{bound}]" if ":" in bound else bound
    check.true(all(address.startswith(f"{text}:") for address in shown.values()), f"by /status: {shown}")

    def outbound():
        client = apps.Client(case, mooring.upstream(UPSTREAM))
        return client.send(b"ping").receive(4) == b"ping"

    check.within(outbound, "a call through the upstream", 5 * slowness())
    peer = tlspeer.connect(case, mooring.public, api.authority.leaf(CALLER), api.authority.pem)
    peer.handshake()
    check.equal(peer.send(b"ping").receive(4), b"ping", "a call from outside")


def test_localhost_by_ipv4_on_a_machine_whose_network_is_ipv6(case):
    """AI_ADDRCONFIG counts no loopback address, and would hide 127.0.0.1 here."""
    machine(case)
    namespaces.interface("fd00:6d6e::1/64")
    serves(case, "127.0.0.1")


def test_localhost_by_ipv6_on_a_machine_whose_network_is_ipv4(case):
    """AI_ADDRCONFIG would hide ::1 here."""
    machine(case)
    namespaces.interface("10.77.77.1/24")
    serves(case, "::1", bound="127.0.0.1")


def test_localhost_everywhere_on_a_machine_without_ipv4(case):
    machine(case)
    namespaces.without_ipv4()
    namespaces.interface("fd00:6d6e::1/64")
    serves(case, "::1")


def test_localhost_everywhere_on_a_machine_without_ipv6(case):
    machine(case)
    namespaces.without_ipv6()
    namespaces.interface("10.77.77.1/24")
    serves(case, "127.0.0.1")


def test_localhost_is_both_loopback_addresses_where_hosts_gives_it_one(case):
    machine(case, hosts="127.0.0.1 localhost\n")
    namespaces.without_ipv4()
    serves(case, "::1")


def test_localhost_without_any_hosts_file_entry_on_a_machine_without_ipv6(case):
    machine(case, hosts="\n")
    namespaces.without_ipv6()
    serves(case, "127.0.0.1")


def test_localhost_on_a_machine_with_both_is_bound_where_the_ancestor_binds_it(case):
    """Go's net.Listen prefers IPv4."""
    machine(case)
    serves(case, "127.0.0.1")
