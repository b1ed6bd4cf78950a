"""Step 9: what the tools say: the status page, `mooring top`, Consul's UI, and who talked to whom."""

from stage import requests


KNOWN = 10  # purchases that are counted


def play(story):
    stage, holds = story.stage, story.holds
    before = stage.sidecar.callers().get("api", 0)
    made = sum(story.buys() for _ in range(KNOWN))
    # A line of a log may come a moment later.
    story.until(lambda: stage.sidecar.callers().get("api", 0) - before >= made, 2)
    callers = stage.sidecar.callers()
    holds(callers.get("api", 0) - before == made == KNOWN,
          f"the sidecar says who called payment, and counts {KNOWN} purchases as {KNOWN}",
          said(callers))
    with story.customers(10) as customers:
        top = stage.sidecar.top()
        holds("api" in top and "payment" in top, "a table in a terminal does, too",
              top or "there is nothing of the kind")
        page(story, customers)
    consul_ui(story)


def said(callers):
    return ", ".join(f"{name} {count} times" for name, count in sorted(callers.items())) or "it counts nobody"


def page(story, customers):
    address = story.stage.sidecar.page
    if address is None:
        story.holds(False, "a page shows who calls payment", "there is none")
        return
    if story.browser is None:
        text = requests.get(story.stage.vm, address, "/").text
        story.holds("<html" in text.lower(), "a page shows who calls payment",
                    f"http://{address[0]}:{address[1]}/, {len(text)} bytes")
        return
    with story.another_browser(story.stage.vm) as browser:
        browser.open("http://{}:{}/".format(*address), page=False)
        shown = story.until(lambda: "payment" in browser.text() and "api" in browser.text(), 10)
        customers.wait(story.scale(20, 50))  # so that there are rates to be seen
        story.holds(shown is not None, "a page shows who calls payment", "http://{}:{}/, in Chromium".format(*address))
        story.picture("status-page", browser)


def consul_ui(story):
    server = story.stage.agents.servers[0]
    answer = server.page("/ui/")
    if "<html" not in answer.lower():
        story.report.without("Consul's UI", "this binary of Consul has none")
        return
    if story.browser is None:
        story.holds("consul" in answer.lower(), "Consul's own UI answers", f"{len(answer)} bytes of a page")
        return
    story.browser.open(f"http://{server.address}/ui/dc1/services", page=False)
    shown = story.until(lambda: "payment" in story.browser.text(), 15)
    story.holds(shown is not None, "Consul's own UI shows the services in Chromium",
                ", ".join(story.browser.text().split()[:12]))
    story.picture("consul-ui")
