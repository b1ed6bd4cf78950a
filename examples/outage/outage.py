"""The control plane goes away under traffic, and a sidecar is killed and started again meanwhile.

  agent    a real Consul (1.8.7, or the binary that --consul names) with a data directory
  payment  an application that echoes, with a sidecar in front of it
  api      a service of the mesh, whose sidecar mounts payment on a local port
  traffic  connections that api holds open, and a new one every 100 ms

kill -9 the agent; half-way through the outage kill -9 payment's sidecar and start it again at once; start the
agent again. Prints what failed, and exits with 1 if anything did that should not: new connections fail only
while the sidecar is down, live ones break only with it, it serves within a second of its start, and the state is
fresh within ten seconds of the agent's return.
"""
import argparse
import http.client
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "quickstart"))
from quickstart import Agent, Failed, Mesh, closed_ports, free_port, ready, real_consul  # noqa: E402
from traffic import EchoApp, Traffic, one_call  # noqa: E402

HELD = 10            # connections that stay open
SERVING_LIMIT = 1.0  # seconds from a sidecar's start to its first served connection
FRESH_LIMIT = 10.0   # seconds from the agent's return to fresh state
DENY_LIMIT = 1.0     # seconds from a deny to its effect


def step(number, text):
    print(f"[{number}/6] {text}", flush=True)


def result(text):
    print(f"      -> {text}", flush=True)


def status(admin_port):
    """status is the sidecar's /status, or None if it does not answer."""
    connection = http.client.HTTPConnection("127.0.0.1", admin_port, timeout=2)
    try:
        connection.request("GET", "/status")
        return json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


def saved(admin_port):
    """saved tells whether the sidecar's state is on disk, endpoints and all."""
    now = status(admin_port)
    file = now and now.get("state_file")
    return bool(file and file["saved_seconds_ago"] is not None and not file["error"]
                and all(watch["state"] == "ok" for watch in now["watches"]))


def fresh(admin_port):
    """fresh tells whether all that the sidecar goes by was confirmed by the agent in its present life."""
    now = status(admin_port)
    return bool(now and all(watch["source"] == "agent" and watch["state"] == "ok" for watch in now["watches"]))


