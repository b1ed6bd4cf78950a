"""The agent over https: a real Consul that demands a client certificate, by flags and by environment."""

from lib import certs, check
from lib.consul import Consul
from lib.mooring import Mooring

EXPECTED_SECONDS = 10
PUBLIC = ("-service", "safe", "-service-addr", "127.0.0.1:1", "-listen", "127.0.0.1:0")


def setup_module(case):
    global consul, files
    authority, stranger = certs.Authority("Agent CA"), certs.Authority("Other CA")
    server = authority.server("127.0.0.1", "agent.example")
    client = authority.server("client.example")
    files = {"ca": case.write("ca.pem", authority.pem), "other_ca": case.write("other-ca.pem", stranger.pem),
             "server": case.write("server.pem", server.chain_pem), "server_key": case.write("server.key", server.key_pem),
             "client": case.write("client.pem", client.chain_pem), "client_key": case.write("client.key", client.key_pem)}
    consul = Consul(case, https=(files["server"], files["server_key"], files["ca"]))


def address():
    return f"127.0.0.1:{consul.https_port}"


def test_by_flags_with_a_client_certificate(case):
    proxy = Mooring.connect_proxy(case, "-http-addr", f"https://{address()}", "-ca-file", files["ca"],
                                  "-client-cert", files["client"], "-client-key", files["client_key"], *PUBLIC)
    check.equal(proxy.status()["state"], "ready", "state")


def test_by_environment(case):
    env = {"CONSUL_HTTP_ADDR": address(), "CONSUL_HTTP_SSL": "true", "CONSUL_CACERT": str(files["ca"]),
           "CONSUL_CLIENT_CERT": str(files["client"]), "CONSUL_CLIENT_KEY": str(files["client_key"])}
    proxy = Mooring.connect_proxy(case, *PUBLIC, env=env)
    check.equal(proxy.status()["state"], "ready", "state")


def test_by_yaml(case):
    Mooring.from_yaml(case, {"service": "safe", "agent": {
        "address": f"https://{address()}", "ca_file": files["ca"], "client_cert": files["client"],
        "client_key": files["client_key"]},
        "public_listener": {"address": "127.0.0.1:0", "local_app": "127.0.0.1:1"}})


def test_the_name_in_the_certificate_can_be_given(case):
    proxy = Mooring.connect_proxy(case, "-http-addr", f"https://{address()}", "-ca-file", files["ca"],
                                  "-tls-server-name", "agent.example", "-client-cert", files["client"],
                                  "-client-key", files["client_key"], *PUBLIC)
    check.equal(proxy.status()["state"], "ready", "state")


def refused(case, *flags, says):
    proxy = Mooring.connect_proxy(case, "-http-addr", f"https://{address()}", *flags, *PUBLIC, ready=False)
    proxy.wait_log(says)
    check.equal(proxy.admin("/ready")[0], 503, "/ready")


def test_an_agent_of_another_ca_is_not_believed(case):
    refused(case, "-ca-file", files["other_ca"], "-client-cert", files["client"], "-client-key",
            files["client_key"], says="watch failed.*certificate")


def test_an_agent_of_another_name_is_not_believed(case):
    refused(case, "-ca-file", files["ca"], "-tls-server-name", "elsewhere.example", "-client-cert",
            files["client"], "-client-key", files["client_key"], says="watch failed.*elsewhere.example")


def test_without_a_client_certificate_the_agent_refuses(case):
    refused(case, "-ca-file", files["ca"], says="watch failed.*alert")
