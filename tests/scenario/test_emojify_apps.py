"""The apps of examples/emojify, each by itself: what they promise each other, without a mesh between them."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from lib import check
from lib.case import Process, peer_binary, slowness
from lib.chromium import axe
from lib.ports import free_port

EXPECTED_SECONDS = 25
ROOT = Path(__file__).resolve().parents[2]
APPS = ROOT / "examples/emojify/apps"
PYTHON = "/usr/bin/python3"
sys.path.append(str(APPS))  # behind lib: the apps' modules are plain names

import drawn  # noqa: E402
import ledger  # noqa: E402
import needs  # noqa: E402
from buyer import Buyer  # noqa: E402

# What stands before the options of each payment gateway.
GATEWAYS = {"java": ["java", APPS / "payment/Payment.java"], "python": [PYTHON, "-B", APPS / "payment/payment.py"]}


def started(case, name, *command):
    """started is a running app and the port that it says it listens on."""
    process = Process(case, command, name)
    return process, int(process.wait_log(r"listening on 127\.0\.0\.1:(\d+)", 20)[1])


def app(case, name, *options):
    return started(case, name, PYTHON, "-B", APPS / f"{name}.py", "--listen", "127.0.0.1:0", *options)


def gateway(case, language, *options):
    if language == "java" and shutil.which("javac") is None:
        raise check.Skip("no Java that runs source: apt-get install default-jdk-headless")
    return started(case, f"payment-{language}", *GATEWAYS[language], "--listen", "127.0.0.1:0", *options)


def ask(port, method, path, body=None, headers=None):
    """ask has the status and the answer, as an object where it is one."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, json.dumps(body).encode() if isinstance(body, dict) else body, headers or {})
        response = connection.getresponse()
        data = response.read()
        return response.status, json.loads(data) if response.getheader("Content-Type") == "application/json" else data
    finally:
        connection.close()


def pay(port, order, cents=1200, what="a print"):
    return ask(port, "POST", "/pay", {"order": order, "cents": cents, "what": what})


# ---- payment

# body, status, code
REFUSED = [
    (b"", 400, "bad_request"),
    (b"{", 400, "bad_request"),
    (b"[]", 400, "bad_request"),
    (b"[" * 20000, 400, "bad_request"),
    (b'"order"', 400, "bad_request"),
    (b'{"order": "a", "cents": 1} x', 400, "bad_request"),
    (b'{"order": "a\nb", "cents": 1}', 400, "bad_request"),
    (b'{"cents": 1200}', 400, "bad_order"),
    (b'{"order": 7, "cents": 1200}', 400, "bad_order"),
    (b'{"order": "", "cents": 1200}', 400, "bad_order"),
    (b'{"order": "a b", "cents": 1200}', 400, "bad_order"),
    (b'{"order": "a\\nb", "cents": 1200}', 400, "bad_order"),
    (b'{"order": "' + b"a" * 65 + b'", "cents": 1200}', 400, "bad_order"),
    (b'{"order": "a"}', 400, "bad_cents"),
    (b'{"order": "a", "cents": 0}', 400, "bad_cents"),
    (b'{"order": "a", "cents": -5}', 400, "bad_cents"),
    (b'{"order": "a", "cents": 12.5}', 400, "bad_cents"),
    (b'{"order": "a", "cents": "12"}', 400, "bad_cents"),
    (b'{"order": "a", "cents": true}', 400, "bad_cents"),
    (b'{"order": "a", "cents": 10000001}', 400, "bad_cents"),
    (b'{"order": "a", "cents": 99999999999999999999}', 400, "bad_cents"),
    (b'{"order": "a", "cents": 1, "what": 5}', 400, "bad_what"),
    (b'{"order": "a", "cents": 1, "what": "' + b"w" * 201 + b'"}', 400, "bad_what"),
]


