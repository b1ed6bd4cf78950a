"""Moorings whose configuration is all in a YAML file: own identity, no agent, peers made by the test."""

import itertools

from lib import apps, certs, tlspeer
from lib.mooring import Mooring

_numbers = itertools.count(1)


def identity_files(case, authority, service, identity=None, roots=None):
    """identity_files writes leaf, key and roots into files that no other mooring of the case watches, and
    returns the YAML section that names them."""
    identity = identity or authority.leaf(service)
    stem = f"{service}-{next(_numbers)}"
    return {"certificate": case.write(f"{stem}.pem", identity.chain_pem),
            "private_key": case.write(f"{stem}.key", identity.key_pem),
            "roots": case.write(f"{stem}-roots.pem", roots or authority.pem)}


class Static:
    """A mooring for service `payment` with a public listener in front of an application that echoes, and
    an upstream `db` whose endpoint the test plays. Callers named web may come in, others may not."""

    def __init__(self, case, behaviour=apps.echo, authority=None, endpoints=None, public=None, upstream=None,
                 rules=None, default="deny", receive_buffer=None, env=None, ready=True, process=None, wrap=(),
                 **settings):
        self.case = case
        self.authority = authority or certs.Authority()
        self.roots = self.authority.pem
        self.app = apps.App(case, behaviour, receive_buffer=receive_buffer)
        self.endpoint = tlspeer.Endpoint(case)
        addresses = endpoints or [f"127.0.0.1:{self.endpoint.port}"]
        rules = [{"source": "web", "action": "allow"}] if rules is None else rules
        self.mooring = Mooring.from_yaml(case, {
            "service": "payment",
            "identity": identity_files(case, self.authority, "payment"),
            "public_listener": {"address": "127.0.0.1:0", "local_app": f"127.0.0.1:{self.app.port}",
                                **(public or {})},
            "intentions": {"default": default, "rules": rules},
            "upstreams": [{"service": "db", "listen": "127.0.0.1:0", "endpoints": addresses,
                           **(upstream or {})}],
            **settings}, env=env, ready=ready, wrap=wrap, **(process or {}))
        if ready:
            self.public, self.upstream = self.mooring.public, self.mooring.upstream("db")
        self.web = self.authority.leaf("web")
        self.db = self.authority.leaf("db")

    def dial(self, case=None, identity="web", tls=None, **options):
        """dial is a TLS client at the public listener, its handshake not yet done."""
        identity = self.web if identity == "web" else identity
        return tlspeer.connect(case or self.case, self.public, identity, self.roots, tls, **options)

    def caller(self, case=None, tls=None, **options):
        """caller is web, connected: the handshake is done."""
        peer = self.dial(case, tls=tls, **options)
        peer.handshake()
        return peer

    def client(self, case=None, **options):
        """client is an application at the upstream's listener."""
        return apps.Client(case or self.case, self.upstream, **options)

    def called(self, case=None, tls=None, identity=None, **options):
        """called returns (client, peer): an application and db's side of its connection, handshake done."""
        client = self.client(case, **options)
        peer = self.endpoint.accept(identity or self.db, self.roots, tls)
        peer.handshake()
        return client, peer

    def serves(self, case=None):
        """serves asserts that a call comes through now."""
        peer = self.caller(case)
        if peer.send(b"ping").receive(4) != b"ping":
            raise AssertionError("no echo through the public listener")
        peer.close()
        return True
