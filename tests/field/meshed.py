"""A sidecar of either kind between two applications and a real agent, for the programs of this folder."""

from lib import apps, check
from lib.consul import Consul
from lib.goproxy import GoProxy
from lib.mooring import Mooring
from lib.ports import free_port


class Meshed:
    """The sidecar under test, of kind `kind`, started behind the words of `wrap`, and its peer."""

    def __init__(self, case, kind, wrap, payment_app, db_app, level="INFO"):
        consul = Consul(case)
        public, calls, db_public = free_port(), free_port(), free_port()
        consul.register_proxy("payment", public)
        consul.register_proxy("db", db_public)
        if kind == "go":
            self.program = GoProxy(case, consul, "payment", app=("127.0.0.1", payment_app.port), listen=public, upstream="db",
                                   upstream_listen=calls, wrap=wrap)
        else:
            self.program = Mooring.connect_proxy(
                case, "-http-addr", consul.address, "-service", "payment", "-service-addr", f"127.0.0.1:{payment_app.port}",
                "-listen", f"127.0.0.1:{public}", "-upstream", f"db:127.0.0.1:{calls}", wrap=wrap, level=level)
        self.peer = Mooring.connect_proxy(
            case, "-http-addr", consul.address, "-service", "db", "-service-addr", f"127.0.0.1:{db_app.port}",
            "-listen", f"127.0.0.1:{db_public}", "-upstream", "payment:127.0.0.1:0", name="db", level="INFO")
        self.public = ("127.0.0.1", public)
        self.to = {"inbound": self.peer.upstream("payment"), "outbound": ("127.0.0.1", calls)}
        for address in self.to.values():
            check.within(lambda address=address: apps.ping(address, seconds=1), "calls come through", 20)
