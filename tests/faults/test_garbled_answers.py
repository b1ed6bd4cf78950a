"""The agent answers garbage, half a document, JSON that readers disagree about, or lists without what they
must hold (rows 4, 5, 11, 17)."""

import json

from faults.answers import (AUTHORIZE, EVIL, HEALTH, LEAF, MATCH, ROOTS, chunks, disbelieved, head, meets,
                            start, still, watched)
from faults.subject import CALLER, SERVICE, UPSTREAM, FarService, Subject, only_mooring
from lib import agent as scripted
from lib import certs, check
from lib.agent import intention
from lib.case import slowness

EXPECTED_SECONDS = 20


# Row 4.


def test_row_04_garbage_instead_of_json(case):
    api, subject = start(case)
    for body in (b"<html>It works!</html>", b"{", b'"text"', b"\xff\xfe\x00", b""):
        disbelieved(subject, api, body=body)


def test_row_04_json_of_another_shape(case):
    api, subject = start(case)
    for pattern, bodies in ((ROOTS, (b"[]", b"null", b'{"Roots": 7, "TrustDomain": "x.consul"}')),
                            (LEAF, (b"{}", b'{"CertPEM": 1, "PrivateKeyPEM": []}')),
                            (MATCH, (b"[]", b'{"%s": {}}' % SERVICE.encode(), b'{"%s": [7]}' % SERVICE.encode())),
                            (HEALTH, (b"{}", b'[{"Node": 1}]', b'{"%s": []}' % UPSTREAM.encode()))):
        if pattern not in watched():
            pattern = {MATCH: AUTHORIZE}.get(pattern, pattern)
            for body in bodies:
                api.fault(pattern, body=body)
                still(subject)
                api.lift()
            continue
        for body in bodies:
            disbelieved(subject, api, [pattern], body=body)


# Row 5.


def test_row_05_a_body_cut_short(case):
    api, subject = start(case)
    disbelieved(subject, api, truncate=True)


