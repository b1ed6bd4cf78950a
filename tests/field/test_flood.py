"""One address that connects as fast as it can: with rate_per_address another one is served meanwhile."""

import json
import sys

from lib import check
from lib.case import slowness
from lib.mooring import run
from lib.namespaces import Neighbour
from lib.static import Static

EXPECTED_SECONDS = 12

# It connects without a pause, says the beginning of a handshake, which costs it nothing, and keeps what it has.
FLOOD = """
import os, socket, ssl, sys
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
tls.check_hostname = False
hello = ssl.MemoryBIO()
try:
    tls.wrap_bio(ssl.MemoryBIO(), hello).do_handshake()
except ssl.SSLWantReadError:
    hello = hello.read()
kept = []
first = f"/proc/{os.getpid()}"
os.fork()
os.fork()
while os.path.exists(first):
    one = socket.socket()
    one.settimeout(1)
    try:
        one.connect((sys.argv[1], int(sys.argv[2])))
        one.sendall(hello)
    except OSError:
        one.close()
        continue
    kept.append(one)
    if len(kept) > 1500:
        kept.pop(0).close()
"""

# A hundred calls a second, each over a connection of its own, and how many of them were answered.
CALLS = """
import concurrent.futures, socket, ssl, sys, time
host, port, identity, roots, calls, seconds = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5]), float(sys.argv[6])
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
tls.check_hostname = False
tls.load_verify_locations(roots)
tls.load_cert_chain(identity)
begun = time.monotonic() + 0.1

def call(number):
    time.sleep(max(0, begun + number / 100 - time.monotonic()))
    try:
        with socket.create_connection((host, port), timeout=seconds) as plain:
            with tls.wrap_socket(plain) as one:
                one.sendall(b"ping")
                return one.recv(4) == b"ping"
    except OSError:
        return False

with concurrent.futures.ThreadPoolExecutor(64) as pool:
    print("answered", sum(pool.map(call, range(calls))), flush=True)
"""


def test_row_43_while_one_address_floods_another_is_served(case):
    noisy, quiet = Neighbour(case, 21), Neighbour(case, 22)
    # Without the rate the flood has all handshakes that may be under way, and the queue before them is full.
    static = Static(case, public={"address": "0.0.0.0:0"}, max_handshakes=400, rate_per_address=150, burst_per_address=150)
    port = static.public[1]
    roots, calls = case.write("roots.pem", static.roots), case.scale(300, 3000)

    def refused():
        return static.mooring.status()["admission"]["rate_per_address"]["refused"]

    noisy.run([sys.executable, "-c", FLOOD, noisy.here, port], "flood")
    check.within(lambda: refused() > 1000, "the flood is on", 20 * slowness())
    before = refused()
    caller = quiet.run([sys.executable, "-c", CALLS, quiet.here, port, static.web.path(), roots, calls, 5 * slowness()], "calls")
    answered = int(caller.wait_log(r"answered (\d+)", 60 + calls / 100)[1])
    check.true(refused() > before, "the flood went on")
    check.true(answered >= 0.8 * calls, f"{answered} of {calls} calls of the other address were answered")
    recent = check.within(lambda: json.loads(static.mooring.admin("/recent?match=over_limit")[1])["failed"], "/recent has it",
                          5 * slowness())[0]
    check.equal((recent["reason"], recent["detail"]), ("over_limit", "rate_per_address is 150"), "/recent")
    check.true(recent["peer"].startswith(noisy.host + ":"), f"who was refused: {recent['peer']}")
    check.equal(static.mooring.status()["admission"]["rate_per_address"]["addresses"], 2, "addresses that are remembered")
    host, admin = static.mooring.listener("admin")
    check.true("rate_per_address  150 a second, 150 at once" in run("status", "-admin-addr", f"{host}:{admin}")[1], "mooring status")


test_row_43_while_one_address_floods_another_is_served.limit = 120
