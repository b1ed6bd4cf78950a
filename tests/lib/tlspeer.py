"""A mesh peer on Python's ssl module with the wire in the test's hands.

A Peer is one TLS connection driven by the test, step by step: close_notify, FIN and RST are separate acts,
and what the other side does is told apart the same way. Nothing happens between the test's calls.
"""

import select
import socket
import ssl
import struct
import time

from lib import apps, check
from lib.case import slowness

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3, "1.1": ssl.TLSVersion.TLSv1_1,
            "1.0": ssl.TLSVersion.TLSv1}
GROUPS = {0x11EC: "X25519MLKEM768", 0x001D: "X25519", 0x0017: "P-256", 0x0018: "P-384"}


def context(server, identity, roots, tls=None, alpn=None, tickets=False):
    """roots=None believes anybody: for tests in which the other side's refusal is the point. A server gives tickets only
    if told to: what one test's server gave would be offered to the next one's."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    # Level 0 lets us show what the other side must refuse: short keys, old versions.
    made.set_ciphers("ALL:!aNULL:@SECLEVEL=0")
    made.minimum_version = VERSIONS[tls] if tls else ssl.TLSVersion.TLSv1_2
    if tls:
        made.maximum_version = VERSIONS[tls]
    if roots:
        made.verify_mode = ssl.CERT_REQUIRED
        made.load_verify_locations(cadata=roots)
    else:
        made.verify_mode = ssl.CERT_NONE
    if identity:
        made.load_cert_chain(identity.path())
    if alpn:
        made.set_alpn_protocols(alpn)
    if server and not tickets:
        made.num_tickets = 0
        made.options |= ssl.OP_NO_TICKET
    return made


class Refused(AssertionError):
    """The handshake failed; `alert` is what the other side sent, if it sent one."""

    def __init__(self, text, alert):
        super().__init__(text)
        self.alert = alert


class Peer:
    def __init__(self, sock, made, server, sni=None, seconds=10.0, session=None):
        self.socket, self.server = sock, server
        self.limit = seconds * slowness()
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.hello = None        # the ClientHello, either way
        self.alerts = []         # names of the alerts received
        self.tickets = []        # seconds that each ticket received is good for, as its server says
        self.fin = self.was_reset = self.notified = False
        # The only place where Python's ssl shows the alerts and the ClientHello of the wire.
        made._msg_callback = self._watch
        self.tls = made.wrap_bio(self.incoming, self.outgoing, server_side=server,
                                 server_hostname=None if server else sni, session=session)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _watch(self, _, direction, version, content, message, data):
        if content == ssl._TLSContentType.ALERT and direction == "read":
            self.alerts.append(getattr(message, "name", str(message)))
        if message == ssl._TLSMessageType.CLIENT_HELLO and content == ssl._TLSContentType.HANDSHAKE:
            self.hello = ClientHello(data)
        if message == ssl._TLSMessageType.NEWSESSION_TICKET and direction == "read":
            # TLS 1.2 has an empty one where the server has changed its mind (RFC 5077 3.3).
            if self.version() == "TLSv1.3" or data[8:10] != bytes(2):
                self.tickets.append(int.from_bytes(data[4:8], "big"))

    # Bytes.

    def flush(self):
        data = self.outgoing.read()
        if data:
            try:
                self.socket.sendall(data)
            except (ConnectionResetError, BrokenPipeError):
                self.was_reset = True

    def pull(self, seconds):
        """pull takes what the socket has; False if nothing came within the time or it is over."""
        if self.fin or self.was_reset:
            return False
        if not select.select([self.socket], [], [], max(0, seconds))[0]:
            return False
        try:
            data = self.socket.recv(1 << 18)
        except ConnectionResetError:
            self.was_reset = True
            return False
        if data:
            self.incoming.write(data)
        else:
            self.fin = True
        return True

    # Steps.

    def handshake(self):
        """handshake returns the peer's URI names. Raises Refused."""
        deadline = time.monotonic() + self.limit
        while True:
            try:
                self.tls.do_handshake()
                self.flush()
                return self.uris()
            except ssl.SSLWantReadError:
                self.flush()
                if not self.pull(deadline - time.monotonic()) or self.fin:
                    how = "reset" if self.was_reset else "closed" if self.fin else "silent"
                    raise Refused(f"handshake: {how} (alerts {self.alerts})", self.alert()) from None
            except ssl.SSLError as error:
                self.flush()
                raise Refused(f"handshake: {error}", self.alert()) from None

    def alert(self):
        fatal = [a for a in self.alerts if a != "CLOSE_NOTIFY"]
        return fatal[0] if fatal else None

    def uris(self):
        certificate = self.tls.getpeercert() or {}
        return [value for kind, value in certificate.get("subjectAltName", ()) if kind == "URI"]

    def send(self, data):
        view = memoryview(data)
        while view:
            view = view[self.tls.write(view[:16384]):]
            if self.outgoing.pending >= 1 << 18:
                self.flush()
        self.flush()
        return self

    def receive(self, length):
        """receive returns exactly that many bytes, or fewer if the stream ends before."""
        data, _ = self._read(length)
        return data

    def drain(self):
        """drain reads to the end: (bytes, how). how is notify, truncated (FIN without close_notify), reset,
        alert, or timeout."""
        return self._read(None)

    def _read(self, length):
        parts, got, deadline = [], 0, time.monotonic() + self.limit
        how = None
        while length is None or got < length:
            try:
                data = self.tls.read(1 << 16 if length is None else min(1 << 16, length - got))
                if data:
                    parts.append(data)
                    got += len(data)
                    continue
                how = "notify"
            except ssl.SSLZeroReturnError:
                how = "notify"
            except ssl.SSLWantReadError:
                self.flush()
                if self.was_reset:
                    how = "reset"
                elif self.fin:
                    how = "truncated"
                elif not self.pull(deadline - time.monotonic()):
                    how = "reset" if self.was_reset else "timeout"
                else:
                    continue
            except ssl.SSLError:
                how = "alert"
            break
        if how == "notify":
            self.notified = True
        return b"".join(parts), how

    def notify(self):
        """notify sends close_notify and no FIN; reading goes on. Everything sent to us must have been read:
        OpenSSL takes data between its two looks at the shutdown for an error."""
        try:
            self.tls.unwrap()
        except (ssl.SSLWantReadError, ssl.SSLError):
            pass
        self.flush()
        return self

    def finish(self):
        """finish sends a FIN."""
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def fin_within(self, seconds):
        """fin_within tells whether a FIN arrives within that time."""
        deadline = time.monotonic() + seconds
        while not self.fin and not self.was_reset and time.monotonic() < deadline:
            self.pull(deadline - time.monotonic())
        return self.fin

    def reset_within(self, seconds):
        deadline = time.monotonic() + seconds * slowness()
        while not self.was_reset and time.monotonic() < deadline:
            if self.fin:
                return False
            self.pull(deadline - time.monotonic())
        return self.was_reset

    def ended_within(self, seconds):
        """ended_within tells whether the connection ends, in whatever way, within that time."""
        deadline = time.monotonic() + seconds * slowness()
        while not (self.fin or self.was_reset) and time.monotonic() < deadline:
            self.pull(deadline - time.monotonic())
        return self.fin or self.was_reset

    def version(self):
        return self.tls.version()

    def cipher(self):
        return self.tls.cipher()[0]

    def close(self):
        self.socket.close()


