"""Step 6: a second instance of payment takes over from the first, which is killed in the middle of purchases."""

from stage.customers import LONGEST, now, why


def play(story):
    stage, holds = story.stage, story.holds
    shop = stage.shop
    stage.start_second_payment()
    holds(story.until(lambda: instances(stage) == 2) is not None, "the catalog has two instances of payment")
    with story.customers(story.scale(10, 20)) as customers:
        holds(story.until(lambda: shop.receipts_of(shop.SECOND), 20) is not None, "both sell")
        died = now()
        shop.payments[shop.FIRST].kill()
        took = story.until(lambda: instances(stage) == 1)
        known = now() + 0.2  # for the callers' sidecars to hear of it
        holds(took is not None, "the first is killed (-9), and leaves the catalog",
              f"after {1000 * (took or 0):.0f} ms")
        customers.wait(story.scale(20, 200))
    died -= LONGEST
    hit, others = customers.failed(died, known), customers.failed(until=died) + customers.failed(known)
    story.report.tells("were under way at the dead one, or met it before the catalog knew", why(hit))
    holds(not others, "none else fails", f"{customers.count()} purchases in all, {why(others)}")
    holds(not customers.lost(), "each customer who was hit has asked again and has a receipt: no order is lost",
          f"{len(customers.lost())} lost")
    holds(not customers.charged_twice(), "and none is charged twice",
          f"{len(customers.charged_twice())} of {customers.count()}")
    shop.start_first_payment()
    holds(story.until(lambda: instances(stage) == 2) is not None, "the first is started again")
    with story.customers(story.scale(10, 20)) as customers:
        stage.end_second_payment()
        customers.wait(story.scale(10, 40))
    holds(not customers.failed(), "the second one's sidecar is stopped, then its program: no purchase fails",
          f"{customers.count()} purchases, {why(customers.failed())}")
    holds(instances(stage) == 1, "the catalog has one instance again")


def instances(stage):
    return len(stage.agents.cluster.instances("payment"))
