"""What scanners look at: a sidecar's public listener with an application behind it."""

from lib import certs
from lib.apps import App
from lib.mooring import Mooring
from lib.static import identity_files


def whole(app, seen):
    """Echoes; a request of HTTP once it is whole, as scanners are used to."""
    asked = b""
    while data := seen.connection.recv(1 << 16):
        asked += data
        if asked.endswith((b"\r\n\r\n", b"\n\n")) or not asked.startswith(b"G"):
            seen.connection.sendall(asked)
            asked = b""


class Server:
    """key: the kind of the sidecar's key. caller is an identity that may come in, as PEM files."""

    def __init__(self, case, key="ec", caller_key="ec"):
        authority = certs.Authority()
        app = App(case, whole)
        identity = identity_files(case, authority, "payment", authority.leaf("payment", key=key))
        self.mooring = Mooring.from_yaml(case, {
            "service": "payment", "identity": identity,
            "public_listener": {"address": "127.0.0.1:0", "local_app": f"127.0.0.1:{app.port}"},
            "intentions": {"default": "deny", "rules": [{"source": "web", "action": "allow"}]}})
        self.host, self.port = self.mooring.public
        caller = authority.leaf("web", key=caller_key)
        self.certificate = case.write(f"caller-{caller_key}.pem", caller.chain_pem)
        self.key = case.write(f"caller-{caller_key}.key", caller.key_pem)
        self.both = case.write(f"caller-{caller_key}-both.pem", caller.chain_pem + caller.key_pem)
        self.roots = case.write("roots.pem", authority.pem)

    def lives(self):
        """lives asserts that the sidecar is what it was: it runs, and says that it is ready."""
        if self.mooring.admin("/ready")[0] != 200:
            raise AssertionError("the sidecar is not ready any more")
