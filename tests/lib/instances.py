"""Instances of a service, each a thread for a connection, that can be made to fail in the ways in which instances do."""

import socket
import ssl
import subprocess
import threading
import time

from lib import tlspeer

GOOD, SILENT, CLOSING, SLOW = "good", "silent", "closing", "slow"


class Instance:
    """A listening sidecar and its app in one: it shows `identity`, asks for a certificate of `roots`, and echoes.

    mode is what it does to those who come from now on. GOOD. SILENT: it takes the connection and says nothing. CLOSING: it
    ends it after the handshake. SLOW: it begins the handshake `delay` seconds late. `greeting` is what it says first.
    """

    def __init__(self, case, identity, roots, mode=GOOD, delay=1.0, greeting=b""):
        self.mode, self.delay, self.greeting = mode, delay, greeting
        self.received = 0    # bytes of the callers' apps
        self.came = 0        # connections
        self._context = tlspeer.context(True, identity, roots)
        self._sockets = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()
        case.undo(self.close)

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.came += 1
            self._sockets.append(connection)
            threading.Thread(target=self._serve, args=(connection, self.mode), daemon=True).start()

    def _serve(self, connection, mode):
        if mode == SILENT:
            return
        if mode == SLOW:
            time.sleep(self.delay)
        try:
            with self._context.wrap_socket(connection, server_side=True) as tls:
                if mode == CLOSING:
                    tls.unwrap()
                    return
                if self.greeting:
                    tls.sendall(self.greeting)
                while data := tls.recv(1 << 16):
                    self.received += len(data)
                    tls.sendall(data)
                tls.unwrap()
        except (OSError, ssl.SSLError):  # the caller has left
            pass

    def close(self):
        try:
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept
        except OSError:
            pass
        self._listener.close()
        for connection in self._sockets:
            connection.close()


class Hole:
    """A port of loopback whose packets are dropped, or refused, in the test's own network (lib/namespaces.py)."""

    def __init__(self, port, verdict="drop"):
        self.port = port
        nft("add table inet holes", "add chain inet holes in { type filter hook input priority 0; }",
            f"add rule inet holes in tcp dport {port} {verdict}")

    def fill(self):
        """fill lets packets through again."""
        nft("flush chain inet holes in")


def nft(*commands):
    subprocess.run(["nft", "-f", "-"], input="\n".join(commands) + "\n", text=True, check=True)
