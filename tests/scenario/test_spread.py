"""Where connections go: processes begin at different endpoints, and weights have their share."""

import select

from lib import agent as scripted
from lib import apps, certs, check, tlspeer
from lib.case import slowness
from lib.mooring import Mooring
from lib.static import identity_files

EXPECTED_SECONDS = 10


def first_called(endpoints):
    """first_called is the index of the endpoint that is called first; its connection stays unanswered."""
    called, _, _ = select.select([endpoint.listener for endpoint in endpoints], [], [], 10 * slowness())
    check.equal(len(called), 1, "endpoints called for one connection")
    number = [endpoint.listener for endpoint in endpoints].index(called[0])
    endpoints[number].accept_socket()
    return number


def test_fresh_processes_with_one_connection_each_spread_over_three_endpoints(case):
    """A fleet of sidecars whose applications keep one long connection each."""
    processes = case.scale(40, 200)
    least, most = case.scale((1, 35), (27, 107))  # six standard deviations around a third, where there are that many
    authority = certs.Authority()
    endpoints = [tlspeer.Endpoint(case) for _ in range(3)]
    settings = {"service": "web", "identity": identity_files(case, authority, "web"),
                "upstreams": [{"service": "db", "listen": "127.0.0.1:0",
                               "endpoints": [f"127.0.0.1:{endpoint.port}" for endpoint in endpoints]}]}
    called = [0, 0, 0]
    for _ in range(processes):
        mooring = Mooring.from_yaml(case, settings, ready=False)
        client = apps.Client(None, mooring.upstream("db"))
        called[first_called(endpoints)] += 1
        mooring.kill()  # before the endpoint's silence counts as a failure
        client.close()
    check.true(all(least <= count <= most for count in called), f"first connections by endpoint: {called}")


def test_endpoints_get_connections_by_the_weights_of_their_registrations(case):
    api = scripted.Agent(case)
    endpoints = [tlspeer.Endpoint(case) for _ in range(3)]
    api.set_instances("db", *[endpoint.address for endpoint in endpoints])
    for entry, weight in zip(api.instances["db"], (6, 2, 4)):
        entry["Service"]["Weights"] = {"Passing": weight, "Warning": 1}
    mooring = Mooring.connect_proxy(case, "-http-addr", api.address, "-service", "web", "-upstream", "db:127.0.0.1:0",
                                    "-balance", "round_robin")
    called = [0, 0, 0]
    for _ in range(12):
        apps.Client(case, mooring.upstream("db"))
        called[first_called(endpoints)] += 1
    check.equal(called, [6, 2, 4], "connections by endpoint")
