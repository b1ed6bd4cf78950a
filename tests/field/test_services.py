"""Several services in one process: each has its identity, its intentions, its listeners, its state; and what befalls one of them
leaves the others untouched."""

import os
import signal
import socket

from lib import apps, certs, check, tlspeer
from lib.callers import Pool, Session, Stream
from lib.consul import Consul
from lib.envoy import Envoy
from lib.mooring import Mooring, run, yaml_text
from lib.ports import free_port
from lib.static import identity_files

EXPECTED_SECONDS = 25
NAMES = [f"pay{number}" for number in range(5)]
LAST = NAMES[-1]


class House:
    """Five services on one VM, all by one Mooring: each called by `web`, whose sidecar is another Mooring, the first one by an
    Envoy besides; and each calls `bank`, which is behind an Envoy."""

    def __init__(self, case, **options):
        self.case = case
        self.consul = Consul(case)
        self.apps = {name: apps.App(case, apps.echo) for name in NAMES}
        self.bank = Envoy(case, self.consul, "bank", app=apps.App(case, apps.echo).address)
        self.consul.register_proxy("bank", self.bank.port)
        self.ports = {name: free_port() for name in NAMES}
        for name in NAMES:
            self.consul.register_proxy(name, self.ports[name])
        self.mooring = Mooring.from_yaml(case, {
            "agent": {"address": self.consul.address},
            "services": [self.service(name) for name in NAMES]}, **options)
        flags = [word for name in NAMES for word in ("-upstream", f"{name}:127.0.0.1:0")]
        self.web = Mooring.connect_proxy(case, "-http-addr", self.consul.address, "-service", "web", *flags, name="web")

    def service(self, name):
        host, port = self.apps[name].address
        return {"service": name, "public_listener": {"address": f"127.0.0.1:{self.ports[name]}", "local_app": f"{host}:{port}"},
                "upstreams": [{"service": "bank", "listen": "127.0.0.1:0"}]}

    def to(self, name):
        return self.web.upstream(name)

    def out_of(self, name):
        return self.mooring.listener(f"{name}/upstream:bank")

    def ready(self, name):
        return self.mooring.admin(f"/ready?service={name}")[0]


class Watched:
    """Connections of some services that are held, and new ones all the time, in both directions. Nothing of it may fail."""

    def __init__(self, house, names):
        self.names = names
        places = {(name, way): place(name) for name in names for way, place in (("in", house.to), ("out", house.out_of))}
        self.pools = {key: Pool(house.case, place, size=2) for key, place in places.items()}  # somebody looks at them
        self.asked = {key: Session(house.case, place) for key, place in places.items()}
        self.callers = {name: Stream(house.case, house.to(name), pause=0.02) for name in names}

    def untouched(self):
        for (name, way), pool in self.pools.items():
            check.equal(pool.counts(), {"open": 2}, f"held connections of {name}, {way}")
            self.asked[name, way].ask()
        for name, callers in self.callers.items():
            check.equal(callers.failed(0), [], f"calls of {name} that failed")
            check.true(callers.served(0), f"{name} was called all the time")


def closed(mooring, service, reason, direction="inbound"):
    return mooring.status(service)["connections"][direction]["closed"].get(reason, 0)


