"""What /ready, the registration and the end of maintenance depend on: the inbound side, and a first answer about each upstream."""

from lib import agent as scripted
from lib import apps, check
from lib.consul import Consul
from lib.mooring import Mooring
from lib.ports import free_port

EXPECTED_SECONDS = 8


def proxy(case, address, upstreams, register=False, **options):
    """proxy is a sidecar of pay with these upstreams, from YAML."""
    app = apps.App(case, apps.echo)
    settings = {"service": "pay", "agent": {"address": address},
                "public_listener": {"address": "127.0.0.1:0", "local_app": f"127.0.0.1:{app.address[1]}"},
                "upstreams": [{"service": name, "listen": "127.0.0.1:0", **fields} for name, fields in upstreams.items()]}
    if register:
        settings["register"] = True
    return Mooring.from_yaml(case, settings, ready=False, **options)


def test_an_upstream_without_an_answer_keeps_ready_at_503_and_nothing_else(case):
    consul = Consul(case)
    subject = proxy(case, consul.address, {"lost": {"datacenter": "nope"}}, register=True)
    check.within(lambda: consul.instances("pay"), "it is registered, and passing", 10)
    code, text = subject.admin("/ready")
    check.equal(code, 503, "/ready")
    check.true(text.startswith("no answer yet about the instances of lost@nope"), f"/ready names the upstream: {text!r}")
    check.equal(len(text.splitlines()), 1, f"reasons in {text!r}")


def test_the_end_of_maintenance_waits_for_no_upstream(case):
    consul = Consul(case)
    app = apps.App(case, apps.echo)
    consul.register({"ID": "pay-1", "Name": "pay", "Port": app.address[1], "Connect": {"SidecarService": {
        "Port": free_port(), "Checks": [], "Proxy": {"Upstreams": [
            {"DestinationName": "lost", "Datacenter": "nope", "LocalBindPort": free_port()}]}}}})
    consul.put("/v1/agent/service/maintenance/pay-1-sidecar-proxy?enable=true"
               "&reason=mooring:%20draining%20before%20its%20end")

    def maintained():
        return any(name.startswith("_service_maintenance:pay-1-sidecar") for name in consul.get("/v1/agent/checks"))

    check.true(maintained(), "it is in maintenance, as a drain leaves it")
    subject = Mooring.connect_proxy(case, "-http-addr", consul.address, "-sidecar-for", "pay-1", ready=False)
    check.within(lambda: not maintained(), "the maintenance ends", 10)
    check.equal(subject.admin("/ready")[0], 503, "/ready")


def refused(case, words, **fault):
    """refused asserts that an answer which is a refusal makes it ready, and is named as what it is."""
    api = scripted.Agent(case)
    api.set_instances("good", ("127.0.0.1", free_port()))
    one = api.fault("/v1/health/connect/shut", **fault)
    subject = proxy(case, api.address, {"good": {}, "shut": {}})
    subject.wait_ready()
    code, text = subject.admin("/ready")
    check.equal(code, 200, "/ready")
    lines = text.splitlines()
    check.equal(lines[0], "ready", "/ready says first")
    check.equal([line.startswith("degraded: upstream shut: ") and words in line for line in lines[1:]], [True],
                f"what is degraded, in {text!r}")
    check.equal(subject.status()["degraded"], [lines[1].removeprefix("degraded: ")], "/status says the same")
    # An outage after it takes nothing back: it had its answer.
    down = api.fault("/v1/health/connect/shut", status=500, body=b"no leader")
    check.within(lambda: down.met, "a failure after the refusal", 15)
    check.equal(subject.admin("/ready")[0], 200, "/ready after it")
    api.lift(down)
    api.lift(one)
    check.within(lambda: subject.admin("/ready")[1] == "ready\n", "nothing is degraded once it is answered", 20)


def test_a_403_about_an_upstream_is_an_answer_and_named_as_degraded(case):
    refused(case, "403", status=403, body=b"Permission denied")


def test_an_answer_filtered_by_acls_is_an_answer_and_named_as_degraded(case):
    refused(case, "filtered by ACLs", headers={"X-Consul-Results-Filtered-By-ACLs": "true"})


def test_a_port_that_is_taken_leaves_no_registration_behind(case):
    consul = Consul(case)
    squatter = apps.App(case, apps.echo)
    subject = proxy(case, consul.address, {"other": {"listen": f"127.0.0.1:{squatter.address[1]}"}}, register=True)
    subject.expect_exit = 1
    check.equal(subject.process.wait(10), 1, "exit code")
    check.equal(consul.instances("pay"), [], "catalog")