def connect(case, address, identity, roots, tls=None, sni=None, alpn=None, seconds=10.0, receive_buffer=None):
    """connect dials a public listener; the handshake is the caller's next step."""
    sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(seconds * slowness())
    sock.connect(address)
    peer = Peer(sock, context(False, identity, roots, tls, alpn), False, sni, seconds)
    if case:
        case.undo(peer.close)
    return peer


def try_in_vain(peer):
    """try_in_vain goes through the handshake of a peer that is to be refused, and reads why: in TLS 1.3 it learns it only so."""
    try:
        peer.handshake()
        peer.receive(1)
    except (Refused, OSError):
        pass


class Endpoint:
    """A listening socket that stands for another service's public listener. accept() returns a Peer whose
    handshake is the caller's next step."""

    def __init__(self, case, port=0, receive_buffer=None, host="127.0.0.1"):
        self.case = case
        self.listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if receive_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.listener.bind((host, port))
        self.listener.listen(128)
        self.address = self.listener.getsockname()
        self.port = self.address[1]
        case.undo(self.close)

    def accept_socket(self, seconds=10.0):
        self.listener.settimeout(seconds * slowness())
        try:
            sock, _ = self.listener.accept()
        except TimeoutError:
            check.fail(f"no connection arrived within {seconds * slowness():.0f} s")
        sock.settimeout(seconds * slowness())
        self.case.undo(sock.close)
        return sock

    def accept(self, identity, roots, tls=None, seconds=10.0, alpn=None):
        return Peer(self.accept_socket(seconds), context(True, identity, roots, tls, alpn), True,
                    seconds=seconds)

    def pending(self, seconds=0.0):
        """pending tells whether a connection is waiting to be accepted."""
        return bool(select.select([self.listener], [], [], seconds)[0])

    def close(self):
        self.listener.close()


