"""Steps 3 and 4: an intention that denies holds at once, for what is new and for what is open, and so does its end."""

import contextlib
import threading

from lib import check
from lib.case import slowness
from stage import catalog
from story.purchase import bought

HOLD = 8.0  # seconds for which the open purchase is waited for, where nobody cuts it


def ingress_to_website(story):
    agent = story.stage.agents.cluster

    def page():
        return story.stage.ask("GET", "/").status

    agent.intention("ingress", "website", "deny")
    story.soon("the page is a 502", lambda: page() == 502)
    in_the_browser(story, "denied", True)
    answer = story.buy()
    story.holds(answer.status == 200, "ingress to api is not meant, and sells on", answer.text.strip()[:80])
    agent.delete_intention("ingress", "website")
    story.soon("without the intention the page is back", lambda: page() == 200)
    in_the_browser(story, "back", False)


def in_the_browser(story, name, denied):
    if not story.browser:
        return
    story.browser.open(story.stage.page, page=not denied)
    text = story.browser.text()
    story.holds(("502" in text) == denied, f"Chromium shows {'the 502' if denied else 'the page'}",
                text.splitlines()[0] if text else "")
    story.picture(name)


def api_to_payment(story):
    stage, soon, holds = story.stage, story.soon, story.holds
    agent = stage.agents.cluster
    # payment's own side of the connection is what is looked at: the sidecar has let it through.
    before = open_at_payment(stage.vm)
    outcome = open_purchase(story)
    check.within(lambda: open_at_payment(stage.vm) > before, "a purchase is open at payment", 10 * slowness())
    agent.intention("api", "payment", "deny")
    soon("the open purchase is cut", lambda: open_at_payment(stage.vm) <= before, seconds=HOLD / 2)
    soon("new ones are refused", lambda: story.buy().status == 502)
    said = outcome()
    holds("cut" in said, "its buyer is told", said)
    error = story.buy().json().get("error", "")
    holds("payment" in error.lower(), "the next buyer is told what is refused", error)
    if story.browser:
        story.browser.open(stage.page)
        story.browser.choose(stage.parts.picture.id)
        receipt, said = bought(story.browser)
        holds(receipt is None and "payment" in said.lower(), "the page says so", receipt or said)
        story.picture("payment-denied")
    agent.delete_intention("api", "payment")
    soon("without the intention a purchase works", story.buys)


def open_purchase(story):
    """open_purchase begins one that stays open, and returns a function that waits for what its buyer is told."""
    if story.browser:
        from browser import Trouble
        story.browser.open(story.stage.page)
        story.browser.choose(story.stage.parts.picture.id)
        story.browser.hold()

        def shown():
            try:
                return story.browser.paid(HOLD)
            except Trouble as trouble:
                return str(trouble)
            except AssertionError:
                return f"nothing in {HOLD:g} s"
            finally:
                story.picture("cut")
        return shown
    answers = []

    def hold():
        with contextlib.suppress(OSError):
            answers.append(story.hold(2 * HOLD, HOLD).json())

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()

    def told():
        thread.join(HOLD + 1)
        return answers[0].get("error", str(answers[0])) if answers else f"nothing in {HOLD:g} s"
    return told


def open_at_payment(vm):
    """open_at_payment is how many connections payment's program has open."""
    return len(vm.run("ss", "-Htn", "state", "established", f"( sport = :{catalog.PAYMENT[1]} )").splitlines())
