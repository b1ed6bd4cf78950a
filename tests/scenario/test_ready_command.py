"""`mooring ready`: for units and scripts, whether a proxy can serve, at once or after a wait."""

import os
import subprocess

from lib import agent as scripted
from lib import check
from lib.case import slowness
from lib.mooring import Mooring, run
from lib.ports import free_port
from lib.static import Static, identity_files

EXPECTED_SECONDS = 3


def ready(address, *more):
    return run("ready", "-admin-addr", address, *more)


def test_it_says_whether_a_proxy_can_serve_and_why_not(case):
    mesh = Static(case)
    host, port = mesh.mooring.listener("admin")
    check.equal(ready(f"{host}:{port}"), (0, "ready\n", ""), "of one that is ready")
    agent = scripted.Agent(case)
    agent.fault("/v1/agent/service/*", status=500, body=b"not now")
    waiting = Mooring.connect_proxy(case, "-http-addr", agent.address, "-proxy-id", "web-proxy", ready=False)
    host, port = waiting.listener("admin")
    code, output, errors = ready(f"{host}:{port}")
    check.true((code, output) == (1, "") and errors.startswith(f"==> {host}:{port}: ") and "no proxy configuration yet" in errors, errors)
    nobody = f"127.0.0.1:{free_port()}"
    code, output, errors = ready(nobody)
    check.true((code, output) == (1, "") and nobody in errors and "is a proxy running with -admin-addr" in errors, errors)


def test_one_of_several_services_is_asked_for_by_name(case):
    mesh = Static(case)
    authority = mesh.authority
    mooring = Mooring.from_yaml(case, {"services": [
        {"service": name, "identity": identity_files(case, authority, name),
         "upstreams": [{"service": "db", "listen": "127.0.0.1:0", "endpoints": ["127.0.0.1:1"]}]} for name in ("web", "api")]})
    host, port = mooring.listener("admin")
    check.equal(ready(f"{host}:{port}", "-service", "api")[0], 0, "one that is there")
    check.equal(ready(f"{host}:{port}", "-service", "other")[0], 1, "one that is not")


def test_it_waits_until_it_is_ready_and_no_longer_than_it_is_told(case):
    port = free_port()
    address = f"127.0.0.1:{port}"
    waiting = subprocess.Popen([os.environ["MOORING_BIN"], "ready", "-admin-addr", address, "-wait", "60s"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    case.undo(waiting.kill)
    check.equal(ready(address, "-wait", "300ms")[0], 1, "nobody came in that time")
    check.true(waiting.poll() is None, "the other one waits on")
    Static(case, admin={"address": address})
    output, errors = waiting.communicate(timeout=20 * slowness())
    check.equal((waiting.returncode, output, errors), (0, "ready\n", ""), "once it is ready")
