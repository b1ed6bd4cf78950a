"""The other ends of the subject's connections: the service behind its upstream, connections that are held open,
and connections made all the time."""

import threading

from lib import apps, check, tlspeer
from lib.case import now, slowness


class FarService:
    """The service behind the upstream: takes the subject's connections, proves itself by `identity`, asks
    for a certificate that leads to `roots`, and echoes. Both may be changed between connections."""

    def __init__(self, case, identity, roots, everywhere=False, host="127.0.0.1"):
        self.identity, self.roots = identity, roots
        self.failures = []  # of handshakes
        self.app = apps.App(case, self._serve, everywhere=everywhere, host=host)
        self.address, self.port = self.app.address, self.app.port

    def _serve(self, app, seen):
        identity, roots = self.identity, self.roots
        made = tlspeer.context(True, identity, roots)
        try:
            # The record's socket is the TLS one from now on: closing the application closes that.
            seen.connection = made.wrap_socket(seen.connection, server_side=True)
        except OSError as error:
            self.failures.append(str(error))
            raise
        app.read_to_end(seen, echo=True)


class Held:
    """One open connection each way. inbound: a TLS peer as the caller, or None. outbound: a client, or None."""

    def __init__(self, inbound, outbound):
        self.inbound, self.outbound = inbound, outbound

    def works(self):
        """works asserts that bytes still go through and come back."""
        for name, one in (("inbound", self.inbound), ("outbound", self.outbound)):
            if one is None:
                continue
            try:
                seen = one.send(b"still").receive(5)
            except OSError as error:
                seen = error
            check.true(seen == b"still", f"the {name} connection held since before got no echo: {seen!r}")
        return True

    def cut_within(self, seconds):
        """cut_within asserts that both end within that time (stretched by slowness)."""
        deadline = now() + seconds * slowness()
        if self.inbound is not None:
            check.true(self.inbound.ended_within(max(0.0, deadline - now()) / slowness()),
                       f"the inbound connection is not cut within {seconds:g} s")
        if self.outbound is not None:
            data, end = self.outbound.drain(max(0.01, deadline - now()) / slowness())
            check.true(not data and end != "timeout", f"the outbound connection is not cut within {seconds:g} s")
        return True

    def close(self):
        for one in (self.inbound, self.outbound):
            if one is not None:
                one.close()


class Traffic:
    """A new connection each way every `pause` seconds in a thread of its own, until stop()."""

    def __init__(self, subject, pause=0.05):
        self.subject, self.pause = subject, pause
        self.made, self.failures, self.slowest = 0, [], 0.0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.stopping.wait(self.pause):
            for call in (self.subject.inbound_works, self.subject.outbound_works):
                try:
                    self.slowest = max(self.slowest, call())
                    self.made += 1
                except AssertionError as error:
                    self.failures.append(str(error))

    def more(self, count=4, seconds=10.0):
        """more waits for that many further connections, or a failed one."""
        before = self.made
        check.within(lambda: self.failures or self.made >= before + count, f"{count} more connections",
                     seconds * slowness())

    def stop(self):
        """stop asserts that not one connection failed."""
        self.stopping.set()
        self.thread.join(20 * slowness())
        if self.failures:
            check.fail(f"{len(self.failures)} of {self.made + len(self.failures)} calls failed: {self.failures[0]}")
        check.true(self.made > 0, "connections were made")
