"""Row 22: what our HTTP parser makes of a message beside Python's. Where they differ, messages.md says why."""

import email.errors
import http.client
import http.server
import io
import json
import os
import subprocess
from pathlib import Path

from differential import messages
from lib import check
from lib.deviations import Table

EXPECTED_SECONDS = 6
HERE = Path(__file__).parent
SEED = 22  # MOORING_TEST_SEED is another


class Wire:
    """A connection on which everything has come already."""

    def __init__(self, octets):
        self.file = io.BytesIO(octets)

    def makefile(self, *_):
        return self.file

    def sendall(self, _):
        pass


def response(octets, head):
    answer = http.client.HTTPResponse(Wire(octets), method="HEAD" if head else "GET")
    file = answer.fp
    answer.begin()
    body = answer.read()
    if answer.length:
        raise http.client.IncompleteRead(body, answer.length)
    return {"first": str(answer.status).encode(), "headers": answer.headers, "body": body,
            "keep_alive": not answer.will_close, "file": file}


class Handler(http.server.BaseHTTPRequestHandler):
    """A request as far as http.server reads it: its first line and its header."""

    def __init__(self, octets):  # no socket behind it
        self.rfile, self.wfile, self.error = io.BytesIO(octets), io.BytesIO(), None
        self.client_address, self.request_version, self.requestline = ("", 0), "", ""

    def send_error(self, code, message=None, explain=None):
        self.error = f"{code} {message}"

    def handle_expect_100(self):
        return True


def request(octets):
    handler = Handler(octets)
    handler.protocol_version = "HTTP/1.1"
    handler.raw_requestline = handler.rfile.readline(65537)
    if len(handler.raw_requestline) > 65536:
        raise http.client.LineTooLong("request line")
    if not handler.parse_request():
        raise http.client.HTTPException(handler.error or "no request")
    return {"first": f"{handler.command} {handler.path}".encode("iso-8859-1"), "headers": handler.headers,
            "keep_alive": not handler.close_connection}


def python(kind, head, octets):
    """python is what Python reads, as messages.cc writes it, or {"refused": why}."""
    try:
        read = response(octets, head) if kind == "response" else request(octets)
    except (http.client.HTTPException, email.errors.MessageError, ValueError, OverflowError) as error:
        return {"refused": f"{type(error).__name__}: {str(error)[:100]}"}
    headers = {name.lower().encode("utf-8",
                                   "surrogateescape").hex(): value.strip(" \t").encode("iso-8859-1", "replace").hex()
               for name, value in read["headers"].raw_items()}
    return {"first": read["first"].hex(), "headers": headers, "keep_alive": read["keep_alive"],
            **({"body": read["body"].hex()} if "body" in read else {})}


def ask(questions):
    path = Path(os.environ.get("MOORING_MESSAGES") or Path(os.environ["MOORING_BIN"]).parent / "tests" / "messages")
    if not os.access(path, os.X_OK):
        raise check.Skip(f"no {path}; it is built with the unit tests")
    text = "".join(json.dumps(question) + "\n" for question in questions)
    done = subprocess.run([path], input=text, text=True, capture_output=True, timeout=120, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    check.equal(len(answers), len(questions), f"answers ({done.stderr[-500:]})")
    return answers


def deviation(ours, theirs):
    """deviation is how the two differ, in words; None: they do not."""
    if "refused" in ours and "refused" in theirs:
        return None
    if "refused" in ours:
        return f"we refuse, {ours['refused']}"
    if "refused" in theirs:
        return f"Python refuses, {theirs['refused']}"
    other = [part for part in ("first", "headers", "body",
                               "keep_alive") if part in theirs and ours[part] != theirs[part]]
    return f"differ in {' and '.join(other)}" if other else None


def test_row_22_messages_are_read_as_python_reads_them_but_for_the_reasons_in_the_table(case):
    seed = int(os.environ.get("MOORING_TEST_SEED") or SEED)
    cases = list(messages.generate(case.scale(1000, 20_000), seed))
    whole = ask([{"kind": kind, "head": head, "octets": octets.hex(), "split": 0} for kind, _, head, octets in cases])
    table, unexplained, agreed = Table(HERE / "messages.md"), [], 0
    for (kind, mutations, head, octets), ours in zip(cases, whole):
        how = deviation(ours, python(kind, head, octets))
        if how is None:
            agreed += 1
        elif not table.explains(kind, how, mutations):
            unexplained.append(f"{kind} {' + '.join(mutations)}: {how}; {octets[:200]!r}; we: {str(ours)[:300]}")
    listed = "\n".join(unexplained[:40])
    check.true(not unexplained,
               f"{len(unexplained)} of {len(cases)} messages are read otherwise than by Python without a "
                                f"reason in messages.md (seed {seed}):\n{listed}")
    check.true(agreed > len(cases) // 3, f"many are read alike: {agreed} of {len(cases)}")
    if not case.reduced and seed == SEED:
        check.equal(table.unused(), [], "rows of messages.md that explain nothing")


def test_row_22_a_message_in_pieces_is_read_as_the_whole(case):
    cases = list(messages.generate(case.scale(500, 20_000), SEED))
    asked = [{"kind": kind, "head": head, "octets": octets.hex()} for kind, _, head,
             octets in cases if len(octets) < 5000]
    whole = ask([{**question, "split": 0} for question in asked])
    for size in (1, 3, 7):
        parts = ask([{**question, "split": size} for question in asked])
        other = [f"{bytes.fromhex(question['octets'])[:200]!r}: {one}, in pieces {two}" for question, one, two
                 in zip(asked, whole, parts) if one != two]
        check.equal(other[:3], [], f"messages that are read otherwise in pieces of {size}")


test_row_22_messages_are_read_as_python_reads_them_but_for_the_reasons_in_the_table.limit = 120
test_row_22_a_message_in_pieces_is_read_as_the_whole.limit = 120
