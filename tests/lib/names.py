"""How the machine resolves host names, as the test says: hosts, nsswitch.conf, resolv.conf and a DNS server.

The files are mounted over those of /etc, for the test process and what it starts alone (lib/namespaces.py).
"""

import os
import socket
import struct
import threading
import time

from lib import check, namespaces

A, AAAA = 1, 28
DOMAIN = "mooring.test"
HOSTS = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"  # Debian's


def name(label):
    return f"{label}.{DOMAIN}"


class Server:
    """A DNS server over UDP. answers: a list of addresses for a name, or what happens instead: "silent", "none" (no such
    name), "again" (a failure for now). Names that are not in it: `otherwise`. delays: seconds before the answer."""

    def __init__(self, case, otherwise="none"):
        self.answers, self.delays, self.otherwise = {}, {}, otherwise
        self.asked = []  # (name, kind of record, when)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for attempt in range(50):
            # A resolver takes no port: an address of the loopback network that is not in use by another test.
            self.address = f"127.{53 + attempt}.{os.getpid() // 250 % 250}.{os.getpid() % 250 + 1}"
            try:
                self.socket.bind((self.address, 53))
                break
            except PermissionError:
                raise check.Skip("a DNS server of the test's own needs root, for port 53") from None
            except OSError:
                continue
        else:
            raise check.Skip("every loopback address has a DNS server of somebody else's")
        self.closed = False
        threading.Thread(target=self._serve, daemon=True).start()
        case.undo(self.close)

    def times(self, wanted):
        """times is how often a name was asked for, counting pairs of A and AAAA once."""
        return sum(1 for asked, kind, _ in list(self.asked) if asked == wanted and kind == A)

    def wait_asked(self, wanted, count=1, seconds=10.0):
        check.within(lambda: self.times(wanted) >= count, f"the DNS server is asked for {wanted}, {count} times", seconds)

    def close(self):
        self.closed = True
        self.socket.close()

    def _serve(self):
        while not self.closed:
            try:
                query, peer = self.socket.recvfrom(4096)
            except OSError:
                return
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1:at + 1 + query[at]].decode().lower())
                at += 1 + query[at]
            wanted, kind = ".".join(labels), struct.unpack("!H", query[at + 1:at + 3])[0]
            self.asked.append((wanted, kind, time.monotonic()))
            answer = self.answers.get(wanted, self.otherwise)
            if answer == "silent":
                continue
            reply = self._reply(query, at + 5, kind, answer)
            delay = self.delays.get(wanted, 0)
            if delay:
                timer = threading.Timer(delay, self._send, (reply, peer))
                timer.daemon = True
                timer.start()
            else:
                self._send(reply, peer)

    def _send(self, reply, peer):
        try:
            self.socket.sendto(reply, peer)
        except OSError:
            pass

    @staticmethod
    def _reply(query, end, kind, answer):
        code = {"none": 3, "again": 2}.get(answer, 0) if isinstance(answer, str) else 0
        records = []
        for address in answer if code == 0 else ():
            raw = socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
            if kind == (AAAA if len(raw) == 16 else A):
                records.append(b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 0, len(raw)) + raw)
        return (query[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(records), 0, 0) + query[12:end]
                + b"".join(records))


class Machine:
    """What /etc says of names. Each part may be changed while programs run; hosts is the text of a whole file."""

    def __init__(self, case, hosts=HOSTS, sources="files dns", otherwise="none", server=True):
        namespaces.own_mounts("a machine's names, which are mounted over /etc/hosts and others,")
        self.case = case
        self.server = Server(case, otherwise) if server else None
        self.paths = {}
        for file, text in (("hosts", hosts), ("nsswitch.conf", f"passwd: files\nhosts: {sources}\n"),
                           ("resolv.conf", f"nameserver {self.server.address}\n" if server else "")):
            self.paths[file] = case.write(f"etc-{file}", text, 0o644)
            namespaces.bind_mount(case, self.paths[file], f"/etc/{file}")

    def another_server(self, otherwise="none"):
        """another_server is one that nothing points to yet."""
        return Server(self.case, otherwise)

    def set(self, file, text):
        """set writes a file anew, in place: it is the file that is mounted."""
        self.paths[file].write_text(text)

    def add_host(self, host, address="127.0.0.1"):
        self.set("hosts", f"{self.paths['hosts'].read_text()}{address} {host}\n")
