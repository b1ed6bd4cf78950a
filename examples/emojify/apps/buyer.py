#!/usr/bin/env python3
"""A crowd that buys prints through the shop's door at a steady rate, each with its own order, and what comes of it.

As a program it writes a JSON line for each purchase and one with the sums at its end (SIGTERM, or --seconds over).
Buyer starts it, in a namespace if `launch` says so, and reads its lines.

  ok         a receipt at the first try
  again      the first try failed; asked once more with the same order, there was a receipt. `first` says how it failed
  refused    no receipt at either try: at the last one there was no connection, so nothing was sent
  closed     the same, and the connection ended without a word: not let in, or who should answer died
  under_way  the same, and it was cut within the answer, or the answer did not come in time

Of a try that failed the record has from when to when it was under way: whoever killed something can tell whether that
was why.
"""

import argparse
import collections
import http.client
import json
import os
import queue
import secrets
import signal
import subprocess
import sys
import threading
import time

OUTCOMES = ("ok", "again", "refused", "closed", "under_way")
# What the codes of the api and the front door's own pages come to.
CODES = {"unreachable": "refused", "503": "refused", "closed": "closed", "502": "closed",
         "cut": "under_way", "silent": "under_way", "504": "under_way"}
TIMEOUT = 30.0  # seconds for an answer
MOST = 40000  # purchases of one run


# ---- the program

def attempt(peer, order):
    """attempt has ("ok", receipt), or how it failed and what was said."""
    connection = http.client.HTTPConnection(*peer, timeout=TIMEOUT)
    try:
        connection.connect()
    except OSError as error:
        return "refused", f"no connection: {error}"
    try:
        body = json.dumps({"order": order, "picture": "a crowd", "cents": 1200})
        connection.request("POST", "/api/buy", body, {"Content-Type": "application/json", "Connection": "close"})
        response = connection.getresponse()
        text = response.read()
    except http.client.RemoteDisconnected as error:
        return "closed", f"the front door: {error}"
    except (OSError, http.client.HTTPException) as error:
        return "under_way", f"{type(error).__name__}: {error}"
    finally:
        connection.close()
    try:
        said = json.loads(text)
    except ValueError:
        said = {}
    if response.status == 200 and said.get("receipt"):
        return "ok", said["receipt"]
    code = said.get("code", str(response.status))
    return CODES.get(code, "refused"), said.get("code") or f"{response.status} of the front door"


def purchase(peer, again_after):
    """purchase is one buyer's: a try, and once more with the same order if it failed."""
    order = "crowd-" + secrets.token_hex(8)
    at, begun = time.time(), time.monotonic()
    outcome, detail = attempt(peer, order)
    record = {"at": round(at, 4), "order": order, "outcome": outcome}
    if outcome != "ok":
        record.update(first=outcome, first_detail=detail, failed_at=round(at + time.monotonic() - begun, 4))
        if again_after is not None:
            time.sleep(again_after)
            outcome, detail = attempt(peer, order)
            record["outcome"] = "again" if outcome == "ok" else outcome
    record["receipt" if outcome == "ok" else "detail"] = detail
    record["ms"] = round((time.monotonic() - begun) * 1000, 1)
    return record


def buy(options):
    """buy begins a purchase at each beat. With no thread free it is `late`: a hanging shop is not asked without end."""
    beats, lock, over = queue.Queue(options.threads), threading.Lock(), threading.Event()
    counts = collections.Counter({outcome: 0 for outcome in OUTCOMES})
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())

    def work():
        while beats.get():
            record = purchase(options.address, options.again_after_ms / 1000 if options.again_after_ms >= 0 else None)
            with lock:
                counts[record["outcome"]] += 1
                print(json.dumps(record), flush=True)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(options.threads)]
    for thread in threads:
        thread.start()
    begun, begun_count, late = time.monotonic(), 0, 0
    while not over.is_set() and begun_count + late < MOST:
        due = begun + (begun_count + late) / options.rate
        if options.seconds and due - begun >= options.seconds:
            break
        over.wait(max(0.0, due - time.monotonic()))
        if over.is_set():
            break
        try:
            beats.put_nowait(True)
            begun_count += 1
        except queue.Full:
            late += 1
    for _ in threads:
        beats.put(False)
    for thread in threads:
        thread.join(2 * TIMEOUT + 5)
    with lock:
        seconds = round(time.monotonic() - begun, 3)
        print(json.dumps({"sum": dict(counts), "begun": begun_count, "late": late, "seconds": seconds}), flush=True)


