"""A real Consul agent, started by the test on ports of its own."""

import json
import signal
import urllib.error
import urllib.request
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lib import check, consul_version
from lib.case import Process, peer_binary, slowness
from lib.ports import free_port

MASTER_TOKEN = "11111111-1111-1111-1111-111111111111"


class Consul:
    """One server agent. keep_state=True gives it a data directory, so that it survives a restart; without
    it every start has a new CA, a new trust domain and no services.

    acl: default policy "deny" or "allow" with ACLs on; None leaves ACLs off. ca: extra CA configuration,
    e.g. {"private_key_type": "rsa", "private_key_bits": 2048}. https: (certificate, key, ca) paths; the
    HTTPS port then also asks for a client certificate. socket: also serve on a unix socket. limits: of the agent, e.g.
    {"http_max_conns_per_client": 20}. replicates: ACLs and the authority come from another datacenter, or go to one.
    xds: Envoys ask it for their configuration. settings: more of its configuration.
    """

    def __init__(self, case, keep_state=False, acl=None, ca=None, https=None, socket=False, log_level="INFO",
                 limits=None, replicates=False, xds=False, **settings):
        self.case = case
        self.binary = peer_binary("consul")
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.token = MASTER_TOKEN if acl else None
        ports = {"http": self.port, "server": free_port(), "serf_lan": free_port(), "serf_wan": free_port(),
                 **consul_version.closed_ports()}
        if xds:
            ports["grpc"] = free_port()
        addresses = "127.0.0.1"
        if socket:
            self.socket = case.directory / "agent.sock"
            addresses += f" unix://{self.socket}"
        config = {"node_name": "n1", "bind_addr": "127.0.0.1", "client_addr": "127.0.0.1",
                  "addresses": {"http": addresses}, "disable_update_check": True, "log_level": log_level,
                  "performance": {"raft_multiplier": 1}, "connect": {"enabled": True}}
        if ca:
            config["connect"]["ca_config"] = ca
        if acl:
            config["acl"] = {"enabled": True, "default_policy": acl,
                             "tokens": {"master": MASTER_TOKEN, "agent": MASTER_TOKEN}}
        if replicates:
            config["acl"].update(enable_token_replication=True)
            config["acl"]["tokens"]["replication"] = MASTER_TOKEN
        if https:
            certificate, key, authority = https
            self.https_port = ports["https"] = free_port()
            config.update(cert_file=str(certificate), key_file=str(key), ca_file=str(authority),
                          verify_incoming_https=True)
        config["ports"] = self.ports = ports
        if limits:
            config["limits"] = limits
        self.arguments = ["agent"]
        if keep_state:
            config.update(server=True, bootstrap_expect=1, data_dir=str(case.directory / "consul-data"))
        else:
            self.arguments.append("-dev")
        config.update(settings)
        self.arguments += ["-config-file", str(case.write(f"consul-{self.port}.json", json.dumps(config)))]
        self.process = None
        self.start()

    def start(self):
        self.process = Process(self.case, [self.binary, *self.arguments], "consul")
        self.wait_ready()

    def wait_ready(self, seconds=20):
        def ready():
            if not self.process.running():
                raise RuntimeError(f"{self.process.describe()}:\n{self.process.log()[-2000:]}")
            try:
                # Authorize needs the state store of a settled leader; roots alone come a little earlier.
                return self.get("/v1/status/leader") and self.roots()["Roots"]
            except (urllib.error.HTTPError, ValueError, KeyError, TypeError):
                return None

        check.within(ready, "consul is ready", seconds * slowness(), step=0.03)

    def kill(self):
        self.process.kill()

    def stop(self):
        self.process.close()

    def pause(self):
        """pause stops the agent's process from answering while its connections stay open."""
        self.process.send(signal.SIGSTOP)
        self.case.undo(self.resume)
        # A thread that runs or sleeps in the kernel stops a moment later, and may answer until then.
        tasks = Path(f"/proc/{self.process.pid}/task")
        check.within(lambda: all(stat.read_text().rsplit(")", 1)[1].split()[0] == "T" for stat in tasks.glob("*/stat")),
                     "consul has stopped", 2 * slowness(), step=0.002)

    def resume(self):
        if self.process.running():
            self.process.send(signal.SIGCONT)

    def restart(self):
        """restart kills the agent and starts it again on the same ports."""
        self.kill()
        self.start()

    def fill_log(self, entries):
        """fill_log gives it a log that takes a while to be read at the next start: entries of 500 kB."""
        for number in range(entries):
            self.call("PUT", f"/v1/kv/fill/{number % 10}", "x" * 500_000)

    # The HTTP API.

    def call(self, method, path, body=None, token=None, timeout=20):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{self.address}{path}", data=data, method=method)
        if token or self.token:
            request.add_header("X-Consul-Token", token or self.token)
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            text = answer.read().decode()
        try:
            return json.loads(text) if text.strip() else None
        except ValueError:
            return text

    def get(self, path):
        return self.call("GET", path)

    def put(self, path, body=None):
        return self.call("PUT", path, body)

    def roots(self):
        return self.get("/v1/agent/connect/ca/roots")

    def leaf(self, service):
        return self.get(f"/v1/agent/connect/ca/leaf/{service}")

    @property
    def trust_domain(self):
        return self.roots()["TrustDomain"]

    def uri(self, service, datacenter="dc1"):
        return f"spiffe://{self.trust_domain}/ns/default/dc/{datacenter}/svc/{service}"

    def roots_pem(self):
        return "".join(root["RootCert"].rstrip("\n") + "\n" for root in self.roots()["Roots"])

    def register(self, definition):
        self.put("/v1/agent/service/register", definition)

    def register_proxy(self, service, port, address="127.0.0.1", identifier=None, **proxy):
        """register_proxy puts an instance of the service's sidecar into the catalog, without checks: it
        counts as passing at once. Returns its ID."""
        identifier = identifier or f"{service}-proxy-{port}"
        # The agent retries for ever, and loudly, to find the instance that a sidecar says it stands for.
        self.register({"ID": service, "Name": service, "Address": "127.0.0.1"})
        self.register({"Kind": "connect-proxy", "ID": identifier, "Name": f"{service}-sidecar-proxy",
                       "Address": address, "Port": port,
                       "Proxy": {"DestinationServiceName": service, "DestinationServiceID": service,
                                 **proxy}})
        return identifier

    def deregister(self, identifier):
        self.put(f"/v1/agent/service/deregister/{identifier}")

    def instances(self, service):
        return self.get(f"/v1/health/connect/{service}?passing=1")

    def intention(self, source, destination, action):
        """intention creates or replaces one."""
        body = {"SourceName": source, "DestinationName": destination, "SourceType": "consul",
                "Action": action}
        for entry in self.get("/v1/connect/intentions") or []:
            if (entry["SourceName"], entry["DestinationName"]) == (source, destination):
                self.put(f"/v1/connect/intentions/{entry['ID']}", body)
                return entry["ID"]
        return self.call("POST", "/v1/connect/intentions", body)["ID"]

    def delete_intention(self, source, destination):
        for entry in self.get("/v1/connect/intentions") or []:
            if (entry["SourceName"], entry["DestinationName"]) == (source, destination):
                self.call("DELETE", f"/v1/connect/intentions/{entry['ID']}")

    def prepared_query(self, name, service):
        return self.call("POST", "/v1/query", {"Name": name, "Service": {"Service": service,
                                                                         "OnlyPassing": True}})["ID"]

    def service_token(self, *services):
        """service_token makes an ACL token with a service identity for each of the services."""
        answer = self.put("/v1/acl/token", {"ServiceIdentities": [{"ServiceName": s} for s in services]})
        return answer["SecretID"], answer["AccessorID"]

    def delete_token(self, accessor):
        self.call("DELETE", f"/v1/acl/token/{accessor}")

    def rotate_root(self, **config):
        """rotate_root gives the CA a new key and root, cross-signed by the old one, and returns when the
        agent lists the new root as active. Leaves follow within 30 s."""
        old = self.roots()["ActiveRootID"]
        key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption()).decode()
        current = self.get("/v1/connect/ca/configuration")
        current["Config"].update(PrivateKey=key, RootCert="", **config)
        self.put("/v1/connect/ca/configuration", {"Provider": "consul", "Config": current["Config"]})
        check.within(lambda: self.roots()["ActiveRootID"] != old, "the new root is active", 10 * slowness())

    def wait_new_leaf(self, service, serial, seconds=40):
        """wait_new_leaf returns the service's leaf once its serial number differs."""
        def look():
            leaf = self.leaf(service)
            return leaf if leaf["SerialNumber"] != serial else None

        return check.within(look, f"a new leaf for {service}", seconds * slowness(), step=0.1)
