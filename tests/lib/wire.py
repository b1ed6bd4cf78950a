"""One thread's epoll loop, and connections in it, plain or TLS: for programs that hold hundreds and count every failure."""

import errno
import heapq
import itertools
import select
import socket
import ssl
import struct
import time

AT_ONCE = 1 << 16  # bytes that are read at once

# How a connection ended: what the caller's own system, or the other side, said.
REFUSED, RESET, EOF = "refused", "reset", "eof"


def how_it_ended(error):
    """how_it_ended names the end that an error of a socket is."""
    if isinstance(error, ConnectionRefusedError):
        return REFUSED
    if isinstance(error, (ConnectionResetError, BrokenPipeError)):
        return RESET
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return EOF
    if isinstance(error, ssl.SSLError):
        return f"tls: {error.reason or error}".lower()
    return errno.errorcode.get(error.errno, str(error)).lower()


class Loop:
    """Watches sockets and times. late is for how long the machine has kept it, at most, since that was last asked."""

    def __init__(self):
        self._poll, self._handlers = select.epoll(), {}
        self._times, self._numbers = [], itertools.count()
        self._late = 0.0
        self.running = True

    def watch(self, fd, events, handler):
        self._handlers[fd] = handler
        self._poll.register(fd, events)

    def change(self, fd, events):
        self._poll.modify(fd, events)

    def forget(self, fd):
        del self._handlers[fd]
        try:
            self._poll.unregister(fd)
        except OSError:  # closed already
            pass

    def soon(self, action):
        """soon is in the loop's next turn."""
        self.at(time.monotonic(), action)

    def at(self, moment, action):
        heapq.heappush(self._times, (moment, next(self._numbers), action))

    def late(self):
        late, self._late = self._late, 0.0
        return late

    def run(self):
        while self.running:
            pause = max(0.0, self._times[0][0] - time.monotonic()) if self._times else -1
            for fd, events in self._poll.poll(pause):
                if handler := self._handlers.get(fd):
                    handler(events)
            now = time.monotonic()
            while self._times and self._times[0][0] <= now and self.running:
                moment, _, action = heapq.heappop(self._times)
                self._late = max(self._late, now - moment)
                action()


class Wire:
    """A connection. Of its owner it calls came(data), and once over(how). With a context it is TLS, and says nothing
    before its handshake is done: opened() tells. source() has more to send, each time that all is sent."""

    def __init__(self, loop, connection, owner, context=None, server=False):
        self.loop, self.owner = loop, owner
        self._server, self._context = server, context
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket, self._fd = connection, connection.fileno()
        self._left, self._events, self._closed, self._deaf = b"", 0, False, False
        self.source = None
        self._step = self._accepted if server else self._connected
        loop.watch(self._fd, select.EPOLLIN if server else select.EPOLLOUT, self._turn)
        self._events = select.EPOLLIN if server else select.EPOLLOUT

    @classmethod
    def dial(cls, loop, address, owner, context=None):
        """dial begins to connect; a refusal that is known at once comes by over(), too, in the loop's next turn."""
        connection = socket.socket()
        wire = cls(loop, connection, owner, context)
        error = connection.connect_ex(address)
        if error not in (0, errno.EINPROGRESS):
            loop.soon(lambda: wire._end(how_it_ended(OSError(error, ""))))
        return wire

    def send(self, data):
        if self._closed:
            return
        self._left += data
        self._flush()

    def read_no_more(self):
        """read_no_more leaves in the kernel what comes from now on. A reset is noticed, an end is not."""
        self._deaf = True
        self._wait(self._events)

    def close(self, abruptly=False):
        """close says goodbye in the words of TLS, where it is TLS; abruptly is a reset."""
        if self._closed:
            return
        self._closed = True
        self.loop.forget(self._fd)
        try:
            if abruptly:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif isinstance(self._socket, ssl.SSLSocket):
                self._socket.unwrap()
        except (OSError, ValueError):  # it waits for the other's goodbye, which we do not
            pass
        self._socket.close()

    def _end(self, how):
        if not self._closed:
            self._closed = True
            self.loop.forget(self._fd)
            self._socket.close()
            self.owner.over(how)

    def _turn(self, events):
        if self._deaf and events & (select.EPOLLERR | select.EPOLLHUP):
            return self._end(RESET)
        try:
            self._step()
        except ssl.SSLWantReadError:
            self._wait(select.EPOLLIN)
        except ssl.SSLWantWriteError:
            self._wait(select.EPOLLIN | select.EPOLLOUT)
        except BlockingIOError:
            self._wait(select.EPOLLIN | (select.EPOLLOUT if self._left else 0))
        except OSError as error:
            self._end(how_it_ended(error))
        return None

    def _wait(self, events):
        if self._deaf:
            events &= ~select.EPOLLIN
        if not self._closed and events != self._events:
            self._events = events
            self.loop.change(self._fd, events)

    def _connected(self):
        error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, "")
        self._accepted()

    def _accepted(self):
        if self._context:
            # Wrapping takes the descriptor over: it stays the same number, so the loop need not know.
            self._socket = self._context.wrap_socket(self._socket, server_side=self._server,
                                                     do_handshake_on_connect=False, suppress_ragged_eofs=False)
            self._step = self._handshake
            self._handshake()
        else:
            self._open()

    def _handshake(self):
        self._socket.do_handshake()
        self._open()

    def _open(self):
        self._step = self._move
        self._wait(select.EPOLLIN)
        self.owner.opened()
        self._move()

    def _move(self):
        self._flush()
        while not self._closed and not self._deaf:
            data = self._socket.recv(AT_ONCE)
            if not data:
                return self._end(EOF)
            self.owner.came(data)

    def _flush(self):
        if self._step != self._move:
            return
        try:
            while self._left and not self._closed:
                self._left = self._left[self._socket.send(self._left):]
        except (BlockingIOError, ssl.SSLWantWriteError):
            self._wait(select.EPOLLIN | select.EPOLLOUT)
        except OSError as error:
            how = how_it_ended(error)
            # Not from within send(): its caller is in the middle of something.
            self.loop.soon(lambda: self._end(how))
        else:
            if self.source and not self._closed:
                self._left = self.source()
            self._wait(select.EPOLLIN | (select.EPOLLOUT if self._left else 0))