# ---- who starts it

class Buyer:
    """The program above, started, and what it has said so far."""

    def __init__(self, address, rate, launch=(), log=None, threads=16, again_after_ms=300):
        """launch: what stands before it, such as ["ip", "netns", "exec", "cluster"]. log: keeps its lines."""
        command = [*launch, "/usr/bin/python3", "-u", os.path.abspath(__file__), "--address", address,
                   "--rate", str(rate), "--threads", str(threads), "--again-after-ms", str(again_after_ms)]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                                        start_new_session=True)
        self.records, self.sum = [], None
        self.changed = threading.Condition()
        self.log = log
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        kept = open(self.log, "w", encoding="utf-8") if self.log else None
        for line in self.process.stdout:
            if kept:
                kept.write(line)
                kept.flush()
            said = json.loads(line)
            with self.changed:
                if "sum" in said:
                    self.sum = said
                else:
                    self.records.append(said)
                self.changed.notify_all()
        if kept:
            kept.close()
        with self.changed:
            self.changed.notify_all()

    def since(self, moment=0.0):
        """since has the records of purchases that began at or after the moment (time.time())."""
        with self.changed:
            return [record for record in self.records if record["at"] >= moment]

    def counts(self, moment=0.0):
        """counts has how many purchases since the moment had each outcome."""
        return {**dict.fromkeys(OUTCOMES, 0), **collections.Counter(record["outcome"] for record in self.since(moment))}

    def beside(self, moment, slack=0.05):
        """beside has the records whose first try failed and was not under way then: no kill then explains it."""
        return [record for record in self.since()
                if "first" in record and not record["at"] - slack <= moment <= record["failed_at"] + slack]

    def wait(self, count, moment=0.0, outcomes=("ok",), seconds=30.0):
        """wait is until so many purchases that began since the moment had such an outcome, or raises TimeoutError."""
        def enough():
            return sum(record["outcome"] in outcomes and record["at"] >= moment for record in self.records) >= count
        with self.changed:
            if not self.changed.wait_for(lambda: enough() or self.process.poll() is not None, seconds) or not enough():
                what = f"{count} purchases {' or '.join(outcomes)}"
                raise TimeoutError(f"not {what} within {seconds:.0f} s: {self.records[-3:]}")

    def stop(self):
        """stop lets what is under way end, and has the sums."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(2 * TIMEOUT + 10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reader.join(5)
        self.process.stdout.close()
        return self.sum


def main():
    from web import address, argument
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", type=argument(address), required=True, help="HOST:PORT of the front door")
    parser.add_argument("--rate", type=float, default=10.0, help="purchases begun a second (10)")
    parser.add_argument("--seconds", type=float, default=0, help="how long; 0 is until SIGTERM or 40,000 purchases (0)")
    parser.add_argument("--threads", type=int, default=16, help="purchases at the same time (16)")
    parser.add_argument("--again-after-ms", type=int, default=300,
                        help="how long a buyer waits before asking again; -1 does not (300)")
    options = parser.parse_args()
    if not 0 < options.rate <= 500 or not 1 <= options.threads <= 64:
        parser.error("--rate: above 0, up to 500; --threads: 1 to 64")
    buy(options)


if __name__ == "__main__":
    sys.exit(main())
