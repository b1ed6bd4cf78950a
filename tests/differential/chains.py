"""Chains of certificates as a mesh has them, each with one part or two that are not as usual.

A mutation is a function with a name, `extension=what`; the place it was done at stands before it: `leaf.`, `ca.` (an
intermediate), `root.`, `chain.` (the list as sent). The same seed makes the same mutations; keys are new in every run.
"""

import base64
import datetime
import random

from differential import der
from differential.der import (AUTHORITY_KEY, BASIC, CONSTRAINTS, EXTENDED, FALSE, NAMES, POLICIES, SUBJECT_KEY, TRUE,
                              USAGE, Certificate,
                              flags, integer, name, octets, oid, seq, tlv)
from lib.certs import TRUST_DOMAIN

NOW = datetime.datetime(2026, 6, 15, 12, 0, 0)
DAY, SECOND = datetime.timedelta(days=1), datetime.timedelta(seconds=1)
SERVER, CLIENT, CODE, EMAIL = (f"1.3.6.1.5.5.7.3.{number}" for number in range(1, 5))
ANY = "2.5.29.37.0"
CA_USAGE, LEAF_USAGE = (0, 5, 6), (0, 2, 3, 4)
SERVICE = f"spiffe://{TRUST_DOMAIN}/ns/default/dc/dc1/svc/web"


def uri(text):
    return tlv(0x86, text.encode() if isinstance(text, str) else text)


def dns(text):
    return tlv(0x82, text.encode())


class Chain:
    """certificates[0] is the leaf, the last one a root; what is sent and believed is decided when it is asked."""

    def __init__(self, keys, dice):
        self.keys, self.dice, self.mutations = keys, dice, []
        self.now, self.role = NOW, dice.choice(["client", "server"])
        self.certificates = []
        depth = dice.choice([0, 0, 1, 1, 1, 2, 2, 3])
        issuer = None
        for level in range(depth + 1, -1, -1):
            issuer = self.make(level, depth, issuer)
            self.certificates.insert(0, issuer)
        self.extra_sent, self.extra_roots = [], []
        self.order = None  # of what is sent: a function of the list

    def make(self, level, depth, issuer):
        """level 0: the leaf; depth + 1: the root."""
        used = [one.key for one in self.certificates]
        key = self.dice.choice([one for one in self.keys.usual if one not in used] or self.keys.usual)
        title = "web" if level == 0 else "Mesh Root" if issuer is None else f"Mesh Intermediate {level}"
        subject = name(title)
        made = Certificate(subject, key, issuer.subject if issuer else subject, issuer.key if issuer else key,
                           NOW - DAY, NOW + 30 * DAY)
        identifier = self.dice.randbytes(20)
        made.title, made.identifier = title, identifier
        made.set(SUBJECT_KEY, octets(identifier))
        made.set(AUTHORITY_KEY, seq(tlv(0x80, issuer.identifier if issuer else identifier)))
        if level == 0:
            made.set(BASIC, seq(), True)
            made.set(USAGE, flags(*LEAF_USAGE), True)
            made.set(EXTENDED, seq(oid(SERVER), oid(CLIENT)))
            made.set(NAMES, seq(uri(SERVICE)))
        else:
            made.set(BASIC, seq(TRUE), True)
            made.set(USAGE, flags(*CA_USAGE), True)
            made.set(NAMES, seq(uri(f"spiffe://{TRUST_DOMAIN}")))
        return made

    def question(self):
        written = [base64.b64encode(one.encode()).decode() for one in self.certificates]
        extra = [base64.b64encode(one if isinstance(one, bytes) else one.encode()).decode() for one in self.extra_sent]
        roots = [base64.b64encode(one if isinstance(one, bytes) else one.encode()).decode() for one in self.extra_roots]
        sent = written[:-1] + extra
        if self.order:
            sent = self.order(sent, written)
        return {"roots": [written[-1], *roots], "chain": sent, "domain": TRUST_DOMAIN, "role": self.role,
                "now": int(self.now.replace(tzinfo=datetime.timezone.utc).timestamp())}


class Keys:
    """A few keys of each kind, made once: a chain takes P-256 unless a mutation asks for another."""

    KINDS = ("p224", "p256", "p384", "p521", "k256", "ed25519", "rsa1024", "rsa1536", "rsa2048", "rsa2048e3", "rsa3072")

    def __init__(self):
        self.usual = [der.Key("p256") for _ in range(17)]
        self.made = {}

    def of(self, kind):
        if kind not in self.made:
            self.made[kind] = der.Key(kind)
        return self.made[kind]


# ---- mutations of one certificate ------------------------------------------------------------------------

MUTATIONS = {"leaf": {}, "ca": {}, "root": {}}


def add(label, function, places=("leaf", "ca", "root")):
    for place in places:
        assert label not in MUTATIONS[place], label
        MUTATIONS[place][label] = function


def value(label, which, content, critical=False, places=("leaf", "ca", "root")):
    add(label, lambda chain, one: one.set(which, content, critical), places)


def _basic_constraints():
    # A CA of version 3 is one by basicConstraints alone (RFC 5280 4.2.1.9, 6.1.4 k).
    add("basicConstraints=absent", lambda chain, one: one.extensions.pop(BASIC, None))
    for label, content in (("ca", seq(TRUE)), ("empty", seq()), ("false", seq(FALSE)), ("ca_0", seq(TRUE, integer(0))),
                           ("ca_1", seq(TRUE, integer(1))), ("ca_2", seq(TRUE, integer(2))),
                           ("ca_-1", seq(TRUE, integer(-1))),
                           ("ca_2^40", seq(TRUE, integer(2 ** 40))), ("0_without_ca", seq(integer(0))),
                           ("false_0", seq(FALSE, integer(0))), ("true_as_01", seq(tlv(0x01, b"\x01"))),
                           ("garbage", b"\x30\x03\x01\x01"), ("not_a_sequence", TRUE),
                           ("tail", seq(TRUE) + b"\x05\x00"),
                           ("more_inside", seq(TRUE, integer(1), integer(1))), ("nothing", b"")):
        value(f"basicConstraints={label}", BASIC, content, True)
    value("basicConstraints=ca_not_critical", BASIC, seq(TRUE), False)
    value("basicConstraints=empty_not_critical", BASIC, seq(), False)
    value("basicConstraints=explicitly_not_critical", BASIC, seq(TRUE), FALSE)


