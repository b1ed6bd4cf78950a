"""What newer agents put into a registration, told by the scripted agent."""

import json
import os
import socket
from pathlib import Path

from lib import agent as scripted
from lib import apps, check, tlspeer
from lib.mooring import Mooring
from lib.ports import free_port

EXPECTED_SECONDS = 6
DATA = Path(__file__).resolve().parents[1] / "data" / "consul-1.21"


def test_unix_sockets_on_both_sides(case):
    """LocalBindSocketPath and LocalServiceSocketPath, from Consul 1.10 on."""
    agent = scripted.Agent(case)
    path, app_path = case.directory / "db.sock", case.directory / "app.sock"
    endpoint = tlspeer.Endpoint(case)
    agent.set_instances("db", ("127.0.0.1", endpoint.port))
    public = free_port()
    agent.set_proxy("web-proxy", "web", port=public, upstreams=[
        {"DestinationType": "service", "DestinationName": "db", "LocalBindSocketPath": str(path),
         "LocalBindSocketMode": "0660"}])
    agent.services["web-proxy"]["Proxy"]["LocalServiceSocketPath"] = str(app_path)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(app_path))
    listener.listen()
    case.undo(listener.close)
    Mooring.connect_proxy(case, "-http-addr", agent.address, "-proxy-id", "web-proxy", "-confine-folders", case.directory)
    check.equal(oct(os.stat(path).st_mode & 0o777), "0o660", "mode")

    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(path))
        peer = endpoint.accept(agent.authority.leaf("db"), agent.authority.pem)
        peer.handshake()
        client.sendall(b"ping")
        check.equal(peer.receive(4), b"ping", "bytes through the upstream's socket")

    caller = tlspeer.connect(case, ("127.0.0.1", public), agent.authority.leaf("api"), agent.authority.pem)
    caller.handshake()
    caller.send(b"hello")
    listener.settimeout(10)
    served, _ = listener.accept()
    served.settimeout(10)
    check.equal(served.recv(5), b"hello", "bytes at the app's socket")
    served.close()


def test_what_cannot_be_served_is_left_out_with_one_warning(case):
    agent = scripted.Agent(case)
    port = free_port()
    upstreams = [{"DestinationType": "service", "DestinationName": "far", "DestinationPeer": "other",
                  "LocalBindPort": free_port()},
                 {"DestinationType": "service", "DestinationName": "db", "LocalBindPort": port}]
    agent.set_proxy("web-proxy", "web", upstreams=upstreams, config={"bogus_key": 1})
    proxy = Mooring.connect_proxy(case, "-http-addr", agent.address, "-proxy-id", "web-proxy")
    proxy.wait_log("DestinationPeer")
    proxy.wait_log("bogus_key")
    # A change of something else says neither again.
    upstreams.append({"DestinationType": "service", "DestinationName": "cache", "LocalBindPort": free_port()})
    agent.set_proxy("web-proxy", "web", upstreams=upstreams, config={"bogus_key": 1})
    proxy.wait_log("name=upstream:cache")
    for text in ("DestinationPeer", "bogus_key"):
        check.equal(sum(text in line for line in proxy.lines("WARN")), 1, f"warnings about {text}")


def test_a_peers_endpoint_in_another_datacenter_is_reached_by_its_wan_address(case):
    agent = scripted.Agent(case)
    endpoint = tlspeer.Endpoint(case)
    agent.set_instances("db", ("127.0.0.9", 1), TaggedAddresses={
        "wan": {"Address": "127.0.0.1", "Port": endpoint.port}})
    agent.instances["db"][0]["Node"]["Datacenter"] = "dc2"
    agent.touch("health/db")
    agent.set_proxy("web-proxy", "web", upstreams=[
        {"DestinationType": "service", "DestinationName": "db", "Datacenter": "dc2",
         "LocalBindPort": (port := free_port())}])
    proxy = Mooring.connect_proxy(case, "-http-addr", agent.address, "-proxy-id", "web-proxy")
    client = apps.Client(case, ("127.0.0.1", port))
    peer = endpoint.accept(agent.authority.leaf("db", agent.authority.uri("db", datacenter="dc2")),
                           agent.authority.pem)
    peer.handshake()
    client.send(b"x")
    check.equal(peer.receive(1), b"x", "byte at the remote instance")
    check.true(proxy.status()["upstreams"][0]["spiffe_id"].endswith("/dc/dc2/svc/db"), "identity of that datacenter")


