"""Who may call whom, decided by a real agent's intentions (I12, I13)."""

from lib import agent as scripted
from lib import apps, certs, check, tlspeer
from lib.mesh import Mesh
from lib.mooring import Mooring

EXPECTED_SECONDS = 20


def setup_module(case):
    global mesh, closed
    mesh = Mesh(case)
    closed = Mesh(case, acl="deny")


def peer(case, consul, service, address, tls="1.3"):
    return tlspeer.connect(case, address, certs.from_agent(consul.leaf(service)), consul.roots_pem(), tls)


def refused(case, consul, service, address, tls="1.3"):
    """refused asserts that the service's connection ends without a byte from the application."""
    one = peer(case, consul, service, address, tls)
    try:
        one.handshake()
        one.send(b"ping")
        data, how = one.drain()
        check.equal(data, b"", "bytes that a denied client gets")
        check.true(how != "timeout", "the denied connection ends")
    except tlspeer.Refused:
        pass
    one.close()


def served(case, consul, service, address, tls="1.3"):
    one = peer(case, consul, service, address, tls)
    one.handshake()
    check.equal(one.send(b"ping").receive(4), b"ping", f"echo for {service}")
    one.close()


def test_I12_a_denied_peer_gets_no_byte_and_costs_no_dial(case):
    db, evil = mesh.name("db"), mesh.name("evil")
    app = apps.App(case, apps.greet)
    identifier = mesh.consul.intention(evil, db, "deny")
    inbound = mesh.inbound(case, "mooring", db, app.address)
    for tls in ("1.2", "1.3"):
        refused(case, mesh.consul, evil, inbound.address, tls)
    inbound.program.wait_closed("inbound", "denied", 2)
    check.equal(app.count(), 0, "connections at the application")
    line = inbound.program.wait_log(rf"inbound refused: reason=denied .*{identifier}").group(0)
    check.true(f"/svc/{evil}" in line, f"the log line names the source: {line}")


def test_I12_a_silent_denied_peer_is_cut_at_once(case):
    db, evil = mesh.name("db"), mesh.name("evil")
    app = apps.App(case, apps.greet)
    mesh.consul.intention(evil, db, "deny")
    inbound = mesh.inbound(case, "mooring", db, app.address)
    one = peer(case, mesh.consul, evil, inbound.address)
    try:
        one.handshake()
        check.equal(one.drain()[0], b"", "bytes that a denied client gets")
    except tlspeer.Refused:
        pass
    check.true(one.ended_within(1), "the connection ends although the client sends nothing")
    check.equal(app.count(), 0, "connections at the application")


def denied_through(case, kind):
    db, evil = mesh.name("db"), mesh.name("evil")
    app = apps.App(case, apps.greet)
    mesh.consul.intention(evil, db, "deny")
    inbound = mesh.inbound(case, "mooring", db, app.address)
    outbound = mesh.outbound(case, kind, evil, db)
    client = apps.Client(case, outbound.address)
    data, end = client.drain()
    check.equal(data, b"", "bytes that the denied application gets")
    check.one_of(end, ("eof", "reset"), "end at the denied application")
    inbound.program.wait_closed("inbound", "denied")
    check.equal(app.count(), 0, "connections at the application")
    mesh.consul.delete_intention(evil, db)

    def greeted():
        again = apps.Client(None, outbound.address)
        try:
            return again.receive(6) == b"hello\n"
        finally:
            again.close()

    check.within(greeted, "the call goes through once the intention is deleted")


def test_I12_envoy_denied_by_mooring_gets_nothing_of_a_greeting(case):
    denied_through(case, "envoy")


def test_I12_go_denied_by_mooring_gets_nothing_of_a_greeting(case):
    denied_through(case, "go")


def test_I12_mooring_denied_by_mooring_gets_nothing_of_a_greeting(case):
    denied_through(case, "mooring")


def test_I12_mooring_denied_by_go_and_by_envoy_ends_the_application(case):
    for kind in ("go", "envoy"):
        db, evil = mesh.name("db"), mesh.name("evil")
        app = apps.App(case, apps.echo)
        mesh.consul.intention(evil, db, "deny")
        mesh.inbound(case, kind, db, app.address)
        outbound = mesh.outbound(case, "mooring", evil, db)
        client = apps.Client(case, outbound.address).send(b"ping")
        data, end = client.drain()
        check.equal(data, b"", f"bytes past {kind}'s deny")
        check.one_of(end, ("eof", "reset"), f"end at an application that {kind} denies")
        client.close()
        outbound.program.wait_idle()