def _key_usage():
    add("keyUsage=absent", lambda chain, one: one.extensions.pop(USAGE, None))
    for bit in range(9):
        value(f"keyUsage=only_{bit}", USAGE, flags(bit), True)
    for label, positions in (("all", range(9)), ("none", ()), ("leaf_and_cert_sign", LEAF_USAGE + (5,)),
                             ("leaf_and_crl_sign", LEAF_USAGE + (6,)),
                             ("as_leaf", LEAF_USAGE), ("as_ca", CA_USAGE), ("cert_sign_0", (0, 5)), ("bit_9", (0, 9))):
        value(f"keyUsage={label}", USAGE, flags(*positions), True)
    value("keyUsage=not_critical", USAGE, flags(*LEAF_USAGE), False, ("leaf",))
    value("keyUsage=not_critical", USAGE, flags(*CA_USAGE), False, ("ca", "root"))
    value("keyUsage=padded", USAGE, der.bits(b"\x86\x00", 0), True)
    value("keyUsage=unused_bits_set", USAGE, tlv(0x03, b"\x01\x87"), True)
    value("keyUsage=nine_unused_bits", USAGE, tlv(0x03, b"\x09\x80"), True)
    value("keyUsage=empty_string", USAGE, tlv(0x03, b""), True)
    value("keyUsage=long", USAGE, der.bits(b"\x86" + b"\xff" * 40), True)
    value("keyUsage=garbage", USAGE, b"\x03\x09\x00", True)
    value("keyUsage=octets", USAGE, octets(b"\x80"), True)
    value("keyUsage=tail", USAGE, flags(0, 5) + b"\x00", True)


def _extended_key_usage():
    add("extendedKeyUsage=absent", lambda chain, one: one.extensions.pop(EXTENDED, None), ("leaf",))
    for label, purposes in (("server", [SERVER]), ("client", [CLIENT]), ("code", [CODE]), ("email", [EMAIL]),
                            ("any", [ANY]),
                            ("both_and_unknown", [SERVER, CLIENT, "1.3.6.1.4.1.99999.7"]),
                            ("unknown", ["1.3.6.1.4.1.99999.7"]),
                            ("any_and_code", [ANY, CODE]), ("twice", [CLIENT, CLIENT]),
                            ("step_up", ["2.16.840.1.113730.4.1"]),
                            ("microsoft_step_up", ["1.3.6.1.4.1.311.10.3.3"]), ("both", [SERVER, CLIENT])):
        value(f"extendedKeyUsage={label}", EXTENDED, seq(*map(oid, purposes)))
        if label in ("server", "client", "both", "any", "code"):
            value(f"extendedKeyUsage={label}_critical", EXTENDED, seq(*map(oid, purposes)), True)
    value("extendedKeyUsage=empty", EXTENDED, seq())
    value("extendedKeyUsage=garbage", EXTENDED, b"\x30\x05\x06")
    value("extendedKeyUsage=not_oids", EXTENDED, seq(integer(5)))
    value("extendedKeyUsage=empty_oid", EXTENDED, seq(tlv(0x06, b"")))
    value("extendedKeyUsage=oid_cut", EXTENDED, seq(tlv(0x06, b"\x2b\x86")))
    value("extendedKeyUsage=oid_padded", EXTENDED, seq(tlv(0x06, b"\x2b\x80\x06\x01\x05\x05\x07\x03\x02")))
    value("extendedKeyUsage=tail", EXTENDED, seq(oid(CLIENT), oid(SERVER)) + b"\x05\x00")


