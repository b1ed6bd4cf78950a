"""Step 5: two of three servers are killed, then all of Consul, then the sidecar; and all of it comes back."""

from stage.customers import LONGEST, now, why
from story.purchase import in_the_browser

FRESH = 10.0  # seconds from the agents' return until the sidecar goes by what they say


def play(story):
    stage, holds = story.stage, story.holds
    agents = stage.agents
    rate = story.scale(10, 5)
    with story.customers(rate) as customers:
        leader = next(one for one in agents.servers if one.rpc == agents.leader())
        for server in [leader, next(one for one in agents.servers if one is not leader)]:
            server.kill()
        holds(story.until(lambda: not agents.has_leader()) is not None,
              "two of three servers are killed: there is no leader any more")
        goes_on(story, customers, "without a leader the shop goes on")
        for agent in agents.all():
            agent.kill()
        holds(not any(agent.process.running() for agent in agents.all()),
              "the third server and both client agents are killed")
        goes_on(story, customers, "without any agent the shop goes on")
        if story.browser:
            in_the_browser(story, "without any agent")
        down, up = sidecar_dies(story)
        comes_back(story, customers)
    down -= LONGEST
    costs, others = customers.failed(down, up), customers.failed(until=down) + customers.failed(since=up)
    story.report.tells(f"the sidecar's death has cost, at {rate} purchases a second", why(costs))
    holds(not others, "nothing else of it has failed a purchase", f"{customers.count()} purchases, {why(others)}")
    holds(not customers.lost(), "and no customer is left without a receipt, who asks again")
    intentions_count_again(story)


def goes_on(story, customers, what):
    began = now()
    made = customers.wait(story.scale(10, 50))
    failed = customers.failed(since=began)
    story.holds(made and not failed, what, f"{made} purchases, {why(failed)}")


def sidecar_dies(story):
    """sidecar_dies kills it and starts it again at once; returns when nobody was there, from and to."""
    sidecar, down = story.stage.sidecar, now()
    sidecar.kill()
    sidecar.start()
    story.soon("the sidecar is killed (-9) and started again: a purchase works", story.buys, seconds=5)
    return down, now()


def comes_back(story, customers):
    agents, sidecar = story.stage.agents, story.stage.sidecar
    took = story.until(lambda: agents.start() or True, 60)
    story.holds(took is not None, "servers and agents are back", f"a leader after {took or 0:.1f} s: {agents.leader()}")
    story.soon("the sidecar goes by what they say", sidecar.fresh, bound=FRESH, seconds=30)
    customers.wait(10)


def intentions_count_again(story):
    agent = story.stage.agents.cluster
    agent.intention("api", "payment", "deny")
    story.soon("an intention that is written then counts", lambda: story.buy().status == 502)
    agent.delete_intention("api", "payment")
    story.soon("and so does its end", story.buys)
