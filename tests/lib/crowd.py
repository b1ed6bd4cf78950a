"""Thousands of sockets in one thread: strangers, clients, and an application that holds what comes."""

import errno
import fcntl
import os
import resource
import select
import socket
import struct
import threading
import time
from pathlib import Path

from lib import namespaces


def raise_file_limit():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def high(one):
    """high moves a socket to a large number: the low ones are for those who ask select()."""
    moved = socket.socket(fileno=fcntl.fcntl(one.fileno(), fcntl.F_DUPFD_CLOEXEC, 2000))
    moved.setblocking(False)
    one.close()
    return moved


def say(text):
    """say adds a line with what was measured to the file that MOORING_FIGURES names, if it names one."""
    if path := os.environ.get("MOORING_FIGURES"):
        with open(path, "a") as file:
            file.write(text + "\n")


def small_network(case):
    """small_network takes the test into a network of its own whose sockets have small buffers. The kernel's memory for TCP is
    one for the whole machine: thousands of connections that are stuffed to the brim have it reset those of others ("TCP: out
    of memory")."""
    namespaces.own_network(case, "a crowd of stuffed connections")
    for name, most in (("tcp_rmem", 131072), ("tcp_wmem", 16384)):
        Path(f"/proc/sys/net/ipv4/{name}").write_text(f"4096 16384 {most}")


class Crowd:
    """Connections to one address, non-blocking. Each has bytes to send, and its end is noted."""

    def __init__(self, case, address, reads=True):
        raise_file_limit()
        self.address = address
        self.interest = select.EPOLLIN if reads else 0
        self.joined = 0
        self.poll = select.epoll()
        self.open = {}      # descriptor -> socket
        self.left = {}      # descriptor -> bytes not yet sent
        self.heard = {}     # descriptor -> bytes received, the first of them
        self.answers = []   # of those that have ended
        self.ended = 0
        self.refused = 0    # connects that failed
        case.undo(self.close)

    def join(self, count, data=b""):
        for _ in range(count):
            self.joined += 1
            one = high(socket.socket())
            error = one.connect_ex(self.address)
            if error not in (0, errno.EINPROGRESS):
                self.refused += 1
                one.close()
                continue
            self.open[one.fileno()] = one
            self.left[one.fileno()] = memoryview(data)
            self.heard[one.fileno()] = b""
            self.poll.register(one.fileno(), self.interest | (select.EPOLLOUT if data else 0))
        return self

    def serve(self, seconds, until=lambda: False):
        """serve sends, receives and notes ends until the time is up or until() is true. It says which it was."""
        deadline = time.monotonic() + seconds
        while True:
            for fd, events in self.poll.poll(0.02):
                if fd in self.open:
                    self._serve(fd, events)
            if until():
                return True
            if time.monotonic() >= deadline:
                return False

    def _serve(self, fd, events):
        one = self.open[fd]
        try:
            if events & select.EPOLLOUT and self.left[fd]:
                sent = one.send(self.left[fd])
                self.left[fd] = self.left[fd][sent:]
                if not self.left[fd]:
                    self.poll.modify(fd, self.interest)
            if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                data = one.recv(65536)
                if not data:
                    raise ConnectionResetError
                self.heard[fd] = (self.heard[fd] + data)[:4096]
        except BlockingIOError:
            pass
        except OSError:
            self._end(fd)

    def finish(self, fd):
        """finish ends one of them cleanly, without counting it among those that were ended."""
        self.poll.unregister(fd)
        self.open.pop(fd).close()
        del self.left[fd], self.heard[fd]

    def _end(self, fd):
        self.poll.unregister(fd)
        self.open.pop(fd).close()
        del self.left[fd]
        self.answers.append(self.heard.pop(fd))
        self.ended += 1

    def reset(self):
        """reset ends those that are left."""
        for one in self.open.values():
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.close()
        self.open.clear()
        self.left.clear()
        self.heard.clear()
        self.poll.close()
        self.poll = select.epoll()

    def close(self):
        self.reset()
        self.poll.close()


class Holder:
    """An application that accepts and holds: it reads nothing and sends as much as is taken. With `first`, only connections
    whose first byte is that one; the others it echoes."""

    def __init__(self, case, first=None, backlog=4096):
        raise_file_limit()
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(backlog)
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.first = first
        self.poll = select.epoll()
        self.poll.register(self.listener.fileno(), select.EPOLLIN)
        self.held = {}  # descriptor -> socket
        self.echoes = set()
        self.sent = 0
        self.over = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        case.undo(self.close)

    def _run(self):
        while not self.over:
            for fd, events in self.poll.poll(0.1):
                try:
                    self._serve(fd, events)
                except BlockingIOError:
                    pass
                except OSError:
                    if fd != self.listener.fileno():
                        self.poll.unregister(fd)

    def _serve(self, fd, events):
        if fd == self.listener.fileno():
            one = high(self.listener.accept()[0])
            self.held[one.fileno()] = one
            talks = select.EPOLLOUT | select.EPOLLET
            self.poll.register(one.fileno(), talks if self.first is None else select.EPOLLIN)
        elif events & (select.EPOLLERR | select.EPOLLHUP):
            raise ConnectionResetError
        elif events & select.EPOLLIN:
            if fd not in self.echoes and self.held[fd].recv(1, socket.MSG_PEEK) == self.first:
                self.poll.modify(fd, select.EPOLLOUT | select.EPOLLET)
                return
            self.echoes.add(fd)
            data = self.held[fd].recv(65536)
            if not data:
                raise ConnectionResetError
            self.held[fd].send(data)
        else:
            self.sent += self.held[fd].send(b"s" * 65536)
            self.poll.modify(fd, select.EPOLLOUT | select.EPOLLET)

    def drop(self):
        """drop resets all that it holds."""
        for one in self.held.values():
            try:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            except OSError:
                pass
            one.close()

    def close(self):
        self.over = True
        self.thread.join(5)
        self.drop()
        self.listener.close()
        self.poll.close()