def _names():
    add("subjectAltName=absent", lambda chain, one: one.extensions.pop(NAMES, None))
    td, rest = TRUST_DOMAIN, "/ns/default/dc/dc1/svc/web"
    for label, text in (
            ("another_service", SERVICE + "2"), ("upper_domain", f"spiffe://{td.upper()}{rest}"),
            ("upper_scheme", f"SPIFFE://{td}{rest}"),
            ("foreign_domain", f"spiffe://foreign.consul{rest}"), ("subdomain", f"spiffe://a.{td}{rest}"),
            ("dot_at_the_end", f"spiffe://{td}.{rest}"),
            ("encoded", f"spiffe://{td}/ns/default/dc/dc1/svc/%77eb"), ("encoded_slash", SERVICE + "%2Fadmin"),
            ("encoded_cut", SERVICE + "%4"),
            ("dots", f"spiffe://{td}/ns/default/dc/dc1/svc/x/../web"),
            ("dot", f"spiffe://{td}/ns/default/dc/dc1/svc/."),
            ("slash_at_the_end", SERVICE + "/"), ("two_slashes", f"spiffe://{td}//ns/default/dc/dc1/svc/web"),
            ("query", SERVICE + "?x=1"),
            ("empty_query", SERVICE + "?"), ("fragment", SERVICE + "#x"), ("empty_fragment", SERVICE + "#"),
            ("port", f"spiffe://{td}:443{rest}"),
            ("empty_port", f"spiffe://{td}:{rest}"), ("user", f"spiffe://user@{td}{rest}"),
            ("root_path", f"spiffe://{td}/"),
            ("no_path", f"spiffe://{td}"), ("http", f"http://{td}{rest}"),
            ("agent", f"spiffe://{td}/agent/client/dc/dc1/id/n1"),
            ("gateway", f"spiffe://{td}/gateway/mesh/dc/dc1"), ("partition", f"spiffe://{td}/ap/billing{rest}"),
            ("default_partition", f"spiffe://{td}/ap/default{rest}"), ("nul", SERVICE + "\0.evil"),
            ("newline", SERVICE + "\n"),
            ("space", SERVICE + " x"), ("empty", ""), ("no_host", f"spiffe://{rest}"), ("opaque", f"spiffe:{td}{rest}"),
            ("relative", rest), ("ip", f"spiffe://10.0.0.1{rest}"), ("ipv6", f"spiffe://[::1]{rest}"),
            ("bad_port", f"spiffe://{td}:x{rest}"),
            ("2048_bytes", SERVICE + "x" * (2048 - len(SERVICE))),
            ("2049_bytes", SERVICE + "x" * (2049 - len(SERVICE))),
            ("long_domain", f"spiffe://{'d' * 256}{rest}"), ("cyrillic", SERVICE.replace("web", "w\u0435b")),
            ("upper_service", SERVICE.replace("web", "WEB")), ("more_path", SERVICE + "/x"),
            ("colon_path", SERVICE + ":x")):
        value(f"subjectAltName={label}", NAMES, seq(uri(text)))
    value("subjectAltName=latin_1", NAMES, seq(uri(SERVICE.encode() + b"\xe9")))
    for label, entries in (
            ("two_uris", [uri(SERVICE), uri(SERVICE + "2")]), ("same_uri_twice", [uri(SERVICE), uri(SERVICE)]),
            ("http_and_uri", [uri("http://web/"), uri(SERVICE)]),
            ("with_dns", [dns("web.example"), uri(SERVICE), dns("web")]),
            ("with_wildcard_dns", [dns("*.example"), uri(SERVICE)]),
            ("with_bad_dns", [dns("we b..example"), uri(SERVICE)]),
            ("with_ip", [uri(SERVICE), tlv(0x87, b"\x7f\x00\x00\x01")]),
            ("with_ipv6", [uri(SERVICE), tlv(0x87, b"\x00" * 15 + b"\x01")]),
            ("with_bad_ip", [uri(SERVICE), tlv(0x87, b"\x7f\x00\x00")]),
            ("with_email", [uri(SERVICE), tlv(0x81, b"a@b.example")]),
            ("with_bad_email", [uri(SERVICE), tlv(0x81, b"\xff\xfe")]),
            ("with_rid", [uri(SERVICE), tlv(0x88, oid("1.2.3.4")[2:])]),
            ("with_other_name", [uri(SERVICE), tlv(0xA0, oid("1.2.3.4") + tlv(0xA0, tlv(0x0C, b"x")))]),
            ("with_directory", [uri(SERVICE), tlv(0xA4, name("web"))]), ("with_x400", [uri(SERVICE), tlv(0xA3, b"")]),
            ("with_edi", [uri(SERVICE), tlv(0xA5, tlv(0xA1, tlv(0x0C, b"x")))]),
            ("with_tag_9", [uri(SERVICE), tlv(0x89, b"x")]),
            ("dns_only", [dns("web")]), ("no_entries", []), ("empty_dns", [uri(SERVICE), dns("")]),
            ("uri_constructed", [tlv(0xA6, tlv(0x16, SERVICE.encode()))]),
            ("two_hundred_dns", [uri(SERVICE)] + [dns(f"h{n}") for n in range(200)])):
        value(f"subjectAltName={label}", NAMES, seq(*entries))
    value("subjectAltName=critical", NAMES, seq(uri(SERVICE)), True)
    value("subjectAltName=garbage", NAMES, b"\x30\x82\x01")
    value("subjectAltName=tail", NAMES, seq(uri(SERVICE)) + b"\x05\x00")
    value("subjectAltName=a_set", NAMES, tlv(0x31, uri(SERVICE)))
    value("subjectAltName=nothing", NAMES, b"")
    value("issuerAltName=uri", "2.5.29.18", seq(uri(SERVICE)))
    value("issuerAltName=critical", "2.5.29.18", seq(uri(SERVICE)), True)


def _constraints():
    def subtree(kind, base, *rest):
        return seq(tlv(kind, base), *rest)

    def both(permitted=(), excluded=()):
        return seq(*([tlv(0xA0, b"".join(permitted))] if permitted else []),
                   *([tlv(0xA1, b"".join(excluded))] if excluded else []))

    td = TRUST_DOMAIN.encode()
    own_subject = name("web")
    for label, content in (
            ("permits_our_uri", both([subtree(0x86, td)])), ("permits_our_parent", both([subtree(0x86, b".consul")])),
            ("permits_parent_without_dot", both([subtree(0x86, b"consul")])),
            ("permits_other_uri", both([subtree(0x86, b"other.example")])),
            ("permits_spiffe_form", both([subtree(0x86, b"spiffe://" + td)])),
            ("permits_our_upper_uri", both([subtree(0x86, td.upper())])),
            ("permits_empty_uri", both([subtree(0x86, b"")])),
            ("permits_uri_bad_bytes", both([subtree(0x86, b"\xff.consul")])),
            ("permits_two", both([subtree(0x86, b"other.example"), subtree(0x86, td)])),
            ("excludes_our_uri", both((), [subtree(0x86, td)])),
            ("excludes_our_parent", both((), [subtree(0x86, b".consul")])),
            ("excludes_other_uri", both((), [subtree(0x86, b"other.example")])),
            ("excludes_empty_uri", both((), [subtree(0x86, b"")])),
            ("permits_and_excludes_ours", both([subtree(0x86, td)], [subtree(0x86, td)])),
            ("permits_dns", both([subtree(0x82, b"web.example")])),
            ("excludes_dns", both((), [subtree(0x82, b"web.example")])),
            ("excludes_all_dns", both((), [subtree(0x82, b"")])),
            ("permits_dns_bad", both([subtree(0x82, b"a..b \xff")])),
            ("permits_ip", both([subtree(0x87, b"\x7f\x00\x00\x00\xff\x00\x00\x00")])),
            ("permits_ip_bad", both([subtree(0x87, b"\x7f\x00\x00")])),
            ("permits_ip_mask", both([subtree(0x87, b"\x7f\x00\x00\x00\xff\x00\xff\x00")])),
            ("excludes_all_ip", both((), [subtree(0x87, b"\x00" * 8)])),
            ("permits_email", both([subtree(0x81, b"b.example")])),
            ("excludes_email", both((), [subtree(0x81, b"b.example")])),
            ("permits_own_subject", both([subtree(0xA4, own_subject)])),
            ("permits_other_subject", both([subtree(0xA4, name("other"))])),
            ("excludes_own_subject", both((), [subtree(0xA4, own_subject)])),
            ("excludes_other_subject", both((), [subtree(0xA4, name("other"))])),
            ("permits_empty_subject", both([subtree(0xA4, seq())])),
            ("excludes_empty_subject", both((), [subtree(0xA4, seq())])),
            ("permits_rid", both([subtree(0x88, oid("1.2.3.4")[2:])])),
            ("excludes_rid", both((), [subtree(0x88, oid("1.2.3.4")[2:])])),
            ("permits_other_name", both([subtree(0xA0, oid("1.2.3.4") + tlv(0xA0, tlv(0x0C, b"x")))])),
            ("minimum_0", both([subtree(0x86, td, tlv(0x80, b"\x00"))])),
            ("minimum_1", both([subtree(0x86, td, tlv(0x80, b"\x01"))])),
            ("maximum_1", both([subtree(0x86, td, tlv(0x81, b"\x01"))])), ("empty", seq()),
            ("empty_permitted", seq(tlv(0xA0, b""))),
            ("garbage", b"\x30\x06\xa0\x04"), ("tail", both([subtree(0x86, td)]) + b"\x05\x00"),
            ("four_hundred", both([subtree(0x86, b"h%d.example" % n) for n in range(399)] + [subtree(0x86, td)]))):
        value(f"nameConstraints={label}", CONSTRAINTS, content, True)
    for label in ("excludes_our_uri", "permits_other_uri", "excludes_dns", "permits_rid"):
        critical = MUTATIONS["ca"][f"nameConstraints={label}"]

        def relaxed(chain, one, critical=critical):
            critical(chain, one)
            one.set(CONSTRAINTS, one.extensions[CONSTRAINTS][1], False)

        add(f"nameConstraints={label}_not_critical", relaxed)