def _payment(language):
    def charges_an_order_once(case):
        process, port = gateway(case, language)
        first = {"receipt": "P-000001", "order": "o-1", "instance": "P"}
        check.equal(pay(port, "o-1"), (200, first), "a purchase")
        check.equal(pay(port, "o-2", 5)[1]["receipt"], "P-000002", "another one")
        check.equal(pay(port, "o-1"), (200, first), "the first one again")
        odd = b' {"x": [1, {"y": null}, []], "cents": 1205, "order": "o\\u002d3", "what": "caf\\u00e9 \\"x\\""} '
        check.equal(ask(port, "POST", "/pay", odd), (200, {"receipt": "P-000003", "order": "o-3", "instance": "P"}),
                    "with what it does not know")
        check.equal(ask(port, "GET", "/health"), (200, {"instance": "P"}), "health")
        process.send(15)
        check.equal(process.wait(), 0, "its end by SIGTERM")
        lines = [line for line in process.stdout().splitlines() if line.startswith("pos:")]
        check.equal(lines, ["pos: receipt P-000001 order o-1 12.00 EUR a print",
                            "pos: receipt P-000002 order o-2 0.05 EUR a print",
                            "pos: again receipt P-000001 order o-1, not charged twice",
                            'pos: receipt P-000003 order o-3 12.05 EUR caf\u00e9 "x"'], "what it printed")

    def refuses_what_is_no_purchase(case):
        process, port = gateway(case, language)
        for body, status, code in REFUSED:
            seen, answer = ask(port, "POST", "/pay", body)
            check.equal((seen, answer.get("code"), bool(answer.get("error"))), (status, code, True), f"{body[:60]}")
        for status, *asked in ((405, "GET", "/pay"), (405, "POST", "/health"), (404, "GET", "/"), (404, "POST", "/x")):
            check.equal(ask(port, *asked)[0], status, " ".join(asked))
        check.true("pos:" not in process.stdout(), "nothing was printed")
        outside = subprocess.run([*GATEWAYS[language], "--listen", "0.0.0.0:0"], capture_output=True, text=True,
                                 timeout=60, check=False)
        check.true(outside.returncode == 2 and "127.0.0.1" in outside.stderr, f"only loopback: {outside.stderr}")

    def finishes_what_is_under_way(case):
        process, port = gateway(case, language, "--takes-ms", "300")
        answers = []
        buyer = threading.Thread(target=lambda: answers.append(pay(port, "late")))
        buyer.start()
        process.wait_log("pos: order late under way")
        process.send(15)
        buyer.join(30)
        check.equal([answer[1].get("receipt") for answer in answers], ["P-000001"], "the one under way at SIGTERM")
        check.equal(process.wait(), 0, "and then it ends")

    return charges_an_order_once, refuses_what_is_no_purchase, finishes_what_is_under_way


test_payment_in_java_charges_an_order_once, test_payment_in_java_refuses_what_is_no_purchase, \
    test_payment_in_java_finishes_what_is_under_way_at_its_end = _payment("java")
test_payment_in_python_charges_an_order_once, test_payment_in_python_refuses_what_is_no_purchase, \
    test_payment_in_python_finishes_what_is_under_way_at_its_end = _payment("python")


def test_instances_in_java_and_in_python_share_a_ledger_and_charge_an_order_once_between_them(case):
    share_a_ledger(case, "java")


def test_instances_in_python_share_a_ledger_and_charge_an_order_once_between_them(case):
    share_a_ledger(case, "python")


