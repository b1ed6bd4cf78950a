"""What is said and done where the agent admits no more connections from this host."""

import socket

from field.test_agent_connections import definition, mounted, sidecar
from lib import check
from lib.case import slowness
from lib.consul import Consul

EXPECTED_SECONDS = 11


def test_an_agent_that_is_full_is_named_on_evidence_and_asked_again_slowly(case):
    limit = 12
    agent = Consul(case, limits={"http_max_conns_per_client": limit})
    agent.register(definition("pay", {}))
    subject = sidecar(case, agent, "pay")
    # Others take what is left.
    others = []
    case.undo(lambda: [one.close() for one in others] and None)

    def full():
        one = socket.create_connection(("127.0.0.1", agent.port))
        one.settimeout(0.3)
        try:
            one.recv(1)  # its end (1.8), or the beginning of a 429 (1.21): nothing is asked yet
            return True
        except ConnectionResetError:
            return True
        except TimeoutError:
            others.append(one)
            return False

    check.within(full, "the agent admits no more", 10 * slowness())
    # Three upstreams more want three connections more.
    document = definition("pay", mounted(["up0", "up1", "up2"], 70))
    proxy = document["Connect"]["SidecarService"]["Proxy"]
    others.pop().close()

    def register():
        current = agent.get("/v1/agent/service/pay-1-sidecar-proxy")
        document["Port"] = 1
        document["Connect"]["SidecarService"]["Port"] = current["Port"]
        document["Connect"]["SidecarService"]["Proxy"] = proxy
        agent.register(document)
        return True

    check.within(register, "the registration is changed", 10 * slowness())
    check.within(full, "the agent is full again", 10 * slowness())
    words = "the agent admits no more connections from this host (limits.http_max_conns_per_client)"
    check.within(lambda: subject.status()["agent"]["error"] == words, "/status names the limit", 20 * slowness(), step=0.1)
    code, text = subject.admin("/ready")
    check.true(words in text, f"/ready names it: {code} {text}")
    for one in others:
        one.close()
    others.clear()
    check.within(lambda: subject.status()["agent"]["error"] == "" and subject.admin("/ready") == (200, "ready\n"),
                 "all is well once there is room", 20 * slowness(), step=0.1)
