"""`mooring dev` against what an agent of Consul 1.21 answered, field by field (tests/data/consul-1.21)."""

import json
import socket
from pathlib import Path

from lib import check
from lib.case import slowness
from lib.dev import Dev

EXPECTED_SECONDS = 5
DATA = Path(__file__).resolve().parent.parent / "data" / "consul-1.21"

# What is another one in every cluster: there, and of the same type, is enough. Node names, ports and addresses of
# the machine are among them, and what a client reads as an opaque text.
OWN = {"ID", "id", "NodeID", "CreatedAt", "UpdatedAt", "Hash", "CreateIndex", "ModifyIndex", "Node", "NodeName",
       "ContentHash", "SNI", "port", "wan_join_port", "SerialNumber", "CertPEM", "PrivateKeyPEM", "ServiceURI", "ValidAfter",
       "ValidBefore", "ActiveRootID", "TrustDomain", "SigningKeyID", "ExternalTrustDomain", "NotBefore", "NotAfter",
       "RootCert", "IntermediateCerts"}
# One connection a request: what it says of connections and of the body's length is not the agent's.
OF_THE_CONNECTION = {"date", "content-length", "connection", "transfer-encoding", "age"}
VALUE_DIFFERS = {"x-consul-index", "x-consul-contenthash", "x-cache"}


def differences(recorded, answered, path="", own=OWN, cut=False):
    """differences names the places where the answer is not the recorded one. cut: more may be answered."""
    key = path.rsplit(".", 1)[-1].split("[")[0]
    if type(recorded) is not type(answered):
        return [f"{path}: {answered!r} instead of {recorded!r}"]
    if isinstance(recorded, dict):
        found = [f"{path}.{name}: missing" for name in recorded.keys() - answered.keys()]
        if not cut:
            found += [f"{path}.{name}: too much, {answered[name]!r}" for name in answered.keys() - recorded.keys()]
        for name in recorded.keys() & answered.keys():
            found += differences(recorded[name], answered[name], f"{path}.{name}", own, cut)
        return found
    if isinstance(recorded, list):
        if len(recorded) != len(answered):
            return [f"{path}: {len(answered)} elements instead of {len(recorded)}"]
        return [line for i, (ours, theirs) in enumerate(zip(recorded, answered))
                for line in differences(ours, theirs, f"{path}[{i}]", own, cut)]
    return [] if key in own or recorded == answered else [f"{path}: {answered!r} instead of {recorded!r}"]


def value(text):
    try:
        return json.loads(text)
    except ValueError:
        return text


def recorded(name):
    """recorded is status, headers and body of a file."""
    head, body = (DATA / name).read_bytes().split(b"\r\n\r\n" if b"\r\n\r\n" in (DATA / name).read_bytes() else b"\n\n", 1)
    status, *lines = head.decode().splitlines()
    headers = {line.split(":", 1)[0].lower(): line.split(":", 1)[1].strip() for line in lines}
    if headers.get("transfer-encoding") == "chunked":
        size, rest = body.split(b"\n", 1)
        body = rest[:int(size, 16)]
    return int(status.split()[1]), headers, body.decode()


def compare(name, answer, own=OWN):
    """compare is the list of differences between a recorded answer and the one given, headers included."""
    status, headers, body = recorded(name)
    answered_status, answered_headers, answered_body = answer
    found = [] if status == answered_status else [f"status {answered_status} instead of {status}: {answered_body}"]
    theirs = {k: v for k, v in headers.items() if k not in OF_THE_CONNECTION}
    ours = {k: v for k, v in answered_headers.items() if k not in OF_THE_CONNECTION}
    for header in theirs.keys() | ours.keys():
        if header not in ours or header not in theirs:
            found.append(f"header {header}: {ours.get(header)!r} instead of {theirs.get(header)!r}")
        elif header not in VALUE_DIFFERS and ours[header] != theirs[header]:
            found.append(f"header {header}: {ours[header]!r} instead of {theirs[header]!r}")
    found += differences(value(body.strip()), value(answered_body.strip()), "body", own)
    return [f"{name}: {line}" for line in found]


