"""A scripted Consul agent: the HTTP API that a sidecar uses, with blocking queries, and faults on order.

It shows what a real agent of one version cannot be made to show: newer documents, errors in the middle of
things, answers cut short. Everything it is asked is recorded in `requests`.
"""

import dataclasses
import fnmatch
import http.server
import json
import socket
import socketserver
import ssl
import sys
import threading
import time
import urllib.parse

from lib import certs, check
from lib.case import slowness
from lib.ports import free_port

LEADER = "127.0.0.1:8300"


@dataclasses.dataclass
class Fault:
    """What goes wrong with requests of `method` to a path that matches the pattern; times: how often.

    status and body replace the answer; headers are added to it, or with None taken from it. delay: seconds
    before it. truncate: the body ends in the middle. hang: no answer until the fault is lifted. close: the
    connection ends without one. endless: a chunked body that never ends. raw: a function of the answer that
    would have been given (status, headers, body) to what is sent instead of it, head and all: bytes, or a
    generator of some. The connection ends after them, or with keep_open=True is left open.
    """

    pattern: str
    method: str = "*"
    times: int | None = None
    status: int | None = None
    body: bytes | None = None
    headers: dict = dataclasses.field(default_factory=dict)
    delay: float = 0
    truncate: bool = False
    hang: bool = False
    close: bool = False
    endless: bool = False
    raw: object = None
    keep_open: bool = False
    met: int = 0

    def __post_init__(self):
        self.lifted = threading.Event()
        self.since = time.monotonic()


@dataclasses.dataclass
class Request:
    method: str
    path: str
    query: dict
    token: str
    body: object
    at: float
    user_agent: str


class Problem(Exception):
    """An answer that is not 200: (status, text)."""


def intention(source, destination, action="allow", **fields):
    """intention is one as the API shows it. Fields add to or replace the usual ones: Permissions, JWT,
    SourcePeer, ...; a value of None leaves a field out."""
    precedence = {(False, False): 9, (True, False): 8, (False, True): 6, (True, True): 5}[
        (source == "*", destination == "*")]
    document = {"ID": f"00000000-0000-0000-0000-{abs(hash((source, destination))) % 10 ** 12:012d}",
                "Description": "", "SourceNS": "default", "SourceName": source, "DestinationNS": "default",
                "DestinationName": destination, "SourceType": "consul", "Action": action, "DefaultAddr": "",
                "DefaultPort": 0, "Meta": {}, "Precedence": precedence, "CreatedAt": "2026-01-01T00:00:00Z",
                "UpdatedAt": "2026-01-01T00:00:00Z", "CreateIndex": 50, "ModifyIndex": 50}
    document.update(fields)
    return {name: value for name, value in document.items() if value is not None}


