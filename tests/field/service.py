"""A service's instance as an operator sees it: registered in a real agent with `connect { sidecar_service {} }`, and a
sidecar that `-sidecar-for` starts: Mooring or `consul connect proxy`, by the same flags, one in the other's place.
"""

import http.client
import json
import os
import select
import signal
import threading

from lib import check
from lib.case import Process, now, peer_binary, slowness
from lib.mooring import READS_GUARDED, Mooring
from lib.ports import accepts, free_port, listening


def tcp_check(port, interval="10s"):
    """tcp_check is what the agent gives every sidecar, but it passes from the start: nobody waits for its first run."""
    return {"Name": "Connect Sidecar Listening", "TCP": f"127.0.0.1:{port}", "Interval": interval, "Status": "passing"}


class Instance:
    """`<service>-<number>`. upstreams: names of services; port_of(name) is where the app finds one. checks: a function
    of the port, None for what the agent gives by default (TCP every 10 s, and one that mirrors the service's own).
    flags, wrap: of Mooring alone (lib/mooring.py)."""

    def __init__(self, case, consul, service, number=1, app=None, upstreams=(), checks=None, flags=(), wrap=()):
        self.case, self.consul, self.service, self.flags, self.wrap = case, consul, service, list(flags), wrap
        self.id = f"{service}-{number}"
        self.sidecar_id = f"{self.id}-sidecar-proxy"
        self.port = free_port()
        self.upstreams = {name: free_port() for name in upstreams}
        self.program = None
        self.kind = None
        sidecar = {"Port": self.port, "Proxy": {"Upstreams": [
            {"DestinationName": name, "LocalBindPort": port} for name, port in self.upstreams.items()]}}
        if checks:
            sidecar["Checks"] = checks(self.port)
        consul.register({"ID": self.id, "Name": service, "Port": app.port if app else 1,
                         "Connect": {"SidecarService": sidecar}})

    def port_of(self, upstream):
        return ("127.0.0.1", self.upstreams[upstream])

    # The process.

    def start(self, kind="mooring", flags=()):
        """start runs the sidecar; it does not wait. Returns when it was started. flags: of Mooring alone, this time."""
        self.kind = kind
        words = ["connect", "proxy", "-http-addr", self.consul.address, "-sidecar-for", self.id]
        started = now()
        if kind == "mooring":
            guarded = [] if READS_GUARDED else ["-allow-core"]
            self.program = Mooring(self.case, [*words, *guarded, *self.flags, *flags], ready=False, name=f"mooring-{self.id}",
                                   wrap=self.wrap)
        else:
            self.program = _Go(Process(self.case, [peer_binary("consul"), *words], f"go-{self.id}"))
        self.case.undo(self.abandon)
        return started

    def upgrade(self, flags=()):
        """upgrade starts the next process, which takes over, and returns the one before, which accepts no more by then. It has an
        admin port, which is no other then."""
        before = self.program
        self.case.undo(lambda: before.kill() if before.process.running() else None)
        self.start(flags=["-take-over", *flags])
        self.program.succeeds(before)
        ports = [self.port, *self.upstreams.values()]
        check.within(lambda: all(accepts(self.process.pid, port) for port in ports), f"the next of {self.id} accepts",
                     15 * slowness(), step=0.01)
        check.within(lambda: not any(accepts(before.pid, port) for port in ports), f"the one before of {self.id} does not",
                     15 * slowness(), step=0.01)
        return before

    def abandon(self):
        """abandon ends what still runs at the end of a test: a drain that nobody looks at is not waited for."""
        if self.process.running():
            self.kill()

    @property
    def process(self):
        return self.program.process

    def wait_listening(self):
        ports = [self.port, *self.upstreams.values()]
        check.within(lambda: all(listening(port) for port in ports), f"{self.id}'s sidecar listens", 15 * slowness(),
                     step=0.02)
        return self

    def terminate(self):
        """terminate sends SIGTERM and returns when."""
        moment = now()
        self.process.send(signal.SIGTERM)
        return moment

    def wait_exit(self, seconds=60.0):
        """wait_exit returns when it had ended; the exit code must be 0."""
        # Popen's own waiting looks every 50 ms, which the caller would measure. Who has looked since may have seen its end.
        if self.process.running():
            descriptor = os.pidfd_open(self.process.pid)
            try:
                select.select([descriptor], [], [], seconds)
            finally:
                os.close(descriptor)
        ended = now()
        code = self.process.wait(1)
        check.equal(code, 0, f"exit code of {self.process.name}")
        return ended

    def kill(self):
        if self.kind == "mooring":
            self.program.kill()
        else:
            self.process.kill()
        return now()

    # What the agent says.

    def checks(self):
        """checks maps the IDs of the sidecar's checks to their states, as the agent has them."""
        return {name: entry["Status"] for name, entry in self.consul.get("/v1/agent/checks").items()
                if entry["ServiceID"] == self.sidecar_id}

    def check_critical(self):
        """check_critical tells whether a check of the agent's own says so."""
        return any(status == "critical" for name, status in self.checks().items()
                   if not name.startswith("_service_maintenance"))

    def passing(self):
        """passing tells whether callers are sent to this instance."""
        return any(entry["Service"]["ID"] == self.sidecar_id for entry in self.consul.instances(self.service))

    def in_maintenance(self):
        return f"_service_maintenance:{self.sidecar_id}" in self.checks()

    def wait_passing(self, seconds=15.0):
        check.within(self.passing, f"{self.sidecar_id} is passing", seconds * slowness(), step=0.02)
        return now()


