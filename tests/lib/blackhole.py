"""A port that takes no connection and refuses none."""

import socket


class BlackHole:
    """A port whose accept queue is full: the kernel drops further SYNs, as a dead host's network would."""

    def __init__(self, case):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.port = self.listener.getsockname()[1]
        self.fill = []
        for _ in range(3):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", self.port))
            self.fill.append(one)
        case.undo(self.close)

    def close(self):
        for one in self.fill + [self.listener]:
            one.close()