def share_a_ledger(case, language):
    book = case.directory / "ledger"
    _, other = gateway(case, language, "--name", "A", "--ledger", book)
    first, python = gateway(case, "python", "--name", "B", "--ledger", book)
    given = {}

    def buy(number):
        # Each order at both at once, and again.
        port = (other, python)[number % 2]
        given.setdefault(f"o-{number // 4}", []).append(pay(port, f"o-{number // 4}")[1]["receipt"])

    threads = [threading.Thread(target=buy, args=(number,)) for number in range(80)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    check.equal({order: len(set(receipts)) for order, receipts in given.items()},
                {f"o-{number}": 1 for number in range(20)}, "receipts of each order")
    check.equal(sorted(one.order for one in ledger.read(book)), sorted(given), "charged once each")
    check.equal(len({one.receipt for one in ledger.read(book)}), 20, "no receipt's number was given twice")

    # Killed while it writes: half a line. Nobody's next purchase is lost by it.
    first.kill()
    with open(book, "ab") as file:
        file.write(b"B-000021\to-torn\t12")
    check.equal(pay(other, "o-20")[1]["receipt"], "A-000021", "the next purchase, by the other")
    _, again = gateway(case, "python", "--name", "B", "--ledger", book)
    check.equal(pay(again, "o-3")[1]["receipt"], given["o-3"][0], "one that was started anew knows what was charged")
    check.equal(pay(again, "o-torn")[1]["receipt"], "B-000022", "what was torn was not charged")
    check.equal(len(ledger.read(book)), 22, "purchases in the ledger")


# ---- receipts

def test_receipts_speak_first_and_tell_what_the_point_of_sale_printed(case):
    log = case.write("payment.log", "payment: listening\npos: receipt P-000001 order o-1 12.00 EUR print of x\n"
                                    "pos: again receipt P-000001 order o-1\n")
    other = case.write("payment-2.log", "pos: receipt Q-000002 order o-2 0.05 EUR\n")
    _, port = app(case, "receipts", "--log", log, "--log", other, "--log", case.directory / "not-yet")
    client = socket.create_connection(("127.0.0.1", port), 10)
    case.owns(client)
    lines = client.makefile("r", newline="\r\n")
    case.owns(lines)

    def get(words):
        client.sendall(words.encode() + b"\r\n")
        said = []
        while (line := lines.readline().rstrip()) not in (".", ""):
            said.append(line)
        return said

    check.equal(lines.readline(), "receipts ready\r\n", "its greeting, unasked")
    check.equal(get("GET P-000001"),
                ["RECEIPT P-000001", "order   o-1", "paid    12.00 EUR", "for     print of x"], "a receipt")
    check.equal(get("GET Q-000002"),
                ["RECEIPT Q-000002", "order   o-2", "paid    0.05 EUR", "for     -"], "one of another log")
    check.equal(get("GET P-000009"), ["ERROR no receipt P-000009"], "no such receipt")
    check.equal(get("HELP"), ["ERROR say GET and a receipt's number, or QUIT"], "no such command")
    client.sendall(b"QUIT\r\n")
    check.equal(lines.readline(), "", "its end")
    with socket.create_connection(("127.0.0.1", port), 10) as endless:
        endless.sendall(b"x" * 300)
        said = b"".join(iter(lambda: endless.recv(999), b""))
        check.equal(said, b"receipts ready\r\n", "a line without end is the end")


# ---- facebox, website

def picture_of(port, name):
    status, data = ask(port, "GET", f"/pictures/{name}")
    check.equal(status, 200, f"picture {name}")
    return data


def test_without_opencv_facebox_knows_the_drawn_picture_and_says_so(case):
    process, port = app(case, "facebox", "--without-opencv")
    _, site = app(case, "website", "--drawn")
    listed = ask(site, "GET", "/pictures")[1]["pictures"]
    check.equal([(one["id"], one["faces"]) for one in listed], [("drawn", 3)], "pictures to choose")
    status, said = ask(port, "POST", "/faces", picture_of(site, "drawn"))
    check.equal((status, len(said["faces"]), said["width"]), (200, 3, 960), "the drawn picture")
    check.equal(ask(port, "POST", "/faces", b"another")[1]["code"], "without_opencv", "another picture")
    check.true("WITHOUT OPENCV" in process.stdout(), "it says so")


def test_facebox_finds_as_many_faces_as_one_counts(case):
    if subprocess.run([PYTHON, "-c", "import cv2"], capture_output=True, check=False).returncode != 0:
        raise check.Skip("no OpenCV: apt-get install python3-opencv opencv-data")
    _, port = app(case, "facebox")
    check.equal(ask(port, "POST", "/faces", b"no picture")[1]["code"], "no_picture", "what is no picture")
    check.equal(ask(port, "POST", "/faces", b"")[1]["code"], "no_picture", "nothing")
    black = drawn.encoded(9000, 9000, bytes(9000 * 3 + 1) * 9000)
    check.equal(ask(port, "POST", "/faces", black)[1]["code"], "too_large", "81 million pixels in a small file")
    _, site = app(case, "website", "--pictures", needs.pictures_folder())
    known = ask(site, "GET", "/pictures")[1]["pictures"]
    if not known:
        raise check.Skip("no picture of a package: apt-get install python-matplotlib-data")
    seen = {one["id"]: len(ask(port, "POST", "/faces", picture_of(site, one["id"]))[1]["faces"]) for one in known}
    check.equal(seen, {one["id"]: one["faces"] for one in known}, "faces")


def test_the_website_serves_its_page_with_a_policy_and_nothing_else(case):
    _, port = app(case, "website", "--drawn")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    case.owns(connection)
    for path, kind in (("/", "text/html"), ("/style.css", "text/css"), ("/page.js", "text/javascript"),
                       ("/pictures/drawn", "image/png")):
        connection.request("GET", path)
        response = connection.getresponse()
        check.true(response.read() and response.status == 200, f"{path}: {response.status}")
        check.equal(response.getheader("Content-Type").split(";")[0], kind, f"what {path} is")
        check.true("default-src 'none'" in response.getheader("Content-Security-Policy"), f"the policy of {path}")
    for path in ("/pictures/../website.py", "/website.py", "/pictures/x", "/api/health"):
        check.equal(ask(port, "GET", path)[0], 404, path)


# ---- api

def shop(case, payment, *options):
    _, port = app(case, "api", "--facebox", "127.0.0.1:1", "--payment", f"127.0.0.1:{payment}", *options)
    return port


ORDER = {"order": "o-1", "picture": "x", "cents": 1200}


def test_the_api_says_what_became_of_a_purchase(case):
    def close_at_once(connection, seen):
        connection.close()

    def close_after_the_request(connection, seen):
        connection.recv(65536)
        connection.close()

    def half_an_answer(connection, seen):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        connection.close()

    def no_json(connection, seen):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n<")
        connection.close()

    for answer, expected in ((close_at_once, "closed"), (close_after_the_request, "closed"),
                             (half_an_answer, "cut"), (no_json, "garbled")):
        port = shop(case, Peer(case, answer).port)
        status, said = ask(port, "POST", "/api/buy", ORDER)
        check.equal((status, said["code"]), (502, expected), answer.__name__)
        check.true("ayment" in said["error"], f"words for a buyer: {said}")
    status, said = ask(shop(case, free_port()), "POST", "/api/buy", ORDER)
    check.equal((status, said["code"]), (502, "unreachable"), "nobody there")


class Peer:
    """A peer that does the same with each connection."""

    def __init__(self, case, behave):
        self.seen = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        case.owns(self.listener)

        def work():
            while True:
                try:
                    connection, _ = self.listener.accept()
                except OSError:
                    return
                self.seen.append(connection)
                threading.Thread(target=behave, args=(connection, self.seen), daemon=True).start()
        threading.Thread(target=work, daemon=True).start()


def test_the_api_passes_purchases_receipts_and_refusals_on(case):
    payment, port = gateway(case, "python")
    _, receipts = app(case, "receipts", "--log", payment.stdout_path)
    api = shop(case, port, "--receipts", f"127.0.0.1:{receipts}")
    bought = {"receipt": "P-000001", "order": "o-1", "instance": "P"}
    check.equal(ask(api, "POST", "/api/buy", ORDER), (200, bought), "a purchase")
    check.equal(ask(api, "POST", "/api/buy", {**ORDER, "cents": -1})[1]["code"], "bad_cents", "what payment says")
    check.equal(ask(api, "POST", "/api/buy", b"[")[0], 400, "no JSON")
    status, said = ask(api, "GET", "/api/receipt?number=P-000001")
    check.equal((status, said["lines"][3]), (200, "for     print of x"), "its receipt")
    check.equal(ask(api, "GET", "/api/receipt?number=P-000002")[0], 404, "no receipt")
    check.equal(ask(api, "GET", "/api/receipt?number=%0aQUIT")[0], 400, "no number")
    check.equal(ask(api, "POST", "/api/emojify", b"x")[1]["code"], "unreachable", "no facebox")
    check.equal(ask(api, "GET", "/api/health"), (200, {"ok": True}), "health")


def test_a_purchase_that_is_held_open_is_completed_or_its_cut_is_told_at_once(case):
    payment, port = gateway(case, "python")
    api = shop(case, port)
    check.equal(ask(api, "POST", "/api/hold", {**ORDER, "seconds": 0.3})[1]["receipt"], "P-000001", "it is completed")
    answers = []

    def hold():
        answer = ask(api, "POST", "/api/hold", {**ORDER, "order": "o-2", "seconds": 60})
        answers.append((answer, time.monotonic()))

    holder = threading.Thread(target=hold)
    holder.start()
    check.within(lambda: [one["order"] for one in ask(api, "GET", "/api/holds")[1]["holds"]] == ["o-2"], "it is open")
    another = ask(api, "POST", "/api/buy", {**ORDER, "order": "o-3"})
    check.equal(another[1]["receipt"], "P-000002", "another purchase meanwhile")
    begun = time.monotonic()
    payment.kill()
    holder.join(30)
    (status, said), ended = answers[0]
    check.equal((status, said["code"]), (502, "cut"), "what the buyer is told")
    check.below(ended - begun, 1.0 * slowness(), "seconds until it is told")
    check.equal(ask(api, "GET", "/api/holds")[1], {"holds": []}, "none is open")


# ---- buyers

def test_buyers_count_what_came_of_their_purchases(case):
    book = case.directory / "ledger"
    first, port = gateway(case, "python", "--ledger", book, "--takes-ms", "50")
    api = shop(case, port)
    crowd = Buyer(f"127.0.0.1:{api}", rate=40, log=case.directory / "buyers.log")
    case.undo(lambda: (crowd.stop(), None)[1])
    crowd.wait(20)
    killed = time.time()
    first.kill()
    second, _ = started(case, "payment-again", *GATEWAYS["python"], "--listen", f"127.0.0.1:{port}", "--ledger", book)
    back = time.time()
    crowd.wait(20, moment=back)
    sums = crowd.stop()
    check.equal(sums["sum"], crowd.counts(), "the program's sums are those of its lines")
    check.equal(sums["begun"], sum(sums["sum"].values()), "each has an outcome")
    during = [one for one in crowd.since() if "first" in one]
    check.true(during, "some met the gateway away")
    unexplained = [one for one in during if one["failed_at"] < killed - 0.05 or one["at"] > back + 0.05]
    check.equal(unexplained, [], "failures while it was there")
    charged = [one.order for one in ledger.read(book)]
    receipts = {one["order"]: one["receipt"] for one in crowd.since() if one["outcome"] in ("ok", "again")}
    check.equal(len(charged), len(set(charged)), "no order is charged twice")
    check.equal([order for order in receipts if order not in charged], [], "receipts that nobody charged")
    check.true(second.running(), "the second instance lives")


# ---- the page

NGINX = """
{user}
pid {folder}/nginx.pid; error_log {folder}/nginx.log; worker_processes 1; daemon off;
events {{ worker_connections 128; }}
http {{
  access_log off; client_max_body_size 8m; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location /api/ {{ proxy_pass http://127.0.0.1:{api}; }}
    location / {{ proxy_pass http://127.0.0.1:{website}; }}
  }}
}}
"""


class Front:
    """The shop behind nginx, with the drawn picture, and a browser before it."""

    def __init__(self, case):
        if case.reduced:
            raise check.Skip("the shop's page is looked at in a browser by --full alone")
        from browser import Browser
        nginx = peer_binary("nginx")
        self.payment, pay_port = gateway(case, "python")
        _, receipts = app(case, "receipts", "--log", self.payment.stdout_path)
        self.facebox, faces_port = app(case, "facebox", "--without-opencv")
        peers = {"facebox": faces_port, "payment": pay_port, "receipts": receipts}
        mounts = [word for name, port in peers.items() for word in (f"--{name}", f"127.0.0.1:{port}")]
        self.api, self.api_port = app(case, "api", *mounts)
        self.website, site_port = app(case, "website", "--drawn")
        port = free_port()
        # As root its workers would be another user's, who may not keep a picture's bytes in the test's folder.
        user = "user root;" if os.geteuid() == 0 else ""
        text = NGINX.format(user=user, folder=case.directory, port=port, api=self.api_port, website=site_port)
        Process(case, [nginx, "-c", case.write("nginx.conf", text)], "nginx")
        check.within(lambda: ask(port, "GET", "/api/health")[0] == 200, "nginx serves", 15 * slowness())
        self.address = f"http://127.0.0.1:{port}/"
        self.browser = Browser(case.directory / "chromium")
        case.undo(self.browser.close)
        self.browser.open(self.address)

    def each_look(self):
        """each_look is light and dark, on a desk and in a hand."""
        for scheme in ("light", "dark"):
            for width in (1280, 400):
                self.browser.chromium.prefers(prefers_color_scheme=scheme)
                self.browser.chromium.resize(width)
                yield f"{width}-{scheme}"
        self.browser.chromium.prefers(prefers_color_scheme="light")
        self.browser.chromium.resize(1280, 660)


SHOTS = ROOT / "build/emojify-page"


def test_the_page_shows_faces_and_a_receipt(case):
    front = Front(case)
    browser = front.browser
    check.equal(browser.choose("drawn"), 3, "emojis on the picture")
    check.equal(browser.buy(), "P-000001", "the receipt's number")
    check.true("12.00 EUR" in browser.text("#receipt"), f"the receipt: {browser.text('#receipt')}")
    first = browser.text("#order")
    check.equal(browser.buy(), "P-000002", "another print is another order")
    check.true(browser.text("#order") != first, "of another number")
    says = browser.chromium.says
    browser.press("peek")
    check.equal(says("document.querySelectorAll('.face.away').length"), 3, "emojis put away for the original")
    browser.press("shuffle")
    check.equal(says("document.querySelectorAll('.face:not(.away)').length"), 3, "emojis after a shuffle")
    for look in front.each_look():
        check.true(says("document.documentElement.scrollWidth <= innerWidth"), f"{look}: nothing is wider")
        browser.screenshot(SHOTS / f"{look}.png")
    check.equal(browser.complaints(), [], "what the console says")
    check.equal([one for one in browser.asked() if not one.startswith(front.address)], [], "requests to others")


def test_the_page_says_each_error_in_words(case):
    from browser import Trouble
    front = Front(case)
    browser = front.browser

    def told(action, words, name):
        try:
            action()
        except Trouble as trouble:
            check.true(words in str(trouble), f"{name}: the page says {trouble}")
            browser.screenshot(SHOTS / f"{name}.png")
        else:
            check.fail(f"{name}: no trouble was told")

    notes = case.write("notes.txt", "no picture")
    told(lambda: browser.upload(notes), "no picture that a browser can show", "no-picture")
    check.equal(browser.choose("drawn"), 3, "emojis on the picture")
    order = browser.text("#order")
    browser.hold()
    check.within(lambda: ask(front.api_port, "GET", "/api/holds")[1]["holds"], "the purchase is open")
    front.payment.kill()
    told(browser.paid, "was cut while your purchase was open", "cut")
    told(browser.buy, "cannot be reached", "away")
    check.equal(browser.text("#order"), order, "it is still the same order")
    front.facebox.kill()
    told(lambda: browser.choose("drawn"), "finds faces cannot be reached", "no-facebox")
    front.api.kill()
    told(lambda: browser.choose("drawn"), "nginx says 502", "no-api")
    front.website.kill()
    browser.open(front.address, page=False)
    check.true("502 Bad Gateway" in browser.text(), f"nginx's own page: {browser.text()}")


def test_the_page_is_accessible(case):
    front = Front(case)
    script = axe(case)
    if script is None:
        raise check.Skip("no axe-core: npm cannot get it")
    for bought in (False, True):
        if bought:
            front.browser.choose("drawn")
            front.browser.buy()
        for look in front.each_look():
            front.browser.chromium.says(script + "; 0")
            found = front.browser.chromium.says(
                "axe.run(document).then((result) => result.violations.map((one) => one.id + ': ' + one.help + ' ' + "
                "one.nodes.slice(0, 3).map((node) => node.html.slice(0, 200)).join(' | ')))")
            check.equal(found, [], f"violations, {look}")


test_the_page_shows_faces_and_a_receipt.limit = 120
test_the_page_says_each_error_in_words.limit = 120
test_the_page_is_accessible.limit = 120