def _key_identifiers():
    add("subjectKeyIdentifier=absent", lambda chain, one: one.extensions.pop(SUBJECT_KEY, None))
    add("subjectKeyIdentifier=other", lambda chain, one: one.set(SUBJECT_KEY, octets(b"another identifier!!")))
    value("subjectKeyIdentifier=empty", SUBJECT_KEY, octets(b""))
    value("subjectKeyIdentifier=garbage", SUBJECT_KEY, b"\x04\x7f")
    value("subjectKeyIdentifier=integer", SUBJECT_KEY, integer(5))
    value("subjectKeyIdentifier=long", SUBJECT_KEY, octets(b"k" * 5000))
    add("subjectKeyIdentifier=critical", lambda chain, one: one.set(SUBJECT_KEY, octets(one.identifier), True))
    add("authorityKeyIdentifier=absent", lambda chain, one: one.extensions.pop(AUTHORITY_KEY, None))
    value("authorityKeyIdentifier=other", AUTHORITY_KEY, seq(tlv(0x80, b"another identifier!!")))
    value("authorityKeyIdentifier=empty", AUTHORITY_KEY, seq())
    value("authorityKeyIdentifier=empty_id", AUTHORITY_KEY, seq(tlv(0x80, b"")))
    value("authorityKeyIdentifier=garbage", AUTHORITY_KEY, b"\x30\x30\x80")
    value("authorityKeyIdentifier=octets", AUTHORITY_KEY, octets(b"x"))
    value("authorityKeyIdentifier=tail", AUTHORITY_KEY, seq() + b"\x05\x00")

    def by_name(good_name, good_serial, with_id):
        def change(chain, one):
            issuer = chain.certificates[min(chain.certificates.index(one) + 1, len(chain.certificates) - 1)]
            who = issuer.issuer if good_name else name("somebody else")
            serial = issuer.serial[2:] if good_serial else b"\x05\x05"
            identifier = [tlv(0x80, issuer.identifier)] if with_id else []
            one.set(AUTHORITY_KEY, seq(*identifier, tlv(0xA1, tlv(0xA4, who)), tlv(0x82, serial)))
        return change

    for with_id in (True, False):
        for label, good_name, good_serial in (("right", True, True), ("wrong_name", False, True),
                                              ("wrong_serial", True, False)):
            add(f"authorityKeyIdentifier=by_name_{label}{'_and_id' if with_id else ''}",
                by_name(good_name, good_serial, with_id))
    add("authorityKeyIdentifier=serial_alone", lambda chain, one: one.set(AUTHORITY_KEY, seq(tlv(0x82, b"\x05"))))
    add("authorityKeyIdentifier=critical", lambda chain,
        one: one.set(AUTHORITY_KEY, one.extensions.get(AUTHORITY_KEY, (0, seq()))[1], True))


def _dates():
    def dates(label, start=None, end=None):
        def change(chain, one):
            one.dates = [start if start is not None else one.dates[0], end if end is not None else one.dates[1]]
        add(f"validity={label}", change)

    dates("expired", end=der.time(NOW - DAY / 2))
    dates("expired_a_second_ago", end=der.time(NOW - SECOND))
    dates("ends_now", end=der.time(NOW))
    dates("ends_in_a_second", end=der.time(NOW + SECOND))
    dates("not_yet", start=der.time(NOW + DAY))
    dates("begins_in_a_second", start=der.time(NOW + SECOND))
    dates("begins_now", start=der.time(NOW))
    dates("backwards", der.time(NOW + DAY), der.time(NOW - DAY))
    dates("a_moment", der.time(NOW), der.time(NOW))
    dates("generalized_before_2050", end=der.generalized_time(NOW + DAY))
    dates("2050", end=der.generalized_time(datetime.datetime(2050, 1, 1)))
    dates("9999", end=tlv(0x18, b"99991231235959Z"))
    dates("year_0", start=tlv(0x18, b"00000101000000Z"))
    dates("1950", start=tlv(0x17, b"500101000000Z"))
    dates("utc_49", end=tlv(0x17, b"491231235959Z"))
    dates("utc_50_as_end", end=tlv(0x17, b"500101000000Z"))
    for label, tag, text in (("without_seconds", 0x17, b"2712312359Z"), ("with_offset", 0x17, b"271231235959+0100"),
                             ("without_zone", 0x17, b"271231235959"),
                             ("fraction", 0x18, b"20271231235959.5Z"),
                             ("general_with_offset", 0x18, b"20271231235959+0100"),
                             ("general_without_zone", 0x18, b"20271231235959"), ("month_13", 0x17, b"271331235959Z"),
                             ("february_30", 0x17, b"270230000000Z"),
                             ("february_29", 0x17, b"280229000000Z"), ("hour_24", 0x17, b"271231240000Z"),
                             ("second_60", 0x17, b"271231235960Z"),
                             ("letters", 0x17, b"27123123595xZ"), ("empty", 0x17, b""), ("integer", 0x02, b"\x05")):
        dates(label, end=tlv(tag, text))
    add("validity=three_dates", lambda chain, one: one.dates.append(one.dates[1]))
    add("validity=one_date", lambda chain, one: one.dates.pop())


