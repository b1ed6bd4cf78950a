"""Envoy, configured by files as Consul would configure it for a TCP sidecar.

Leaf and roots come over SDS from files that refresh() rewrites in place, as a control plane would; the rest
is static. The shape (no listener filters, RBAC before tcp_proxy, require_client_certificate, exact URI match
and SNI towards upstreams, empty tls_params) is that of Consul's own configuration generator.
"""

import json
import os
import re
import urllib.request

from lib import check
from lib.case import Process, peer_binary, slowness
from lib.consul_tags import stats_config
from lib.ports import free_port

TYPE = "type.googleapis.com/envoy."
TLS = TYPE + "extensions.transport_sockets.tls.v3."
NETWORK = TYPE + "extensions.filters.network."
VERSIONS = {"1.2": "TLSv1_2", "1.3": "TLSv1_3"}

LOG_FIELDS = {"flags": "RESPONSE_FLAGS", "received": "BYTES_RECEIVED", "sent": "BYTES_SENT",
              "peer": "DOWNSTREAM_PEER_URI_SAN", "version": "DOWNSTREAM_TLS_VERSION",
              "cipher": "DOWNSTREAM_TLS_CIPHER", "ended": "CONNECTION_TERMINATION_DETAILS",
              "down_failure": "DOWNSTREAM_TRANSPORT_FAILURE_REASON",
              "up_failure": "UPSTREAM_TRANSPORT_FAILURE_REASON"}


def socket_address(host, port):
    return {"socket_address": {"address": host, "port_value": port}}


def assignment(name, addresses):
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": [
        {"endpoint": {"address": socket_address(*address)}} for address in addresses]}]}


