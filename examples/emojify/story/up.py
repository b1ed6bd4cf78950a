"""Step 1: all is up, the catalog says so, and nothing but the public ports can be reached from the other machine."""

import contextlib
import selectors
import socket
import ssl

from stage import catalog

# What nobody may reach from the other machine.
PRIVATE = {"cluster": [catalog.WEBSITE, catalog.API, catalog.FACEBOX, catalog.INGRESS],
           "vm": [catalog.PAYMENT, catalog.RECEIPTS]}
PATIENCE = 1.0  # seconds: the filter drops what it refuses, so nobody says no


def play(story):
    stage, holds = story.stage, story.holds
    stage.up()
    servers = stage.agents.peers()
    holds(len(servers) == 3, "three servers have elected a leader by Raft",
          f"{stage.agents.leader()} of {', '.join(sorted(servers))}")
    # Its checks may not have run yet.
    story.until(lambda: stage.agents.cluster.instances("payment"))
    services = stage.agents.cluster.get("/v1/catalog/services")
    instances = stage.agents.cluster.instances("payment")
    where = [f"{one['Service']} at {one['Address']}:{one['Port']}" for one in (entry["Service"] for entry in instances)]
    holds("payment" in services and len(instances) == 1, "the catalog shows payment and its proxy", ", ".join(where))
    holds(stage.sidecar.one_process, "payment and receipts share one process of the sidecar",
          stage.sidecar.processes_seen())
    took = story.until(lambda: first_line(stage.cluster, catalog.UPSTREAMS["api"]["receipts"]) == "receipts ready")
    holds(took is not None, "receipts, which speaks first, is reached by api's sidecar")
    strangers_get_nothing(story)
    apps_are_private(story)
    nobody_else_gets_through(story)


def first_line(machine, port):
    with machine, socket.create_connection(("127.0.0.1", port), 10) as connection:
        return connection.makefile().readline().strip()


def strangers_get_nothing(story):
    """Who has no certificate of the mesh is let through by the filter, and by nobody else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    address = (catalog.VM, catalog.VM_PUBLIC["payment"])
    got, how = b"", "closed without a word"
    try:
        with story.stage.cluster, socket.create_connection(address, 5) as plain, context.wrap_socket(plain) as session:
            session.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            got = session.recv(100)
    except OSError as error:  # TLS's own errors as well
        how = getattr(error, "reason", None) or str(error)
    story.holds(not got, f"a stranger without a certificate gets no byte at {address[0]}:{address[1]}", got or how)


def apps_are_private(story):
    stage, public = story.stage, set()
    for machine, allowed in ((stage.cluster, set(catalog.PUBLIC.values())),
                             (stage.vm, set(catalog.VM_PUBLIC.values()))):
        allowed = allowed | set(stage.agents.ports)
        public |= {(host, port) for host, port in machine.listeners()
                   if not host.startswith("127.") and port not in allowed}
    story.holds(not public, "no program but sidecars and Consul listens beyond 127.0.0.1",
                ", ".join(f"{h}:{p}" for h, p in public))


def nobody_else_gets_through(story):
    stage = story.stage
    for here, there, name, address in ((stage.cluster, stage.vm, "vm", catalog.VM),
                                       (stage.vm, stage.cluster, "cluster", catalog.CLUSTER)):
        before = there.refused()
        targets = [(address, port) for _, port in PRIVATE[name]]
        reached, dropped = connects(here, targets), there.refused() - before
        ports = ", ".join(str(port) for _, port in targets)
        story.holds(not reached and dropped >= len(targets),
                    f"direct connects from the other machine to {address}, ports {ports}, fail",
                    f"{len(reached)} of {len(targets)} got through, nft dropped {dropped} packets")


def connects(machine, targets):
    """connects are those of the targets that take a connection."""
    reached = []
    with machine, contextlib.ExitStack() as sockets, selectors.DefaultSelector() as selector:
        for target in targets:
            one = sockets.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(target)
            selector.register(one, selectors.EVENT_WRITE, target)
        for key, _ in selector.select(PATIENCE):
            if key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                reached.append(key.data)
    return reached
