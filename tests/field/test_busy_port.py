"""A port of the configuration that the agent holds is taken: the rest is served, at the start as later, and it is named."""

import socket
import threading
import time

from lib import agent as scripted
from lib import apps, check, mooring
from lib.case import slowness
from lib.consul import Consul
from lib.mooring import Mooring
from lib.ports import free_port

EXPECTED_SECONDS = 20


def setup_module(case):
    global consul
    consul = Consul(case)


def holder(case, port=0):
    """holder takes a port until it is closed."""
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind(("127.0.0.1", port))
    taken.listen()
    case.undo(taken.close)
    return taken


def service(name, app_port, upstreams=(), port=None):
    return {"ID": f"{name}-1", "Name": name, "Port": app_port, "Connect": {"SidecarService": {
        "Port": port or free_port(), "Checks": [],
        "Proxy": {"Upstreams": [{"DestinationName": to, "LocalBindPort": at} for to, at in upstreams]}}}}


def sidecar(case, instance, **options):
    return Mooring.connect_proxy(case, "-http-addr", consul.address, "-sidecar-for", instance, **options)


def degraded(proxy):
    return proxy.status()["degraded"]


def test_an_upstream_that_cannot_bind_at_the_start_costs_no_other_and_is_named_and_retried(case):
    app = apps.App(case, apps.echo)
    consul.register(service("depot", app.address[1]))
    sidecar(case, "depot-1", name="mooring-depot")
    taken = holder(case)
    busy, good, public = taken.getsockname()[1], free_port(), free_port()
    consul.register(service("shop", app.address[1], [("depot", good), ("other", busy)], port=public))
    for run in ("first", "restarted"):
        shop = sidecar(case, "shop-1", name=f"mooring-{run}")
        check.within(lambda: apps.ping(("127.0.0.1", good)), "the other upstream serves", 15 * slowness())
        check.equal(shop.public[1], public, "the public listener")
        code, text = shop.admin("/ready")
        lines = text.splitlines()
        check.equal((code, lines[0]), (200, "ready"), "/ready")
        check.true(any(line.startswith("degraded: listener upstream:other") and str(busy) in line and "in use" in line
                       for line in lines), f"/ready names it: {text!r}")
        [failed] = [each for each in shop.status()["listeners"] if each["state"] == "failed"]
        check.true(failed["name"].startswith("upstream:other") and str(busy) in failed["error"], f"/status: {failed}")
        if run == "first":
            check.equal(shop.stop(), 0, "exit code")
    taken.close()
    shop.listener("upstream:other")
    check.within(lambda: not degraded(shop), "nothing is degraded any more", 5 * slowness())


def test_where_no_listener_can_open_the_start_fails_and_names_the_port(case):
    busy = holder(case).getsockname()[1]
    api = scripted.Agent(case)
    api.set_proxy("web-sidecar-proxy", "web", port=0, upstreams=[
        {"DestinationType": "service", "DestinationName": "db", "LocalBindPort": busy}])
    code, _, stderr = mooring.run("connect", "proxy", "-http-addr", api.address, "-proxy-id", "web-sidecar-proxy")
    check.equal(code, 1, "exit code")
    check.true(any(line.startswith("==> ") and str(busy) in line for line in stderr.splitlines()), f"{stderr}")


def test_a_busy_public_port_ends_the_start_whatever_else_is_in_the_same_turn(case):
    """The agent's answer, a question for /ready and the tick of each second are all there when the process goes on."""
    busy = holder(case).getsockname()[1]
    api = scripted.Agent(case)
    proxy = Mooring.connect_proxy(case, "-http-addr", api.address, "-proxy-id", "late", ready=False)
    proxy.expect_exit = None
    admin = proxy.listener("admin")
    missed = api.wait_asked("/v1/agent/service/late", count=2)
    check.true(missed, "it waits for its configuration")
    clients = [socket.create_connection(admin, 5) for _ in range(2)]
    api.fault("/v1/agent/service/late", delay=0.3, times=1)
    api.set_proxy("late", "late", port=busy, local_port=1)
    asked = len(api.asked("/v1/agent/service/late"))
    api.wait_asked("/v1/agent/service/late", count=asked + 1)
    proxy.process.send(19)
    time.sleep(1.2)
    for client in clients:
        client.sendall(b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
    proxy.process.send(18)
    check.equal(proxy.process.wait(10), 1, "exit code")
    check.true(any(line.startswith("==> ") and str(busy) in line for line in proxy.process.stderr().splitlines()),
               "an error line names the port")