def test_each_service_proves_its_own_identity_to_real_peers(case):
    house = House(case)
    for name in NAMES:
        # The Mooring beside web takes nobody but `name` for it; bank's Envoy writes down who called.
        apps.echo_works(case, house.to(name))
        apps.echo_works(case, house.out_of(name))
        check.equal(house.mooring.status(name)["leaf"]["spiffe_id"], house.consul.uri(name), "its leaf")
    seen = check.within(lambda: len(house.bank.access_log()) >= len(NAMES) and house.bank.access_log(), "bank's Envoy has logged them", 5)
    check.equal(sorted(entry["peer"] for entry in seen), sorted(house.consul.uri(name) for name in NAMES), "who called bank")
    envoy = Envoy(case, house.consul, "shop", upstream=NAMES[0], endpoints=[("127.0.0.1", house.ports[NAMES[0]])])
    apps.echo_works(case, envoy.address)
    total = {name: house.mooring.status(name)["connections"]["inbound"]["total"] for name in NAMES}
    check.true(total[NAMES[0]] > total[LAST] >= 1, f"each counts its own: {total}")
    code, text, _ = run("status", "-admin-addr", "%s:%s" % house.mooring.listener("admin"))
    check.true(code == 0 and all(name in text for name in NAMES), text)
    code, text, _ = run("status", "-admin-addr", "%s:%s" % house.mooring.listener("admin"), "-service", LAST)
    check.true(code == 0 and LAST in text and NAMES[0] not in text, text)
    code, _, text = run("status", "-admin-addr", "%s:%s" % house.mooring.listener("admin"), "-service", "nobody")
    check.true(code == 1 and all(name in text for name in NAMES), text)
    check.equal(house.mooring.admin("/ready?service=nobody")[0], 404, "/ready of nobody")
    ids = {leaf["spiffe_id"] for leaf in (one["leaf"] for one in house.mooring.status()["services"])}
    check.equal(len(ids), len(NAMES), "identities in /status")


def test_one_is_denied_and_the_others_lose_nothing(case):
    house = House(case)
    others = Watched(house, NAMES[:-1])
    held = Pool(case, house.to(LAST), size=3)
    house.consul.intention("web", LAST, "deny")
    check.within(lambda: "open" not in held.counts(), "the denied one's connections are cut", 2)
    check.true(closed(house.mooring, LAST, "revoked") >= 3, house.mooring.status(LAST)["connections"])
    for name in NAMES[:-1]:
        check.equal(closed(house.mooring, name, "revoked"), 0, f"cut connections of {name}")
    check.equal(house.mooring.admin("/ready")[0], 200, "/ready: a deny is no fault")
    others.untouched()


def test_the_app_of_one_is_killed_and_the_others_lose_nothing(case):
    house = House(case)
    others = Watched(house, NAMES[:-1])
    port = house.apps[LAST].address[1]
    for round_of_the_loop in range(3):  # it crashes, is started again, crashes
        house.apps[LAST].close()
        for _ in range(10):
            apps.Client(case, house.to(LAST)).drain()
        check.within(lambda: closed(house.mooring, LAST, "local_connect_failed") >= 10 * (round_of_the_loop + 1),
                     "its callers are told", 5)
        house.apps[LAST] = apps.App(case, apps.echo, port=port)
        apps.echo_works(case, house.to(LAST))
    others.untouched()


def test_the_registration_of_one_is_removed_and_the_others_lose_nothing(case):
    """The last one's configuration is the agent's, which forgets it."""
    class Held(House):
        def service(self, name):
            if name != LAST:
                return super().service(name)
            host, port = self.apps[name].address
            self.consul.register({"ID": f"{name}-1", "Name": name, "Port": port, "Connect": {"SidecarService": {
                "Port": self.ports[name], "Proxy": {
                    "LocalServiceAddress": host, "LocalServicePort": port,
                    "Config": {"bind_address": "127.0.0.1"},
                    "Upstreams": [{"DestinationName": "bank", "LocalBindPort": free_port()}]}}}})
            return {"sidecar_for": f"{name}-1"}

    house = Held(case)
    others = Watched(house, NAMES[:-1])
    held = Session(case, house.to(LAST))
    house.consul.deregister(f"{LAST}-1-sidecar-proxy")
    house.consul.deregister(f"{LAST}-1")
    house.mooring.wait_log(rf"service={LAST}-1 .*proxy_config")
    held.ask()  # what it was told last goes on
    others.untouched()
    for name in NAMES[:-1]:
        check.equal(house.ready(name), 200, f"/ready of {name}")


