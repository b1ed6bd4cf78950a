#!/usr/bin/env python3
"""Receipts, a plain TCP service beside the payment gateway that speaks first, as mail and database servers do.

It greets with `receipts ready`, takes `GET P-000042`, answers the lines of that receipt, ended by a dot, and waits for
the next; `QUIT` ends it. What it knows is what the point of sale has printed: the payment gateway's log.
"""

import argparse
import os
import re
import signal
import socketserver
import sys
import threading

from web import argument, own, say

PRINTED = re.compile(r"pos: receipt (\S+) order (\S+) (\d+\.\d\d) EUR ?(.*)")
LONGEST = 200  # bytes of a request


def find(logs, number):
    """find has the lines of a receipt, the last one printed if a number was given twice, or None."""
    found = None
    for log in logs:
        if not os.path.exists(log):
            continue
        with open(log, encoding="utf-8", errors="replace") as file:
            for line in file:
                match = PRINTED.fullmatch(line.rstrip("\n"))
                if match and match[1] == number:
                    found = match
    if not found:
        return None
    return [f"RECEIPT {found[1]}", f"order   {found[2]}", f"paid    {found[3]} EUR", f"for     {found[4] or '-'}"]


class Session(socketserver.StreamRequestHandler):
    timeout = 300

    def say(self, *lines):
        self.wfile.write("".join(line + "\r\n" for line in lines).encode())

    def handle(self):
        try:
            self.say("receipts ready")
            while line := self.rfile.readline(LONGEST + 1):
                if len(line) > LONGEST or not self.answer(line.decode(errors="replace").split()):
                    break
        except OSError:
            pass  # a caller that goes away is no event

    def answer(self, words):
        """answer is false where the session ends."""
        if words == ["QUIT"]:
            return False
        if len(words) != 2 or words[0] != "GET":
            self.say("ERROR say GET and a receipt's number, or QUIT", ".")
            return True
        lines = find(self.server.logs, words[1])
        say("receipts", f"{words[1]} {'given' if lines else 'unknown'}")
        self.say(*(lines or [f"ERROR no receipt {words[1]}"]), ".")
        return True


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listen", type=argument(own), required=True, help="127.0.0.1:PORT")
    parser.add_argument("--log", action="append", required=True, help="a log of the gateway; once for each instance")
    options = parser.parse_args()
    with Server(options.listen, Session) as server:
        server.logs = options.log
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
        say("receipts", f"listening on {server.server_address[0]}:{server.server_address[1]}")
        server.serve_forever(poll_interval=0.05)
    say("receipts", "ends")


if __name__ == "__main__":
    sys.exit(main())