class _Go:
    def __init__(self, process):
        self.process = process


class Catalog:
    """The sidecars of a service as the catalog has them, in every state that a blocking query showed: a list of
    (when, {sidecar's ID: {check's ID: status}}). name: what they are registered under."""

    def __init__(self, case, consul, service, name="{}-sidecar-proxy"):
        self.states = []
        self._path = f"/v1/health/service/{name.format(service)}?wait=1s&index="
        self._address = consul.address
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        case.undo(self.stop)

    def stop(self):
        self._ended.set()
        self._thread.join(3)

    def _run(self):
        index, connection = 1, http.client.HTTPConnection(self._address, timeout=20)
        while not self._ended.is_set():
            try:
                connection.request("GET", f"{self._path}{index}")
                answer = connection.getresponse()
                entries, index = json.loads(answer.read()), answer.headers["X-Consul-Index"]
            except (OSError, http.client.HTTPException, ValueError):
                connection.close()
                self._ended.wait(0.1)
                continue
            state = {e["Service"]["ID"]: {c["CheckID"]: c["Status"] for c in e["Checks"] if c["ServiceID"]}
                     for e in entries}
            if not self.states or self.states[-1][1] != state:
                self.states.append((now(), state))

    def between(self, since, until):
        """between are the states in force at some time in [since, until]."""
        states = list(self.states)
        first = max((n for n, (when, _) in enumerate(states) if when <= since), default=0)
        return [state for when, state in states[first:] if when <= until]

    def was_in_maintenance(self, instance, since, until):
        name = f"_service_maintenance:{instance.sidecar_id}"
        return any(name in state.get(instance.sidecar_id, {}) for state in self.between(since, until))

    def check_failed(self, instance, since, until):
        """check_failed tells whether a check of the agent's own was critical."""
        return any(status == "critical" and not name.startswith("_service_maintenance")
                   for state in self.between(since, until)
                   for name, status in state.get(instance.sidecar_id, {}).items())

    def passing_since(self, instance, since):
        """passing_since is when callers were first sent to the instance, at `since` or later; None: not yet."""
        states = list(self.states)
        for number, (when, state) in enumerate(states):
            checks = state.get(instance.sidecar_id)
            later = states[number + 1][0] if number + 1 < len(states) else float("inf")
            if later > since and checks is not None and "critical" not in checks.values():
                return max(when, since)
        return None

    def reappeared(self, instance, since):
        """reappeared tells whether the instance was passing again after it was not, as callers see it."""
        out = False
        for when, state in list(self.states):
            checks = state.get(instance.sidecar_id)
            here = checks is not None and "critical" not in checks.values()
            if when > since and here and out:
                return True
            out = out or (when > since and not here)
        return False
