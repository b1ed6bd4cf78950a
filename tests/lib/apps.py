"""TCP applications and clients for both ends of a proxied connection. They record what they saw.

An application is a thread per connection, blocking calls with long limits; tests wait on its records.
`end` of a side is how the stream to us ended: "eof", "reset", "timeout", or an errno name.
"""

import errno
import hashlib
import socket
import struct
import threading
import time

from lib import check
from lib.case import slowness

LIMIT = 60.0


def reset(connection):
    """reset aborts the connection: the other side gets an RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def end_of(error):
    if isinstance(error, (ConnectionResetError, BrokenPipeError)):
        return "reset"
    if isinstance(error, TimeoutError):
        return "timeout"
    return errno.errorcode.get(error.errno, str(error))


def pattern(length, seed=7):
    """pattern is that many bytes which do not repeat at any power of two."""
    block = bytes((i * 131 + seed + (i >> 8) * 17) & 0xFF for i in range(min(length, 65521)))
    return (block * (length // max(1, len(block)) + 1))[:length]


class Seen:
    """Seen is the record of one connection at an application."""

    def __init__(self, connection, peer):
        self.connection, self.peer = connection, peer
        self.received = 0
        self.digest = hashlib.sha256()
        self.head = b""
        self.sent = 0
        self.end = None
        self.go = threading.Event()  # set by a test where the behaviour waits for it

    def sha256(self):
        return self.digest.hexdigest()

    def take(self, data):
        self.received += len(data)
        self.digest.update(data)
        if len(self.head) < 4096:
            self.head += data[:4096 - len(self.head)]


class App:
    """A server on 127.0.0.1, or everywhere: on every loopback address. behaviour(app, seen) runs for each
    connection in a thread of its own."""

    def __init__(self, case, behaviour, port=0, receive_buffer=None, everywhere=False, host="127.0.0.1"):
        self.behaviour = behaviour
        self.seen = []
        self.markers = set()  # our own connections, by their addresses; see count()
        self.changed = threading.Condition()
        self.listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if receive_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if everywhere:
            # The device's name keeps every other network out.
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
        self.listener.bind(("0.0.0.0" if everywhere else host, port))
        self.listener.listen(1024)
        self.address = self.listener.getsockname()
        self.port = self.address[1]
        self.threads = threading.Thread(target=self._accept, daemon=True)
        self.threads.start()
        case.undo(self.close)

    def _accept(self):
        while True:
            try:
                connection, peer = self.listener.accept()
            except OSError:
                return
            if peer in self.markers:
                connection.close()
                with self.changed:
                    self.markers.discard(peer)
                    self.changed.notify_all()
                continue
            connection.settimeout(LIMIT)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            seen = Seen(connection, peer)
            with self.changed:
                self.seen.append(seen)
                self.changed.notify_all()
            threading.Thread(target=self._serve, args=(seen,), daemon=True).start()

    def _serve(self, seen):
        end = "eof"
        try:
            self.behaviour(self, seen)
        except OSError as error:
            end = end_of(error)
        finally:
            seen.connection.close()
            with self.changed:
                seen.end = seen.end or end
                self.changed.notify_all()

    def read_to_end(self, seen, echo=False):
        while data := seen.connection.recv(1 << 18):
            seen.take(data)
            if echo:
                seen.connection.sendall(data)
                seen.sent += len(data)
            with self.changed:
                self.changed.notify_all()

    def wait(self, condition, what, seconds=10.0):
        """wait returns condition() once true; it is asked again whenever a connection makes progress."""
        deadline = time.monotonic() + seconds * slowness()
        with self.changed:
            while True:
                value = condition()
                if value:
                    return value
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"{what}: not within {seconds * slowness():.0f} s; application saw "
                                         f"{[(s.received, s.end) for s in self.seen]}")
                self.changed.wait(min(left, 0.25))

    def connection(self, index=0, seconds=10.0):
        """connection waits for the index-th connection and returns its record."""
        self.wait(lambda: len(self.seen) > index, f"connection {index} at the application", seconds)
        return self.seen[index]

    def ended(self, index=0, seconds=10.0):
        """ended waits until the index-th connection is over and returns its record."""
        seen = self.connection(index, seconds)
        self.wait(lambda: seen.end, f"the end of connection {index} at the application", seconds)
        return seen

    def count(self):
        """count is the number of connections that have come, those included that wait to be accepted: they are in line
        before one of our own, which is not counted."""
        with socket.socket() as marker:
            marker.settimeout(LIMIT)
            marker.bind(("127.0.0.1", 0))
            name = marker.getsockname()
            with self.changed:
                self.markers.add(name)
            try:
                marker.connect(("127.0.0.1", self.port))
            except OSError:  # closed: all that came has been accepted
                return len(self.seen)
            with self.changed:
                self.changed.wait_for(lambda: name not in self.markers, LIMIT)
                return len(self.seen)

    def close(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept
        except OSError:
            pass
        self.listener.close()
        for seen in self.seen:
            seen.go.set()
            if seen.end is None:
                try:
                    seen.connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


def echo(app, seen):
    """Every byte back; ends when the client does."""
    app.read_to_end(seen, echo=True)


def late(answer):
    """late answers only after the client's end of stream, as request/answer protocols on half-close do."""
    def behaviour(app, seen):
        app.read_to_end(seen)
        seen.end = "eof"
        seen.connection.sendall(answer)
        seen.sent = len(answer)
    return behaviour


