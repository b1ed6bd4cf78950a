"""What to play with, once the story is told: doors to the two machines, and the commands that a person wants first."""

import shlex
import socket
import sys
from pathlib import Path

from lib.case import Process
from stage import catalog
from stage.agents import HTTP

PROGRAM = Path(__file__).with_name("door.py")


def free_port(wanted, given):
    """free_port is the first one from there on that nobody listens on here, and that was not given away yet."""
    for port in range(wanted, wanted + 1000):
        if port in given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                given.add(port)
                return port
            except OSError:
                continue
    raise OSError(f"no free port from {wanted} on")


def tell(stage):
    doors = [("the shop", stage.cluster, catalog.INGRESS, 18080),
             ("Consul, and its UI at /ui/", stage.cluster, ("127.0.0.11", HTTP), 18081)]
    if stage.sidecar.page:
        doors.append(("payment's sidecar", stage.vm, stage.sidecar.page, 18082))
    given = set()
    print("\nLeft running. In your browser:")
    for what, machine, address, wanted in doors:
        port = free_port(wanted, given)
        Process(stage.case, [sys.executable, "-B", PROGRAM, port, machine.name, *address], "door",
                start_new_session=True)
        print(f"  {what + ':':<28}http://127.0.0.1:{port}/")
    here, there = ("ip netns exec " + machine.name for machine in (stage.cluster, stage.vm))
    consul = f"{here} env CONSUL_HTTP_ADDR=127.0.0.1:{HTTP} {shlex.quote(str(stage.consul))}"
    names = f"{stage.cluster.name} {stage.vm.name}"
    commands = [("deny", f"{consul} intention create -deny api payment"),
                ("allow again", f"{consul} intention delete api payment"),
                ("on the VM", f"{there} bash"), ("in the cluster", f"{here} bash"), ("logs", str(stage.case.directory)),
                ("stop it all", f"for n in {names}; do kill $(ip netns pids $n); done; sleep 5; "
                                f"for n in {names}; do ip netns del $n; done; rm -r {stage.case.directory}")]
    for what, command in commands:
        print(f"  {what + ':':<16}{command}")
