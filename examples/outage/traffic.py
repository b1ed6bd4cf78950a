"""Echo traffic through the mesh, counted: connections that are held, and new ones all the time."""
import socket
import socketserver
import threading
import time

PATIENCE = 5.0  # seconds for one echo; beyond it a connection counts as failed


class _Echo(socketserver.BaseRequestHandler):
    def handle(self):
        try:
            while data := self.request.recv(65536):
                self.request.sendall(data)
        except OSError:
            pass


class EchoApp(socketserver.ThreadingTCPServer):
    """The application behind the sidecar. Its port is server_address[1]."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, port):
        super().__init__(("127.0.0.1", port), _Echo)
        threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True).start()


def echo(connection, data):
    """echo tells whether the data comes back."""
    try:
        connection.sendall(data)
        got = b""
        while len(got) < len(data):
            more = connection.recv(len(data) - len(got))
            if not more:
                return False
            got += more
        return got == data
    except OSError:
        return False


def dial(port):
    try:
        return socket.create_connection(("127.0.0.1", port), PATIENCE)
    except OSError:
        return None


def one_call(port):
    """one_call is a new connection with one echo: whether it worked."""
    connection = dial(port)
    if connection is None:
        return False
    with connection:
        return echo(connection, b"ping")


class Traffic:
    """`held` connections that echo ten times a second, and a new connection every 100 ms, until stop().

    tried: how many new ones. failed: (begin, end) of each new one that failed. broken: when a held one broke; it
    is opened again at once.
    """

    def __init__(self, port, held):
        self.port, self.held = port, held
        self.tried, self.failed, self.broken = 0, [], []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._hold, daemon=True) for _ in range(held)]
        self._threads.append(threading.Thread(target=self._make_new, daemon=True))
        for thread in self._threads:
            thread.start()

    def _hold(self):
        while not self._stopping.is_set():
            connection = dial(self.port)
            if connection is None:
                self._stopping.wait(0.05)
                continue
            with connection:
                works = echo(connection, b"first")
                if not works:
                    self._stopping.wait(0.05)  # never was one that is held: the new ones count this
                while works and not self._stopping.wait(0.1):
                    works = echo(connection, b"still there")
                    if not works:
                        with self._lock:
                            self.broken.append(time.monotonic())

    def _make_new(self):
        calls = []
        due = time.monotonic()
        while not self._stopping.is_set():
            # Each in a thread of its own: one that waits does not hold up the next.
            calls = [call for call in calls if call.is_alive()]
            calls.append(threading.Thread(target=self._call, daemon=True))
            calls[-1].start()
            due += 0.1
            self._stopping.wait(max(0.0, due - time.monotonic()))
        for call in calls:
            call.join(2 * PATIENCE)

    def _call(self):
        begin = time.monotonic()
        worked = one_call(self.port)
        with self._lock:
            self.tried += 1
            if not worked:
                self.failed.append((begin, time.monotonic()))

    def stop(self):
        self._stopping.set()
        for thread in self._threads:
            thread.join(3 * PATIENCE)
