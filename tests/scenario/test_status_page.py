"""The status page in a real browser: live traffic, a refusal, an agent that is away; by keyboard, at two widths, light and dark."""

import os
import threading
from pathlib import Path

from lib import agent as scripted
from lib import apps, check, tlspeer
from lib.case import slowness
from lib.chromium import Chromium, axe
from lib.generations import StaticSidecar
from lib.mooring import Mooring

EXPECTED_SECONDS = 60
EVIL = "<img src=x onerror=alert(1)>"
ROOT = Path(__file__).resolve().parents[2]
SHOTS = ROOT / "build" / "status-page"


class World:
    """A service `payment` of an agent, with a caller that talks, one that is denied, and three upstreams: one that answers, one
    whose instance is not there, one that nobody has."""

    def __init__(self, case):
        self.case = case
        self.api = scripted.Agent(case, default="allow")
        self.app = apps.App(case, apps.echo)
        self.db = tlspeer.Endpoint(case)
        gone = tlspeer.Endpoint(case)
        self.api.set_intentions(scripted.intention("web", "payment"), scripted.intention("mallory", "payment", action="deny"))
        self.api.set_instances("db", self.db.address, ID=EVIL)
        self.api.instances["db"][0]["Node"]["Node"] = EVIL
        self.api.set_instances("cache", gone.address)
        gone.close()
        self.api.set_instances("audit")
        self.mooring = Mooring.connect_proxy(
            case, "-http-addr", self.api.address, "-service", "payment", "-service-addr", f"127.0.0.1:{self.app.port}",
            "-listen", "127.0.0.1:0", "-upstream", "db:127.0.0.1:0", "-upstream", "cache:127.0.0.1:0", "-upstream", "audit:127.0.0.1:0")
        self.over = threading.Event()
        case.undo(self.over.set)

    def dial(self, service):
        return tlspeer.connect(self.case, self.mooring.public, self.api.authority.leaf(service), self.api.authority.pem)

    def talk(self):
        """talk has web ask and payment ask db, until the test is over."""
        caller = self.dial("web")
        caller.handshake()
        client = apps.Client(self.case, self.mooring.upstream("db"))
        peer = self.db.accept(self.api.authority.leaf("db"), self.api.authority.pem)
        peer.handshake()

        def go_on():
            while not self.over.wait(0.05):
                caller.send(b"x" * 2000).receive(2000)
                client.send(b"y" * 500)
                peer.receive(500)
                peer.send(b"z" * 1500)
                client.receive(1500)

        thread = threading.Thread(target=go_on, daemon=True)
        thread.start()
        self.case.undo(lambda: (self.over.set(), thread.join(10))[1])

    def refuse(self):
        mallory = self.dial("mallory")
        try:
            mallory.handshake()
            mallory.receive(1)
        except (tlspeer.Refused, OSError):
            pass
        self.mooring.wait_closed("inbound", "denied")
        apps.Client(self.case, self.mooring.upstream("cache")).drain()


def opened(case):
    if case.reduced:
        raise check.Skip("the status page is looked at in a browser by --full alone")
    world = World(case)
    browser = Chromium(case)
    browser.resize(1280)
    world.talk()
    world.refuse()
    host, port = world.mooring.listener("admin")
    browser.open(f"http://{host}:{port}/")
    browser.wait("document.querySelectorAll('#live tbody tr').length >= 2", "the page shows live connections")
    return world, browser


def text_of(browser, selector):
    return browser.says(f"[...document.querySelectorAll({selector!r})].map((one) => one.innerText).join('\\n')")


def quiet(world, browser):
    host, port = world.mooring.listener("admin")
    check.equal(browser.complaints, [], "what the console says")
    strangers = [url for url in browser.asked if not url.startswith((f"http://{host}:{port}/", "data:", "about:"))]
    check.equal(strangers, [], "requests to others")


def test_it_shows_traffic_refusals_and_endpoints_as_they_are(case):
    world, browser = opened(case)
    browser.wait("document.querySelector('#picture svg path.moves') && /kB\\/s/.test(document.querySelector('#talk').innerText)", "rates are seen")
    check.true("web" in text_of(browser, "#talk tbody") and "mallory" in text_of(browser, "#talk tbody"), text_of(browser, "#talk"))
    check.true("denied 1" in text_of(browser, "#talk tbody"), text_of(browser, "#talk"))
    check.true("connect_refused" in text_of(browser, "#upstreams") and "no healthy instance" in text_of(browser, "#upstreams"),
               text_of(browser, "#upstreams"))
    if world.mooring.admin("/recent")[0] == 200:
        check.true("denied" in text_of(browser, "#refused") and "mallory" in text_of(browser, "#refused"), text_of(browser, "#refused"))
    check.true(EVIL in text_of(browser, "#live") and EVIL in text_of(browser, "#upstreams"), "names from outside are text")
    check.equal(browser.says("document.querySelectorAll('img').length"), 0, "and nothing else")
    check.true("payment is ready" in text_of(browser, "#say"), "said to those who listen")
    for scheme in ("light", "dark"):
        browser.prefers(prefers_color_scheme=scheme)
        for width in (1280, 400):
            browser.resize(width)
            browser.wait("document.querySelector('#picture svg').viewBox.baseVal.width <= innerWidth", "the picture fits")
            check.true(browser.says("document.documentElement.scrollWidth <= innerWidth"), f"nothing is wider than {width}")
            browser.screenshot(SHOTS / f"{width}-{scheme}.png")
    quiet(world, browser)