def test_what_the_command_of_1_21_sends_gets_what_it_got(case):
    dev = Dev(case)
    names = {}  # IDs as recorded, and those of the same things here
    found = []
    for line in (DATA / "cli.jsonl").read_text().splitlines():
        step = json.loads(line)
        sent = json.dumps(step.get("body"))
        method, path = step["request"].split()
        for theirs, ours in names.items():
            path, sent = path.replace(theirs, ours), sent.replace(theirs, ours)
        status, headers, text = dev.ask(method, path, json.loads(sent))
        answer = value(text.strip()) if text.strip() else None
        place = f"{step['command'] or 'by hand'}: {step['request']}"
        said = differences(step.get("answer"), answer, "body", OWN | {"Name", "Port"} if "members" in path else OWN,
                           step.get("cut", False)) if "discovery-chain" not in path else chain(step["answer"], answer)
        if status != step["status"]:
            said.append(f"status {status} instead of {step['status']}")
        # A chain by hand was noted without its headers.
        if step["command"] and ("x-consul-index" in headers) != step.get("index", False):
            said.append(f"index {headers.get('x-consul-index')}")
        found += [f"{place}: {line}" for line in said]
        if method == "POST" and status == 200:
            names[step["answer"]["ID"]] = answer["ID"]
    check.true(not found, "\n".join(found))


def chain(theirs, ours):
    """chain compares but for the trust domain, which is a part of names."""
    if not isinstance(ours, dict):
        return [f"{ours}"]
    for document in (theirs, ours):
        for target in document["Chain"]["Targets"].values():
            check.equal(target["SNI"], target["Name"], "both names")
            target["SNI"] = target["Name"] = target["SNI"].split(".internal.")[0]
    return differences(theirs, ours, "body", set())


WEB = {"ID": "web-1", "Name": "web", "Port": 18080, "Connect": {"SidecarService": {"Port": 31801, "Proxy": {"Upstreams": [
    {"DestinationName": "db", "LocalBindPort": 29191, "Config": {"connect_timeout_ms": 3000}},
    {"DestinationType": "prepared_query", "DestinationName": "dbq", "LocalBindPort": 29192},
    {"DestinationName": "far", "Datacenter": "dc2", "LocalBindPort": 29193, "MeshGateway": {"Mode": "remote"}},
    {"DestinationName": "sock", "LocalBindSocketPath": "/run/up.sock", "LocalBindSocketMode": "0660"},
    {"DestinationName": "pdb", "DestinationPeer": "beta", "LocalBindPort": 29194}]}}}}
DB = {"ID": "db-1", "Name": "db", "Port": 19090, "Locality": {"Region": "eu", "Zone": "z1"}, "Connect": {"SidecarService": {
    "Port": 31800, "Check": {"TTL": "1h", "Status": "passing"}}}}
ENTRIES = [
    {"Kind": "proxy-defaults", "Name": "global", "Config": {"protocol": "http", "local_connect_timeout_ms": 900},
     "MeshGateway": {"Mode": "local"}, "AccessLogs": {"Enabled": True}},
    {"Kind": "service-defaults", "Name": "web", "MaxInboundConnections": 7, "UpstreamConfig": {"Defaults": {
        "ConnectTimeoutMs": 2500, "Limits": {"MaxConnections": 3},
        "PassiveHealthCheck": {"Interval": "5s", "MaxFailures": 2}}}},
]
INTENTIONS = [
    {"Kind": "service-intentions", "Name": "db", "Sources": [
        {"Name": "l7", "Permissions": [{"Action": "allow", "HTTP": {
            "PathPrefix": "/", "Header": [{"Name": "x", "Present": True}], "Methods": ["GET"]},
            "JWT": {"Providers": [{"Name": "okta"}]}}]},
        {"Name": "web", "Action": "allow"}, {"Name": "web", "Peer": "beta", "Action": "deny"},
        {"Name": "*", "Action": "deny"}]},
    {"Kind": "service-intentions", "Name": "*", "Sources": [{"Name": "*", "Action": "deny"}]},
    {"Kind": "service-intentions", "Name": "jw", "JWT": {"Providers": [{"Name": "okta"}]},
     "Sources": [{"Name": "web", "Action": "allow"}]},
]
CLI = {"SourceName": "cli", "DestinationName": "web", "SourceType": "consul", "Action": "deny"}


