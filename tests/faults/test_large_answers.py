"""The agent's answers have no end, or are empty, or very long (rows 10 and 20)."""

import json
import time

from faults.answers import MIB, ROOTS, bounded, head, meets, start, still, watched
from faults.subject import UPSTREAM, FarService, only_mooring
from lib import certs, check
from lib.case import sanitized, slowness

EXPECTED_SECONDS = 20


# Row 10.


def test_row_10_an_endless_body(case):
    api, subject = start(case, flags=["-max-answer-size", "1MiB"])
    for pattern in watched():
        api.fault(pattern, endless=True)
    bounded(subject, (16 if subject.is_mooring else 96) * MIB * (8 if sanitized() else 1))
    still(subject)
    if subject.is_mooring:
        subject.wait_log("watch failed.*too large")
    api.lift()
    subject.renews()


def test_row_10_an_answer_just_over_the_limit_is_refused_and_one_under_it_is_not(case):
    only_mooring("it has no limit")
    api, subject = start(case, flags=["-max-answer-size", "1MiB"])
    true = json.dumps(api._roots()).encode()
    meets(api, [ROOTS], body=true + b" " * (MIB + 1 - len(true)))
    subject.wait_log("watch failed.*watch=roots .*too large")
    still(subject)
    api.lift()
    check.within(lambda: subject.watch("roots")["state"] == "ok", "roots are asked for again", 10 * slowness())
    second = certs.Authority("Second Root")
    api.roots = [api.authority, second]
    true = json.dumps(api._roots()).encode()
    api.fault(ROOTS, body=true + b" " * (MIB - 1024 - len(true)))
    check.within(lambda: subject.status()["roots"]["count"] == 2, "the large answer is taken up", 10 * slowness())


def test_row_10_a_body_that_comes_byte_by_byte_is_bounded_in_time(case):
    only_mooring("its watches have a limit of ten minutes")
    api, subject = start(case)

    def drip(_, headers, body):
        yield head(headers, Content_Length=len(body))
        for byte in body:
            if api.stopping or not api.faults:
                return
            yield bytes([byte])
            time.sleep(0.1)

    # After a failure the next request is not a blocking one, whose limit is a minute more.
    api.stop()
    for name in ("roots", "leaf"):
        check.within(lambda n=name: subject.watch(n)["errors"], f"{name}: a failure", 5 * slowness())
    api.fault("*/ca/*", raw=drip)
    api.start()
    still(subject)
    # After connections that ended without a word new ones are tried one by one, a second each (control/admission.h).
    for name in ("roots", "leaf"):
        subject.wait_log(f"watch failed.*watch={name} .*no (whole )?answer within", 20)
    api.lift()
    subject.renews()


test_row_10_a_body_that_comes_byte_by_byte_is_bounded_in_time.limit = 60


# Row 20.


def test_row_20_an_empty_list_of_instances(case):
    api, subject = start(case)
    api.set_instances(UPSTREAM)
    if subject.is_mooring:
        check.within(lambda: subject.status()["upstreams"][0]["endpoints"] == [], "the list is empty",
                     5 * slowness())
    subject.comes_to_refuse_outbound()
    subject.held_works()
    subject.inbound_works()
    if subject.is_mooring:
        check.equal([one["state"] for one in subject.status()["listeners"] if one["name"].startswith("upstream:")], ["refusing"],
                    "its port")
    api.set_instances(UPSTREAM, subject.far.address)
    check.within(subject.works, "it works once there is one again", 5 * slowness(), step=0.05)


def test_row_20_fifty_thousand_instances(case):
    api, subject = start(case)
    far = FarService(case, subject.far.identity, subject.far.roots, everywhere=True)
    before = subject.process.resident()
    count = 50_000
    addresses = [(f"127.1.{i >> 8}.{i & 255}", far.port) for i in range(count)]
    api.set_instances(UPSTREAM, *addresses)
    if subject.is_mooring:
        check.within(lambda: len(subject.status()["upstreams"][0]["endpoints"]) == count, "all are known",
                     (40 if sanitized() else 20) * slowness(), step=1.0)
    for _ in range(5):
        subject.outbound_works(10)
    subject.inbound_works()
    subject.held_works()
    check.true(far.app.count() >= 5, "the new instances are used")
    # Text of 35 MiB: what stays of it is addresses.
    grown = subject.process.resident() - before
    check.below(grown, 256 * MIB * slowness(), "bytes by which the process grew")
    api.set_instances(UPSTREAM, subject.far.address)
    check.within(lambda: subject.outbound_works(10) and subject.far.app.count() > 1, "one is enough again",
                 20 * slowness(), step=0.2)


test_row_20_fifty_thousand_instances.limit = 60
