"""Step 8: the mesh's CA gets another root and key, cross-signed by the old one, under purchases."""

from stage.catalog import UPSTREAMS
from stage.customers import why


def play(story):
    stage, holds = story.stage, story.holds
    cluster, vm = stage.agents.cluster, stage.agents.vm
    leaves = [(cluster, service) for service in UPSTREAMS] + [(vm, "payment"), (vm, "receipts")]
    with story.customers(story.scale(10, 20)) as customers:
        before = cluster.roots()["ActiveRootID"]
        serials = [number(agent.leaf(service)) for agent, service in leaves]
        cluster.rotate_root()
        after = cluster.roots()["ActiveRootID"]
        holds(after != before, "another root is active", f"{before[:11]}... before, {after[:11]}... now")
        story.report.say("      ... the agents renew their leaves at moments of their own, within half a minute")
        # A reduced run goes on in the middle of it, with leaves of both roots in use.
        wanted = story.scale(1, len(leaves))
        took = story.until(lambda: renewed(leaves, serials) >= wanted, 60)
        holds(took is not None, f"{wanted} of {len(leaves)} services have a leaf of it", f"after {took or 0:.0f} s")
        shown = story.until(lambda: stage.leaf_served() == number(vm.leaf("payment")), 5)
        holds(shown is not None, "the sidecar of payment proves itself by its newest")
        customers.wait(story.scale(20, 40))
    holds(not customers.failed(), "no purchase fails", f"{customers.count()} purchases, {why(customers.failed())}")


def renewed(leaves, serials):
    return sum(number(agent.leaf(service)) != old for (agent, service), old in zip(leaves, serials))


def number(leaf):
    return int(leaf["SerialNumber"].replace(":", ""), 16)