def _version_and_serial():
    def version(number, extensions):
        def change(chain, one):
            one.version, one.no_extensions = number, not extensions
        return change

    for label, number, extensions in (("1_with_extensions", 0, True), ("1", 0, False), ("2_with_extensions", 1, True),
                                      ("2", 1, False),
                                      ("3_without_extensions", 2, False), ("4", 3, True), ("negative", -1, True),
                                      ("2^40", 2 ** 40, True)):
        add(f"version={label}", version(number, extensions))

    def field(label, attribute, content):
        add(label, lambda chain, one: setattr(one, attribute, content))

    field("extensions=empty_list", "empty_extensions", True)
    field("serial=0", "serial", integer(0))
    field("serial=negative", "serial", integer(-5))
    field("serial=20_bytes", "serial", tlv(0x02, b"\x7f" + b"\x01" * 19))
    field("serial=21_bytes", "serial", tlv(0x02, b"\x00\xff" + b"\x01" * 19))
    field("serial=60_bytes", "serial", tlv(0x02, b"\x7f" + b"\x01" * 59))
    field("serial=padded", "serial", tlv(0x02, b"\x00\x05"))
    field("serial=empty", "serial", tlv(0x02, b""))
    field("serial=octets", "serial", octets(b"\x05"))
    field("uniqueId=issuer", "unique_ids", tlv(0x81, b"\x00\x01"))
    field("uniqueId=subject", "unique_ids", tlv(0x82, b"\x00\x01"))
    field("uniqueId=garbage", "unique_ids", tlv(0x81, b""))
    field("certificate=tail", "tail", b"\x00")


def _other_extensions():
    for label, critical in (("", False), ("_critical", True)):
        value(f"unknown{label}", "1.3.6.1.4.1.99999.1", b"\x05\x00", critical)
        value(f"unknown_garbage{label}", "1.3.6.1.4.1.99999.1", b"\xff\xff\xff", critical)
        value(f"unknown_empty{label}", "1.3.6.1.4.1.99999.1", b"", critical)
        value(f"ctPoison{label}", "1.3.6.1.4.1.11129.2.4.3", b"\x05\x00", critical)
        value(f"authorityInfoAccess{label}", "1.3.6.1.5.5.7.1.1",
              seq(seq(oid("1.3.6.1.5.5.7.48.1"), uri("http://ocsp.example/"))), critical)
        value(f"subjectInfoAccess{label}", "1.3.6.1.5.5.7.1.11",
              seq(seq(oid("1.3.6.1.5.5.7.48.5"), uri("http://x.example/"))), critical)
        value(f"crlDistributionPoints{label}", "2.5.29.31", seq(seq(tlv(0xA0, tlv(0xA0, uri("http://crl.example/"))))),
              critical)
        value(f"freshestCrl{label}", "2.5.29.46", seq(seq(tlv(0xA0, tlv(0xA0, uri("http://crl.example/"))))), critical)
        value(f"mustStaple{label}", "1.3.6.1.5.5.7.1.24", seq(integer(5)), critical)
        value(f"netscapeCertType_client{label}", "2.16.840.1.113730.1.1", flags(0), critical)
        value(f"netscapeCertType_email{label}", "2.16.840.1.113730.1.1", flags(2), critical)
        value(f"ipAddressDelegation{label}", "1.3.6.1.5.5.7.1.7", seq(seq(octets(b"\x00\x01"), seq(der.bits(b"\x0a")))),
              critical)
        value(f"proxyCertInfo{label}", "1.3.6.1.5.5.7.1.14", seq(seq(oid("1.3.6.1.5.5.7.21.1"))), critical)
        value(f"subjectDirectoryAttributes{label}", "2.5.29.9", seq(seq(oid("1.2.3.4"), tlv(0x31, integer(1)))),
              critical)
        value(f"privateKeyUsagePeriod{label}", "2.5.29.16",
              seq(tlv(0x80, b"20200101000000Z"), tlv(0x81, b"20210101000000Z")), critical)
        value(f"certificatePolicies=any{label}", POLICIES, seq(seq(oid("2.5.29.32.0"))), critical)
        value(f"certificatePolicies=one{label}", POLICIES, seq(seq(oid("1.3.6.1.4.1.99999.2"))), critical)
        value(f"certificatePolicies=twice{label}", POLICIES, seq(seq(oid("1.2.3.4")), seq(oid("1.2.3.4"))), critical)
        value(f"certificatePolicies=qualified{label}", POLICIES,
              seq(seq(oid("1.2.3.4"), seq(seq(oid("1.3.6.1.5.5.7.2.1"), tlv(0x16, b"http://cps.example/"))))), critical)
        value(f"certificatePolicies=empty{label}", POLICIES, seq(), critical)
        value(f"certificatePolicies=garbage{label}", POLICIES, b"\x30\x04\x30", critical)
        value(f"policyMappings=one{label}", "2.5.29.33", seq(seq(oid("1.2.3.4"), oid("1.2.3.5"))), critical)
        value(f"policyMappings=any{label}", "2.5.29.33", seq(seq(oid("2.5.29.32.0"), oid("1.2.3.5"))), critical)
        value(f"policyConstraints=explicit_0{label}", "2.5.29.36", seq(tlv(0x80, b"\x00")), critical)
        value(f"policyConstraints=explicit_5{label}", "2.5.29.36", seq(tlv(0x80, b"\x05")), critical)
        value(f"policyConstraints=no_mapping{label}", "2.5.29.36", seq(tlv(0x81, b"\x00")), critical)
        value(f"policyConstraints=empty{label}", "2.5.29.36", seq(), critical)
        value(f"policyConstraints=garbage{label}", "2.5.29.36", b"\x30\x05\x80", critical)
        value(f"inhibitAnyPolicy=0{label}", "2.5.29.54", integer(0), critical)
        value(f"inhibitAnyPolicy=-1{label}", "2.5.29.54", integer(-1), critical)
    value("unknown=false_written_out", "1.3.6.1.4.1.99999.1", b"\x05\x00", FALSE)
    value("unknown=true_as_01", "1.3.6.1.4.1.99999.1", b"\x05\x00", tlv(0x01, b"\x01"))
    value("unknown=critical_as_integer", "1.3.6.1.4.1.99999.1", b"\x05\x00", integer(1))
    value("unknown=critical_empty", "1.3.6.1.4.1.99999.1", b"\x05\x00", tlv(0x01, b""))
    add("unknown=fifty", lambda chain,
        one: one.more.extend(Certificate.extension(f"1.3.6.1.4.1.99999.3.{n}", False, b"\x05\x00") for n in range(50)))

    def twice(which, same):
        def change(chain, one):
            critical, content = one.extensions.setdefault(which, (False, seq()))
            one.more.append(Certificate.extension(which, critical, content if same else seq()))
        return change

    for label, which in (("basicConstraints", BASIC), ("keyUsage", USAGE), ("extendedKeyUsage", EXTENDED),
                         ("subjectAltName", NAMES),
                         ("nameConstraints", CONSTRAINTS), ("authorityKeyIdentifier", AUTHORITY_KEY),
                         ("subjectKeyIdentifier", SUBJECT_KEY),
                         ("unknown", "1.3.6.1.4.1.99999.1")):
        add(f"twice={label}", twice(which, True))
        add(f"twice={label}_differently", twice(which, False))


