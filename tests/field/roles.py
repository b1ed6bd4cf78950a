"""A service whose instances have roles, as a database's primary and replica, and a pool of sessions to it."""

import threading

from lib import apps, check
from lib.case import now, slowness
from lib.mooring import Mooring
from lib.ports import free_port


def answering(name, statements):
    """answering is a behaviour: it answers each byte by its name, one letter, and notes when it was asked."""
    def behaviour(app, seen):
        while data := seen.connection.recv(1):
            statements.append(now())
            seen.take(data)
            if data == b"w":  # an answer that does not come
                seen.go.wait(apps.LIMIT)
            seen.connection.sendall(name.encode())
    return behaviour


class Node:
    """One instance of a service: its app, an entry of its own with tags, and a sidecar in front of it, which the
    operator has registered by itself. name: one letter, by which it answers."""

    def __init__(self, case, consul, service, name, tags=(), app=None, sidecar=None):
        self.consul, self.service, self.name = consul, service, name
        self.id, self.sidecar_id = f"{service}-{name}", f"{service}-{name}-sidecar-proxy"
        self.statements = []  # when each came
        self.app = app or apps.App(case, answering(name, self.statements))
        self.retag(*tags)
        if sidecar:
            self.program, self.port = sidecar(self)
        else:
            self.program = Mooring.connect_proxy(
                case, "-http-addr", consul.address, "-service", service, "-service-addr", f"127.0.0.1:{self.app.port}",
                "-listen", "127.0.0.1:0", name=f"mooring-{self.id}")
            self.port = self.program.public[1]
        self.register_sidecar()

    def register_sidecar(self, **more):
        self.consul.register({"Kind": "connect-proxy", "ID": self.sidecar_id, "Name": f"{self.service}-sidecar-proxy",
                              "Address": "127.0.0.1", "Port": self.port,
                              "Proxy": {"DestinationServiceName": self.service, "DestinationServiceID": self.id}, **more})

    def retag(self, *tags):
        """retag registers the app anew, and nothing else, as Patroni does when a role changes."""
        self.consul.register({"ID": self.id, "Name": self.service, "Address": "127.0.0.1", "Port": self.app.port,
                              "Tags": list(tags)})

    def maintain(self, on):
        self.consul.put(f"/v1/agent/service/maintenance/{self.sidecar_id}?enable={'true' if on else 'false'}&reason=test")


class Pool:
    """Sessions that ask again and again, each after `rest` seconds, and open a new one when one is lost."""

    def __init__(self, case, address, size=6, rest=0.05):
        self.address, self.rest = address, rest
        self.answers = []  # (when, who)
        self.lost = []     # when a session ended
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(size)]
        for thread in self._threads:
            thread.start()
        case.undo(self.stop)

    def stop(self):
        self._ended.set()
        for thread in self._threads:
            thread.join(20)

    def _run(self):
        client = None
        while not self._ended.wait(self.rest):
            try:
                client = client or apps.Client(None, self.address, 10)
                who = client.send(b"q").receive(1)
                if not who:
                    raise ConnectionAbortedError("the session ended")
                self.answers.append((now(), who.decode()))
            except OSError:
                self.lost.append(now())
                if client:
                    client.close()
                client = None
        if client:
            client.close()

    def answered_by(self, name, since=0.0):
        return [when for when, who in list(self.answers) if who == name and when > since]

    def wait_answered_by(self, name, count=12, seconds=10.0):
        """wait_answered_by waits for so many answers of that one from now on."""
        since = now()
        check.within(lambda: len(self.answered_by(name, since)) >= count, f"{count} answers of {name}",
                     seconds * slowness())


def caller(case, consul, service, name="web", **upstream):
    """caller is the sidecar of one who calls the service, with these settings of its upstream."""
    return Mooring.from_yaml(case, {"service": name, "agent": {"address": consul.address}, "upstreams": [
        {"service": service, "listen": f"127.0.0.1:{free_port()}", **upstream}]}, name=f"mooring-{name}")


def catalog(mooring):
    """catalog is what it says of how its upstream follows the catalog."""
    return mooring.status()["upstreams"][0]["catalog"]
