"""Sidecars of any kind around an application, as a pair: who dials, who accepts."""

import itertools

from lib.apps import App
from lib.consul import Consul
from lib.envoy import Envoy
from lib.goproxy import GoProxy
from lib.mooring import Mooring

_numbers = itertools.count(1)


class Sidecar:
    """What pairs need of a sidecar: kind, address (public port or the upstream's port), the program."""

    def __init__(self, program, address):
        self.program, self.kind, self.address = program, program.kind, address

    @property
    def process(self):
        return self.program.process


class Mesh:
    """A Consul agent and services in it. Service names are new for every pair, so that pairs share the
    agent and nothing else."""

    def __init__(self, case, **options):
        self.consul = Consul(case, **options)

    def name(self, stem):
        return f"{stem}{next(_numbers)}"

    def token(self, service):
        return self.consul.service_token(service)[0] if self.consul.token else None

    def inbound(self, case, kind, service, app, tls=None, flags=(), **options):
        """inbound starts the accepting sidecar of a service and puts it into the catalog."""
        token = self.token(service)
        if kind == "mooring":
            words = ["-http-addr", self.consul.address, "-service", service, "-service-addr",
                     f"{app[0]}:{app[1]}", "-listen", "127.0.0.1:0", *flags]
            words += ["-token", token] if token else []
            program = Mooring.connect_proxy(case, *words, name=f"mooring-{service}")
            address = program.public
        elif kind == "envoy":
            program = Envoy(case, self.consul, service, app=app, tls=tls, **options)
            address = program.address
        else:
            program = GoProxy(case, self.consul, service, app=app, token=token)
            address = program.address
        self.consul.register_proxy(service, address[1])
        return Sidecar(program, address)

    def outbound(self, case, kind, service, upstream, tls=None, flags=(), **options):
        """outbound starts the dialling sidecar of a service; address is where its upstream listens."""
        token = self.token(service)
        if kind == "mooring":
            words = ["-http-addr", self.consul.address, "-service", service, "-upstream",
                     f"{upstream}:127.0.0.1:0", *flags]
            words += ["-token", token] if token else []
            program = Mooring.connect_proxy(case, *words, name=f"mooring-{service}")
            return Sidecar(program, program.upstream(upstream))
        if kind == "envoy":
            endpoints = [(entry["Service"]["Address"] or entry["Node"]["Address"], entry["Service"]["Port"])
                         for entry in self.consul.instances(upstream)]
            program = Envoy(case, self.consul, service, upstream=upstream, endpoints=endpoints, tls=tls,
                            **options)
        else:
            program = GoProxy(case, self.consul, service, upstream=upstream, token=token)
        return Sidecar(program, program.address)

    def pair(self, case, client, server, behaviour, tls=None, receive_buffer=None):
        """pair is web's sidecar of kind `client`, db's of kind `server`, and db's application."""
        web, db = self.name("web"), self.name("db")
        app = App(case, behaviour, receive_buffer=receive_buffer)
        inbound = self.inbound(case, server, db, app.address, tls)
        outbound = self.outbound(case, client, web, db, tls)
        return Pair(app, inbound, outbound, web, db)


class Pair:
    def __init__(self, app, inbound, outbound, web, db):
        self.app, self.inbound, self.outbound, self.web, self.db = app, inbound, outbound, web, db
        self.address = outbound.address

    def moorings(self):
        return [s.program for s in (self.inbound, self.outbound) if s.kind == "mooring"]


# (client, server, TLS version that Envoy is told to speak; None: what the two agree on by themselves)
PAIRS_WITH_ENVOY = [("mooring", "envoy", "1.2"), ("mooring", "envoy", "1.3"),
                    ("envoy", "mooring", "1.2"), ("envoy", "mooring", "1.3")]
PAIRS_WITH_GO = [("mooring", "go", None), ("go", "mooring", None)]
PAIR_WITH_ITSELF = [("mooring", "mooring", None)]


def pair_name(client, server, tls):
    return f"{client}_to_{server}" + (f"_tls{tls.replace('.', '')}" if tls else "")


def for_pairs(module, pairs):
    """for_pairs makes one named test a pair of a function test(case, client, server, tls)."""
    def make(function):
        for client, server, tls in pairs:
            def test(case, client=client, server=server, tls=tls):
                function(case, client, server, tls)

            name = f"{function.__name__}__{pair_name(client, server, tls)}"
            test.__name__ = name
            if hasattr(function, "limit"):
                test.limit = function.limit
            module[name] = test
        # The function itself is not a test.
        return None
    return make