def test_I13_default_deny_lets_in_only_who_is_allowed(case):
    db, web, other = closed.name("db"), closed.name("web"), closed.name("other")
    app = apps.App(case, apps.echo)
    inbound = closed.inbound(case, "mooring", db, app.address)
    refused(case, closed.consul, web, inbound.address)
    check.equal(app.count(), 0, "connections at the application before any intention")
    closed.consul.intention(web, db, "allow")
    check.within(lambda: served(case, closed.consul, web, inbound.address) is None, "web is let in")
    count = app.count()
    refused(case, closed.consul, other, inbound.address)
    check.equal(app.count(), count, "connections at the application after other's call")


def test_I13_wildcard_allow_with_a_narrow_deny(case):
    db, web, evil = closed.name("db"), closed.name("web"), closed.name("evil")
    app = apps.App(case, apps.echo)
    closed.consul.intention("*", db, "allow")
    closed.consul.intention(evil, db, "deny")
    inbound = closed.inbound(case, "mooring", db, app.address)
    served(case, closed.consul, web, inbound.address)
    refused(case, closed.consul, evil, inbound.address)
    check.equal(app.count(), 1, "connections at the application")


def test_I13_wildcard_deny_with_a_narrow_allow_under_default_allow(case):
    db, web, evil = mesh.name("db"), mesh.name("web"), mesh.name("evil")
    app = apps.App(case, apps.echo)
    mesh.consul.intention("*", db, "deny")
    mesh.consul.intention(web, db, "allow")
    inbound = mesh.inbound(case, "mooring", db, app.address)
    served(case, mesh.consul, web, inbound.address)
    refused(case, mesh.consul, evil, inbound.address)
    check.equal(app.count(), 1, "connections at the application")


def test_I13_an_intention_that_an_l4_proxy_cannot_judge_denies(case):
    permissions = [{"Action": "allow", "HTTP": {"PathPrefix": "/"}}]
    for title, fields in (("L7 permissions", {"Action": None, "Permissions": permissions}),
                          ("L7 permissions beside an action", {"Permissions": permissions}),
                          ("JWT", {"JWT": {"Providers": [{"Name": "okta"}]}}),
                          ("a sameness group", {"SourceSamenessGroup": "group-02"})):
        api = scripted.Agent(case, default="allow")
        api.set_intentions(scripted.intention("web", "db", **fields))
        app = apps.App(case, apps.echo)
        program = Mooring.connect_proxy(case, "-http-addr", api.address, "-service", "db", "-service-addr",
                                        f"127.0.0.1:{app.port}", "-listen", "127.0.0.1:0")
        one = tlspeer.connect(case, program.public, api.authority.leaf("web"), api.authority.pem)
        try:
            one.handshake()
            one.send(b"ping")
            check.equal(one.drain()[0], b"", f"bytes past an intention with {title}")
        except tlspeer.Refused:
            pass
        program.wait_closed("inbound", "denied")
        check.equal(app.count(), 0, f"connections at the application past an intention with {title}")


def test_I13_an_intention_for_a_peers_service_is_no_matter_of_a_local_caller(case):
    for default, passes in (("allow", True), ("deny", False)):
        api = scripted.Agent(case, default=default)
        api.set_intentions(scripted.intention("web", "db", "deny" if passes else "allow", SourcePeer="cluster-02"))
        app = apps.App(case, apps.echo)
        program = Mooring.connect_proxy(case, "-http-addr", api.address, "-service", "db", "-service-addr",
                                        f"127.0.0.1:{app.port}", "-listen", "127.0.0.1:0")
        one = tlspeer.connect(case, program.public, api.authority.leaf("web"), api.authority.pem)
        if passes:
            one.handshake()
            check.equal(one.send(b"ping").receive(4), b"ping", "echo past a peer's deny")
            continue
        try:
            one.handshake()
            one.send(b"ping")
            check.equal(one.drain()[0], b"", "bytes past a peer's allow")
        except tlspeer.Refused:
            pass
        program.wait_closed("inbound", "denied")
        check.equal(app.count(), 0, "connections at the application past a peer's allow")
