"""Where one pair of sidecars lives: its ports, folder, certificates, and the processes that it consists of."""

import json
from pathlib import Path

from cryptography import x509

from processes import tree

SERVER, CLIENT = "db", "web"  # the service that is called and the one that calls
HOST = "db.bench.example"  # the server's DNS name, for peers that check names rather than SPIFFE IDs
PORTS_OF_PAIR = 10
PORTS_EACH = 2 * PORTS_OF_PAIR  # of a pair and its twin


class Certificates:
    """One mesh: a P-256 authority and a leaf for either side, as files."""

    def __init__(self, authority, folder):
        self.folder = folder
        self.roots = self._write("roots.pem", authority.pem)
        self._uri = {service: authority.uri(service) for service in (SERVER, CLIENT)}
        for service in (SERVER, CLIENT):
            names = [x509.DNSName(HOST)] if service == SERVER else []
            leaf = authority.leaf(service, alternatives=names)
            self._write(f"{service}.pem", leaf.chain_pem)
            self._write(f"{service}.key", leaf.key_pem)
            self._write(f"{service}.both", leaf.chain_pem + leaf.key_pem)

    def _write(self, name, text):
        path = self.folder / name
        path.touch(0o600)
        path.write_text(text)
        return path

    def chain(self, service):
        return self.folder / f"{service}.pem"

    def key(self, service):
        return self.folder / f"{service}.key"

    def both(self, service):
        """both is chain and key in one file."""
        return self.folder / f"{service}.both"

    def uri(self, service):
        return self._uri[service]


class Place:
    def __init__(self, folder, ports, backend, certificates, processes):
        self.folder, self.backend, self.certificates = Path(folder), backend, certificates
        self.outbound, self.inbound = ports, ports + 1
        self.more_ports = range(ports + 2, ports + PORTS_OF_PAIR)
        self._processes, self._roots = processes, {}
        self.folder.mkdir(parents=True, exist_ok=True)

    def twin(self, processes):
        """twin is the place for another pair of the same peer."""
        return Place(self.folder / "twin", self.outbound + PORTS_OF_PAIR, self.backend, self.certificates, processes)

    def write(self, name, content):
        """write puts a configuration into the folder; what is no text is written as JSON."""
        path = self.folder / name
        path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1))
        return path

    def start(self, group, argv, **options):
        """start adds a process to the group "out" or "in", the sides of the pair, or to another that counts."""
        process = self._processes.start(argv, self.log(group), **options)
        self._roots.setdefault(group, []).append(process)
        return process

    def last(self, group):
        """last is the process that was added to the group last."""
        return self._roots[group][-1]

    def log(self, group):
        return self.folder / f"{group}.log"

    def sides(self):
        """sides yields (side, port to listen on, port to connect to, own service, the other's service)."""
        yield "in", self.inbound, self.backend, SERVER, CLIENT
        yield "out", self.outbound, self.inbound, CLIENT, SERVER

    def ended(self):
        """ended names the groups that have lost a process."""
        return [group for group, processes in self._roots.items() if any(p.poll() is not None for p in processes)]

    def pids(self):
        """pids are those of all processes, with what they have started."""
        return [pid for processes in self._roots.values() for process in processes for pid in tree(process.pid)]

    def roots(self):
        return {group: [process.pid for process in processes] for group, processes in self._roots.items()}


class OneSide:
    """A Place of which a peer sees one side."""

    def __init__(self, place, side):
        self._place, self._side = place, side

    def sides(self):
        return [known for known in self._place.sides() if known[0] == self._side]

    def __getattr__(self, name):
        return getattr(self._place, name)
