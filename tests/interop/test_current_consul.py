"""What a current Consul has and 1.8 has not. With a real agent where `tests/run --consul PATH` gives a new one; what `mooring dev`
can answer in its place is tried with that, always. Twins of the others: tests/unit/recorded_answers_test.cc,
recorded_decisions_test.cc, tests/field/test_acl_filtered.py, tests/scenario/test_mesh_tls.py and test_agent_config.py."""

from interop.test_intentions import refused, served
from lib import apps, check, consul_version, tlspeer
from lib.case import slowness
from lib.consul import Consul
from lib.dev import Dev
from lib.mooring import Mooring
from lib.ports import free_port

EXPECTED_SECONDS = 10


class DevConsul(Dev):
    """`mooring dev` with the questions that these tests ask of an agent."""

    def leaf(self, service):
        return self.get(f"/v1/agent/connect/ca/leaf/{service}")

    def roots_pem(self):
        return "".join(root["RootCert"] for root in self.get("/v1/agent/connect/ca/roots")["Roots"])


def inbound(case, agent, *flags, service="db"):
    app = apps.App(case, apps.echo)
    return app, Mooring.connect_proxy(case, "-http-addr", agent.address, "-service", service, "-service-addr",
                                      f"127.0.0.1:{app.port}", "-listen", "127.0.0.1:0", *flags)


def intentions(agent, *sources):
    agent.put("/v1/config", {"Kind": "service-intentions", "Name": "db", "Sources": list(sources)})


def the_policy_is_the_default(case, agent, *flags):
    intentions(agent, {"Name": "evil", "Action": "deny"})
    app, db = inbound(case, agent, *flags)
    served(case, agent, "web", db.public)
    count = app.count()
    refused(case, agent, "evil", db.public)
    check.equal(app.count(), count, "connections at the application after the denied call")


def test_a_default_intention_policy_of_allow_under_acls_that_deny_lets_callers_in(case):
    consul_version.needs(1, 17)
    agent = Consul(case, acl="deny", default_intention_policy="allow")
    the_policy_is_the_default(case, agent, "-token", agent.service_token("db")[0])


def test_a_default_intention_policy_of_mooring_dev_lets_callers_in(case):
    agent = DevConsul(case, "-default-policy", "deny", "-default-intention-policy", "allow")
    the_policy_is_the_default(case, agent)


def a_peers_deny_is_skipped(case, agent):
    intentions(agent, {"Name": "web", "Peer": "beta", "Action": "deny"}, {"Name": "evil", "Action": "deny"},
               {"Name": "far", "Peer": "beta", "Action": "allow"})
    _, db = inbound(case, agent)
    served(case, agent, "web", db.public)
    refused(case, agent, "evil", db.public)


def test_an_intention_for_a_peers_caller_is_skipped_for_a_local_one_with_a_real_agent(case):
    consul_version.needs(1, 13)
    a_peers_deny_is_skipped(case, Consul(case))


def test_an_intention_for_a_peers_caller_is_skipped_for_a_local_one_with_mooring_dev(case):
    a_peers_deny_is_skipped(case, DevConsul(case))


def test_instances_that_a_token_may_not_see_are_named_with_a_real_agent(case):
    consul_version.needs(1, 11)
    agent = Consul(case, acl="deny")
    agent.register_proxy("db", free_port())
    agent.put("/v1/acl/policy", {"Name": "blind", "Rules": 'service_prefix "" { policy = "write" }'})
    token = agent.put("/v1/acl/token", {"Policies": [{"Name": "blind"}]})["SecretID"]
    web = Mooring.connect_proxy(case, "-http-addr", agent.address, "-token", token, "-service", "web", "-upstream",
                                "db:127.0.0.1:0")
    web.wait_log(r'\[WARN\].*the answer is filtered by ACLs.*watch=upstream:db.*accessor.*node:read')
    check.true("filtered by ACLs" in web.admin("/ready")[1], "/ready names it")


def test_a_sidecar_that_a_token_may_not_see_is_named_with_a_real_agent(case):
    consul_version.needs(1, 11)
    agent = Consul(case, acl="deny")
    agent.register({"ID": "db-1", "Name": "db", "Port": 1, "Connect": {"SidecarService": {"Port": free_port()}}})
    agent.put("/v1/acl/policy", {"Name": "narrow", "Rules": 'service "other" { policy = "write" }'})
    token = agent.put("/v1/acl/token", {"Policies": [{"Name": "narrow"}]})["SecretID"]
    db = Mooring.connect_proxy(case, "-http-addr", agent.address, "-token", token, "-sidecar-for", "db-1", "-no-wait", ready=False)
    db.expect_exit = 1
    check.equal(db.process.wait(10), 1, "exit code")
    check.true("the agent's list is filtered by ACLs; give it service:read" in db.process.stderr(),
               f"what it lacks: {db.process.stderr()[-600:]}")


def test_the_mesh_entry_of_a_real_agent_narrows_what_is_offered(case):
    consul_version.needs(1, 12)
    agent = Consul(case)
    agent.put("/v1/config", {"Kind": "mesh", "TLS": {"Incoming": {"TLSMinVersion": "TLSv1_3"}}})
    _, db = inbound(case, agent)
    check.within(lambda: db.status()["tls"]["incoming"]["min"] == "TLSv1.3", "the entry is in force", 5 * slowness())
    served(case, agent, "web", db.public, "1.3")
    try:
        served(case, agent, "web", db.public, "1.2")
    except tlspeer.Refused:
        return
    check.fail("a caller with TLS 1.2 was let in")


def test_what_central_entries_of_a_real_agent_set_and_we_do_not_do_is_said_once(case):
    consul_version.needs(1, 16)
    agent = Consul(case)
    agent.put("/v1/config", {"Kind": "mesh", "AllowEnablingPermissiveMutualTLS": True})
    agent.put("/v1/config", {"Kind": "proxy-defaults", "Name": "global", "MeshGateway": {"Mode": "local"}})
    agent.put("/v1/config", {"Kind": "service-defaults", "Name": "web", "MaxInboundConnections": 7, "MutualTLSMode": "permissive",
                             "UpstreamConfig": {"Defaults": {"Limits": {"MaxConnections": 3},
                                                             "PassiveHealthCheck": {"Interval": "5s", "MaxFailures": 2}}}})
    upstreams = [{"DestinationName": "db", "LocalBindPort": free_port()},
                 {"DestinationName": "far", "Datacenter": "dc2", "LocalBindPort": free_port()}]
    agent.register({"ID": "web-1", "Name": "web", "Port": 1, "Connect": {"SidecarService": {
        "Port": free_port(), "Proxy": {"Upstreams": upstreams}}}})
    web = Mooring.connect_proxy(case, "-http-addr", agent.address, "-sidecar-for", "web-1", ready=False)
    said = "MutualTLSMode permissive"
    web.wait_log(said)
    limits = {(one["limit"], one["listener"]): one["most"] for one in web.status()["limits"]}
    check.equal(limits, {("max_inbound_connections", "public"): 7, ("max_connections", "upstream:db"): 3,
                         ("max_connections", "upstream:far@dc2"): 3}, "limits in force")
    agent.put("/v1/config", {"Kind": "proxy-defaults", "Name": "global", "MeshGateway": {"Mode": "local"},
                             "Config": {"local_connect_timeout_ms": 900}})
    check.within(lambda: next(w for w in web.status()["watches"] if w["name"] == "proxy_config")["updates"] >= 2,
                 "the registration is read again", 10 * slowness())
    check.equal(sum(said in line for line in web.lines("WARN")), 1, f"lines about {said}")
