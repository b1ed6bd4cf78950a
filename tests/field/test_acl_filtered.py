"""An answer that ACLs have filtered is no answer of "nobody": what the token lacks is named."""

from lib import agent as scripted
from lib import check
from lib.mooring import Mooring
from lib.ports import free_port

EXPECTED_SECONDS = 4
FILTERED = {"X-Consul-Results-Filtered-By-ACLs": "true"}


def test_instances_filtered_by_acls_are_named_in_log_ready_and_status(case):
    api = scripted.Agent(case)
    api.set_instances("db", ("127.0.0.1", free_port()))
    api.fault("/v1/health/connect/db", headers=FILTERED)
    subject = Mooring.connect_proxy(case, "-http-addr", api.address, "-service", "web", "-upstream", "db:127.0.0.1:0")
    subject.wait_log(r'\[WARN\].*the answer is filtered by ACLs.*watch=upstream:db.*token="no token".*'
                     r'needs="service:read on \\"db\\" and node:read"')
    check.true("service:read" in subject.admin("/ready")[1], "/ready names the permission")
    watch = next(one for one in subject.status()["watches"] if one["name"] == "upstream:db")
    check.equal(watch["filtered_by_acls"], True, "/status")
    # Once is enough while nothing changes.
    for _ in range(3):
        api.touch("health/db")
    check.within(lambda: subject.status()["watches"][-1]["updates"] >= 4, "later answers", 10)
    check.equal(len([line for line in subject.lines("WARN") if "filtered by ACLs" in line]), 1, "lines about it")


def looked_up(case, services, filtered):
    """looked_up starts with -sidecar-for web-1 against an agent that lists these services, and returns what it said at its end."""
    api = scripted.Agent(case)
    for name in services:
        api.set_proxy(f"{name}-1-sidecar-proxy", name)
    if filtered:
        api.fault("/v1/agent/services", headers=FILTERED)
    subject = Mooring.connect_proxy(case, "-http-addr", api.address, "-sidecar-for", "web-1", "-no-wait", "-token", "a-token",
                                    ready=False)
    subject.expect_exit = 1
    check.equal(subject.process.wait(10), 1, "exit code")
    return subject.process.stderr()


def test_a_list_of_services_filtered_by_acls_names_the_permission_of_a_lookup(case):
    for services in ((), ("other",)):
        said = looked_up(case, services, True)
        check.true("filtered by ACLs" in said and "service:read" in said and "-token" in said, f"what it lacks: {said[-600:]}")
        check.true("instance ID" not in said, f"nothing beside the cause: {said[-600:]}")


def test_a_whole_list_of_services_without_ours_asks_for_the_instance_id(case):
    check.true("check that this is the service's instance ID" in looked_up(case, ("other",), False), "the cure")
