"""Step 7: the sidecar of the one payment is restarted, and then upgraded, under purchases."""

from stage.customers import AGAIN, why


def play(story):
    stage, holds = story.stage, story.holds
    rate, restarts, upgrades = story.scale(20, 50), story.scale(1, 3), story.scale(2, 5)
    with story.customers(rate) as customers:
        for _ in range(restarts):
            stage.sidecar.restart()
            stage.sidecar.wait_ready()
            # Who was hit asks again before the next one.
            customers.wait(story.scale(rate, rate * 2 * AGAIN // 1000))
    story.report.tells(f"restarts of the only instance, {restarts} of them, under {rate} purchases a second",
                       f"{customers.count()} purchases, {why(customers.failed())}")
    holds(not customers.lost(), "each of those customers has asked again and has a receipt",
          f"{len(customers.lost())} lost")
    what = f"{upgrades} upgrades under {rate} purchases a second: no purchase fails"
    if stage.sidecar.no_upgrade:
        holds(False, what, stage.sidecar.no_upgrade)
        return
    with story.customers(rate) as customers:
        for _ in range(upgrades):
            stage.sidecar.upgrade()
            customers.wait(rate)
    holds(not customers.failed(), what, f"{customers.count()} purchases, {why(customers.failed())}")
