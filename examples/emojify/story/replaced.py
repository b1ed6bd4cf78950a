"""Step 7: the sidecar of the one payment is restarted, and then upgraded, under purchases."""

from stage.customers import why


def play(story):
    stage, holds = story.stage, story.holds
    rate, upgrades = story.scale(20, 50), story.scale(2, 5)
    with story.customers(rate) as customers:
        stage.sidecar.restart()
        stage.sidecar.wait_ready()
        customers.wait(rate)
    holds(True, f"a restart (SIGTERM, start) of the only instance, under {rate} purchases a second",
          f"{customers.count()} purchases, {why(customers.failed())}")
    holds(not customers.lost(), "each of those customers has asked again and has a receipt", f"{len(customers.lost())} lost")
    if not stage.sidecar.upgrades:
        holds(False, "an upgrade fails no purchase", f"{stage.sidecar.name} has none: it is another restart")
        return
    with story.customers(rate) as customers:
        for _ in range(upgrades):
            stage.sidecar.upgrade()
            customers.wait(rate)
    holds(not customers.failed(), f"{upgrades} upgrades under {rate} purchases a second: no purchase fails",
          f"{customers.count()} purchases, {why(customers.failed())}")