def _signatures_and_keys():
    add("signature=flipped", lambda chain, one: setattr(one, "spoil",
                                                        lambda raw: der.bits(raw[:-1] + bytes([raw[-1] ^ 1]))))
    add("signature=empty", lambda chain, one: setattr(one, "spoil", lambda raw: der.bits(b"")))
    add("signature=cut", lambda chain, one: setattr(one, "spoil", lambda raw: der.bits(raw[:-1])))
    add("signature=longer", lambda chain, one: setattr(one, "spoil", lambda raw: der.bits(raw + b"\x00")))
    add("signature=unused_bits", lambda chain, one: setattr(one, "spoil", lambda raw: der.bits(raw, 3)))
    add("signature=octets", lambda chain, one: setattr(one, "spoil", octets))

    def by(kind, digest="sha256", pss=False):
        """by has this certificate signed by an issuer of another kind of key."""
        def change(chain, one):
            at = chain.certificates.index(one)
            issuer = chain.certificates[min(at + 1, len(chain.certificates) - 1)]
            rekey(chain, issuer, chain.keys.of(kind))
            one.digest, one.pss = digest, pss
        return change

    for digest in ("sha1", "sha384", "sha512"):
        add(f"signature=ecdsa_{digest}", lambda chain, one,
            digest=digest: setattr(one, "digest", digest if not one.signer.is_rsa() else "sha256"))
    for digest in ("md5", "sha1", "sha256", "sha384", "sha512"):
        add(f"signature=rsa_{digest}", by("rsa2048", digest))
    add("signature=rsa_pss", by("rsa2048", pss=True))
    add("signature=inner_differs", lambda chain, one: setattr(one, "outer", seq(oid(der.ECDSA["sha512"]))))
    add("signature=unknown_algorithm", lambda chain, one: setattr(one, "inner", seq(oid("1.2.3.4"))))
    add("signature=null_parameters", lambda chain, one: setattr(one, "inner", seq(oid(der.ECDSA["sha256"]), der.NULL)))
    add("signature=odd_parameters", lambda chain, one: setattr(one, "inner", seq(oid(der.ECDSA["sha256"]), integer(5))))

    def no_null(chain, one):
        by("rsa2048")(chain, one)
        one.inner = seq(oid(der.RSA["sha256"]))

    add("signature=rsa_without_null", no_null)
    add("signature=by_another", lambda chain, one: setattr(one, "signer", chain.keys.of("p384")))
    add("signature=rsa_named_ecdsa_key", lambda chain,
        one: setattr(one, "inner", seq(oid(der.RSA["sha256"]), der.NULL)))
    for kind in Keys.KINDS:
        if kind != "p256":
            add(f"key={kind}", lambda chain, one, kind=kind: rekey(chain, one, chain.keys.of(kind)))

    def spki(label, make):
        add(f"key={label}", lambda chain, one: setattr(one, "spki", make(one)))

    curve = oid("1.2.840.10045.3.1.7")
    spki("point_not_on_curve", lambda one: one.spki[:-1] + bytes([one.spki[-1] ^ 1]))
    spki("point_at_infinity", lambda one: seq(seq(oid("1.2.840.10045.2.1"), curve), der.bits(b"\x00")))
    spki("compressed", lambda one: seq(seq(oid("1.2.840.10045.2.1"), curve),
                                       der.bits(bytes([2 + (one.spki[-1] & 1)]) + one.spki[-64:-32])))
    spki("no_curve", lambda one: seq(seq(oid("1.2.840.10045.2.1")), der.bits(one.spki[-65:])))
    spki("unknown_kind", lambda one: seq(seq(oid("1.2.3.4")), der.bits(b"\x00" * 32)))
    spki("x25519", lambda one: seq(seq(oid("1.3.101.110")), der.bits(b"\x09" + b"\x00" * 31)))
    spki("ed448", lambda one: seq(seq(oid("1.3.101.113")), der.bits(b"\x09" * 57)))
    spki("dsa", lambda one: seq(seq(oid("1.2.840.10040.4.1"), seq(integer(23), integer(11), integer(4))),
                                der.bits(integer(8))))
    spki("rsa_even", lambda one: seq(seq(oid("1.2.840.113549.1.1.1"), der.NULL),
                                     der.bits(seq(integer(1 << 2047), integer(65537)))))
    spki("rsa_exponent_1", lambda one: seq(seq(oid("1.2.840.113549.1.1.1"), der.NULL),
                                           der.bits(seq(integer((1 << 2048) - 1), integer(1)))))
    spki("rsa_negative", lambda one: seq(seq(oid("1.2.840.113549.1.1.1"), der.NULL),
                                         der.bits(seq(integer(-(1 << 2048) + 1), integer(65537)))))
    spki("rsa_16384", lambda one: seq(seq(oid("1.2.840.113549.1.1.1"), der.NULL),
                                      der.bits(seq(integer((1 << 16384) - 1), integer(65537)))))
    spki("rsa_without_null", lambda one: seq(seq(oid("1.2.840.113549.1.1.1")),
                                             der.bits(seq(integer((1 << 2048) - 1), integer(65537)))))
    spki("rsa_pss", lambda one: seq(seq(oid("1.2.840.113549.1.1.10")),
                                    der.bits(seq(integer((1 << 2048) - 1), integer(65537)))))
    spki("garbage", lambda one: seq(b"\x30\x01"))


