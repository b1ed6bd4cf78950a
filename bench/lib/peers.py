"""The sidecars that are measured: where each is found, how a pair of them is configured, what its version is.

All speak mutual TLS 1.3 with AES-128-GCM and P-256 certificates, verify the other side's chain, and keep
sessions for resumption where they can. Beyond that each has the settings that serve it best here, as its
comments say; what is not set is the program's default.
"""

import json
import os
import re
import resource
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

from place import CLIENT, HOST, SERVER

CIPHER = "TLS_AES_128_GCM_SHA256"
AGENT_PATIENCE = 20  # seconds for an agent to become ready


def cache():
    if os.environ.get("MOORING_CACHE"):
        return Path(os.environ["MOORING_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mooring"


def local(port):
    return f"127.0.0.1:{port}"


def connections_allowed():
    """connections_allowed is how many connections one process can carry, at two descriptors each."""
    return (resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 400) // 2


class Peer:
    """One kind of sidecar. find() is the program or None; start(place) brings a pair up."""

    name = None
    comes_with = None  # what installs it
    note = ""
    tls = True  # whether a TLS client can be its caller
    ranked = True  # whether it may count as the best of the others
    version_argument, version_pattern = "--version", r"(\d+\.\d+[\w.+-]*)"

    def find(self):
        raise NotImplementedError

    def start(self, place):
        raise NotImplementedError

    def caller(self, place):
        """caller is (chain, key, roots, expected SPIFFE ID) for a TLS client at the inbound side."""
        files = place.certificates
        return files.chain(CLIENT), files.key(CLIENT), files.roots, files.uri(SERVER)

    def version(self):
        printed = subprocess.run([self.find(), self.version_argument], capture_output=True, text=True, timeout=20,
                                 check=False)
        found = re.search(self.version_pattern, printed.stdout + printed.stderr)
        return found.group(1) if found else "unknown"


class FromPath(Peer):
    programs = ()

    def find(self):
        # Debian keeps daemons where a user's PATH does not look.
        path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
        return next(filter(None, (shutil.which(program, path=path) for program in self.programs)), None)


class FromCache(FromPath):
    comes_with = "tests/setup --peers"

    def find(self):
        cached = cache() / "peers" / self.programs[0]
        return str(cached) if os.access(cached, os.X_OK) else super().find()


class Mooring(Peer):
    ranked = False  # another build of Mooring is no competitor
    version_argument = "version"

    def __init__(self, name, program, settings=()):
        self.name, self.program, self.settings = name, program, settings
        self.note = " ".join(settings)

    def find(self):
        return self.program if os.access(self.program, os.X_OK) else None

    def start(self, place):
        for side, listen, target, own, other in place.sides():
            files = place.certificates
            settings = {"service": own, "log_level": "WARN",
                        "identity": {"certificate": str(files.chain(own)), "private_key": str(files.key(own)),
                                     "roots": str(files.roots)}}
            if side == "in":
                settings["public_listener"] = {"address": local(listen), "local_app": local(target)}
                settings["intentions"] = {"default": "deny", "rules": [{"source": other, "action": "allow"}]}
            else:
                settings["upstreams"] = [{"service": other, "listen": local(listen), "endpoints": [local(target)],
                                          "spiffe_id": files.uri(other)}]
            # Each value of a mapping as JSON, which is YAML, too; the user's lines are YAML as they are.
            lines = [f"{key}: {json.dumps(value)}" for key, value in settings.items()]
            lines += [line.replace("=", ": ", 1) for line in self.settings]
            config = place.write(f"{side}.yaml", "\n".join(lines) + "\n")
            place.start(side, [self.program, "proxy", "-config", config])


class Envoy(FromCache):
    programs = ("envoy",)
    version_pattern = r"/(\d+\.\d+\.\d+)/"
    types = "type.googleapis.com/envoy.extensions."

    def __init__(self, concurrency):
        self.name = f"envoy-c{concurrency}"
        self.note = f"--concurrency {concurrency}"
        self.concurrency = str(concurrency)

    def start(self, place):
        for side, listen, target, own, other in place.sides():
            config = place.write(f"{side}.json", self._config(place.certificates, side, listen, target, own, other))
            place.start(side, [*self.command(config), "--disable-hot-restart"])

    def command(self, config):
        return [self.find(), "-c", config, "--concurrency", self.concurrency, "-l", "error"]

    # Towards the other side Envoy keeps one session to resume, by default and as Consul sets it up.
    def _config(self, files, side, listen, target, own, other):
        def address(port):
            return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

        chain = {"filters": [{"name": "proxy", "typed_config": {
            "@type": self.types + "filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": side, "cluster": "next"}}]}
        endpoint = {"endpoint": {"address": address(target)}}
        # Envoy's limit of 1,024 connections to a cluster would end the idle modes.
        limits = {key: 100000 for key in ("max_connections", "max_pending_requests", "max_requests")}
        cluster = {"name": "next", "type": "STATIC", "connect_timeout": "5s",
                   "circuit_breakers": {"thresholds": [limits]},
                   "load_assignment": {"cluster_name": "next", "endpoints": [{"lb_endpoints": [endpoint]}]}}
        context = {"common_tls_context": self._tls(files, own, other)}
        if side == "in":
            chain["transport_socket"] = self._socket("DownstreamTlsContext", require_client_certificate=True, **context)
        else:
            cluster["transport_socket"] = self._socket("UpstreamTlsContext", sni=HOST, **context)
        listener = {"name": side, "address": address(listen), "filter_chains": [chain]}
        return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}

    def _socket(self, kind, **settings):
        return {"name": "tls", "typed_config": {"@type": f"{self.types}transport_sockets.tls.v3.{kind}", **settings}}

    @staticmethod
    def _tls(files, own, other):
        return {"tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
                "tls_certificates": [{"certificate_chain": {"filename": str(files.chain(own))},
                                      "private_key": {"filename": str(files.key(own))}}],
                "validation_context": {"trusted_ca": {"filename": str(files.roots)},
                                       "match_typed_subject_alt_names": [
                                           {"san_type": "URI", "matcher": {"exact": files.uri(other)}}]}}


class Consul(FromCache):
    name = "consul"
    programs = ("consul",)
    note = "connect proxy, with a dev agent whose CPU is counted, since each inbound connection asks it"
    version_argument = "version"

    def start(self, place):
        http, server, serf_lan, serf_wan = place.more_ports[:4]
        ports = {"http": http, "server": server, "serf_lan": serf_lan, "serf_wan": serf_wan, "dns": -1, "grpc": -1}
        config = place.write("agent.json", {"bind_addr": "127.0.0.1", "client_addr": "127.0.0.1", "ports": ports,
                                            "node_name": f"bench-{http}", "disable_update_check": True,
                                            "log_level": "err", "connect": {"enabled": True}})
        place.start("agent", [self.find(), "agent", "-dev", "-config-file", config])
        self._fetch_identity(place, http)
        proxy = [self.find(), "connect", "proxy", "-http-addr", local(http), "-log-level", "err"]
        place.start("in", [*proxy, "-service", SERVER, "-service-addr", local(place.backend), "-listen",
                           local(place.inbound), "-register"])
        place.start("out", [*proxy, "-service", CLIENT, "-upstream", f"{SERVER}:{place.outbound}"])

    def _fetch_identity(self, place, port):
        """The mesh is the agent's own, so the TLS client's files come from there."""
        def get(path):
            with urllib.request.urlopen(f"http://{local(port)}{path}", timeout=5) as answer:
                return json.load(answer)

        deadline = time.monotonic() + AGENT_PATIENCE
        while True:
            try:
                roots = get("/v1/agent/connect/ca/roots")
                root = roots["Roots"][0]["RootCert"]  # a moment after the start there is none
                leaf = get(f"/v1/agent/connect/ca/leaf/{CLIENT}")
                break
            except (OSError, ValueError, LookupError, TypeError):
                if time.monotonic() > deadline or place.ended():
                    raise RuntimeError("the agent did not become ready") from None
                time.sleep(0.1)
        self._expected = f"spiffe://{roots['TrustDomain']}/ns/default/dc/dc1/svc/{SERVER}"
        self._files = (place.write("caller.pem", leaf["CertPEM"]), place.write("caller.key", leaf["PrivateKeyPEM"]),
                       place.write("roots.pem", root))

    def caller(self, place):
        return (*self._files, self._expected)


class Haproxy(FromCache):
    name = "haproxy"
    programs = ("haproxy",)
    note = "2 threads, buffers of 64 KiB"
    version_argument = "-v"
    more_global = ""  # lines of the section `global`; {folder} and {side} stand for the place's

    def start(self, place):
        for side, listen, target, own, _ in place.sides():
            files = place.certificates
            tls = f"ssl crt {files.both(own)} ca-file {files.roots} verify required"
            bind = f" {tls}" if side == "in" else ""
            server = f" {tls} verifyhost {HOST} sni str({HOST})" if side == "out" else ""
            config = place.write(f"{side}.cfg", f"""global
  maxconn {connections_allowed()}
  nbthread 2
  tune.bufsize 65536
  ssl-default-bind-options ssl-min-ver TLSv1.3
  ssl-default-server-options ssl-min-ver TLSv1.3
  ssl-default-bind-ciphersuites {CIPHER}
  ssl-default-server-ciphersuites {CIPHER}
{self.more_global.format(folder=place.folder, side=side)}defaults
  mode tcp
  timeout connect 5s
  timeout client 10m
  timeout server 10m
listen sidecar
  maxconn {connections_allowed()}
  bind {local(listen)}{bind}
  server next {local(target)}{server}
""")
            place.start(side, [self.find(), "-db", "-f", config])


class Nginx(FromPath):
    name = "nginx"
    programs = ("nginx",)
    comes_with = "apt install nginx libnginx-mod-stream"
    note = "stream module, 2 workers, buffers of 64 KiB"
    version_argument = "-v"
    listens, daemon = "reuseport backlog=4096", "off"
    modules = ("/usr/lib/nginx/modules/ngx_stream_module.so", "/usr/lib64/nginx/modules/ngx_stream_module.so")

    def start(self, place):
        for side, listen, target, own, _ in place.sides():
            files = place.certificates
            if side == "in":
                tls = f"""ssl_certificate {files.chain(own)}; ssl_certificate_key {files.key(own)};
    ssl_client_certificate {files.roots}; ssl_verify_client on; ssl_protocols TLSv1.3;
    ssl_conf_command Ciphersuites {CIPHER}; ssl_session_cache shared:sessions:4m;"""
            else:
                tls = f"""proxy_ssl on; proxy_ssl_certificate {files.chain(own)};
    proxy_ssl_certificate_key {files.key(own)}; proxy_ssl_trusted_certificate {files.roots};
    proxy_ssl_verify on; proxy_ssl_name {HOST}; proxy_ssl_server_name on; proxy_ssl_protocols TLSv1.3;
    proxy_ssl_conf_command Ciphersuites {CIPHER}; proxy_ssl_session_reuse on;"""
            load = "".join(f"load_module {path};\n" for path in self.modules if os.path.exists(path))
            config = place.write(f"{side}.conf", f"""{load}daemon {self.daemon};
worker_processes 2;
worker_rlimit_nofile {2 * connections_allowed()};
pid {place.folder}/{side}.pid;
error_log {place.log(side)} warn;
events {{ worker_connections {2 * connections_allowed()}; }}
stream {{
  server {{
    listen {local(listen)}{' ssl' if side == 'in' else ''} {self.listens};
    proxy_pass {local(target)};
    proxy_buffer_size 64k;
    tcp_nodelay on;
    {tls}
  }}
}}
""")
            place.start(side, [self.find(), "-c", config, "-e", place.log(side)])


class Stunnel(FromPath):
    name = "stunnel"
    programs = ("stunnel4", "stunnel")
    comes_with = "apt install stunnel4"
    note = "a thread per connection"
    version_argument, version_pattern = "-version", r"stunnel (\d+\.\d+)"

    def start(self, place):
        for side, listen, target, own, _ in place.sides():
            files = place.certificates
            check = "requireCert = yes" if side == "in" else f"checkHost = {HOST}\nsni = {HOST}"
            config = place.write(f"{side}.conf", f"""foreground = yes
pid =
debug = 3
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
[sidecar]
client = {'no' if side == 'in' else 'yes'}
accept = {local(listen)}
connect = {local(target)}
cert = {files.chain(own)}
key = {files.key(own)}
CAfile = {files.roots}
verifyChain = yes
{check}
sslVersionMin = TLSv1.3
ciphersuites = {CIPHER}
sessionCacheSize = 10000
""")
            place.start(side, [self.find(), config])


class Ghostunnel(FromPath):
    name = "ghostunnel"
    programs = ("ghostunnel",)
    comes_with = "apt install ghostunnel"

    def start(self, place):
        for side, listen, target, own, other in place.sides():
            files = place.certificates
            own_side = (["server", "--allow-uri", files.uri(other)] if side == "in" else
                        ["client", "--verify-uri", files.uri(other), "--override-server-name", HOST])
            place.start(side, [self.find(), *own_side, "--listen", local(listen), "--target", local(target), "--cert",
                               files.chain(own), "--key", files.key(own), "--cacert", files.roots,
                               *(f"--quiet={what}" for what in ("conns", "conn-errs", "handshake-errs"))])


class Floor(Peer):
    name = "floor"
    note = "two relays that copy clear text: what any copying proxy pays without TLS"
    tls = False
    ranked = False

    def __init__(self, load):
        self.load = load

    def find(self):
        return self.load

    def start(self, place):
        for side, listen, target, _, _ in place.sides():
            place.start(side, [self.load, "relay", "--listen", listen, "--to", target])

    def version(self):
        return "bench-load"


def every_peer(load):
    """every_peer is all but Mooring, in the order of the tables."""
    return [Envoy(1), Envoy(2), Consul(), Haproxy(), Nginx(), Stunnel(), Ghostunnel(), Floor(load)]