def test_row_05_a_content_length_that_is_too_short(case):
    api, subject = start(case)
    disbelieved(subject, api, raw=lambda s, h, b: head(h, Content_Length=len(b) // 2) + b)


def test_row_05_a_chunked_body_without_its_last_chunk(case):
    api, subject = start(case)
    disbelieved(subject, api, raw=lambda s, h, b: head(h, Transfer_Encoding="chunked") + chunks(b))


def marked_answers_replace_nothing(case, marks, says):
    """Empty lists with these headers leave what is known; the log tells why, at {name}."""
    api, subject = start(case)
    for name, pattern, body in ((f"upstream:{UPSTREAM}", HEALTH, b"[]"),
                                ("intentions", MATCH, b'{"%s": null}' % SERVICE.encode())):
        meets(api, [pattern] if pattern in watched() else [], body=body, headers=marks)
        api.fault(pattern, body=body, headers=marks)
        if subject.is_mooring:
            subject.wait_log(says.format(name=name))
        still(subject)
        api.lift()
        subject.renews()


def test_row_05_an_answer_without_a_known_leader_replaces_nothing(case):
    marked_answers_replace_nothing(case, {"X-Consul-KnownLeader": "false"},
                                   "watch failed.*watch={name} .*no known leader")


def test_row_05_an_answer_filtered_by_acls_replaces_nothing(case):
    marked_answers_replace_nothing(case, {"X-Consul-Results-Filtered-By-ACLs": "true"},
                                   "watch={name} .*filtered by ACLs")


def test_row_05_intentions_filtered_from_the_start_allow_nobody(case):
    only_mooring("it keeps no intentions: the agent decides")
    api = scripted.Agent(case)
    api.set_intentions(intention(EVIL, SERVICE, "deny"))
    api.fault(MATCH, body=b'{"%s": null}' % SERVICE.encode(),
              headers={"X-Consul-Results-Filtered-By-ACLs": "true"})
    subject = Subject.scripted(case, api, ready=False)
    subject.wait_log("filtered by ACLs")
    for identity in (subject.web, api.authority.leaf(EVIL)):
        subject.refused_inbound(identity, listens=False)
    api.lift()
    check.within(subject.works, "it serves once it knows", 10 * slowness(), step=0.05)
    subject.refused_inbound(api.authority.leaf(EVIL))


# Row 11.


def test_row_11_json_nested_100000_deep(case):
    api, subject = start(case)
    depth = 100_000
    for body in (b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth, b"[" * depth):
        disbelieved(subject, api, body=body)


def doubled(document, key, other):
    """doubled is the document with a second value for one of its keys, as text."""
    text = json.dumps(document)
    return (text[:-1] + f", {json.dumps(key)}: {json.dumps(other)}}}").encode()


def test_row_11_duplicate_keys(case):
    api, subject = start(case)
    stranger = certs.Authority("Stranger")
    roots = api._roots()
    entry = {**roots["Roots"][0], "RootCert": stranger.pem}
    disbelieved(subject, api, [ROOTS], body=doubled(roots, "Roots", [entry]))
    leaf, other = api._leaf(SERVICE), stranger.leaf(SERVICE)
    leaf["PrivateKeyPEM"] = other.key_pem
    disbelieved(subject, api, [LEAF], body=doubled(leaf, "CertPEM", other.chain_pem))
    if subject.is_mooring:
        body = doubled({SERVICE: [intention(EVIL, SERVICE, "deny")]}, SERVICE, None)
        disbelieved(subject, api, [MATCH], body=body)
        one = json.dumps(intention(EVIL, SERVICE, "deny"))[:-1] + ', "Action": "allow"}'
        disbelieved(subject, api, [MATCH], body=b'{"%s": [%s]}' % (SERVICE.encode(), one.encode()))


def test_row_11_strings_that_are_not_utf_8(case):
    api, subject = start(case)
    for bad in (b"\xc3\x28", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\xc0\x80"):
        roots = json.dumps(api._roots()).encode().replace(b"Consul CA Root Cert", b"Consul " + bad)
        patterns = {ROOTS: roots}
        if subject.is_mooring:
            entry = json.dumps({SERVICE: [intention(EVIL + "X", SERVICE, "deny")]}).encode()
            patterns[MATCH] = entry.replace(b"evilX", b"evil" + bad)
        for pattern, body in patterns.items():
            disbelieved(subject, api, [pattern], body=body)


# Row 17.


def strangers_refused(case, subject):
    """strangers_refused asserts that nobody of an authority that the agent never named is believed."""
    stranger = certs.Authority("Stranger")
    subject.refused_inbound(stranger.leaf(CALLER))
    far = FarService(case, stranger.leaf(UPSTREAM), None)
    subject.api.set_instances(UPSTREAM, far.address)
    if subject.is_mooring:
        check.within(lambda: subject.status()["upstreams"][0]["endpoints"] == ["%s:%d" % far.address],
                     "the stranger's address is known", 5 * slowness())
    subject.comes_to_refuse_outbound()
    subject.api.set_instances(UPSTREAM, subject.far.address)
    check.within(subject.outbound_works, "the upstream is back", 5 * slowness(), step=0.05)


def test_row_17_an_empty_list_of_roots(case):
    api, subject = start(case)
    empty = {"ActiveRootID": "", "TrustDomain": api.trust_domain, "Roots": []}
    for document in (empty, {**empty, "Roots": None}, {"TrustDomain": api.trust_domain}):
        meets(api, [ROOTS], body=json.dumps(document).encode())
        still(subject)
        strangers_refused(case, subject)
        api.lift()
        subject.renews()


def test_row_17_no_roots_from_the_start_is_trust_in_nobody(case):
    api = scripted.Agent(case)
    empty = {"ActiveRootID": "", "TrustDomain": api.trust_domain, "Roots": []}
    fault = api.fault(ROOTS, body=json.dumps(empty).encode())
    subject = Subject.scripted(case, api, flags=["-connect-timeout", "2s", "-start-wait", "0s"], ready=False)
    check.within(lambda: fault.met >= 2 or not subject.is_mooring, "roots were asked for", 10 * slowness())
    subject.refused_inbound(listens=False)
    subject.refused_inbound(certs.Authority("Stranger").leaf(CALLER), listens=False)
    subject.refused_outbound(8)
    check.true(subject.process.running(), "the process runs")
    api.lift()
    check.within(subject.works_new, "it serves once it knows roots", 10 * slowness(), step=0.05)
