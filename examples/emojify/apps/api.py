#!/usr/bin/env python3
"""The shop's api. It reaches facebox, payment and receipts as loopback ports of its own sidecar, and knows of no mesh.

  POST /api/emojify   the bytes of a picture -> {"faces": 2, "boxes": [{"x", "y", "w", "h"}], "width", "height"}
  POST /api/buy       {"order": "...", "picture": "...", "cents": 1200}
                      -> {"receipt": "P-000042", "order": "...", "instance": "P"}
  POST /api/hold      the same, and "seconds": its connection stays open so long before it is completed, or is cut
  GET  /api/holds     the purchases that are held open now
  GET  /api/receipt?number=P-000042   what the point of sale printed
  GET  /api/health

A purchase is sent once: whether to ask again, with the same order, is the caller's to say, and payment charges an order
once. Only what was never sent is tried a second time.

Errors are {"error": words for a buyer, "code": ...}. 502 with
  unreachable  no connection: nothing was sent
  closed       the connection ended without a word: the mesh did not let us in, or payment died over it; who can tell
  cut          it ended while a purchase was held open, or within the answer
504 with silent: no answer in time. Else what payment itself said.
"""

import argparse
import http.client
import json
import re
import secrets
import select
import socket
import sys
import threading
import time
import urllib.parse

from web import Refused, Server, address, argument, own, say, serve

CONNECT = 5.0  # seconds
ANSWER = 20.0  # of an answer, a sidecar's own start included
PRICE = 1200
HOLD_MOST = 300

# What a buyer is told, by what happened; of the finder of faces nothing is bought.
ONCE = "the same order is charged once."
PAYMENT = {
    "unreachable": "Payment cannot be reached. Nothing was sent, so nothing was charged. Please try again later.",
    "closed": f"Payment does not take our connection. You have no receipt; please try again later: {ONCE}",
    "cut": "The connection to payment was cut while your purchase was open. "
           f"You have no receipt; please try again: {ONCE}",
    "silent": f"Payment has not answered in time. You have no receipt; please try again: {ONCE}",
    "garbled": "Payment has answered something that this shop does not understand.",
    "says": "Payment says: {}",
}
FACES = {
    "unreachable": "The part of the shop that finds faces cannot be reached.",
    "closed": "The part of the shop that finds faces does not take our connection.",
    "cut": "The connection to the part of the shop that finds faces was cut.",
    "silent": "The part of the shop that finds faces has not answered in time.",
    "garbled": "The part of the shop that finds faces has answered something that this shop does not understand.",
    "says": "No faces: {}",
}


def failure(words, code):
    return Refused(504 if code == "silent" else 502, words[code], code)


def opened(peer, words):
    """opened is a connection that stands. What fails here was not sent, so it is tried a second time."""
    for last in (False, True):
        connection = http.client.HTTPConnection(*peer, timeout=CONNECT)
        try:
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sock.settimeout(ANSWER)
            return connection
        except OSError as error:
            connection.close()
            if last:
                raise failure(words, "unreachable") from error
            time.sleep(0.1)


def answered(connection, words, closed="closed"):
    """answered has the answer as an object. closed: what it means that the connection ends without a word."""
    try:
        response = connection.getresponse()
    except TimeoutError as error:
        raise failure(words, "silent") from error
    except ConnectionError as error:  # RemoteDisconnected is one: closed before the first byte
        raise failure(words, closed) from error
    except (OSError, http.client.HTTPException) as error:
        raise failure(words, "cut") from error
    try:
        said = json.loads(response.read())
    except TimeoutError as error:
        raise failure(words, "silent") from error
    except (OSError, http.client.HTTPException) as error:
        raise failure(words, "cut") from error
    except ValueError as error:
        raise failure(words, "garbled") from error
    if response.status != 200:
        status = response.status if 400 <= response.status < 500 else 502
        raise Refused(status, words["says"].format(said.get("error", response.status)), said.get("code", "error"))
    return said


def asked(peer, words, path, body, kind="application/json"):
    """asked has the answer of a peer, or raises what a buyer is told."""
    connection = opened(peer, words)
    try:
        try:
            connection.request("POST", path, body, {"Content-Type": kind, "Connection": "close"})
        except OSError:
            pass  # it is closed: what it said before, if anything, is read below
        return answered(connection, words)
    finally:
        connection.close()