def test_the_recorded_answers_are_given_in_the_same_cluster(case):
    dev = Dev(case, "-default-policy", "deny")
    match = "/v1/connect/intentions/match?by=destination&name="
    domain = dev.get("/v1/agent/connect/ca/roots")["TrustDomain"]

    def authorize(source, target="db"):
        uri = f"spiffe://{domain}" + (f"/ns/default/dc/dc1/svc/{source}" if source else "")
        return dev.ask("POST", "/v1/agent/connect/authorize", {"Target": target, "ClientCertURI": uri})

    found = compare("match_null.http", dev.ask("GET", match + "db"))
    found += compare("authorize_default_deny.http", authorize("web"))
    found += compare("register_200.http", dev.ask("PUT", "/v1/agent/service/register", WEB))
    dev.put("/v1/agent/service/register", DB)
    for entry in ENTRIES + INTENTIONS:
        dev.put("/v1/config", entry)
    dev.put("/v1/connect/intentions", CLI, method="POST")
    dev.put("/v1/query", {"Name": "dbq", "Service": {"Service": "db"}}, method="POST")
    for name, path in {
            "agent_service_merged.http": "/v1/agent/service/web-1-sidecar-proxy",
            "agent_service_404.http": "/v1/agent/service/nope",
            "agent_service_not_a_proxy.http": "/v1/agent/service/db-1",
            "agent_services.http": "/v1/agent/services",
            "match_mixed.http": match + "db",
            "match_jwt.http": match + "jw",
            "match_by_cli.http": match + "web",
            "health_connect.http": "/v1/health/connect/db?passing=true",
            "health_connect_none.http": "/v1/health/connect/ghost?passing=true",
            "health_connect_bad_dc.http": "/v1/health/connect/db?passing=true&dc=nope",
            "query_execute.http": "/v1/query/dbq/execute?connect=true",
            "query_execute_404.http": "/v1/query/nope/execute?connect=true",
            "namespace_400.http": "/v1/agent/connect/ca/leaf/web?ns=default",
            "partition_400.http": "/v1/agent/connect/ca/leaf/web?partition=default",
            "leaf.http": "/v1/agent/connect/ca/leaf/web",
    }.items():
        found += compare(name, dev.ask("GET", path))
    # The name of a root is the CA's own, and its number so short that it is one only by chance.
    found += compare("roots.http", dev.ask("GET", "/v1/agent/connect/ca/roots"), OWN | {"Name"})
    theirs, ours = value(recorded("discovery_chain.http")[2]), dev.get("/v1/discovery-chain/db")
    found += chain(theirs, ours)
    # The recorded list was filtered by ACLs, of which this agent has none.
    listed = compare("intentions_list.http", dev.ask("GET", "/v1/connect/intentions"))
    found += [line for line in listed if "filtered-by-acls" not in line]
    for name, source in (("authorize_l4_allow.http", "web"), ("authorize_l7.http", "l7"),
                         ("authorize_wildcard_deny.http", "other"), ("authorize_400.http", "")):
        found += compare(name, authorize(source))
    twice = {"Name": "web2", "Connect": {"SidecarService": {"Proxy": {"Upstreams": [
        {"DestinationName": "db", "LocalBindPort": 1}, {"DestinationName": "db", "LocalBindPort": 2}]}}}}
    found += compare("register_400_duplicate_upstream.http", dev.ask("PUT", "/v1/agent/service/register", twice))
    found += compare("check_pass_404.http", dev.ask("PUT", "/v1/agent/check/pass/nope"))
    found += compare("deregister_404.http", dev.ask("PUT", "/v1/agent/service/deregister/nope"))
    dev.put("/v1/agent/service/maintenance/web-1-sidecar-proxy?enable=true&reason=mooring:%20draining%20before%20its%20end")
    listening = "service:web-1-sidecar-proxy:1"
    check.within(lambda: dev.get("/v1/agent/checks")[listening]["Output"], "the port was dialled", 10 * slowness())
    found += compare("agent_checks_maintenance.http", dev.ask("GET", "/v1/agent/checks"))
    found += compare("deregister_200.http", dev.ask("PUT", "/v1/agent/service/deregister/web-1"))
    check.true(not found, "\n".join(found))