def test_a_search_goes_on_over_refreshes_and_focus_stays(case):
    world, browser = opened(case)
    browser.says("document.querySelector('#live-match').focus()")
    for letter in "inbound":
        browser.press(letter, text=letter)
    browser.wait("document.querySelectorAll('#live tbody tr').length === 1 && /found of/.test(document.querySelector('#live-pager').innerText)", "one is found")
    asked = len(browser.asked)
    check.within(lambda: len(browser.asked) >= asked + 8, "two more refreshes", 15 * slowness(), step=0.1)
    check.equal(browser.says("document.activeElement.id + '=' + document.activeElement.value"), "live-match=inbound", "where the focus is")
    browser.says("document.querySelector('#pause').focus()")
    browser.press("Enter", text="\r")
    browser.wait("document.querySelector('#pause').getAttribute('aria-pressed') === 'true'", "it is paused by the keyboard")
    browser.press("Enter", text="\r")
    browser.wait("document.querySelector('#pause').getAttribute('aria-pressed') === 'false'", "it goes on")
    quiet(world, browser)


def test_the_agent_and_the_proxy_away_are_said(case):
    world, browser = opened(case)
    world.api.stop()
    browser.wait("/retrying/.test(document.querySelector('#watches').innerText)", "the watches say it", 30)
    browser.wait("/The agent does not answer/.test(document.querySelector('#notes').innerText)", "so does a note", 30)
    browser.screenshot(SHOTS / "agent-away.png")
    quiet(world, browser)
    world.over.set()
    world.mooring.kill()
    browser.wait("/No answer from the proxy/.test(document.querySelector('#notes').innerText)", "the proxy is gone", 30)
    check.true("no answer since" in text_of(browser, "#updated"), text_of(browser, "#updated"))
    check.true("web" in text_of(browser, "#talk tbody"), "what was known stays, and is said to be old")


def test_old_generations_stand_at_the_top_and_in_a_table_until_they_have_ended(case):
    if case.reduced:
        raise check.Skip("the status page is looked at in a browser by --full alone")
    sidecar = StaticSidecar(case)
    sessions = [sidecar.static.caller() for _ in range(3)]
    sidecar.upgrade()
    sessions += [sidecar.static.caller(), sidecar.static.caller()]
    sidecar.upgrade()
    browser = Chromium(case)
    browser.resize(1280)
    host, port = sidecar.first.listener("admin")
    browser.open(f"http://{host}:{port}/")
    browser.wait("document.querySelectorAll('#generations tbody tr').length === 2 && /5 connections of before/.test(facts.get('Old generations').innerText)",
                 "both old generations are shown, with the connections of all")
    rows = text_of(browser, "#generations tbody tr").split("\n")
    check.equal([word for word in rows if word in ("2", "3")], ["2", "2", "3"], f"the newer one first, with two connections; then the first's three: {rows}")
    check.true(browser.says("document.querySelector('#generations').getBoundingClientRect().top - "
                            "document.querySelector('#listeners').getBoundingClientRect().bottom >= 10"), "it stands apart from the listeners")
    browser.screenshot(SHOTS / "old-generations.png")
    for peer in sessions:
        peer.close()
    browser.wait("document.querySelector('#generations').hidden && facts.get('Old generations').hidden", "they are gone once they have ended")
    check.equal(browser.complaints, [], "what the console says")


def test_without_javascript_it_says_where_to_look(case):
    world, browser = opened(case)
    browser.scripts(False)
    host, port = world.mooring.listener("admin")
    browser.open(f"http://{host}:{port}/")
    browser.wait("document.querySelector('noscript a') !== null && /needs JavaScript/.test(document.body.innerText)", "it says so")


def test_it_is_accessible(case):
    if os.environ.get("MOORING_TEST_FULL") != "1":
        raise check.Skip("the status page is looked at in a browser by --full alone")
    script = axe(case)
    if script is None:
        raise check.Skip("no axe-core: npm cannot get it")
    _, browser = opened(case)
    for scheme in ("light", "dark"):
        for width in (1280, 400):
            browser.prefers(prefers_color_scheme=scheme)
            browser.resize(width)
            browser.says(script + "; 0")
            found = browser.says("axe.run(document).then((result) => result.violations.map((one) => one.id + ': ' + one.help + ' ' + "
                                 "one.nodes.slice(0, 3).map((node) => node.html.slice(0, 200)).join(' | ')))")
            check.equal(found, [], f"violations, {scheme} at {width}")
