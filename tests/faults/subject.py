"""The sidecar under test of the fault suite, with everything around it: an agent, an application that echoes
behind its public listener, a caller, and the service behind its upstream.

A test is written once and runs against Mooring or against `consul connect proxy`: the environment variable
MOORING_FAULTS_SUBJECT (mooring, the default, or go) says which. tests/faults/compare runs both.
"""

import os

from faults.peers import FarService, Held, Traffic
from lib import apps, certs, check, tlspeer
from lib.case import now, slowness
from lib.goproxy import GoProxy
from lib.mooring import Mooring
from lib.ports import free_port

SERVICE, CALLER, UPSTREAM = "db", "web", "store"


def subject_kind():
    """subject_kind is what runs under test: "mooring" or "go"."""
    kind = os.environ.get("MOORING_FAULTS_SUBJECT") or "mooring"
    if kind not in ("mooring", "go"):
        raise ValueError(f"MOORING_FAULTS_SUBJECT={kind}: mooring or go")
    return kind


def only_mooring(reason):
    """only_mooring leaves a test out of the Go proxy's column, which shows the reason."""
    if subject_kind() == "go":
        raise check.Skip(reason)


class Subject:
    """One sidecar of service `db`: a public listener and an upstream `store`, on ports that stay the same
    over kill() and start(). The caller is `web`; all peers' certificates come from `identity(service)` and
    `roots()`, asked by refresh_peers() only, so that peers go on while an agent is away.

    flags, env, state_dir, level: of Mooring alone; the Go proxy gets none of them. token and register: for
    both. ready=False does not wait until it serves. app_host: by what name it finds the application.
    """

    def __init__(self, case, address, identity, roots, flags=(), env=None, state_dir=None, token=None,
                 register=False, ready=True, far=None, level="DEBUG", app_host="127.0.0.1"):
        self.case, self.agent_address = case, address
        self.kind = subject_kind()
        self.is_mooring = self.kind == "mooring"
        self._identity, self._roots = identity, roots
        self.flags, self.env, self.token, self.level = list(flags), env, token, level
        self.register = register
        if state_dir:
            self.flags += ["-state-dir", str(state_dir)]
        self.far = far
        self.app, self.app_host = apps.App(case, apps.echo), app_host
        self.public = ("127.0.0.1", free_port())
        self.upstream = ("127.0.0.1", free_port())
        self.held = []
        self.starts = 0
        self.program = None
        self.start(ready)

    @classmethod
    def scripted(cls, case, api, **options):
        """scripted puts it next to a scripted agent (lib/agent.py)."""
        identity, roots = api.authority.leaf, lambda: "".join(root.pem for root in api.roots)
        far = FarService(case, identity(UPSTREAM), roots())
        api.set_instances(UPSTREAM, far.address)
        subject = cls(case, api.address, identity, roots, far=far, **options)
        subject.api = api
        return subject

    @classmethod
    def real(cls, case, consul, **options):
        """real puts it next to a real Consul (lib/consul.py), which also issues the peers' certificates."""
        def identity(service):
            return certs.from_agent(consul.leaf(service))

        far = FarService(case, identity(UPSTREAM), consul.roots_pem())
        consul.register_proxy(UPSTREAM, far.port)
        subject = cls(case, consul.address, identity, consul.roots_pem, far=far, **options)
        subject.consul = consul
        return subject

    # The process.

    def start(self, ready=True):
        """start runs it; after kill() again, with the same arguments and ports."""
        self.starts += 1
        if not getattr(self, "web", None):
            self.refresh_peers()
        common = (["-token", self.token] if self.token else []) + (["-register"] if self.register else [])
        if self.is_mooring:
            self.program = Mooring.connect_proxy(
                self.case, "-http-addr", self.agent_address, "-service", SERVICE, "-service-addr",
                f"{self.app_host}:{self.app.port}", "-listen", "127.0.0.1:%d" % self.public[1], "-upstream",
                f"{UPSTREAM}:127.0.0.1:{self.upstream[1]}", *common, *self.flags, env=self.env, ready=ready,
                name=f"mooring-{SERVICE}", level=self.level)
        else:
            self.program = GoProxy(self.case, self.agent_address, SERVICE, app=(self.app_host, self.app.port),
                                   upstream=UPSTREAM, listen=self.public[1], upstream_listen=self.upstream[1],
                                   flags=common, ready=ready)
        if ready:
            # Endpoints may arrive a moment after it calls itself ready.
            check.within(self.works, f"{self.kind} serves both ways", 15 * slowness(), step=0.05)

    def kill(self):
        """kill ends it as a crash would."""
        if self.is_mooring:
            self.program.kill()
        else:
            self.program.process.kill()

    @property
    def process(self):
        return self.program.process

    def status(self):
        """status is Mooring's own view; the Go proxy has none."""
        check.true(self.is_mooring, "only Mooring has a /status")
        return self.program.status()

    def watch(self, name):
        """watch is one watch of /status, by its name."""
        return next(w for w in self.status()["watches"] if w["name"] == name)

    def closed(self, direction, reason):
        return self.program.closed(direction, reason)

    def wait_log(self, pattern, seconds=10.0, count=1):
        return self.process.wait_log(pattern, seconds, count)

    # Its peers.

    def refresh_peers(self):
        """refresh_peers gives caller and far service certificates and roots of this moment."""
        self.web, self.roots = self._identity(CALLER), self._roots()
        self.far.identity, self.far.roots = self._identity(UPSTREAM), self.roots

    def caller(self, identity=None, roots=None, seconds=3.0, case=None):
        """caller is a TLS client at the public listener, its handshake done."""
        peer = tlspeer.connect(case, self.public, identity or self.web, roots or self.roots, seconds=seconds)
        try:
            peer.handshake()
        except BaseException:
            peer.close()
            raise
        return peer

    def client(self, seconds=3.0, case=None):
        """client is an application at the upstream's listener."""
        return apps.Client(case, self.upstream, seconds=seconds)

    # What it does for them: each raises AssertionError with what was seen instead.

    def inbound_works(self, seconds=3.0, identity=None):
        """inbound_works asserts that a new call from outside gets its echo, and returns the seconds it took."""
        started, peer = now(), None
        try:
            peer = self.caller(identity, seconds=seconds)
            seen = peer.send(b"ping").receive(4)
            check.true(seen == b"ping", f"a new inbound connection got no echo: {seen!r}")
        except (OSError, tlspeer.Refused) as error:
            check.fail(f"a new inbound connection failed: {error}")
        finally:
            if peer:
                peer.close()
        return now() - started

    def outbound_works(self, seconds=3.0):
        """outbound_works asserts that a new call through the upstream gets its echo: the seconds it took."""
        started, client = now(), None
        try:
            client = self.client(seconds)
            seen = client.send(b"ping").receive(4)
            check.true(seen == b"ping", f"a new outbound connection got no echo: {seen!r}")
        except OSError as error:
            check.fail(f"a new outbound connection failed: {error}")
        finally:
            if client:
                client.close()
        return now() - started

    def hold(self, identity=None, inbound=True, outbound=True, seconds=10.0):
        """hold opens a connection each way, sees it work and keeps it open."""
        held = Held(self.caller(identity, case=self.case, seconds=seconds) if inbound else None,
                    self.client(case=self.case, seconds=seconds) if outbound else None)
        held.works()
        self.held.append(held)
        return held

    def held_works(self):
        """held_works asserts that every connection held still echoes."""
        return all([held.works() for held in self.held])

    def works(self):
        """works asserts that new connections both ways and the held ones work: the slowest new one's seconds."""
        self.held_works()
        return self.works_new()

    def works_new(self):
        """works_new asserts that new connections both ways work: the slower one's seconds."""
        return max(self.inbound_works(), self.outbound_works())

    def refused_inbound(self, identity=None, seconds=3.0, listens=True):
        """refused_inbound asserts that a new call is ended without a byte from the application. listens=False: or that there is no
        listener, as before there is an identity."""
        peer = None
        try:
            peer = self.caller(identity, seconds=seconds)
            data, how = peer.send(b"ping").drain()
            check.true(not data, f"an inbound call that must be refused got {data[:40]!r}")
            check.true(how != "timeout", f"an inbound call that must be refused still hangs after {seconds:g} s")
        except (ConnectionResetError, BrokenPipeError):
            pass
        except ConnectionRefusedError as closed:
            check.true(not listens, f"the public listener: {closed}")
        except tlspeer.Refused as refused:
            check.true("silent" not in str(refused), f"an inbound call that must be refused hangs in its handshake: {refused}")
        finally:
            if peer:
                peer.close()
        return True

    def refused_outbound(self, seconds=3.0):
        """refused_outbound asserts that a call through the upstream ends without a byte."""
        client = None
        try:
            client = self.client(seconds)
            data, how = client.send(b"ping").drain()
            check.true(not data, f"an outbound call that must be refused got {data[:40]!r}")
            check.true(how != "timeout", f"an outbound call that must be refused still hangs after {seconds:g} s")
        except ConnectionError:  # a port behind which nobody is may refuse
            pass
        finally:
            if client:
                client.close()
        return True

    def comes_to_refuse_outbound(self):
        """comes_to_refuse_outbound asserts that within a second new calls through the upstream are refused: /status says
        what has been learnt, and the worker has it a moment later."""
        def refused():
            try:
                self.outbound_works()
            except AssertionError:
                return True
            return False

        check.within(refused, "new calls through the upstream are refused", slowness())
        return self.refused_outbound()

    def serial(self):
        """serial is that of the leaf certificate which the subject shows to a new caller."""
        try:
            peer = self.caller()
        except (OSError, tlspeer.Refused) as error:
            check.fail(f"a new inbound connection failed: {error}")
        serial = peer.tls.getpeercert()["serialNumber"]
        peer.close()
        return serial

    def renews(self, seconds=10.0):
        """renews asserts that a leaf which the scripted agent issues now is shown within that time: that what
        the agent says arrives. Everything else works then, too."""
        before = self.serial()
        self.api.rotate_leaf(SERVICE)
        check.within(lambda: self.serial() != before, "the leaf that the agent has just issued is in use",
                     seconds * slowness(), step=0.05)
        self.works()

    def traffic(self, pause=0.05):
        """traffic makes new connections all the time until its stop(), which asserts that none failed."""
        return Traffic(self, pause)
