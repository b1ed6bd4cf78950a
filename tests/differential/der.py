"""Certificates written octet by octet, so that any part of one may be wrong. What signs them is a real key."""

import itertools

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from lib.certs import der as tlv

_serials = itertools.count(0x10000000)

NULL = b"\x05\x00"
TRUE, FALSE = b"\x01\x01\xff", b"\x01\x01\x00"


def seq(*parts):
    return tlv(0x30, b"".join(parts))


def integer(number):
    return tlv(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True))


def oid(text):
    first, second, *rest = (int(part) for part in text.split("."))
    octets = b""
    for number in [first * 40 + second, *rest]:
        part = bytes([number & 0x7F])
        while number := number >> 7:
            part = bytes([0x80 | number & 0x7F]) + part
        octets += part
    return tlv(0x06, octets)


def bits(octets, unused=0):
    return tlv(0x03, bytes([unused]) + octets)


def flags(*positions):
    """flags is a named bit list as DER has it: without zeros at the end (X.690 11.2.2)."""
    if not positions:
        return bits(b"")
    length = max(positions) + 1
    number = sum(1 << (length - 1 - position) for position in positions)
    unused = -length % 8
    return bits((number << unused).to_bytes((length + 7) // 8, "big"), unused)


def octets(content):
    return tlv(0x04, content)


def name(text, kind=0x0C, more=()):
    """name is a distinguished name with one common name. kind: the tag of its string; more: other (OID, text) pairs."""
    parts = [*more, ("2.5.4.3", text)] if text is not None else []
    return seq(*(tlv(0x31, seq(oid(which), tlv(kind, value.encode()))) for which, value in parts))


def utc_time(when):
    return tlv(0x17, when.strftime("%y%m%d%H%M%SZ").encode())


def generalized_time(when):
    return tlv(0x18, when.strftime("%Y%m%d%H%M%SZ").encode())


def time(when):
    return utc_time(when) if when.year < 2050 else generalized_time(when)


# ---- keys and what they sign with ------------------------------------------------------------------------

ECDSA = {"sha1": "1.2.840.10045.4.1", "sha256": "1.2.840.10045.4.3.2", "sha384": "1.2.840.10045.4.3.3",
         "sha512": "1.2.840.10045.4.3.4"}
RSA = {"md5": "1.2.840.113549.1.1.4", "sha1": "1.2.840.113549.1.1.5", "sha256": "1.2.840.113549.1.1.11",
       "sha384": "1.2.840.113549.1.1.12", "sha512": "1.2.840.113549.1.1.13"}
HASHES = {"md5": hashes.MD5, "sha1": hashes.SHA1, "sha256": hashes.SHA256, "sha384": hashes.SHA384,
          "sha512": hashes.SHA512}
CURVES = {"p224": ec.SECP224R1, "p256": ec.SECP256R1, "p384": ec.SECP384R1, "p521": ec.SECP521R1, "k256": ec.SECP256K1}


class Key:
    def __init__(self, kind):
        self.kind = kind
        if kind in CURVES:
            self.private = ec.generate_private_key(CURVES[kind]())
        elif kind == "ed25519":
            self.private = ed25519.Ed25519PrivateKey.generate()
        else:  # rsa2048, rsa2048e3
            size, _, exponent = kind[3:].partition("e")
            self.private = rsa.generate_private_key(int(exponent or 65537), int(size))
        self.spki = self.private.public_key().public_bytes(serialization.Encoding.DER,
                                                           serialization.PublicFormat.SubjectPublicKeyInfo)

    def is_rsa(self):
        return self.kind.startswith("rsa")

    def algorithm(self, digest, pss=False):
        if self.kind == "ed25519":
            return seq(oid("1.3.101.112"))
        if pss:
            hashed = seq(oid("2.16.840.1.101.3.4.2.1"))
            return seq(oid("1.2.840.113549.1.1.10"), seq(
                tlv(0xA0, hashed), tlv(0xA1, seq(oid("1.2.840.113549.1.1.8"), hashed)), tlv(0xA2, integer(32))))
        return seq(oid(RSA[digest]), NULL) if self.is_rsa() else seq(oid(ECDSA[digest]))

    def sign(self, data, digest, pss=False):
        if self.kind == "ed25519":
            return self.private.sign(data)
        if pss:
            return self.private.sign(data, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
        if self.is_rsa():
            return self.private.sign(data, padding.PKCS1v15(), HASHES[digest]())
        return self.private.sign(data, ec.ECDSA(HASHES[digest]()))


# ---- one certificate -------------------------------------------------------------------------------------

BASIC, USAGE, EXTENDED, NAMES = "2.5.29.19", "2.5.29.15", "2.5.29.37", "2.5.29.17"
SUBJECT_KEY, AUTHORITY_KEY, CONSTRAINTS, POLICIES = "2.5.29.14", "2.5.29.35", "2.5.29.30", "2.5.29.32"


class Certificate:
    """A certificate that is not yet written: every field is one to spoil. `signer` is the key that signs it."""

    def __init__(self, subject, key, issuer, signer, start, end):
        self.subject, self.key, self.issuer, self.signer = subject, key, issuer, signer
        self.version, self.serial = 2, integer(next(_serials))
        self.digest, self.pss, self.inner, self.outer = "sha256", False, None, None
        self.dates = [time(start), time(end)]
        self.spki, self.unique_ids = key.spki, b""
        self.extensions = {}  # OID to (critical, content); a critical that is octets is written as it stands
        self.more = []  # extensions behind those, as whole octets
        self.no_extensions = self.empty_extensions = False
        self.spoil = None  # what becomes of the signature's octets
        self.tail = b""

    def set(self, which, content, critical=False):
        self.extensions[which] = (critical, content)

    @staticmethod
    def extension(which, critical, content):
        mark = critical if isinstance(critical, bytes) else TRUE if critical else b""
        return seq(oid(which), mark, octets(content))

    def encode(self):
        algorithm = self.signer.algorithm(self.digest, self.pss)
        parts = [tlv(0xA0, integer(self.version))] if self.version else []
        parts += [self.serial, self.inner or algorithm, self.issuer, seq(*self.dates), self.subject, self.spki,
                  self.unique_ids]
        written = [self.extension(which, *rest) for which, rest in self.extensions.items()] + self.more
        if self.empty_extensions:
            parts.append(tlv(0xA3, seq()))
        elif written and not self.no_extensions:
            parts.append(tlv(0xA3, seq(*written)))
        body = seq(*parts)
        signature = self.signer.sign(body, self.digest, self.pss)
        sealed = self.spoil(signature) if self.spoil else bits(signature)
        return seq(body, self.outer or self.inner or algorithm, sealed) + self.tail