class Outage:
    def __init__(self, mesh, arguments):
        self.mesh, self.arguments = mesh, arguments
        taken = set()
        self.agent = Agent(free_port(18500, taken))
        ports = {"http": self.agent.port, **closed_ports(arguments.consul_binary)}
        for name, wanted in (("server", 18300), ("serf_lan", 18301), ("serf_wan", 18302)):
            ports[name] = free_port(wanted, taken)
        config = os.path.join(mesh.folder, "consul.json")
        with open(config, "w") as file:
            json.dump({"bind_addr": "127.0.0.1", "node_name": "n1", "disable_update_check": True, "ports": ports,
                       "server": True, "bootstrap_expect": 1, "data_dir": os.path.join(mesh.folder, "consul-data"),
                       "performance": {"raft_multiplier": 1}, "connect": {"enabled": True}}, file)
        self.agent_command = [arguments.consul_binary, "agent", "-config-file", config]
        self.app = EchoApp(free_port(9090, taken))
        self.mount, self.admins = free_port(8004, taken), [free_port(19100, taken), free_port(19101, taken)]
        shared = ["-http-addr", f"127.0.0.1:{self.agent.port}", "-state-dir", os.path.join(mesh.folder, "state")]
        self.payment_command = [
            arguments.mooring, "connect", "proxy", "-service", "payment", "-service-addr",
            f"127.0.0.1:{self.app.server_address[1]}", "-listen", f"127.0.0.1:{free_port(8443, taken)}", "-register",
            "-admin-addr", f"127.0.0.1:{self.admins[0]}", *shared]
        self.api_command = [
            arguments.mooring, "connect", "proxy", "-service", "api", "-upstream", f"payment:{self.mount}",
            "-admin-addr", f"127.0.0.1:{self.admins[1]}", *shared]
        self.broken_promises = []

    def crash(self, process):
        """crash is kill -9. Returns the time of it."""
        self.mesh.running = [entry for entry in self.mesh.running if entry[1] is not process]
        process.kill()
        killed = time.monotonic()
        process.wait()
        return killed

    def promise(self, kept, text):
        if not kept:
            self.broken_promises.append(text)

    def play(self):
        mesh, seconds = self.mesh, self.arguments.seconds
        step(1, "start a real Consul agent, payment and api, each with a sidecar that keeps its state on disk")
        agent = mesh.start("agent", self.agent_command)
        mesh.wait_for("the agent", self.agent.up)
        payment = mesh.start("payment-sidecar", self.payment_command)
        mesh.start("api-sidecar", self.api_command)
        for admin in self.admins:
            mesh.wait_for("a sidecar", lambda: ready(admin))
        mesh.wait_for("a call through the mesh", lambda: one_call(self.mount))
        for admin in self.admins:
            mesh.wait_for("the state on disk", lambda: saved(admin))
        result(f"api reaches payment as 127.0.0.1:{self.mount}; the state is on disk")

        step(2, f"traffic: {HELD} connections that stay, and a new one every 100 ms")
        traffic = Traffic(self.mount, HELD)
        time.sleep(2)
        result(f"{traffic.tried} new connections so far, {len(traffic.failed)} failed")

        step(3, f"kill -9 the agent, for {seconds:g} s")
        gone = self.crash(agent)
        time.sleep(seconds / 2)
        result(f"{traffic.tried} new connections, {len(traffic.failed)} failed, {len(traffic.broken)} of the "
               "held ones broken")

        step(4, "kill -9 payment's sidecar and start it again; the agent is still dead")
        down_from = self.crash(payment)
        started = time.monotonic()
        mesh.start("payment-sidecar-again", self.payment_command)
        while not one_call(self.mount):
            if time.monotonic() > started + 10:
                raise Failed(f"payment is not served again:\n{mesh.tail('payment-sidecar-again')}")
            time.sleep(0.01)
        down_to = time.monotonic()
        serving = down_to - started
        ages = [int(age) for age in re.findall(r"serving from saved state.*age_seconds=\"?(\d+)",
                                               mesh.tail("payment-sidecar-again"))]
        result(f"serves again {serving * 1000:.0f} ms after its start, from state of {max(ages, default=0)} s ago")
        self.promise(serving <= SERVING_LIMIT, f"it took {serving:.2f} s to serve again, not {SERVING_LIMIT:g}")

        time.sleep(max(0.0, gone + seconds - time.monotonic()))
        step(5, "start the agent again, with the data directory that it had")
        begin = time.monotonic()
        mesh.start("agent-again", self.agent_command)
        mesh.running.insert(0, mesh.running.pop())  # stopped last, as it was at first
        mesh.wait_for("the agent", self.agent.up)
        back = time.monotonic()
        for admin in self.admins:
            mesh.wait_for("fresh state", lambda: fresh(admin))
        took = time.monotonic() - back
        result(f"it answers after {back - begin:.1f} s, and the state of both sidecars is fresh {took:.1f} s later")
        self.promise(took <= FRESH_LIMIT, f"fresh state took {took:.1f} s, not {FRESH_LIMIT:g}")
        time.sleep(2)
        traffic.stop()

        mesh.wait_for("a call through the mesh", lambda: one_call(self.mount))
        step(6, "deny api => payment by an intention, and delete it")
        written = time.monotonic()
        intention = self.agent.deny("api", "payment")
        mesh.wait_for("the deny", lambda: not one_call(self.mount))
        took_deny = time.monotonic() - written
        self.agent.delete(intention)
        mesh.wait_for("the way back", lambda: one_call(self.mount))
        result(f"refused {took_deny * 1000:.0f} ms after the write")
        self.promise(took_deny <= DENY_LIMIT, f"the deny took {took_deny:.2f} s, not {DENY_LIMIT:g}")
        self.count(traffic, gone, down_from, down_to, took)

    def count(self, traffic, gone, down_from, down_to, took):
        # What was under way when the sidecar died, or was begun before it served again, is its death's.
        failed = [(begin, end) for begin, end in traffic.failed if end < down_from or begin > down_to]
        # A held connection is asked ten times a second: it learns of the death a moment later.
        broken = [at for at in traffic.broken if not down_from <= at <= down_to + 0.5]
        after = "{:.1f} s after the agent was killed".format
        self.promise(not failed, f"{len(failed)} new connections failed while the sidecar was up, the first "
                                 + "".join(after(begin - gone) for begin, _ in failed[:1]))
        self.promise(not broken, f"{len(broken)} live connections broke without a sidecar's death, the first "
                                 + "".join(after(at - gone) for at in sorted(broken)[:1]))
        print(f"\nnew connections    {traffic.tried} tried, {len(traffic.failed)} failed: "
              f"{len(traffic.failed) - len(failed)} in the {(down_to - down_from) * 1000:.0f} ms in which the "
              f"sidecar was down, {len(failed)} else\n"
              f"live connections   {traffic.held} held, {len(traffic.broken)} broken: "
              f"{len(traffic.broken) - len(broken)} with the sidecar that was killed, {len(broken)} else\n"
              f"fresh state        {took:.1f} s after the agent's return")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30, help="how long the agent is away (30)")
    parser.add_argument("--consul", default="", metavar="PATH", help="the agent's binary (default: Consul 1.8.7)")
    parser.add_argument("--mooring", required=True, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.consul_binary = real_consul(arguments.consul)
    if arguments.consul_binary is None:
        return 1
    folder = tempfile.mkdtemp(prefix="mooring-outage-")
    mesh = Mesh(folder)
    # Ctrl-C and a TERM end the run like a failure does: everything is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        outage = Outage(mesh, arguments)
        outage.play()
        for text in outage.broken_promises:
            print(f"==> {text}", file=sys.stderr)
        if not outage.broken_promises:
            print("\nDone: every promise was kept, nothing is left running.")
        return 1 if outage.broken_promises else 0
    except Failed as failure:
        print(f"\n==> {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        mesh.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