class Envoy:
    """inbound: app=(host, port). outbound: upstream=name, endpoints=[(host, port)].

    tls: "1.2" or "1.3" forces the version; None leaves Envoy's defaults (as a client it stops at 1.2).
    Faults: certificate=False shows none; identity=(cert_pem, key_pem) another leaf; roots=PEM others;
    expect=URI demands that server identity; alpn=[...]; sni=NAME. tags=True names and tags its statistics as Consul
    1.21 has them. eject_one=True lets outlier detection eject an endpoint where ten percent of them are less than one.
    eds=True reads the endpoints from a file, which set_endpoints rewrites as a control plane would.
    by_sni=True, inbound, takes only who names the service in SNI, as a terminating gateway does. workers=None: as many as it
    takes by itself. log=False: no access log. wrap: words before the program, which end in an exec of what follows them.
    """

    kind = "envoy"

    def __init__(self, case, consul, service, app=None, upstream=None, endpoints=None, tls=None, alpn=None,
                 certificate=True, identity=None, roots=None, expect=None, sni=None, listen=None,
                 intentions=True, tags=False, eject_one=False, eds=False, by_sni=False, workers=1, log=True, wrap=()):
        self.eds, self.by_sni, self.log = eds, by_sni, log
        self.case, self.consul, self.service, self.tags = case, consul, service, tags
        self.outliers = {"always_eject_one_host": True} if eject_one else {}
        self.identity, self.roots = identity, roots
        self.port, self.admin_port = listen or free_port(), free_port()
        self.address = ("127.0.0.1", self.port)
        self.folder = case.directory / f"envoy-{service}-{self.port}"
        self.folder.mkdir()
        self._written, self._version = {}, 0
        self._cluster = None
        self.refresh()
        common = {"tls_params": {}}
        if tls:
            common["tls_params"] = {"tls_minimum_protocol_version": VERSIONS[tls],
                                    "tls_maximum_protocol_version": VERSIONS[tls]}
        if alpn:
            common["alpn_protocols"] = alpn
        if certificate:
            common["tls_certificate_sds_secret_configs"] = [self._secret("leaf")]
        if app:
            listener, cluster = self._inbound(common, app, intentions)
        else:
            domain = consul.trust_domain
            expect = expect or f"spiffe://{domain}/ns/default/dc/dc1/svc/{upstream}"
            sni = sni or f"{upstream}.default.dc1.internal.{domain}"
            listener, cluster = self._outbound(common, upstream, endpoints, expect, sni)
        bootstrap = {"node": {"id": f"{service}-sidecar-proxy", "cluster": service},
                     "admin": {"address": socket_address("127.0.0.1", self.admin_port)},
                     "static_resources": {"listeners": [listener], "clusters": [cluster]}}
        if tags:
            bootstrap["stats_config"] = stats_config(service, "dc1")
        path = self.folder / "bootstrap.json"
        path.write_text(json.dumps(bootstrap, indent=1))
        self.process = Process(case, [*wrap, peer_binary("envoy"), "-c", path,
                                      *(["--concurrency", workers] if workers else []),
                                      "--disable-hot-restart", "--base-id", self.admin_port,
                                      "--file-flush-interval-msec", "50", "-l", "warning"], f"envoy-{service}")
        check.within(self._live, "Envoy is live", 20 * slowness(), step=0.05)

    def _live(self):
        if not self.process.running():
            raise RuntimeError(f"{self.process.describe()}:\n{self.process.log()[-2000:]}")
        return self.admin("/ready").strip() == "LIVE" and self.admin("/listeners").strip()

    def close(self):
        return self.process.close()

    # Secrets.

    def refresh(self):
        """refresh hands Envoy the agent's current leaf and roots, if they differ from the last ones."""
        if self.identity:
            chain, key = self.identity
        else:
            leaf = self.consul.leaf(self.service)
            chain, key = leaf["CertPEM"], leaf["PrivateKeyPEM"]
        # One secret a file: Envoy refuses an answer that holds more than the one it asked for.
        self._write("leaf", {"tls_certificate": {"certificate_chain": {"inline_string": chain},
                                                 "private_key": {"inline_string": key}}})
        self._write("roots", {"validation_context": {
            "trusted_ca": {"inline_string": self.roots or self.consul.roots_pem()}}})

    def _write(self, name, resource, kind="extensions.transport_sockets.tls.v3.Secret"):
        if self._written.get(name) == resource:
            return
        self._version += 1
        scratch = self.folder / f".{name}.new"
        with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            named = {} if "cluster_name" in resource else {"name": name}
            json.dump({"version_info": str(self._version),
                       "resources": [{"@type": TYPE + kind, **named, **resource}]}, file)
        os.rename(scratch, self.folder / f"{name}.json")
        self._written[name] = resource

    def _secret(self, name):
        return {"name": name, "sds_config": self._file(name)}

    def _file(self, name):
        return {"resource_api_version": "V3", "path_config_source": {
            "path": str(self.folder / f"{name}.json"), "watched_directory": {"path": str(self.folder)}}}

    def set_endpoints(self, addresses):
        """set_endpoints has the upstream's instances be these from now on."""
        self._write("endpoints", assignment(self._cluster, addresses), "config.endpoint.v3.ClusterLoadAssignment")

    # Listeners and clusters.

    def _proxy(self, prefix, cluster):
        log = {"name": "log", "typed_config": {
            "@type": TYPE + "extensions.access_loggers.file.v3.FileAccessLog",
            "path": str(self.folder / "access.log"),
            "log_format": {"json_format": {name: f"%{field}%" for name, field in LOG_FIELDS.items()}}}}
        return {"name": "envoy.filters.network.tcp_proxy", "typed_config": {
            "@type": NETWORK + "tcp_proxy.v3.TcpProxy", "stat_prefix": prefix, "cluster": cluster,
            "access_log": [log] if self.log else []}}

    def _inbound(self, common, app, intentions):
        common["validation_context_sds_secret_config"] = self._secret("roots")
        filters = [self._rbac()] if intentions else []
        listener = {"name": "public_listener", "address": socket_address(*self.address),
                    "traffic_direction": "INBOUND", "filter_chains": [{
                        "filters": filters + [self._proxy("public_listener", "local_app")],
                        "transport_socket": {"name": "tls", "typed_config": {
                            "@type": TLS + "DownstreamTlsContext", "common_tls_context": common,
                            "require_client_certificate": True}}}]}
        if self.by_sni:
            listener["listener_filters"] = [{"name": "tls_inspector", "typed_config": {
                "@type": TYPE + "extensions.filters.listener.tls_inspector.v3.TlsInspector"}}]
            listener["filter_chains"][0]["filter_chain_match"] = {
                "server_names": [f"{self.service}.default.dc1.internal.{self.consul.trust_domain}"]}
        return listener, {"name": "local_app", "type": "STATIC", "connect_timeout": "5s",
                          "load_assignment": assignment("local_app", [app])}

    def _rbac(self):
        """The denies of the agent's intentions for us; the default is allow, as without ACLs."""
        match = self.consul.get(f"/v1/connect/intentions/match?by=destination&name={self.service}") or {}
        principals = []
        for entry in match.get(self.service) or []:
            if entry["Action"] == "deny":
                name = "[^/]+" if entry["SourceName"] == "*" else re.escape(entry["SourceName"])
                principals.append({"authenticated": {"principal_name": {"safe_regex": {
                    "regex": f"^spiffe://[^/]+/ns/default/dc/[^/]+/svc/{name}$"}}}})
        rules = {"action": "DENY"}
        if principals:
            rules["policies"] = {"consul-intentions-layer4": {"permissions": [{"any": True}],
                                                              "principals": principals}}
        return {"name": "envoy.filters.network.rbac", "typed_config": {
            "@type": NETWORK + "rbac.v3.RBAC", "stat_prefix": "connect_authz", "rules": rules}}

    def _outbound(self, common, upstream, addresses, expect, sni):
        common["combined_validation_context"] = {
            "default_validation_context": {"match_typed_subject_alt_names": [
                {"san_type": "URI", "matcher": {"exact": expect}}]},
            "validation_context_sds_secret_config": self._secret("roots")}
        prefix = f"upstream.{upstream}.default.{'default.' if self.tags else ''}dc1"
        listener = {"name": f"{upstream}:127.0.0.1:{self.port}", "address": socket_address(*self.address),
                    "traffic_direction": "OUTBOUND", "filter_chains": [{"filters": [self._proxy(prefix, sni)]}]}
        cluster = {"name": sni, "alt_stat_name": sni if self.tags else "upstream", "type": "STATIC", "connect_timeout": "5s",
                   "outlier_detection": self.outliers, "common_lb_config": {"healthy_panic_threshold": {}},
                   "load_assignment": assignment(sni, addresses),
                   "transport_socket": {"name": "tls", "typed_config": {
                       "@type": TLS + "UpstreamTlsContext", "common_tls_context": common, "sni": sni}}}
        if self.eds:
            self._cluster = sni
            self.set_endpoints(addresses)
            del cluster["load_assignment"]
            cluster.update(type="EDS", eds_cluster_config={"eds_config": self._file("endpoints")})
        return listener, cluster

    # What it says of itself.

    def admin(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}{path}", timeout=5) as answer:
            return answer.read().decode()

    def stats(self, pattern):
        """stats returns the counters whose name matches the regular expression."""
        found = {}
        for line in self.admin("/stats").splitlines():
            name, _, value = line.partition(": ")
            if re.search(pattern, name) and value.strip().isdigit():
                found[name] = int(value)
        return found

    def access_log(self):
        path = self.folder / "access.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