def rekey(chain, one, key):
    """rekey gives a certificate another key, with which it signs what it has signed."""
    for below in chain.certificates:
        if below.signer is one.key and below is not one:
            below.signer = key
    if one.signer is one.key:
        one.signer = key
    one.key, one.spki = key, key.spki


def _distinguished_names():
    def subject(label, made, places=("ca", "root")):
        """The subject is as it says; issuers below say the usual one."""
        def change(chain, one):
            one.subject = made(one)
            if one is chain.certificates[-1] and "root_follows" in label:
                one.issuer = one.subject
        add(f"name={label}", change, places)

    subject("printable", lambda one: name(one.title, 0x13))
    subject("letter_case", lambda one: name(one.title.upper()))
    subject("more_spaces", lambda one: name(one.title.replace(" ", "  ") + " "))
    subject("teletex", lambda one: name(one.title, 0x14))
    subject("bmp", lambda one: seq(tlv(0x31, seq(oid("2.5.4.3"), tlv(0x1E, one.title.encode("utf-16-be"))))))
    subject("other", lambda one: name("another name"))
    subject("prefix", lambda one: name(one.title[:-1]))
    subject("empty", lambda one: name(None), ("leaf", "ca", "root"))
    subject("more_parts", lambda one: name(one.title, more=[("2.5.4.10", "Example")]))
    subject("bad_utf_8", lambda one: seq(tlv(0x31, seq(oid("2.5.4.3"), tlv(0x0C, b"\xff\xfe")))),
            ("leaf", "ca", "root"))
    subject("empty_set", lambda one: seq(tlv(0x31, b"")), ("leaf", "ca", "root"))
    subject("garbage", lambda one: seq(b"\x31\x05"), ("leaf", "ca", "root"))
    subject("of_4000_bytes", lambda one: name("x" * 4000), ("leaf",))
    subject("with_nul", lambda one: name("web\0.evil"), ("leaf",))

    def follows(label, made):
        """The subject changes, and with it the issuer that those below name."""
        def change(chain, one):
            before, one.subject = one.subject, made(one)
            for below in chain.certificates:
                below.issuer = one.subject if below.issuer == before else below.issuer
        add(f"name={label}_followed", change, ("ca", "root"))

    follows("empty", lambda one: name(None))
    follows("printable", lambda one: name(one.title, 0x13))
    follows("of_4000_bytes", lambda one: name("x" * 4000))
    add("name=issuer_other", lambda chain, one: setattr(one, "issuer", name("another name")))
    add("name=issuer_empty", lambda chain, one: setattr(one, "issuer", name(None)))
    add("name=issuer_letter_case", lambda chain,
        one: setattr(one, "issuer", bytes(one.issuer).replace(b"Mesh", b"MESH")))
    add("name=issuer_printable", lambda chain, one: setattr(one, "issuer", one.issuer.replace(b"\x0c", b"\x13", 1)))
    add("name=self_issued", lambda chain, one: setattr(one, "issuer", one.subject), ("leaf", "ca"))


for _define in (_basic_constraints, _key_usage, _extended_key_usage, _names, _constraints, _key_identifiers, _dates,
                _version_and_serial,
                _other_extensions, _signatures_and_keys, _distinguished_names):
    _define()


# ---- mutations of what is sent and believed --------------------------------------------------------------

def _cross_signed(chain, good=True):
    """The root has a second certificate, signed by an older root, which is believed as well or alone."""
    root = chain.certificates[-1]
    old_key = chain.keys.of("p384")
    old = Certificate(name("Old Root"), old_key, name("Old Root"), old_key, NOW - 2 * DAY, NOW + 30 * DAY)
    old.title, old.identifier = "Old Root", b"identifier of the old"
    crossed = Certificate(root.subject, root.key, old.subject, old_key, NOW - DAY,
                          NOW + 30 * DAY if good else NOW - DAY / 2)
    for one in (old, crossed):
        one.set(BASIC, seq(TRUE), True)
        one.set(USAGE, flags(*CA_USAGE), True)
    old.set(SUBJECT_KEY, octets(old.identifier))
    crossed.set(SUBJECT_KEY, octets(root.identifier))
    return old, crossed


def _only_old_root(good):
    def change(chain):
        old, crossed = _cross_signed(chain, good)
        chain.extra_sent.append(crossed)
        chain.certificates.append(old)  # the root that is believed; the one before is sent
    return change


def _both_roots(good):
    def change(chain):
        old, crossed = _cross_signed(chain, good)
        chain.extra_sent.append(crossed)
        chain.extra_roots.append(old)
    return change


def _namesake(sent):
    """Another authority of the same name and another key, before the right one."""
    def change(chain):
        at = chain.dice.randrange(1, len(chain.certificates))
        one = chain.certificates[at]
        key = chain.keys.of("p384")
        twin = Certificate(one.subject, key, one.subject, key, NOW - DAY, NOW + DAY)
        twin.set(BASIC, seq(TRUE), True)
        twin.set(USAGE, flags(*CA_USAGE), True)
        (chain.extra_sent if sent else chain.extra_roots).append(twin)
        if sent:
            chain.order = lambda sent, written: [sent[0], sent[-1], *sent[1:-1]]
    return change


