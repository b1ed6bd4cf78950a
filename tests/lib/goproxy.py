"""Consul's own proxy (`consul connect proxy`), the program that Mooring replaces."""

from lib import check
from lib.case import Process, peer_binary, slowness
from lib.ports import free_port, listening


class GoProxy:
    """inbound: app=(host, port) of the local application. outbound: upstream=name of the service. Both: the
    upstream listens at upstream_listen. Ready when it listens, has a leaf and roots. It speaks TLS 1.3 with
    peers that do, and has no setting for it. agent: a Consul, or the address of something like it."""

    kind = "go"

    def __init__(self, case, agent, service, app=None, upstream=None, listen=None, token=None,
                 upstream_listen=None, flags=(), ready=True, wrap=()):
        self.port = listen or free_port()
        self.address = ("127.0.0.1", self.port)
        address = agent if isinstance(agent, str) else agent.address
        token = token or getattr(agent, "token", None)
        argv = [peer_binary("consul"), "connect", "proxy", "-http-addr", address, "-service", service,
                "-log-level", "trace"]
        if app:
            argv += ["-service-addr", f"{app[0]}:{app[1]}", "-listen", f"127.0.0.1:{self.port}"]
        if upstream:
            argv += ["-upstream", f"{upstream}:{upstream_listen or self.port}"]
        if token:
            argv += ["-token", token]
        self.process = Process(case, [*wrap, *argv, *flags], f"go-{service}")
        if not ready:
            return
        self.process.wait_log("Parsed TLS identity", 20)
        # Not by connecting: it would dial the application for it.
        check.within(lambda: listening(self.port), "the Go proxy listens", 10 * slowness())

    def close(self):
        return self.process.close()

    def refresh(self):
        """It follows the agent by itself."""
