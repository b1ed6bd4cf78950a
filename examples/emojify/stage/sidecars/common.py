"""What the sidecars of the VM have in common."""

from stage.agents import HTTP
from stage.catalog import VM

DRAIN = 40  # seconds in which a process ends by itself after SIGTERM


def flags(service, app, public, *more):
    """flags are those of `consul connect proxy`, and Mooring's as well."""
    return ["connect", "proxy", "-service", service, "-service-addr", "{}:{}".format(*app),
            "-listen", f"{VM}:{public}", "-register", "-http-addr", f"127.0.0.1:{HTTP}", *more]


def proxies():
    """proxies are (ID of the registration by -register, ID of the instance that it stands for)."""
    return [("payment-proxy", "payment"), ("payment-proxy-second", "payment-2")]


class Nothing:
    """What a sidecar has that has nothing of the kind."""

    one_process = False
    page = None
    no_upgrade = "it has none: it is another restart"

    def fresh(self):
        """It keeps nothing, or its control loop does: what it goes by is what the agent said last."""
        return self.ready()

    def processes_seen(self):
        return "a process for each"

    def identities(self):
        return []

    def callers(self):
        return {}

    def top(self):
        return ""