class Gateway:
    """An Envoy as mesh gateway: what names one of `routes` in SNI ("*.dc2.internal.TD" stands for all of those) is passed on
    to its addresses as it is, TLS and all."""

    def __init__(self, case, routes, listen=None):
        self.port, self.admin_port = listen or free_port(), free_port()
        self.address = ("127.0.0.1", self.port)
        chains = [{"filter_chain_match": {"server_names": [name]}, "filters": [{
            "name": "envoy.filters.network.tcp_proxy", "typed_config": {
                "@type": NETWORK + "tcp_proxy.v3.TcpProxy", "stat_prefix": "passed", "cluster": name}}]} for name in routes]
        bootstrap = {
            "node": {"id": "gateway", "cluster": "gateway"}, "admin": {"address": socket_address("127.0.0.1", self.admin_port)},
            "static_resources": {
                "listeners": [{"name": "gateway", "address": socket_address(*self.address), "filter_chains": chains,
                               "listener_filters": [{"name": "tls_inspector", "typed_config": {
                                   "@type": TYPE + "extensions.filters.listener.tls_inspector.v3.TlsInspector"}}]}],
                "clusters": [{"name": name, "type": "STATIC", "connect_timeout": "5s",
                              "load_assignment": assignment(name, addresses)} for name, addresses in routes.items()]}}
        path = case.write(f"gateway-{self.port}.json", json.dumps(bootstrap))
        self.process = Process(case, [peer_binary("envoy"), "-c", path, "--concurrency", "1", "--disable-hot-restart",
                                      "--base-id", self.admin_port, "-l", "warning"], f"gateway-{self.port}")
        check.within(self._live, "the gateway is live", 20 * slowness(), step=0.05)

    def _live(self):
        if not self.process.running():
            raise RuntimeError(f"{self.process.describe()}:\n{self.process.log()[-2000:]}")
        return self.admin("/ready").strip() == "LIVE"

    def admin(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}{path}", timeout=5) as answer:
            return answer.read().decode()

    def passed(self):
        """passed is how many connections it has passed on."""
        text = self.admin("/stats?filter=tcp.passed.downstream_cx_total")
        return sum(int(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.strip())

    def close(self):
        return self.process.close()
