"""Consul: three servers that elect a leader by Raft, and a client agent on each machine, all of them real."""

import json

from lib import check, consul_version
from lib.case import peer_binary, slowness
from lib.consul import Consul
from stage import requests

HTTP, SERVER, SERF = 18500, 18300, 18301  # ports: none that an agent of the machine's own might have


class Agent(Consul):
    """One agent, asked on its machine's loopback. Its state is on disk: it can be killed and started again."""

    def __init__(self, machine, name, address, http="127.0.0.1", join=(), server=0, services=()):
        self.case, self.machine, self.name = machine.case, machine, name
        self.address, self.token, self.process = f"{http}:{HTTP}", None, None
        self.rpc = f"{address}:{SERVER}"
        config = {"node_name": name, "bind_addr": address, "client_addr": http, "disable_update_check": True,
                  "data_dir": str(self.case.directory / f"consul-{name}"), "log_level": "INFO",
                  "retry_join": [one for one in join if one != address], "retry_interval": "1s",
                  "connect": {"enabled": True},
                  "leave_on_terminate": False, "skip_leave_on_interrupt": True,
                  "ports": {"http": HTTP, "server": SERVER, "serf_lan": SERF, "serf_wan": -1,
                            **consul_version.closed_ports()},
                  "services": list(services)}
        if server:
            config.update(server=True, bootstrap_expect=server, performance={"raft_multiplier": 1},
                          **({"ui_config": {"enabled": True}} if consul_version.since(1, 9) else {"ui": True}))
        self._file = self.case.write(f"consul-{name}.json", json.dumps(config, indent=1))

    def start(self):
        self.process = self.machine.start([peer_binary("consul"), "agent", "-config-file", self._file],
                                          f"consul-{self.name}")
        return self

    def call(self, method, path, body=None, token=None, timeout=20):
        with self.machine:
            return super().call(method, path, body, token, timeout)

    def page(self, path):
        """page is what it answers a browser with; empty where it has no such page."""
        return requests.get(self.machine, (self.address.split(":")[0], HTTP), path).text

    def alive(self):
        """alive are the names of the agents that it knows by gossip."""
        return {member["Name"] for member in self.get("/v1/agent/members") if member["Status"] == 1}

    def up(self):
        """up: it answers, and knows a leader."""
        if not self.process.running():
            raise RuntimeError(f"{self.process.describe()}:\n{self.process.log()[-2000:]}")
        try:
            return self.get("/v1/status/leader") and self.roots()["Roots"]
        except (OSError, ValueError, KeyError, TypeError):  # OSError: HTTP errors as well
            return None


class Agents:
    """The control plane of the shop. ports: those that Consul has beyond loopback."""

    ports = (SERVER, SERF)

    def __init__(self, cluster, vm, addresses, servers, cluster_services, vm_services):
        join = list(servers)
        self.servers = [Agent(cluster, f"server-{number}", address, http=f"127.0.0.{10 + number}", join=join,
                              server=len(servers))
                        for number, address in enumerate(servers, 1)]
        self.cluster = Agent(cluster, "cluster", addresses[0], join=join, services=cluster_services)
        self.vm = Agent(vm, "vm", addresses[1], join=join, services=vm_services)

    def all(self):
        return [*self.servers, self.cluster, self.vm]

    def start(self):
        """A leader that finds a client in the catalog and not in the gossip takes it for gone, and with it its
        services. So one server comes first, which cannot lead alone, and the others once it knows both clients."""
        first, *others = self.servers
        self._start(first, self.cluster, self.vm)
        check.within(lambda: {self.cluster.name, self.vm.name} <= first.alive(), "the clients have joined",
                     30 * slowness(), step=0.02)
        self._start(*others)
        for agent in self.all():
            check.within(agent.up, f"Consul's {agent.name} is up and knows a leader", 60 * slowness(), step=0.05)

    @staticmethod
    def _start(*agents):
        for agent in agents:
            if agent.process is None or not agent.process.running():
                agent.start()

    def leader(self):
        return self.cluster.get("/v1/status/leader")

    def peers(self):
        return self.cluster.get("/v1/status/peers")

    def has_leader(self):
        """has_leader is what an agent says of it, who cannot know it without asking a server."""
        try:
            return bool(self.leader())
        except OSError:
            return False