def sink(app, seen):
    """Never reads until told to (seen.go), then reads to the end."""
    seen.go.wait(LIMIT * 5)
    app.read_to_end(seen)


def refuse_after_answer(app, seen):
    """Reads one chunk, answers `bye`, and once told to (seen.go) resets the connection."""
    seen.take(seen.connection.recv(65536))
    seen.connection.sendall(b"bye")
    with app.changed:
        app.changed.notify_all()
    seen.go.wait(LIMIT)
    seen.end = "reset by us"
    reset(seen.connection)


def close_first(app, seen):
    """Says hello and ends its own direction at once; goes on reading."""
    seen.connection.sendall(b"hello\n")
    seen.connection.shutdown(socket.SHUT_WR)
    app.read_to_end(seen)


def debtor(app, seen):
    """Every chunk back at once, but for `owe`, whose answer waits until it is told to give it (seen.go)."""
    while data := seen.connection.recv(1 << 18):
        seen.take(data)
        with app.changed:
            app.changed.notify_all()
        if data == b"owe":
            seen.go.wait(LIMIT)
        seen.connection.sendall(data)


def greet(app, seen):
    """Speaks first, as SMTP and MySQL servers do, then echoes."""
    seen.connection.sendall(b"hello\n")
    app.read_to_end(seen, echo=True)


class Client:
    """A TCP client of a local listener. address is (host, port) or the path of a unix socket. A connection
    that is reset right after it was accepted is one that was made: what is sent is lost, drain() tells."""

    def __init__(self, case, address, seconds=10.0, receive_buffer=None):
        self.limit = seconds * slowness()
        self.lost = False
        if isinstance(address, (str, bytes)) or hasattr(address, "__fspath__"):
            self.socket = socket.socket(socket.AF_UNIX)
            address = str(address)
        else:
            self.socket = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(self.limit)
        try:
            self.socket.connect(address)
        except ConnectionResetError:
            self.lost = True
        if self.socket.family == socket.AF_INET:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if case:
            case.undo(self.close)

    def send(self, data):
        if not self.lost:
            try:
                self.socket.sendall(data)
            except (ConnectionResetError, BrokenPipeError):
                self.lost = True
        return self

    def finish(self):
        """finish ends our direction (FIN)."""
        if not self.lost:
            self.socket.shutdown(socket.SHUT_WR)
        return self

    def receive(self, length):
        """receive returns exactly that many bytes, or fewer if the stream ends before."""
        parts, got = [], 0
        while got < length:
            data = self.socket.recv(min(1 << 18, length - got))
            if not data:
                break
            parts.append(data)
            got += len(data)
        return b"".join(parts)

    def drain(self, seconds=None):
        """drain reads until the stream ends: (bytes, how)."""
        parts = []
        if self.lost:
            # Linux told of the reset already; the bytes received before it are there nevertheless.
            try:
                while data := self.socket.recv(1 << 18):
                    parts.append(data)
            except OSError:
                pass
            return b"".join(parts), "reset"
        self.socket.settimeout(self.limit if seconds is None else seconds * slowness())
        try:
            while data := self.socket.recv(1 << 18):
                parts.append(data)
            end = "eof"
        except OSError as error:
            end = end_of(error)
        return b"".join(parts), end

    def reset(self):
        reset(self.socket)

    def close(self):
        self.socket.close()

    def flood(self, limit, seconds=2.0):
        """flood sends until nothing was taken for that long or the limit is reached: bytes taken."""
        chunk = b"f" * 65536
        sent = 0
        self.socket.settimeout(seconds)
        try:
            while sent < limit:
                sent += self.socket.send(chunk[:min(len(chunk), limit - sent)])
        except TimeoutError:
            pass
        finally:
            self.socket.settimeout(self.limit)
        return sent


class Sender:
    """Sends in a thread while the test reads; done() joins and raises what went wrong."""

    def __init__(self, client, data, finish=False):
        self.error = None
        self.thread = threading.Thread(target=self._run, args=(client, data, finish), daemon=True)
        self.thread.start()

    def _run(self, client, data, finish):
        try:
            client.send(data)
            if finish:
                client.finish()
        except OSError as error:
            self.error = error

    def done(self, seconds=30.0):
        self.thread.join(seconds * slowness())
        check.true(not self.thread.is_alive(), "the sender has not finished")
        if self.error:
            raise AssertionError(f"while sending: {self.error}")


def exchange(case, address, data, seconds=30.0):
    """exchange sends data to an echoing application while reading it back, then ends its direction: all
    that came back, and how it ended. The end comes last because not every peer keeps half-close."""
    client = Client(case, address, seconds)
    sender = Sender(client, data)
    answer = client.receive(len(data))
    sender.done()
    if len(answer) < len(data):
        client.close()
        return answer, "eof too early"
    client.finish()
    more, end = client.drain()
    client.close()
    return answer + more, end


def echo_works(case, address, data=b"ping", seconds=10.0):
    """echo_works asserts that an echo goes through and ends clean."""
    check.equal(exchange(case, address, data, seconds), (data, "eof"), "echo")


def bare_connect(address):
    """bare_connect connects and closes, as a health check does, and returns the port it came from."""
    with socket.create_connection(address) as probe:
        return probe.getsockname()[1]


def ping(address, data=b"ping", seconds=5.0):
    """ping tells whether an echo of a few bytes goes through now."""
    try:
        client = Client(None, address, seconds)
    except OSError:
        return False
    try:
        return client.send(data).receive(len(data)) == data
    except OSError:
        return False
    finally:
        client.close()