class Agent:
    """default: what happens to a source that no intention matches. modern=False answers as 1.8 did: no index
    on intentions/match, no policy header. token: when set, requests with another one get 403."""

    def __init__(self, case, default="allow", modern=True, token=None, authority=None, https=None,
                 unix_socket=None, host="127.0.0.1"):
        self.case, self.default, self.modern, self.token = case, default, modern, token
        self.authority = authority or certs.Authority()
        self.roots = [self.authority]
        self.trust_domain = self.authority.trust_domain
        self.policy_header = default if modern else None
        self.intention_policy = None  # default_intention_policy of its configuration
        self.leaves, self.instances, self.services, self.queries = {}, {}, {}, {}
        self.checks, self.maintenance = {}, {}
        self.intentions = []
        self.chains = {}  # targets of discovery chains by service; the others have their default chain
        self.entries = {}  # config entries by (kind, name)
        self.leader = LEADER  # empty: none is known
        self.requests, self.faults, self.problems = [], [], []
        self.changed = threading.Condition()
        self.index, self.indexes, self.first_index = 10, {}, 10
        self.https, self.unix_socket, self.host = https, unix_socket, host
        self.server, self.port = None, free_port()
        self.start()
        case.undo(self.complaint)
        case.undo(self.stop)

    def complaint(self):
        """complaint is what it was asked and could not make sense of."""
        return f"the scripted agent: {'; '.join(self.problems[:3])}" if self.problems else None

    # On and off.

    def start(self):
        """start opens the port, the same one again after stop()."""
        self.open = set()
        self.stopping = False
        agent = self

        class Handler(_Handler):
            owner = agent

        if self.unix_socket:
            self.server = _UnixServer(str(self.unix_socket), Handler)
            self.address = f"unix://{self.unix_socket}"
        else:
            v6 = ":" in self.host
            self.server = (_Server6 if v6 else _Server)((self.host, self.port), Handler)
            self.address = f"{'https://' if self.https else ''}{f'[{self.host}]' if v6 else self.host}:{self.port}"
        if self.https:
            self.server.socket = self.https.wrap_socket(self.server.socket, server_side=True,
                                                        do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self):
        """stop closes the port and every connection, as a killed agent would. The state stays."""
        if self.server is None:
            return
        self.stopping = True
        self.server.shutdown()
        self.server.server_close()
        self.server = None
        for fault in self.faults:
            fault.lifted.set()
        with self.changed:
            self.changed.notify_all()
        self.hang_up()

    def hang_up(self):
        """hang_up ends every connection; the port stays open."""
        for connection in list(self.open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    # State, changed by tests. Each change wakes the queries that block on it.

    def touch(self, *keys):
        with self.changed:
            self.index += 1
            for key in keys:
                self.indexes[key] = self.index
            self.changed.notify_all()

    def set_leaf(self, service, identity):
        self.leaves[service] = identity
        self.touch(f"leaf/{service}")

    def rotate_leaf(self, service, **options):
        self.set_leaf(service, self.authority.leaf(service, **options))

    def set_roots(self, *authorities):
        """set_roots lists these, the first one active."""
        self.roots = list(authorities)
        self.touch("roots")

    def set_intentions(self, *documents):
        self.intentions = sorted(documents, key=lambda d: -d.get("Precedence", 0))
        self.touch("intentions")

    def set_entry(self, kind, name, **fields):
        """set_entry writes a config entry; without fields it is deleted."""
        self.entries.pop((kind, name), None)
        if fields:
            self.entries[kind, name] = {"Kind": kind, "Name": name, **fields, "CreateIndex": 31, "ModifyIndex": 31}
        self.touch(f"config/{kind}/{name}")

    def set_instances(self, service, *addresses, **fields):
        """set_instances lists healthy sidecars of a service by (host, port); fields go into Service."""
        self.instances[service] = [{
            "Node": {"ID": "n", "Node": "n1", "Address": "127.0.0.1", "Datacenter": "dc1",
                     "TaggedAddresses": None, "Meta": None},
            "Service": {"Kind": "connect-proxy", "ID": f"{service}-{port}",
                        "Service": f"{service}-sidecar-proxy", "Tags": None, "Address": host, "Port": port,
                        "Weights": {"Passing": 1, "Warning": 1},
                        "Proxy": {"DestinationServiceName": service, "MeshGateway": {}, "Expose": {}},
                        "Connect": {}, **fields},
            "Checks": [{"CheckID": "serfHealth", "Status": "passing"}]} for host, port in addresses]
        self.touch(f"health/{service}")

    def set_chain(self, service, *targets, timeout="5s"):
        """set_chain makes these the targets of a service's discovery chain, as a service-resolver with a redirect,
        a default subset or failover does: the first is where connections go, the others stand in for it. Each is a
        service's name, or a dict of what its target has beyond the usual: Service, ServiceSubset, Subset,
        Datacenter, Peer, ... Without any it is the default chain again."""
        self.chains.pop(service, None)
        if targets:
            self.chains[service] = ([{"Service": one} if isinstance(one, str) else one for one in targets], timeout)
        self.touch(f"chain/{service}")

    def set_checks(self, service, *checks):
        """set_checks gives every instance of a service these checks beside its node's: dicts with Status, Output, Type, ..."""
        for entry in self.instances[service]:
            name = f"service:{entry['Service']['ID']}"
            entry["Checks"] = entry["Checks"][:1] + [
                {"CheckID": f"{name}:{n}", "ServiceID": entry["Service"]["ID"], **one} for n, one in enumerate(checks, 1)]
        self.touch(f"health/{service}")

    def set_proxy(self, identifier, service, port=0, upstreams=(), config=None, address="127.0.0.1",
                  local_port=0, **fields):
        """set_proxy registers a sidecar as an operator's `services register` would."""
        self.services[identifier] = {
            "Kind": "connect-proxy", "ID": identifier, "Service": f"{service}-sidecar-proxy", "Tags": [],
            "Meta": {}, "Port": port, "Address": address, "Weights": {"Passing": 1, "Warning": 1},
            "EnableTagOverride": False,
            "Proxy": {"DestinationServiceName": service, "DestinationServiceID": f"{service}-1",
                      "LocalServiceAddress": "127.0.0.1", "LocalServicePort": local_port,
                      "Config": config, "Upstreams": list(upstreams), "MeshGateway": {}, "Expose": {}},
            **fields}
        self.touch("services")

    def remove_service(self, identifier):
        self.services.pop(identifier, None)
        self.touch("services")

    def fault(self, pattern, **options):
        """fault makes requests to paths like the pattern (fnmatch) fail; lift() ends it."""
        made = Fault(pattern, **options)
        with self.changed:
            self.faults.insert(0, made)
            self.changed.notify_all()
        return made

    def rewind(self, index=2):
        """rewind makes the agent's indexes start again, as those of a cluster that lost its state do."""
        with self.changed:
            self.index = index
            self.indexes = {key: index for key in self.indexes}
            self.first_index = index
            self.changed.notify_all()

    def lift(self, fault=None):
        for one in list(self.faults):
            if fault in (None, one):
                self.faults.remove(one)
                one.lifted.set()

    # What it was asked.

    def asked(self, pattern, method="*"):
        return [r for r in list(self.requests)
                if fnmatch.fnmatch(r.path, pattern) and fnmatch.fnmatch(r.method, method)]

    def wait_asked(self, pattern, count=1, method="*", seconds=10.0):
        """wait_asked returns the count-th request of that kind."""
        return check.within(lambda: (self.asked(pattern, method)[count - 1:] or [None])[0],
                            f"request {count} of {method} {pattern}", seconds * slowness())

    # Answers: (document, key to block on or None).

    def answer(self, request):
        path, query = request.path, request.query
        if self.token and request.token != self.token and not path.endswith("/ca/roots"):
            raise Problem(403, "ACL not found" if request.token else "Permission denied")
        parts = path.removeprefix("/v1/").split("/")
        if request.method == "GET":
            if path == "/v1/status/leader":
                return self.leader, None
            if path == "/v1/agent/connect/ca/roots":
                return self._roots(), "roots"
            if path.startswith("/v1/agent/connect/ca/leaf/"):
                return self._leaf(parts[-1]), f"leaf/{parts[-1]}"
            if path == "/v1/connect/intentions/match":
                name = query["name"]
                found = [d for d in self.intentions if d["DestinationName"] in ("*", name)]
                return {name: found or None}, "intentions"
            if path == "/v1/connect/intentions":
                return self.intentions, "intentions"
            if path.startswith("/v1/health/connect/"):
                return self.instances.get(parts[-1], []), f"health/{parts[-1]}"
            if path.startswith("/v1/discovery-chain/"):
                name = urllib.parse.unquote(parts[-1])
                return {"Chain": self._chain(name)}, f"chain/{name}"
            if path.startswith("/v1/catalog/service/"):
                return [{"ServiceID": s["ID"], "ServiceName": s["Service"], "ServiceAddress": s["Address"],
                         "ServicePort": s["Port"]} for s in self.services.values()
                        if s["Service"] == parts[-1]], "services"
            if path.startswith("/v1/query/") and parts[-1] == "execute":
                if parts[1] not in self.queries:
                    raise Problem(404, "Query not found")
                service = self.queries[parts[1]]
                return {"Service": service, "Nodes": self.instances.get(service, []), "DNS": {"TTL": ""},
                        "Datacenter": "dc1", "Failovers": 0}, None
            if path == "/v1/agent/services":
                return self.services, None
            if path.startswith("/v1/agent/service/"):
                if parts[-1] not in self.services:
                    raise Problem(404, f"unknown service ID: {parts[-1]}")
                return dict(self.services[parts[-1]]), "services"
            if path.startswith("/v1/config/") and len(parts) == 3:
                if (parts[1], parts[2]) not in self.entries:
                    raise Problem(404, f'Config entry not found for "{parts[1]}" / "{parts[2]}"')
                return self.entries[parts[1], parts[2]], f"config/{parts[1]}/{parts[2]}"
            if path == "/v1/agent/self":
                raise Problem(403, "Permission denied")
        if request.method == "POST" and path == "/v1/agent/connect/authorize":
            return self._authorize(request.body), None
        if request.method == "PUT":
            if path == "/v1/agent/service/register":
                return self._register(request.body), None
            if path.startswith("/v1/agent/service/deregister/"):
                self.remove_service(parts[-1])
                return None, None
            if path.startswith("/v1/agent/service/maintenance/"):
                self.maintenance[parts[-1]] = query.get("enable") == "true"
                return None, None
            if path.startswith("/v1/agent/check/"):
                verb, name = parts[2], urllib.parse.unquote(parts[3])
                if name not in self.checks:
                    raise Problem(404, f'Unknown check "{name}"')
                self.checks[name] = {"pass": "passing", "warn": "warning", "fail": "critical"}.get(
                    verb) or request.body["Status"]
                return None, None
        raise Problem(404, f"scripted agent: no {request.method} {path}")

    def _roots(self):
        return {"ActiveRootID": "root-0", "TrustDomain": self.trust_domain, "Roots": [
            {"ID": f"root-{n}", "Name": "Consul CA Root Cert", "SerialNumber": 7,
             "ExternalTrustDomain": self.trust_domain.removesuffix(".consul"), "RootCert": root.pem,
             "IntermediateCerts": None, "Active": n == 0} for n, root in enumerate(self.roots)]}

    def _leaf(self, service):
        if service not in self.leaves:
            self.leaves[service] = self.authority.leaf(service)
        identity = self.leaves[service]
        return {"SerialNumber": "08", "CertPEM": identity.chain_pem, "PrivateKeyPEM": identity.key_pem,
                "Service": service, "ServiceURI": identity.uri}

    def _chain(self, service):
        targets, timeout = self.chains.get(service, ([{"Service": service}], "5s"))
        compiled = [self._chain_target(one, timeout) for one in targets]
        first, others = compiled[0]["ID"], [target["ID"] for target in compiled[1:]]
        resolver = {"ConnectTimeout": timeout, "Target": first}
        if service not in self.chains:
            resolver["Default"] = True
        if others:
            resolver["Failover"] = {"Targets": others}
        return {"ServiceName": service, "Namespace": "default", **self._partition(), "Datacenter": "dc1",
                **({} if service in self.chains else {"Default": True}), "Protocol": "tcp",
                "StartNode": f"resolver:{first}",
                "Nodes": {f"resolver:{first}": {"Type": "resolver", "Name": first, "Resolver": resolver}},
                "Targets": {target["ID"]: target for target in compiled}}

    def _chain_target(self, fields, timeout):
        service, datacenter = fields["Service"], fields.get("Datacenter", "dc1")
        subset = fields.get("ServiceSubset", "")
        scope = "default.default" if self.modern else "default"
        prefix = f"{subset}." if subset else ""
        place = f"external.{fields['Peer']}" if fields.get("Peer") else datacenter
        sni = f"{prefix}{service}.default.{datacenter}.internal.{self.trust_domain}"
        return {"ConnectTimeout": timeout, "ID": f"{prefix}{service}.{scope}.{place}", "Namespace": "default",
                **self._partition(), "Datacenter": datacenter, "MeshGateway": {}, "Subset": {}, "SNI": sni,
                "Name": sni, **fields}

    def _partition(self):
        return {"Partition": "default"} if self.modern else {}

    def _authorize(self, body):
        source = body["ClientCertURI"].rsplit("/", 1)[-1]
        for entry in self.intentions:
            if entry["DestinationName"] in ("*", body["Target"]) and entry["SourceName"] in ("*", source):
                allowed = entry.get("Action") == "allow" and not entry.get("Permissions")
                return {"Authorized": allowed, "Reason": f"Matched intention: {entry.get('Action')}"}
        if self.intention_policy:
            return {"Authorized": self.intention_policy == "allow", "Reason": "Default intention policy"}
        return {"Authorized": self.default == "allow", "Reason": "Default behavior configured by ACLs"}

    def _register(self, body):
        identifier = body.get("ID") or body["Name"]
        document = {**body, "ID": identifier, "Service": body["Name"]}
        self.services[identifier] = document
        for one in [body.get("Check")] + (body.get("Checks") or []):
            if one:
                name = one.get("CheckID") or f"service:{identifier}"
                self.checks[name] = one.get("Status", "critical")
        self.touch("services")


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 256

    def handle_error(self, request, client_address):
        """A client that went away is no event; what the agent did not understand is one."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            self.RequestHandlerClass.owner.problems.append(f"{type(error).__name__}: {error}")


class _Server6(_Server):
    address_family = socket.AF_INET6


class _UnixServer(_Server):
    address_family = socket.AF_UNIX

    def server_bind(self):
        self.socket.bind(self.server_address)

    def get_request(self):
        connection, _ = self.socket.accept()
        return connection, ("unix", 0)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner = None

    def log_message(self, *_):
        pass

    def send_error(self, code, message=None, explain=None):
        self.owner.problems.append(f"{code} to {self.raw_requestline[:200]!r}")
        super().send_error(code, message, explain)

    def setup(self):
        self.owner.open.add(self.request)
        super().setup()

    def finish(self):
        self.owner.open.discard(self.request)
        super().finish()

    def do_GET(self):
        self._do()

    do_PUT = do_POST = do_DELETE = do_GET

    def _do(self):
        agent = self.owner
        length = int(self.headers.get("Content-Length") or 0)
        text = self.rfile.read(length) if length else b""
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        request = Request(self.command, url.path, query, self.headers.get("X-Consul-Token", ""),
                          json.loads(text) if text else None, time.monotonic(), self.headers.get("User-Agent", ""))
        agent.requests.append(request)
        fault = self._fault(request)
        if fault and self._misbehave(fault):
            return
        status, headers = 200, {}
        if agent.policy_header:
            headers["X-Consul-Default-ACL-Policy"] = agent.policy_header
        try:
            document, key = agent.answer(request)
            if key and request.method == "GET":
                document = self._block(request, key, document, headers)
            body = b"" if document is None else json.dumps(document).encode()
            headers["Content-Type"] = "application/json"
        except Problem as problem:
            status, body = problem.args[0], problem.args[1].encode()
        if agent.stopping:
            self.close_connection = True
            return
        # One that was ordered while the query blocked holds for its answer as well.
        self._send(status, headers, body, fault or self._fault(request))

    def _fault(self, request):
        agent = self.owner
        with agent.changed:
            for fault in agent.faults:
                if fnmatch.fnmatch(request.path, fault.pattern) and fnmatch.fnmatch(request.method,
                                                                                   fault.method):
                    if fault.times is not None and fault.met >= fault.times:
                        continue
                    fault.met += 1
                    return fault
        return None

    def _misbehave(self, fault):
        """Faults before any answer; True if there will be none."""
        if fault.delay:
            fault.lifted.wait(fault.delay)
        if fault.hang:
            fault.lifted.wait()
        if fault.close:
            self.close_connection = True
        return fault.close

    def _block(self, request, key, document, headers):
        agent, query = self.owner, request.query
        seconds = _seconds(query.get("wait", "300s"))
        if key == "services" and request.path.startswith("/v1/agent/service/"):
            marks = lambda d: f"{abs(hash(json.dumps(d, sort_keys=True))):x}"
            sent = query.get("hash")
            changed = lambda: sent is None or marks(agent.answer(request)[0]) != sent
        else:
            sent = int(query.get("index") or 0)
            changed = lambda: sent == 0 or agent.indexes.get(key, agent.first_index) > sent
        deadline = time.monotonic() + seconds
        with agent.changed:
            while not changed() and not agent.stopping and not self._gone():
                left = deadline - time.monotonic()
                if left <= 0 or any(fnmatch.fnmatch(request.path, f.pattern) and not f.times
                                    for f in agent.faults):
                    break
                agent.changed.wait(min(left, 0.25))
            document = agent.answer(request)[0]
            if key == "services":
                if request.path.startswith("/v1/agent/service/"):
                    headers["X-Consul-ContentHash"] = marks(document)
                    document["ContentHash"] = headers["X-Consul-ContentHash"]
            elif agent.modern or not request.path.endswith("/intentions/match"):
                headers["X-Consul-Index"] = str(agent.indexes.get(key, agent.first_index))
        return document

    def _gone(self):
        """_gone tells whether the client hung up while its query blocked."""
        if isinstance(self.request, ssl.SSLSocket):
            return False
        try:
            return self.request.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except OSError:
            return False

    def _send(self, status, headers, body, fault):
        if fault:
            status = fault.status or status
            body = body if fault.body is None else fault.body
            headers.update(fault.headers)
        if fault and fault.raw:
            headers = {name: value for name, value in headers.items() if value is not None}
            try:
                answer = fault.raw(status, headers, body)
                for part in [answer] if isinstance(answer, bytes) else answer:
                    self.wfile.write(part)
            except OSError:
                self.close_connection = True
            self.close_connection = self.close_connection or not fault.keep_open
            return
        self.send_response_only(status)
        headers.setdefault("Date", self.date_time_string())
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        if fault and fault.endless:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            while not fault.lifted.is_set():
                self.wfile.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
            self.close_connection = True
            return
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault and fault.truncate:
            self.wfile.write(body[:len(body) // 2])
            self.close_connection = True
            return
        self.wfile.write(body)


def _seconds(text):
    for unit, factor in (("ms", 0.001), ("s", 1), ("m", 60)):
        if text.endswith(unit):
            return float(text[:-len(unit)]) * factor
    return float(text)
