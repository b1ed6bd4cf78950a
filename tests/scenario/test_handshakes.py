"""Rows 44, 47 and 48: handshakes that never finish, old versions, plaintext."""

import os
import ssl
import threading

from lib import apps, check, tlspeer
from lib.case import now, slowness
from lib.static import Static

EXPECTED_SECONDS = 16
DEADLINE = 10.0


class Stalled:
    """A client that says `first`, then a byte of the rest each second, and never finishes a handshake."""

    def __init__(self, case, address, first=b"", rest=b""):
        self.client = apps.Client(case, address, seconds=DEADLINE + 8)
        self.started = now()
        self.rest = rest
        self.took = self.answer = self.end = None
        if first:
            self.client.send(first)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        if rest:
            threading.Thread(target=self._drip, daemon=True).start()

    def _run(self):
        self.answer, self.end = self.client.drain()
        self.took = now() - self.started

    def _drip(self):
        pause = threading.Event()
        for byte in self.rest:
            if pause.wait(1.0) or self.took is not None:
                return
            try:
                self.client.send(bytes([byte]))
            except OSError:
                return

    def cut_at_the_deadline(self):
        self.thread.join((DEADLINE + 10) * slowness())
        check.true(self.end in ("eof", "reset"), f"the connection is cut (end: {self.end})")
        check.true(DEADLINE - 0.5 < self.took < DEADLINE + 1.0 * slowness(),
                   f"cut after {self.took:.2f} s, the deadline is {DEADLINE} s in total")


def hello_bytes():
    made = tlspeer.context(False, None, None)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = made.wrap_bio(incoming, outgoing)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def setup_module(case):
    global static, stalled, mute
    static = Static(case, public={"handshake_timeout": "10s"})
    mute = Static(case)  # with the default deadline
    hello = hello_bytes()
    # All at once: each takes ten seconds.
    stalled = {
        "silent": Stalled(case, mute.public),
        "one byte": Stalled(case, mute.public, hello[:1]),
        "half": Stalled(case, static.public, hello[:len(hello) // 2]),
        "drip": Stalled(case, static.public, hello[:5], hello[5:]),
        "hello": Stalled(case, static.public, hello),
    }


def test_row_44_a_silent_client_is_cut_at_the_default_of_ten_seconds(case):
    stalled["silent"].cut_at_the_deadline()


def test_row_44_a_client_of_one_byte_is_cut_at_ten_seconds(case):
    stalled["one byte"].cut_at_the_deadline()


def test_row_44_half_a_client_hello_is_cut_at_ten_seconds(case):
    stalled["half"].cut_at_the_deadline()


def test_row_44_a_byte_per_second_does_not_push_the_deadline(case):
    stalled["drip"].cut_at_the_deadline()


def test_row_44_a_client_that_never_answers_our_flight_is_cut_at_ten_seconds(case):
    stalled["hello"].cut_at_the_deadline()


def test_row_44_cut_handshakes_are_counted_and_never_reach_the_application(case):
    for one in stalled.values():
        one.thread.join((DEADLINE + 10) * slowness())
    mute.mooring.wait_closed("inbound", "handshake_timeout", 2)
    static.mooring.wait_closed("inbound", "handshake_timeout", 3)
    check.equal(static.app.count() + mute.app.count(), 0, "connections at the application")
    static.serves(case)


def test_row_44_a_shorter_deadline_can_be_set(case):
    short = Static(case, public={"handshake_timeout": "500ms"})
    started = now()
    data, end = apps.Client(case, short.public).drain()
    check.true(0.4 < now() - started < 0.5 + slowness(), f"cut after {now() - started:.2f} s")
    check.equal(data, b"", "bytes to a silent client")
    check.one_of(end, ("eof", "reset"), "its end")
    short.mooring.wait_closed("inbound", "handshake_timeout")


def old_hello(version):
    """old_hello is the ClientHello of a client that speaks no later version than this."""
    body = (version + os.urandom(32) + b"\0" + b"\x00\x08\xc0\x09\xc0\x13\x00\x2f\x00\x0a" + b"\x01\x00")
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16" + min(version, b"\x03\x01") + len(message).to_bytes(2, "big") + message


def test_row_47_tls10_and_tls11_are_refused_by_protocol_version(case):
    before, dialled = static.mooring.closed("inbound", "tls_version"), static.app.count()
    for version in (b"\x03\x01", b"\x03\x02"):
        answer, end, _ = tlspeer.raw_answer(static.public, old_hello(version))
        check.equal(tlspeer.alert_number(answer), 70, f"alert to version {version.hex()} (70 protocol_version)")
        check.true(end != "timeout", "the connection is closed")
    static.mooring.wait_closed("inbound", "tls_version", before + 2)
    check.equal(static.app.count(), dialled, "connections at the application")


def test_row_47_ssl3_is_refused(case):
    dialled = static.app.count()
    answer, end, _ = tlspeer.raw_answer(static.public, old_hello(b"\x03\x00"))
    check.one_of(tlspeer.alert_number(answer), (70, 40), "alert to SSL 3.0")
    check.true(end != "timeout", "the connection is closed")
    check.equal(static.app.count(), dialled, "connections at the application")


def test_row_47_ssl2_is_refused(case):
    dialled = static.app.count()
    hello = b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\x01\x00\x80\x02\x00\x80\x03\x00\x80\x04\x00\x80" \
            b"\x05\x00\x80\x06\x00\x40\x07\x00\xc0" + os.urandom(16)
    _, end, _ = tlspeer.raw_answer(static.public, hello)
    check.true(end != "timeout", "the connection is closed")
    check.equal(static.app.count(), dialled, "connections at the application")


def test_row_47_an_upstream_of_tls11_is_refused(case):
    before = static.mooring.attempts_failed()
    client = static.client(case)
    peer = static.endpoint.accept(static.db, static.roots, tls="1.1")
    try:
        peer.handshake()
        check.fail("mooring speaks TLS 1.1")
    except tlspeer.Refused:
        pass
    peer.close()
    check.one_of(client.drain(), ((b"", "eof"), (b"", "reset")), "end at the application")
    check.true(static.mooring.attempts_failed() != before, "the failed attempt is counted")


def closes_fast(case, text):
    dialled = static.app.count()
    times = []
    for _ in range(5):
        _, end, took = tlspeer.raw_answer(static.public, text)
        check.true(end != "timeout", "the connection is closed")
        times.append(took)
    # The fastest of five: this machine may be busy with other tests.
    check.below(min(times), 0.1 * slowness(), "seconds until the close")
    check.equal(static.app.count(), dialled, "connections at the application")


def test_row_48_plaintext_http_is_closed_within_100_ms(case):
    closes_fast(case, b"GET / HTTP/1.1\r\nHost: payment\r\n\r\n")


def test_row_48_garbage_is_closed_within_100_ms(case):
    closes_fast(case, b"\x00\xff\xfe" * 100)


def test_row_48_a_flood_of_plaintext_is_rate_limited_in_the_log(case):
    before = len(static.mooring.process.stderr().splitlines())
    count = case.scale(200, 2000)
    for _ in range(count):
        tlspeer.raw_answer(static.public, b"plaintext, plaintext, plaintext\n")
    loud = [line for line in static.mooring.process.stderr().splitlines()[before:] if "[DEBUG]" not in line
            and "[TRACE]" not in line]
    check.below(len(loud), count // 2, f"log lines above debug for {count} strangers")
    static.serves(case)