def test_a_mutual_tls_mode_that_lets_plaintext_in_is_said_once_and_not_obeyed(case):
    agent = scripted.Agent(case)
    agent.fault("/v1/config/service-defaults/web", status=200, body=json.dumps(
        {"Kind": "service-defaults", "Name": "web", "MutualTLSMode": "permissive"}).encode())
    proxy = Mooring.connect_proxy(case, "-http-addr", agent.address, "-service", "web", "-service-addr", "127.0.0.1:9",
                                  "-listen", "127.0.0.1:0")
    proxy.wait_log(r"\[WARN\].*service-defaults web: MutualTLSMode permissive is not obeyed")
    answer, end, _ = tlspeer.raw_answer(proxy.public, b"GET / HTTP/1.1\r\n\r\n")
    check.true(end != "timeout" and b"HTTP" not in answer, "plaintext is closed")
    proxy.wait_closed("inbound", "not_tls")


def test_service_defaults_that_may_not_be_read_or_are_not_there_are_no_fault(case):
    for status in (403, 404):
        agent = scripted.Agent(case)
        agent.fault("/v1/config/service-defaults/web", status=status, body=b"Permission denied")
        proxy = Mooring.connect_proxy(case, "-http-addr", agent.address, "-service", "web", "-service-addr", "127.0.0.1:9",
                                      "-listen", "127.0.0.1:0")
        agent.wait_asked("/v1/config/service-defaults/web")
        check.within(lambda: {w["name"]: w["state"] for w in proxy.status()["watches"]}["service_defaults"] == "ok", "it is well", 5)
        check.equal(proxy.admin("/ready"), (200, "ready\n"), "/ready")


def test_a_query_that_has_failed_over_to_a_peer_is_said_and_degraded(case):
    agent = scripted.Agent(case)
    agent.fault("/v1/query/dbq/execute", status=200, body=(DATA / "peer_query.json").read_bytes())
    proxy = Mooring.from_yaml(case, {"service": "web", "agent": {"address": agent.address},
                                     "upstreams": [{"query": "dbq", "listen": "127.0.0.1:0"}]})
    proxy.wait_log(r"\[WARN\].*a query has failed over to a peer.*upstream=dbq peer=beta")
    check.true("the query has failed over to peer beta" in proxy.admin("/ready")[1], "/ready says so")
    check.equal(apps.Client(case, proxy.upstream("dbq.query")).drain()[0], b"", "bytes of a peer's instance")


def test_each_proxy_id_and_each_sidecar_for_of_a_command_line_is_a_service(case):
    agent = scripted.Agent(case)
    ports = {name: free_port() for name in ("web", "db", "api")}
    for name, port in ports.items():
        agent.set_proxy(f"{name}-proxy", name, port=port, local_port=1)
    proxy = Mooring.connect_proxy(case, "-http-addr", agent.address, "-sidecar-for", "api-1", "-proxy-id", "web-proxy",
                                  "-proxy-id", "db-proxy")
    check.equal(sorted(one["service"] for one in proxy.status()["services"]), ["api", "db", "web"], "services")
    for name, port in ports.items():
        peer = tlspeer.connect(case, ("127.0.0.1", port), agent.authority.leaf("caller"), agent.authority.pem)
        check.equal(peer.handshake(), [agent.authority.uri(name)], f"who answers at {name}'s port")