class Shop:
    def __init__(self, options):
        self.facebox, self.payment, self.receipts = options.facebox, options.payment, options.receipts
        self.holds, self.lock = {}, threading.Lock()

    # ---- pictures

    def emojify(self, request):
        if not request.body:
            raise Refused(400, "send the bytes of a picture", "no_picture")
        said = asked(self.facebox, FACES, "/faces", request.body, "application/octet-stream")
        say("api", f"emojify: {len(said['faces'])} faces")
        return {"faces": len(said["faces"]), "boxes": said["faces"], "width": said["width"], "height": said["height"]}

    # ---- purchases

    def purchase(self, request):
        said = request.json()
        order = said.get("order") or "web-" + secrets.token_hex(8)
        picture = said.get("picture", "a picture")
        if not isinstance(picture, str) or len(picture) > 100:
            raise Refused(400, "picture: a name of at most 100 letters", "bad_picture")
        return said, order, {"order": order, "cents": said.get("cents", PRICE), "what": f"print of {picture}"}

    def buy(self, request):
        _, order, wanted = self.purchase(request)
        begun = time.monotonic()
        try:
            answer = asked(self.payment, PAYMENT, "/pay", json.dumps(wanted).encode())
        except Refused as error:
            say("api", f"buy: order {order} {error.code}, {(time.monotonic() - begun) * 1000:.0f} ms")
            raise
        say("api", f"buy: order {order} receipt {answer['receipt']}, {(time.monotonic() - begun) * 1000:.0f} ms")
        return answer

    def hold(self, request):
        """hold sends a purchase but for its last byte, and that one at the end: it is open all the time in between."""
        said, order, wanted = self.purchase(request)
        seconds = said.get("seconds", 30)
        if not isinstance(seconds, (int, float)) or not 0 < seconds <= HOLD_MOST:
            raise Refused(400, f"seconds: from 0 to {HOLD_MOST}", "bad_seconds")
        body = json.dumps(wanted).encode()
        connection = opened(self.payment, PAYMENT)
        begun = time.monotonic()
        with self.lock:
            self.holds[order] = begun
        say("api", f"hold: order {order} is open")
        try:
            answer = self.completed(connection, body, seconds)
            say("api", f"hold: order {order} receipt {answer['receipt']}")
            return answer
        except Refused as error:
            say("api", f"hold: order {order} {error.code} after {time.monotonic() - begun:.3f} s")
            raise
        finally:
            with self.lock:
                self.holds.pop(order, None)
            connection.close()

    @staticmethod
    def completed(connection, body, seconds):
        try:
            connection.putrequest("POST", "/pay")
            connection.putheader("Content-Type", "application/json")
            connection.putheader("Content-Length", str(len(body)))
            connection.putheader("Connection", "close")
            connection.endheaders(body[:-1])
            # Payment has nothing to say before the last byte: what comes earlier is the end, or a refusal.
            early = select.select([connection.sock], [], [], seconds)[0]
            if not early:
                connection.send(body[-1:])
        except OSError:
            pass  # it is closed: what it said before, if anything, is read below
        return answered(connection, PAYMENT, closed="cut")

    def open_holds(self, _):
        with self.lock:
            held = list(self.holds.items())
        return {"holds": [{"order": order, "seconds": round(time.monotonic() - begun, 3)} for order, begun in held]}

    # ---- receipts

    def receipt(self, request):
        number = urllib.parse.parse_qs(urllib.parse.urlsplit(request.path).query).get("number", [""])[0]
        if not re.fullmatch(r"[A-Za-z0-9-]{1,40}", number):
            raise Refused(400, "number: such as P-000042", "bad_number")
        if self.receipts is None:
            raise Refused(404, "this shop has no receipts service", "no_receipts")
        try:
            lines = read_receipt(self.receipts, number)
        except OSError as error:
            raise Refused(502, "Receipts cannot be reached.", "unreachable") from error
        if lines[0].startswith("ERROR"):
            raise Refused(404, f"There is no receipt {number}.", "not_found")
        return {"number": number, "lines": lines}


def read_receipt(peer, number):
    """read_receipt speaks with the receipts service, which speaks first."""
    with socket.create_connection(peer, CONNECT) as connection, \
            connection.makefile("r", encoding="utf-8", newline="\r\n") as lines:
        if lines.readline().strip() != "receipts ready":
            raise ConnectionError("no greeting")
        connection.sendall(f"GET {number}\r\n".encode())
        said = []
        while line := lines.readline():
            if line.strip() == ".":
                return said
            said.append(line.rstrip())
        raise ConnectionError("it ends before the receipt does")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listen", type=argument(own), required=True, help="127.0.0.1:PORT")
    there = {"type": argument(address), "metavar": "HOST:PORT"}
    parser.add_argument("--facebox", required=True, help="where it is reached, such as 127.0.0.1:8002", **there)
    parser.add_argument("--payment", required=True, help="where it is reached, such as 127.0.0.1:8004", **there)
    parser.add_argument("--receipts", help="where it is reached, such as 127.0.0.1:8005", **there)
    options = parser.parse_args()
    shop = Shop(options)
    serve(Server("api", options.listen, {
        ("POST", "/api/emojify"): shop.emojify,
        ("POST", "/api/buy"): shop.buy,
        ("POST", "/api/hold"): shop.hold,
        ("GET", "/api/holds"): shop.open_holds,
        ("GET", "/api/receipt"): shop.receipt,
        ("GET", "/api/health"): lambda _: {"ok": True}}))


if __name__ == "__main__":
    sys.exit(main())