def test_authorize_says_what_it_said_to_the_recorded_questions(case):
    agents = {policy: Dev(case, "-default-policy", policy) for policy in ("allow", "deny")}
    questions = [json.loads(line) for line in (DATA / "decisions.jsonl").read_text().splitlines()]
    found, sets = [], {}
    for question in questions:
        sets.setdefault((question["default"], question["destination"], json.dumps(question["match"])), []).append(question)
    for (policy, destination, _), asked in sets.items():
        dev, match = agents[policy], asked[0]["match"] or []
        for name in {destination, "*"}:
            sources = [source_of(entry) for entry in match if entry["DestinationName"] == name]
            if sources:
                jwt = {"JWT": entry["JWT"] for entry in match if entry["DestinationName"] == name and "JWT" in entry}
                dev.put("/v1/config", {"Kind": "service-intentions", "Name": name, "Sources": sources, **jwt})
            else:
                dev.ask("DELETE", f"/v1/config/service-intentions/{name}")
        said = dev.get(f"/v1/connect/intentions/match?by=destination&name={destination}")[destination] or []
        for entry in said:
            del entry["CreateIndex"], entry["ModifyIndex"]
        found += [f"match of {destination}: {line}" for line in differences(match, said, own=set())]
        for question in asked:
            _, _, text = dev.ask("POST", "/v1/agent/connect/authorize", {
                "Target": destination, "ClientCertURI": question["source_uri"]})
            answer = json.loads(text)
            if (answer["Authorized"], answer["Reason"]) != (question["authorized"], question["reason"]):
                found.append(f"{question['source_uri']} to {destination}: {answer}, not {question['reason']}")
    check.true(not found, f"{len(found)} of {len(questions)}:\n" + "\n".join(found[:10]))


def source_of(entry):
    source = {"Name": entry["SourceName"], "Peer": entry.get("SourcePeer", "")}
    return source | {key: entry[key] for key in ("Action", "Permissions") if key in entry}


def test_the_default_for_intentions_decides_though_acls_deny(case):
    dev = Dev(case, "-default-policy", "deny", "-default-intention-policy", "allow")
    domain = dev.get("/v1/agent/connect/ca/roots")["TrustDomain"]
    answer = dev.ask("POST", "/v1/agent/connect/authorize",
                     {"Target": "db", "ClientCertURI": f"spiffe://{domain}/ns/default/dc/dc1/svc/web"})
    found = compare("authorize_default_intention_policy.http", answer)
    check.true(not found, "\n".join(found))


def test_a_connection_too_many_gets_the_recorded_answer_before_it_asks(case):
    dev = Dev(case, "-http-max-conns-per-client", "2")
    host, port = dev.address.rsplit(":", 1)
    held = [socket.create_connection((host, int(port))) for _ in range(2)]
    try:
        for connection in held:  # both have been taken
            connection.sendall(b"GET /v1/status/leader HTTP/1.1\r\nHost: localhost\r\n\r\n")
            check.true(connection.recv(4096).startswith(b"HTTP/1.1 200 "), "answered")
        with socket.create_connection((host, int(port))) as third:
            third.settimeout(10 * slowness())
            said = b""
            while part := third.recv(4096):
                said += part
        expected = (DATA / "too_many_connections_429.http").read_bytes().replace(b"\r\n", b"\n").strip()
        check.equal(said.replace(b"\r\n", b"\n").strip(), expected, "the answer")
    finally:
        for connection in held:
            connection.close()
