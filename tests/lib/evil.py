"""Names that steer a terminal and write HTML, where an agent can give them: it may call an instance and its node as it likes."""

from lib import agent as scripted
from lib import apps, tlspeer
from lib.mooring import Mooring

EVIL = "<script>alert(1)</script>\x1b[31m"


def with_evil_names(case):
    """with_evil_names is a mooring whose agent calls an instance by a name that steers terminals and writes HTML, and a client
    of its upstream that is connected."""
    api = scripted.Agent(case)
    endpoint = tlspeer.Endpoint(case)
    api.set_instances("db", endpoint.address, ID=EVIL)
    api.instances["db"][0]["Node"]["Node"] = EVIL
    mooring = Mooring.connect_proxy(case, "-http-addr", api.address, "-service", "web", "-upstream", "db:127.0.0.1:0")
    client = apps.Client(case, mooring.upstream("db"))
    peer = endpoint.accept(api.authority.leaf("db"), api.authority.pem)
    peer.handshake()
    return mooring, client, peer