def test_the_leaf_of_one_expires_and_the_others_lose_nothing(case):
    authority = certs.Authority()

    class WithFiles(House):
        def service(self, name):
            service = super().service(name)
            if name == LAST:
                service["identity"] = identity_files(case, authority, LAST, authority.leaf(
                    LAST, start=-certs.HOUR, lifetime=certs.HOUR + certs.HOUR / 600))
                service["intentions"] = {"default": "allow"}
            return service

    house = WithFiles(case)
    others = Watched(house, NAMES[:-1])
    caller = tlspeer.connect(case, ("127.0.0.1", house.ports[LAST]), authority.leaf("web"), authority.pem)
    caller.handshake()
    check.within(lambda: house.ready(LAST) == 503, "its leaf has expired", 15)
    code, text = house.mooring.admin("/ready")
    check.equal(code, 503, "/ready of all")
    check.true(all(LAST in line for line in text.splitlines()), f"names the one that is not: {text}")
    for name in NAMES[:-1]:
        check.equal(house.ready(name), 200, f"/ready of {name}")
    check.equal(caller.send(b"still").receive(5), b"still", "its live connection")
    others.untouched()


def test_the_token_of_one_is_taken_away_and_the_others_lose_nothing(case):
    consul = Consul(case, acl="deny")
    consul.intention("*", "*", "allow")
    tokens = {name: consul.service_token(name) for name in NAMES}
    app = apps.App(case, apps.echo)
    ports = {name: free_port() for name in NAMES}
    for name in NAMES:
        consul.register_proxy(name, ports[name])
    services = [{"service": name, "token_file": str(case.write(f"{name}.token", tokens[name][0])),
                 "public_listener": {"address": f"127.0.0.1:{ports[name]}", "local_app": f"127.0.0.1:{app.port}"}}
                for name in NAMES]
    mooring = Mooring.from_yaml(case, {"agent": {"address": consul.address}, "services": services})
    flags = [word for name in NAMES for word in ("-upstream", f"{name}:127.0.0.1:0")]
    web = Mooring.connect_proxy(case, "-http-addr", consul.address, "-service", "web", "-token", consul.token, *flags, name="web")
    callers = {name: Stream(case, web.upstream(name), pause=0.1) for name in NAMES}
    held = {name: Session(case, web.upstream(name)) for name in NAMES}
    consul.delete_token(tokens[LAST][1])
    mooring.wait_log(rf"service={LAST} .*403", 60)
    for name in NAMES[:-1]:
        check.true(not any(f"service={name} " in line for line in mooring.lines("ERROR")), f"nothing is wrong with {name}")
        check.equal(callers[name].failed(0), [], f"calls of {name} that failed")
        check.equal(mooring.admin(f"/ready?service={name}")[0], 200, f"/ready of {name}")
        held[name].ask()


def test_a_busy_port_costs_its_service_alone_until_it_is_free(case):
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    holder.listen()
    app = apps.App(case, apps.echo)
    authority = certs.Authority()
    port = holder.getsockname()[1]
    services = [{"service": name, "identity": identity_files(case, authority, name), "intentions": {"default": "allow"},
                 "public_listener": {"address": f"127.0.0.1:{port if name == LAST else 0}", "local_app": f"127.0.0.1:{app.port}"}}
                for name in NAMES]
    mooring = Mooring.from_yaml(case, {"services": services}, ready=False)
    check.within(lambda: all(mooring.admin(f"/ready?service={name}")[0] == 200 for name in NAMES[:-1]), "the others are ready", 10)
    code, text = mooring.admin(f"/ready?service={LAST}")
    check.equal(code, 503, text)
    check.true(str(port) in text and "in use" in text, text)
    caller = tlspeer.connect(case, mooring.listener(f"{NAMES[0]}/public"), authority.leaf("web"), authority.pem)
    caller.handshake()
    holder.close()
    mooring.wait_ready()
    check.equal(caller.send(b"x").receive(1), b"x", "a connection of before")


def test_where_none_can_start_the_process_ends_and_says_each_reason(case):
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    holder.listen()
    second = socket.socket()
    second.bind(("127.0.0.1", 0))
    second.listen()
    authority = certs.Authority()
    ports = [one.getsockname()[1] for one in (holder, second)]
    path = case.write("all.yaml", yaml_text({"services": [
        {"service": name, "identity": identity_files(case, authority, name), "intentions": {"default": "allow"},
         "public_listener": {"address": f"127.0.0.1:{port}", "local_app": "127.0.0.1:9"}}
        for name, port in zip(NAMES, ports)]}) + "\n")
    code, _, text = run("proxy", "-config", path)
    check.equal(code, 1, text)
    for name, port in zip(NAMES, ports):
        check.true(name in text and str(port) in text, text)


