"""Step 9: what the tools say: the status page, `mooring top`, Consul's UI, and who talked to whom."""

from stage import requests


def play(story):
    stage, holds = story.stage, story.holds
    with story.customers(5):
        callers = stage.sidecar.callers()
        holds(callers.get("api", 0) > 0, "the sidecar says who called payment", said(callers))
        top = stage.sidecar.top()
        holds("api" in top and "payment" in top, "a person sees it in a terminal", top or "there is nothing of the kind")
        page(story)
    consul_ui(story)


def said(callers):
    return ", ".join(f"{name} {count} times" for name, count in sorted(callers.items())) or "it counts nobody"


def page(story):
    address = story.stage.sidecar.page
    if address is None:
        story.holds(False, "it has a page for people", "there is none")
        return
    if story.browser is None:
        text = requests.get(story.stage.vm, address, "/").text
        story.holds("<html" in text.lower(), "it has a page for people", f"http://{address[0]}:{address[1]}/, {len(text)} bytes")
        return
    with story.another_browser(story.stage.vm) as browser:
        browser.open("http://{}:{}/".format(*address), page=False)
        shown = story.until(lambda: "payment" in browser.text() and "api" in browser.text(), 10)
        story.holds(shown is not None, "its page shows api and payment in Chromium", "http://{}:{}/".format(*address))
        story.picture("status-page", browser)


def consul_ui(story):
    answer = story.stage.agents.servers[0].page("/ui/")
    has = "<html" in answer.lower() and "consul" in answer.lower()
    if not has:
        story.report.without("Consul's UI", "this binary of Consul has none")
        return
    story.holds(True, "Consul's own UI answers", f"{len(answer)} bytes of a page")
