"""What the tests of bad answers share: a subject next to a scripted agent, answers that must not be believed,
and what must hold while they come.

The pattern of most tests: the subject serves, every document's next answer is a bad one, the subject still
serves; the agent is well again, and news arrive.
"""

import time

from faults.subject import SERVICE, UPSTREAM, Subject, subject_kind
from lib import agent as scripted
from lib import check
from lib.agent import intention
from lib.case import now, slowness

MIB = 1 << 20
ROOTS, LEAF, MATCH = "*/ca/roots", f"*/ca/leaf/{SERVICE}", "*/intentions/match"
HEALTH, AUTHORIZE = f"*/health/*/{UPSTREAM}", "*/connect/authorize"
EVIL = "evil"  # the caller that an intention denies
# What each kind of subject keeps asking for by itself.
WATCHED = {"mooring": (ROOTS, LEAF, MATCH, HEALTH), "go": (ROOTS, LEAF)}


def start(case, **options):
    """start is a subject next to a scripted agent which denies `evil` and allows everybody else."""
    api = scripted.Agent(case)
    api.set_intentions(intention(EVIL, SERVICE, "deny"))
    subject = Subject.scripted(case, api, **options)
    subject.evil = api.authority.leaf(EVIL)
    subject.hold()
    return api, subject


def watched():
    return WATCHED[subject_kind()]


def still(subject):
    """still asserts that all goes on as it did before: connections of every age, and the refusal of `evil`."""
    subject.works()
    subject.refused_inbound(subject.evil)


def meets(api, patterns, count=1, seconds=20.0, **fault):
    """meets gives bad answers to these paths until each of them got `count`; the faults are returned."""
    faults = [api.fault(pattern, **fault) for pattern in patterns]
    for pattern, one in zip(patterns, faults):
        check.within(lambda f=one: f.met >= count, f"{count} bad answers to {pattern}", seconds * slowness())
    time.sleep(0.05)  # the last one is on its way
    return faults


def disbelieved(subject, api, patterns=None, **fault):
    """disbelieved asserts that such answers to these paths change nothing, and that news arrive after them."""
    meets(api, patterns or watched(), **fault)
    if not patterns:
        for other in (AUTHORIZE, HEALTH):
            api.fault(other, **fault)
    still(subject)
    api.lift()
    subject.renews()
    subject.refused_inbound(subject.evil)


def asked_since(api, pattern, start):
    """asked_since lists the times of the requests for that path since `start`."""
    return [r.at for r in api.asked(pattern) if r.at >= start]


def bounded(subject, growth):
    """bounded asserts for two seconds that the process grows by less, and tells of it at once."""
    before, until = subject.process.resident(), now() + 2
    while now() < until:
        grown = subject.process.resident() - before
        if grown > growth:
            subject.api.lift()
            check.fail(f"the process grew by {grown // MIB} MiB (allowed: {growth // MIB})")
        time.sleep(0.01)


def head(headers, status="200 OK", **more):
    """head is an answer's head as it goes over the wire; more: headers with _ for -."""
    lines = [f"HTTP/1.1 {status}"] + [f"{k.replace('_', '-')}: {v}" for k, v in {**headers, **more}.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def chunks(body, size=1000, extension=b""):
    """chunks encodes the body, without the last chunk, which ends it."""
    parts = [body[i:i + size] for i in range(0, len(body), size)]
    return b"".join(b"%x%s\r\n%s\r\n" % (len(p), extension, p) for p in parts)