class ClientHello:
    """What a ClientHello offers: sni, alpn, groups, key_shares, ciphers, versions, extension numbers, and the ticket to
    resume by, of either version (b"" without one)."""

    def __init__(self, data):
        self.sni, self.alpn, self.groups, self.key_shares, self.versions = None, [], [], [], []
        self.ticket = b""
        self.extensions = []
        at = 4 + 2 + 32
        at += 1 + data[at]
        length = int.from_bytes(data[at:at + 2], "big")
        self.ciphers = self._numbers(data[at + 2:at + 2 + length])
        at += 2 + length
        at += 1 + data[at]
        at += 2
        while at < len(data):
            kind, length = struct.unpack(">HH", data[at:at + 4])
            body = data[at + 4:at + 4 + length]
            at += 4 + length
            self.extensions.append(kind)
            if kind == 0:
                self.sni = body[5:].decode()
            elif kind == 16:
                rest = body[2:]
                while rest:
                    self.alpn.append(rest[1:1 + rest[0]].decode())
                    rest = rest[1 + rest[0]:]
            elif kind == 10:
                self.groups = [GROUPS.get(n, hex(n)) for n in self._numbers(body[2:])]
            elif kind == 35 and body:  # session_ticket, TLS 1.2
                self.ticket = body
            elif kind == 41:  # pre_shared_key, TLS 1.3: of its identities, the first
                self.ticket = body[4:4 + int.from_bytes(body[2:4], "big")]
            elif kind == 43:
                self.versions = self._numbers(body[1:])
            elif kind == 51:
                rest = body[2:]
                while rest:
                    group, size = struct.unpack(">HH", rest[:4])
                    self.key_shares.append(GROUPS.get(group, hex(group)))
                    rest = rest[4 + size:]

    @staticmethod
    def _numbers(data):
        return [int.from_bytes(data[i:i + 2], "big") for i in range(0, len(data), 2)]


def alert_number(record):
    """alert_number reads an unencrypted alert record off the wire: its description, or None."""
    return record[6] if len(record) >= 7 and record[0] == 21 else None


def raw_answer(address, data, seconds=5.0, finish=False):
    """raw_answer sends bytes that are no TLS conversation and returns (answer, end, seconds it took)."""
    client = apps.Client(None, address, seconds)
    try:
        if data:
            client.send(data)
        started = time.monotonic()
        if finish:
            client.finish()
        answer, end = client.drain()
        return answer, end, time.monotonic() - started
    finally:
        client.close()