def _deeper(count, self_issued=False, limit=None):
    def change(chain):
        chain.certificates = [chain.certificates[-1]]
        issuer = chain.certificates[0]
        if limit is not None:
            issuer.set(BASIC, seq(TRUE, integer(limit)), True)
        for level in range(count, -1, -1):
            made = chain.make(level, count, issuer)
            if self_issued and level:
                made.subject = made.issuer = issuer.subject
            elif level == 0:
                made.issuer = issuer.subject
            chain.certificates.insert(0, made)
            issuer = made
    return change


def _order(change):
    def mutate(chain):
        chain.order = lambda sent, written: change(chain, list(sent), written)
    return mutate


def _shuffled(chain, sent, written):
    rest = sent[1:]
    random.Random(len(written[0])).shuffle(rest)
    return [sent[0], *rest]


def _strays(chain, count):
    return [base64.b64encode(chain.make(1, 1, None).encode()).decode() for _ in range(count)]


def _anchor_is_intermediate(chain):
    """An intermediate is believed, its root is not, as where a company's intermediate heads the mesh."""
    if len(chain.certificates) > 2:
        chain.certificates.pop()


def _stray_root(change):
    def mutate(chain):
        root = Certificate(name("Stray Root"), chain.keys.of("p384"), name("Stray Root"), chain.keys.of("p384"),
                           NOW - DAY, NOW + DAY)
        root.set(BASIC, seq(TRUE), True)
        change(root)
        chain.extra_roots.append(root)
    return mutate


CHAIN_MUTATIONS = {
    "order=reversed_hints": _order(lambda chain, sent, written: [sent[0], *reversed(sent[1:])]),
    "order=shuffled": _order(_shuffled),
    "order=leaf_last": _order(lambda chain, sent, written: [*sent[1:], sent[0]]),
    "sent=with_root": _order(lambda chain, sent, written: [*sent, written[-1]]),
    "sent=each_twice": _order(lambda chain, sent, written: [*sent, *sent]),
    "sent=leaf_alone": _order(lambda chain, sent, written: sent[:1]),
    "sent=without_last": _order(lambda chain, sent, written: sent[:-1] or sent),
    "sent=garbage_after": _order(lambda chain, sent, written: [*sent, "MAA="]),
    "sent=twelve_strays": _order(lambda chain, sent, written: sent + _strays(chain, 12)),
    "sent=three_strays": _order(lambda chain, sent, written: sent[:1] + _strays(chain, 3) + sent[1:]),
    "sent=root_as_leaf": _order(lambda chain, sent, written: [written[-1]]),
    "sent=intermediate_as_leaf": _order(lambda chain, sent, written: written[1:]),
    "cross=only_old_root": _only_old_root(True), "cross=only_old_root_expired_cross": _only_old_root(False),
    "cross=both_roots": _both_roots(True), "cross=both_roots_expired_cross": _both_roots(False),
    "namesake=sent": _namesake(True), "namesake=root": _namesake(False),
    "depth=4": _deeper(4), "depth=8": _deeper(8), "depth=9": _deeper(9), "depth=10": _deeper(10),
    "depth=15": _deeper(15),
    "depth=2_of_0": _deeper(2, limit=0), "depth=1_of_0": _deeper(1, limit=0), "depth=0_of_0": _deeper(0, limit=0),
    "depth=2_of_2": _deeper(2, limit=2),
    "depth=2_self_issued_of_0": _deeper(2, True, 0), "depth=2_self_issued": _deeper(2, True),
    "anchor=intermediate": _anchor_is_intermediate,
    "anchor=stray_expired": _stray_root(lambda root: setattr(root, "dates",
                                                             [der.time(NOW - 9 * DAY), der.time(NOW - DAY)])),
    "anchor=stray_no_ca": _stray_root(lambda root: root.set(BASIC, seq(), True)),
    "anchor=stray_without_constraints": _stray_root(lambda root: root.extensions.clear()),
    "anchor=stray_garbage": lambda chain: chain.extra_roots.append(b"\x30\x00"),
    "none": lambda chain: None,
}


EVERY = ([[(place, label)] for place, labels in MUTATIONS.items() for label in labels] +
         [[("chain", label)] for label in CHAIN_MUTATIONS])
# Two that show something together only; they come behind the others.
PAIRS = [[("leaf", "name=with_nul"), ("root", "nameConstraints=permits_our_parent")],
         [("leaf", "subjectAltName=absent"), ("root", "nameConstraints=permits_email")],
         [("chain", "sent=root_as_leaf"), ("root", "authorityKeyIdentifier=by_name_wrong_name")],
         [("root", "nameConstraints=permits_our_parent"), ("leaf", "subjectAltName=bad_port")],
         [("chain", "depth=2_self_issued"), ("root", "subjectKeyIdentifier=absent")],
         [("chain", "cross=both_roots_expired_cross"), ("root", "netscapeCertType_email_critical")],
         [("chain", "namesake=root"), ("ca", "inhibitAnyPolicy=-1_critical")],
         [("leaf", "subjectAltName=with_ipv6"), ("root", "nameConstraints=excludes_all_ip")]]


def generate(count, seed):
    """generate gives `count` pairs of mutations and question: each of EVERY once if count allows, then with others."""
    dice, keys, every = random.Random(seed), Keys(), list(EVERY)
    dice.shuffle(every)
    for number in range(count):
        pair = PAIRS[number - count] if count - number <= len(PAIRS) else None
        chosen = list(pair or every[number % len(every)])
        if number >= len(every) and not pair and dice.random() < 0.25:
            chosen += dice.choice(every)
        chain = Chain(keys, dice)
        # The shape of the chain comes first: other mutations find their certificates in it.
        for place, label in sorted(chosen, key=lambda one: one[0] != "chain"):
            apply(chain, place, label)
        yield chain.mutations, chain.question()


def apply(chain, place, label):
    if place == "chain":
        CHAIN_MUTATIONS[label](chain)
    else:
        if place == "ca" and len(chain.certificates) < 3:
            place = "leaf" if label in MUTATIONS["leaf"] else "root"
        at = 0 if place == "leaf" else -1 if place == "root" else chain.dice.randrange(1, len(chain.certificates) - 1)
        MUTATIONS[place][label](chain, chain.certificates[at])
    chain.mutations.append(f"{place}.{label}")
