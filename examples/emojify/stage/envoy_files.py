"""What Envoy is told, as Consul would tell it for a TCP sidecar: from answers of the agent to LDS, CDS, EDS and SDS.

The shape is that of Consul's own generator: no listener filters, RBAC before tcp_proxy, a client certificate is
required; towards an upstream the exact URI, the SNI that is the cluster's name, outlier detection as it is by
default, and no panic.
"""

import re

from lib.envoy import LOG_FIELDS, NETWORK, TLS, TYPE, assignment, socket_address


def secrets(leaf, roots):
    """One secret a file: Envoy refuses an answer that holds more than the one that it asked for."""
    pems = "".join(root["RootCert"].rstrip("\n") + "\n" for root in roots["Roots"])
    kind = TLS + "Secret"
    return {"leaf": [{"@type": kind, "name": "leaf", "tls_certificate": {
                "certificate_chain": {"inline_string": leaf["CertPEM"]},
                "private_key": {"inline_string": leaf["PrivateKeyPEM"]}}}],
            "roots": [{"@type": kind, "name": "roots", "validation_context": {"trusted_ca": {"inline_string": pems}}}]}


def endpoints(cluster, entries):
    addresses = [(entry["Service"]["Address"] or entry["Node"]["Address"], entry["Service"]["Port"])
                 for entry in entries]
    return [{"@type": TYPE + "config.endpoint.v3.ClusterLoadAssignment", **assignment(cluster, addresses)}]


def sni(upstream, trust_domain):
    return f"{upstream}.default.dc1.internal.{trust_domain}"


class Files:
    """The resources of one sidecar. folder: where it reads them, so that they can name each other."""

    def __init__(self, folder, registration, trust_domain):
        self.folder, self.registration, self.trust_domain = folder, registration, trust_domain
        self.proxy = registration["Proxy"]
        self.upstreams = {one["DestinationName"]: one["LocalBindPort"] for one in self.proxy.get("Upstreams") or []}

    def bootstrap(self, admin_port):
        service = self.proxy["DestinationServiceName"]
        return {"node": {"id": self.registration["ID"], "cluster": service},
                "admin": {"address": socket_address("127.0.0.1", admin_port)},
                "dynamic_resources": {"lds_config": self._source("listeners"), "cds_config": self._source("clusters")}}

    def listeners(self, intentions):
        found = [self._listener(f"{name}:127.0.0.1:{port}", ("127.0.0.1", port), "OUTBOUND",
                                [self._tcp_proxy(f"upstream.{name}.default.dc1", sni(name, self.trust_domain))])
                 for name, port in self.upstreams.items()]
        if self._app():
            address = self.registration["Address"], self.registration["Port"]
            context = {"@type": TLS + "DownstreamTlsContext", "require_client_certificate": True,
                       "common_tls_context": {
                **self._leaf(), "validation_context_sds_secret_config": self._secret("roots")}}
            found.append(self._listener(f"public_listener:{address[0]}:{address[1]}", address, "INBOUND",
                                        [self._rbac(intentions), self._tcp_proxy("public_listener", "local_app")],
                                        context))
        return found

    def clusters(self):
        found = [self._upstream(name) for name in self.upstreams]
        if self._app():
            found.append({"@type": TYPE + "config.cluster.v3.Cluster", "name": "local_app", "type": "STATIC",
                          "connect_timeout": "5s", "load_assignment": assignment("local_app", [self._app()])})
        return found

    # Parts.

    def _app(self):
        port = self.proxy.get("LocalServicePort")
        return (self.proxy.get("LocalServiceAddress") or "127.0.0.1", port) if port else None

    def _source(self, name):
        return {"resource_api_version": "V3", "path_config_source": {
            "path": f"{self.folder}/{name}.json", "watched_directory": {"path": str(self.folder)}}}

    def _secret(self, name):
        return {"name": name, "sds_config": self._source(name)}

    def _leaf(self):
        return {"tls_params": {}, "tls_certificate_sds_secret_configs": [self._secret("leaf")]}

    @staticmethod
    def _listener(name, address, direction, filters, context=None):
        chain = {"filters": filters}
        if context:
            chain["transport_socket"] = {"name": "tls", "typed_config": context}
        return {"@type": TYPE + "config.listener.v3.Listener", "name": name, "address": socket_address(*address),
                "traffic_direction": direction, "filter_chains": [chain]}

    def _tcp_proxy(self, prefix, cluster):
        log = {"name": "log", "typed_config": {
            "@type": TYPE + "extensions.access_loggers.file.v3.FileAccessLog", "path": f"{self.folder}/access.log",
            "log_format": {"json_format": {name: f"%{field}%" for name, field in LOG_FIELDS.items()}}}}
        return {"name": "envoy.filters.network.tcp_proxy", "typed_config": {
            "@type": NETWORK + "tcp_proxy.v3.TcpProxy", "stat_prefix": prefix, "cluster": cluster, "access_log": [log]}}

    def _upstream(self, name):
        cluster = sni(name, self.trust_domain)
        wanted = f"spiffe://{self.trust_domain}/ns/default/dc/dc1/svc/{name}"
        context = {"@type": TLS + "UpstreamTlsContext", "sni": cluster, "common_tls_context": {
            **self._leaf(), "combined_validation_context": {
                "default_validation_context": {"match_typed_subject_alt_names": [
                    {"san_type": "URI", "matcher": {"exact": wanted}}]},
                "validation_context_sds_secret_config": self._secret("roots")}}}
        return {"@type": TYPE + "config.cluster.v3.Cluster", "name": cluster, "type": "EDS", "connect_timeout": "5s",
                "eds_cluster_config": {"eds_config": self._source(f"endpoints-{name}")}, "outlier_detection": {},
                "common_lb_config": {"healthy_panic_threshold": {}},
                "transport_socket": {"name": "tls", "typed_config": context}}

    def _rbac(self, intentions):
        principals = [self._principal(*rule) for rule in denied(intentions)]
        rules = {"action": "DENY"}
        if principals:
            rules["policies"] = {"consul-intentions-layer4": {"permissions": [{"any": True}], "principals": principals}}
        return {"name": "envoy.filters.network.rbac", "typed_config": {
            "@type": NETWORK + "rbac.v3.RBAC", "stat_prefix": "connect_authz", "rules": rules}}

    def _principal(self, source, exceptions):
        whom = self._identity(source)
        if not exceptions:
            return whom
        return {"and_ids": {"ids": [whom, *({"not_id": self._identity(name)} for name in exceptions)]}}

    def _identity(self, source):
        name = "[^/]+" if source == "*" else re.escape(source)
        regex = f"^spiffe://{re.escape(self.trust_domain)}/ns/default/dc/[^/]+/svc/{name}$"
        return {"authenticated": {"principal_name": {"safe_regex": {"regex": regex}}}}


def denied(intentions):
    """denied are (source, those that it does not mean) of whom the intentions deny, where the default is allow.

    The highest precedence decides. So of two about one source the later counts for nothing, and a wildcard does not
    mean a source that has a higher one of its own.
    """
    rules, seen = [], []
    for entry in sorted(intentions, key=lambda one: -one["Precedence"]):
        source = entry["SourceName"]
        if source in seen or "*" in seen:
            continue
        if entry["Action"] != "allow":
            rules.append((source, list(seen) if source == "*" else []))
        seen.append(source)
    return rules
