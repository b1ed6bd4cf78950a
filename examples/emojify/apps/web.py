"""What the shop's HTTP programs share: a server on loopback alone, JSON in and out, a line an event, the end."""

import http.server
import json
import re
import signal
import socketserver
import sys
import threading
import time

LOOPBACK = "127.0.0.1"
LARGEST = 8 << 20  # bytes of a body


class Refused(Exception):
    """An answer that is an error: the status, words for whoever reads them, and a code for programs."""

    def __init__(self, status, words, code="bad_request"):
        super().__init__(words)
        self.status, self.words, self.code = status, words, code


class Raw:
    """An answer that is no JSON."""

    def __init__(self, body, kind, headers=()):
        self.body, self.kind, self.headers = body, kind, dict(headers)


def address(text):
    """address parses HOST:PORT."""
    found = re.fullmatch(r"([^:\s]+):(\d{1,5})", text)
    if not found or int(found[2]) > 65535:
        raise ValueError(f"{text!r} is no HOST:PORT, such as 127.0.0.1:9000")
    return found[1], int(found[2])


def own(text):
    """own parses HOST:PORT of a port of our own, where only loopback is taken: the mesh is the way in."""
    host, port = address(text)
    if host != LOOPBACK:
        raise ValueError(f"{text!r}: this program listens on {LOOPBACK} alone; others reach it through its sidecar")
    return host, port


def argument(parse):
    """argument makes a parser of ours one for argparse, which shows the words of its own error alone."""
    import argparse

    def parsed(text):
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
    return parsed


def say(name, words):
    """say writes a line at once. Text from outside may not make a second one of it."""
    line = "".join(letter if letter.isprintable() else "?" for letter in words)
    sys.stdout.write(f"{name}: {line}\n")
    sys.stdout.flush()


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128
    allow_reuse_address = True

    def __init__(self, name, listen, routes):
        """routes: (method, path) to a function of a Request; a path that ends in * is the beginning of one."""
        self.name, self.routes = name, routes
        self.under_way, self.lock = 0, threading.Lock()
        super().__init__(listen, Handler)

    def server_bind(self):
        socketserver.TCPServer.server_bind(self)  # HTTPServer's asks DNS for the host's name
        self.server_name, self.server_port = self.server_address[:2]

    def count(self, change):
        with self.lock:
            self.under_way += change

    def handle_error(self, request, client_address):
        """A caller that goes away is no event."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            say(self.name, f"error: {type(error).__name__}: {error}")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 75  # of a connection that a proxy keeps, too

    def log_message(self, *_):
        pass

    def version_string(self):
        return "emojify"

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self._any
        raise AttributeError(name)

    def _route(self):
        path = self.path.partition("?")[0]
        methods = set()
        for (method, where), action in self.server.routes.items():
            if path == where or where.endswith("*") and path.startswith(where[:-1]):
                if method == self.command or (method, self.command) == ("GET", "HEAD"):
                    return action
                methods.add(method)
        if methods:
            raise Refused(405, f"{path} takes {' or '.join(sorted(methods))}", "method")
        raise Refused(404, f"there is nothing at {path}", "not_found")

    def _any(self):
        self.server.count(+1)
        try:
            self._answer()
        finally:
            self.server.count(-1)

    def _answer(self):
        try:
            self._body()
            answer, status = self._route()(self), 200
        except Refused as error:
            answer, status = {"error": error.words, "code": error.code}, error.status
        if not isinstance(answer, Raw):
            answer = Raw(json.dumps(answer).encode() + b"\n", "application/json")
        self.send_response(status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        for name, value in {"Cache-Control": "no-store", **answer.headers}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _body(self):
        """_body reads it before anything is decided, so that the connection can be used again."""
        self.body = b""
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdecimal():
            self.close_connection = True
            raise Refused(411, "say the body's Content-Length", "length")
        if int(length) > LARGEST:
            self.close_connection = True
            raise Refused(413, f"more than {LARGEST >> 20} MB", "too_large")
        self.body = self.rfile.read(int(length))
        if len(self.body) < int(length):
            self.close_connection = True
            raise Refused(400, "the body ends before its Content-Length", "length")

    def json(self):
        """json is the body as an object."""
        try:
            said = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise Refused(400, f"the body is no JSON: {error}") from None
        if not isinstance(said, dict):
            raise Refused(400, 'the body is no JSON object, such as {"order": "..."}')
        return said


def serve(server):
    """serve answers until SIGTERM or SIGINT. What is under way then is finished, for two seconds at most."""
    def end(*_):
        threading.Thread(target=server.shutdown).start()
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    say(server.name, f"listening on {server.server_address[0]}:{server.server_address[1]}")
    server.serve_forever(poll_interval=0.05)
    server.server_close()
    over = time.monotonic() + 2
    while server.under_way and time.monotonic() < over:
        time.sleep(0.01)
    say(server.name, "ends")
