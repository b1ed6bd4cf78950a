"""HAProxy as a TCP sidecar, with files for its certificates."""

from lib import check
from lib.case import Process, peer_binary
from lib.ports import free_port, listening


class Haproxy:
    """body: of its one `listen` section, after `bind 127.0.0.1:PORT`; bind: what follows on that line. timeouts: those
    of its `defaults`. It logs nothing."""

    kind = "haproxy"

    def __init__(self, case, service, body, bind="", timeouts=("connect 5s", "client 10m", "server 10m"), wrap=()):
        self.port = free_port()
        self.address = ("127.0.0.1", self.port)
        lines = ["defaults", "  mode tcp", *(f"  timeout {one}" for one in timeouts),
                 f"listen {service}", f"  bind 127.0.0.1:{self.port} {bind}".rstrip(), *(f"  {line}" for line in body)]
        config = case.write(f"{service}-{self.port}.cfg", "\n".join(lines) + "\n")
        self.process = Process(case, [*wrap, peer_binary("haproxy"), "-db", "-f", config], f"haproxy-{service}")
        check.within(self._listens, "HAProxy listens", 10)

    def _listens(self):
        if not self.process.running():
            raise RuntimeError(f"{self.process.describe()}:\n{self.process.log()[-2000:]}")
        return listening(self.port)


def identity_files(case, service, identity, roots):
    """identity_files writes what `crt` and `ca-file` of a line name."""
    return {"crt": case.write(f"{service}-haproxy.pem", identity.chain_pem + identity.key_pem),
            "ca-file": case.write(f"{service}-haproxy-roots.pem", roots)}