def test_one_more_service_costs_no_thread_and_at_most_a_mebibyte(case):
    authority = certs.Authority()

    def process(count):
        services = [{"service": f"s{number}", "identity": identity_files(case, authority, f"s{number}"),
                     "intentions": {"default": "allow"},
                     "public_listener": {"address": "127.0.0.1:0", "local_app": "127.0.0.1:9"}} for number in range(count)]
        return Mooring.from_yaml(case, {"services": services})

    few, many = process(2), process(22)
    threads = [len(os.listdir(f"/proc/{one.pid}/task")) for one in (few, many)]
    check.equal(threads[0], threads[1], "threads of 2 and of 22 services")
    each = (many.process.resident() - few.process.resident()) / 20
    check.below(each, 1 << 20, "bytes a service")


def test_all_drain_together_and_each_keeps_its_own_state(case):
    state = case.directory / "state"
    state.mkdir(mode=0o700)
    house = House(case)
    house.mooring.stop()
    settings = {"agent": {"address": house.consul.address}, "state_dir": str(state), "drain_time": "5s",
                "services": [house.service(name) for name in NAMES]}
    mooring = Mooring.from_yaml(case, settings, name="again")
    for name in NAMES:
        apps.echo_works(case, house.to(name))
    held = {name: Pool(case, house.to(name), size=1, watch=False) for name in NAMES}
    mooring.process.send(signal.SIGTERM)
    mooring.process.wait(15)
    for name in NAMES:
        check.equal(held[name].sessions[0].client.drain()[1], "eof", f"the idle connection of {name} ends cleanly")
    check.equal(len(os.listdir(state)), len(NAMES), "parts of the state directory")
    house.consul.kill()
    third = Mooring.from_yaml(case, settings, name="offline")
    for name in NAMES:
        check.equal(third.status(name)["leaf"]["spiffe_id"].rsplit("/", 1)[1], name, "its identity, from disk")
        check.true(third.status(name)["state_file"]["private_key"], "its own state")


def test_a_service_whose_sidecar_is_ambiguous_is_asked_for_again_until_one_is_left(case):
    consul = Consul(case)
    app = apps.App(case, apps.echo)
    ports = [free_port() for _ in range(3)]

    def registration(name, port):
        return {"ID": f"{name}-1", "Name": name, "Port": app.port, "Connect": {"SidecarService": {
            "Port": port, "Proxy": {"Config": {"bind_address": "127.0.0.1"}, "LocalServicePort": app.port}}}}

    for name, port in (("one", ports[0]), ("two", ports[1])):
        consul.register(registration(name, port))
    consul.register({"Kind": "connect-proxy", "ID": "two-other", "Name": "two-other", "Port": ports[2], "Address": "127.0.0.1",
                     "Proxy": {"DestinationServiceName": "two", "DestinationServiceID": "two-1"}})
    mooring = Mooring.connect_proxy(case, "-http-addr", consul.address, "-sidecar-for", "one-1", "-sidecar-for", "two-1", ready=False)
    check.within(lambda: mooring.admin("/ready?service=one-1")[0] == 200, "the other is ready", 10)
    code, text = mooring.admin("/ready?service=two-1")
    check.true(code == 503 and "More than one" in text and "two-other" in text, text)
    consul.deregister("two-other")
    check.within(lambda: mooring.admin("/ready")[0] == 200, "both are ready", 15)


def test_two_registrations_that_want_one_port_name_each_other(case):
    consul = Consul(case)
    app = apps.App(case, apps.echo)
    port = free_port()
    for name in ("one", "two"):
        consul.register({"ID": f"{name}-1", "Name": name, "Port": app.port, "Connect": {"SidecarService": {
            "Port": port, "Proxy": {"Config": {"bind_address": "127.0.0.1"}, "LocalServicePort": app.port}}}})
    mooring = Mooring.connect_proxy(case, "-http-addr", consul.address, "-sidecar-for", "one-1", "-sidecar-for", "two-1", ready=False)
    mooring.wait_log(r"cannot be started.*(the public listener of one-1|the public listener of two-1) is to be there")
