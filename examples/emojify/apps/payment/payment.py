#!/usr/bin/env python3
"""The legacy payment gateway, for where no Java is: the same answers as Payment.java, kept so by one table of tests.

  POST /pay     {"order": "...", "cents": 1200, "what": "..."}
                -> {"receipt": "P-000042", "order": "...", "instance": "P"}
  GET  /health

The same order sent twice gives the same receipt and no second charge, so a caller that was cut off may ask again.
"""

import argparse
import pathlib
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from ledger import Ledger  # noqa: E402
from web import Refused, Server, argument, own, say, serve  # noqa: E402

ORDER = re.compile(r"[A-Za-z0-9._-]{1,64}")
MOST_CENTS = 10_000_000


def checked(said):
    """checked has order, cents and what, or says which of them is wrong."""
    order, cents, what = said.get("order"), said.get("cents"), said.get("what", "")
    if not isinstance(order, str) or not ORDER.fullmatch(order):
        raise Refused(400, "order: 1 to 64 letters, digits, dots, dashes and underscores", "bad_order")
    if not isinstance(cents, int) or isinstance(cents, bool) or not 1 <= cents <= MOST_CENTS:
        raise Refused(400, f"cents: a whole number from 1 to {MOST_CENTS}", "bad_cents")
    if not isinstance(what, str) or len(what) > 200:
        raise Refused(400, "what: at most 200 letters", "bad_what")
    return order, cents, "".join(letter if letter.isprintable() else "?" for letter in what)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listen", type=argument(own), required=True, help="127.0.0.1:PORT")
    parser.add_argument("--name", default="P", help="the instance, which every receipt's number begins with (P)")
    parser.add_argument("--ledger",
                        help="a file that instances share; without it orders are remembered while the process lives")
    parser.add_argument("--takes-ms", type=int, default=0,
                        help="how long the card terminal takes for a purchase, which is logged when it begins (0)")
    options = parser.parse_args()
    if not re.fullmatch(r"[A-Za-z0-9-]{1,20}", options.name):
        parser.error(f"--name {options.name}: 1 to 20 letters, digits and dashes")
    ledger = Ledger(options.ledger, options.name)

    def pay(request):
        order, cents, what = checked(request.json())
        if options.takes_ms:
            say("pos", f"order {order} under way")
            time.sleep(options.takes_ms / 1000)
        bought, new = ledger.charge(order, cents, what)
        if new:
            say("pos", f"receipt {bought.receipt} order {order} {cents // 100}.{cents % 100:02d} EUR {what}".rstrip())
        else:
            say("pos", f"again receipt {bought.receipt} order {order}, not charged twice")
        return {"receipt": bought.receipt, "order": order, "instance": bought.instance}

    serve(Server("payment", options.listen, {
        ("POST", "/pay"): pay, ("GET", "/health"): lambda _: {"instance": options.name}}))


if __name__ == "__main__":
    main()
