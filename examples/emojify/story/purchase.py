"""Step 2: a picture is emojified, and a print of it bought: the receipt is on the page, and known on the VM."""

from lib import check
from lib.case import slowness


def play(story):
    stage, holds = story.stage, story.holds
    receipt = in_the_browser(story, "with Consul") if story.browser else by_requests(story)
    found = check.within(lambda: [one for one in stage.shop.receipts() if one[0] == receipt],
                         f"payment has printed {receipt}", 5 * slowness())
    holds(found, "payment's point of sale has printed the receipt", " for order ".join(found[0]))
    lines = stage.ask("GET", f"/api/receipt?number={receipt}").json().get("lines", [])
    holds(receipt in " ".join(lines), "receipts, the other service of the VM, has it",
          "; ".join(" ".join(line.split()) for line in lines))
    seen = story.until(lambda: any(one.endswith("/svc/api") for one in stage.sidecar.identities()), 3)
    holds(seen is not None, "the sidecar's access log has the caller's identity",
          next(iter(stage.sidecar.identities()), "it has none"))


def by_requests(story):
    picture = story.stage.parts.picture
    answer = story.stage.ask("POST", "/api/emojify", picture.read(), 60 * slowness(),
                             **{"Content-Type": "application/octet-stream"})
    faces = answer.json().get("faces") if answer.status == 200 else answer.text[:200]
    story.holds(faces == picture.faces, f"'{picture.title}' has as many emojis as faces, {picture.faces}", faces)
    answer = story.buy()
    receipt = answer.json().get("receipt") if answer.status == 200 else None
    story.holds(receipt, "a print is bought, with a receipt", receipt or answer.text[:200])
    return receipt


def in_the_browser(story, when):
    """in_the_browser is the whole of it in Chromium: page, picture, print. Returns the receipt's number."""
    browser, picture = story.browser, story.stage.parts.picture
    browser.open(story.stage.page)
    story.picture("shop")
    faces = browser.choose(picture.id)
    story.holds(faces == picture.faces,
                f"{when}, Chromium shows '{picture.title}' with as many emojis as faces, {picture.faces}", faces)
    receipt, trouble = bought(browser)
    story.holds(receipt, f"{when}, a print is bought in Chromium, and the receipt is on the page", receipt or trouble)
    story.picture("bought")
    return receipt


def bought(browser):
    """bought presses the button: the receipt's number, or None and what the page says instead."""
    from browser import Trouble
    try:
        return browser.buy(), ""
    except Trouble as trouble:
        return None, str(trouble)
