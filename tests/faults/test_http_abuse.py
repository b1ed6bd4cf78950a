"""The agent's answers bend the rules of HTTP (row 22)."""

import json
import time

from faults.answers import MIB, ROOTS, bounded, chunks, head, start, still, watched
from faults.subject import CALLER, SERVICE
from lib import certs, check
from lib.case import sanitized, slowness

EXPECTED_SECONDS = 15


# Row 22.


def bad_answers():
    """bad_answers are answers that a strict reader of HTTP refuses, each a function of the true one."""
    def plain(extra=b"", status=b"HTTP/1.1 200 OK"):
        def make(_, headers, body):
            lines = b"".join(b"%s: %s\r\n" % (k.encode(), v.encode()) for k, v in headers.items())
            return status + b"\r\n" + lines + extra + b"Content-Length: %d\r\n\r\n" % len(body) + body
        return make

    def chunked(encode):
        return lambda _, h, b: head(h, Transfer_Encoding="chunked") + encode(b)

    yield "two lengths that differ", plain(b"Content-Length: 3\r\n")
    yield "a length and chunks", lambda s, h, b: (head(h, Content_Length=5, Transfer_Encoding="chunked")
                                                  + chunks(b) + b"0\r\n\r\n")
    yield "a negative length", lambda s, h, b: head(h, Content_Length=-1) + b
    yield "a length that overflows", lambda s, h, b: head(h, Content_Length=2 ** 64 + len(b)) + b
    yield "a header without a colon", plain(b"Nonsense\r\n")
    yield "a NUL in a header", plain(b"X-Evil: a\0b\r\n")
    yield "a space before the colon", plain(b"X-Consul-Index : 3\r\n")
    yield "no such version", plain(status=b"HTTP/9.9 200 OK")
    yield "no status", plain(status=b"HTTP/1.1 OK")
    yield "another protocol", lambda s, h, b: b"SSH-2.0-OpenSSH_9.2\r\n"
    yield "101 Switching Protocols", lambda s, h, b: head(h, "101 Switching Protocols", Upgrade="x",
                                                          Connection="upgrade") + b
    yield "a head of 4 MiB", lambda s, h, b: head({**h, "X-Long": "x" * 4 * MIB}, Content_Length=len(b)) + b
    yield "a hundred thousand headers", lambda s, h, b: head({**h, **{f"X-{i}": "y" for i in range(100_000)}},
                                                            Content_Length=len(b)) + b
    yield "a chunk size that is no number", chunked(lambda b: b"zz\r\n" + b + b"\r\n0\r\n\r\n")
    yield "a chunk size that overflows", chunked(lambda b: b"ffffffffffffffffff\r\n" + b + b"\r\n0\r\n\r\n")
    yield "a chunk that is longer than it says", chunked(lambda b: b"5\r\n" + b + b"\r\n0\r\n\r\n")
    yield "204 with a body", lambda s, h, b: head(h, "204 No Content", Content_Length=len(b)) + b
    yield "206 Partial Content", lambda s, h, b: head(h, "206 Partial Content", Content_Length=len(b)) + b
    yield "a redirect", lambda s, h, b: head(h, "301 Moved Permanently", Location="http://127.0.0.1:1/",
                                             Content_Length=0)


def test_row_22_answers_that_are_not_http_are_not_believed(case):
    """Each is given to the roots, with a stranger's root in them: believed, it would let the stranger in."""
    api, subject = start(case)
    stranger = certs.Authority("Stranger")
    honest = api.roots
    caller = stranger.leaf(CALLER)
    for title, raw in bad_answers():
        api.roots = [*honest, stranger]
        one = api.fault(ROOTS, raw=raw, keep_open=True)
        check.within(lambda f=one: f.met >= 1, f"{title}: an answer", 20 * slowness())
        if subject.is_mooring:
            check.within(lambda: subject.watch("roots")["state"] == "retrying", f"{title}: a failure", 5)
        else:
            time.sleep(0.05)
        try:
            subject.refused_inbound(caller)
            still(subject)
        except AssertionError as error:
            check.fail(f"{title}: {error}")
        api.roots = honest
        api.lift()
        if subject.is_mooring:
            check.within(lambda: subject.watch("roots")["state"] == "ok", f"{title}: recovery", 10 * slowness())
    subject.renews()


END = "the end of the connection as the body's"


def good_answers():
    """good_answers are unusual and correct."""
    yield "an early hint first", lambda s, h, b: (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
                                                  + head(h, Content_Length=len(b)) + b)
    yield "100 Continue first", lambda s, h, b: (b"HTTP/1.1 100 Continue\r\n\r\n"
                                                 + head(h, Content_Length=len(b)) + b)
    yield "trailers", lambda s, h, b: (head(h, Transfer_Encoding="chunked") + chunks(b)
                                       + b"0\r\nX-Consul-Index: 1\r\nX-More: y\r\n\r\n")
    yield "chunk extensions", lambda s, h, b: (head(h, Transfer_Encoding="chunked") + chunks(b, 1000, b";a=b")
                                               + b"0\r\n\r\n")
    yield "chunks of a byte", lambda s, h, b: head(h, Transfer_Encoding="chunked") + chunks(b, 1) + b"0\r\n\r\n"
    yield "names in lower case", lambda s, h, b: (head({k.lower(): v for k, v in h.items()},
                                                       content_length=len(b)) + b)
    yield END, lambda s, h, b: head(h, Connection="close") + b


def test_row_22_unusual_answers_are_understood(case):
    api, subject = start(case)
    for title, raw in good_answers():
        before = subject.serial()
        # Once, and so without waking the query that waits: the new leaf is what it answers with.
        api.fault(f"*/ca/leaf/{SERVICE}", raw=raw, times=1, keep_open=title != END)
        api.fault("*/connect/authorize", raw=raw, keep_open=title != END)
        api.fault("*/health/*", raw=raw, times=1, keep_open=title != END)
        api.rotate_leaf(SERVICE)
        check.within(lambda: subject.serial() != before, f"{title}: the leaf in it is taken up",
                     10 * slowness(), step=0.02)
        try:
            still(subject)
        except AssertionError as error:
            check.fail(f"{title}: {error}")
        api.lift()


def test_row_22_a_second_answer_behind_the_first_answers_nothing(case):
    api, subject = start(case)
    stranger = certs.Authority("Stranger")

    def split(_, headers, body):
        document = json.loads(body)
        document["Roots"][0]["RootCert"] = stranger.pem
        second = json.dumps(document).encode()
        return (head(headers, Content_Length=len(body)) + body
                + head({**headers, "X-Consul-Index": "900"}, Content_Length=len(second)) + second)

    one = api.fault(ROOTS, raw=split, keep_open=True)
    for count in range(1, 4):
        api.touch("roots")
        check.within(lambda: one.met >= count, f"split answer {count}", 20 * slowness())
        time.sleep(0.3)
        subject.refused_inbound(stranger.leaf(CALLER))
        still(subject)
    api.lift()
    subject.renews()


def test_row_22_interim_answers_without_end(case):
    api, subject = start(case)

    def interim(*_):
        return b"HTTP/1.1 100 Continue\r\n\r\n" * 400_000

    for pattern in watched():
        api.fault(pattern, raw=interim)
    bounded(subject, (16 if subject.is_mooring else 96) * MIB * (8 if sanitized() else 1))
    still(subject)
    api.lift()
    subject.renews()
