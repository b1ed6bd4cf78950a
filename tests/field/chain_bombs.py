"""Client certificate chains that cost who looks at them: by number, by size, by paths, by the size of keys.

No authority that anybody trusts has signed them. Their authorities have the name of the real root, so that who looks
has reason to go on.
"""

import functools
import random

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from lib import certs

NUMBER = 100   # of certificates
NAMES = 4000   # of one certificate: 120 KiB
SAME = 60      # authorities of one name and one key: each may have signed each
FEW = 9        # of these: with the leaf as many as Mooring looks at
LARGE = 6      # authorities with keys of 16,384 bits: what fits into 32 KiB, the most that Mooring reads


def _root_name(roots_pem):
    return x509.load_pem_x509_certificate(roots_pem.encode()).subject


def _authority(subject, public_key, signer, issuer=None):
    """_authority is a certificate that says of itself to be an authority; signer is whose key has signed it."""
    return (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer or subject).public_key(public_key)
            .serial_number(x509.random_serial_number()).not_valid_before(certs.utc() - certs.HOUR)
            .not_valid_after(certs.utc() + 24 * certs.HOUR)
            .add_extension(x509.BasicConstraints(True, None), True)
            .add_extension(certs.key_usage("digital_signature", "key_cert_sign", "crl_sign"), True)
            .sign(signer, hashes.SHA256()))


def _leaf(uri, key, subject, signer, names=()):
    return (x509.CertificateBuilder().subject_name(certs.name("web")).issuer_name(subject).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(certs.utc() - certs.HOUR)
            .not_valid_after(certs.utc() + 24 * certs.HOUR)
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri), *names]), False)
            .add_extension(x509.BasicConstraints(False, None), True)
            .add_extension(certs.key_usage(*certs.LEAF_USAGE), True)
            .add_extension(x509.ExtendedKeyUsage(certs.BOTH_PURPOSES), False)
            .sign(signer, hashes.SHA256()))


def by_number(uri, roots_pem):
    """by_number is a chain of a hundred, each signed by the next; the last says that the root has signed it."""
    key, keys = certs.new_key(), [certs.new_key() for _ in range(NUMBER)]
    names = [certs.name(f"Mesh Intermediate {number}") for number in range(NUMBER)] + [_root_name(roots_pem)]
    chain = [_authority(names[i], keys[i].public_key(), keys[min(i + 1, NUMBER - 1)], names[i + 1])
             for i in range(NUMBER)]
    return certs.Identity(certs.cert_pem(_leaf(uri, key, names[0], keys[0]), *chain), certs.key_pem(key))


def by_size(uri, roots_pem):
    """by_size is one certificate with thousands of names."""
    key, signer = certs.new_key(), certs.new_key()
    names = [x509.DNSName(f"host-{number:05}.payments.example") for number in range(NAMES)]
    return certs.Identity(certs.cert_pem(_leaf(uri, key, _root_name(roots_pem), signer, names)), certs.key_pem(key))


def by_paths(uri, roots_pem, same=SAME):
    """by_paths are authorities of one name and key, each signed by that key: as many paths as orders of them."""
    key, signer, root = certs.new_key(), certs.new_key(), _root_name(roots_pem)
    chain = [_authority(root, signer.public_key(), signer) for _ in range(same)]
    return certs.Identity(certs.cert_pem(_leaf(uri, key, root, signer), *chain), certs.key_pem(key))


def by_keys(uri, roots_pem):
    """by_keys are authorities of one name with RSA keys of 16,384 bits, each of which may have signed the leaf. None
    has: nobody knows the private keys, and to find that out takes one exponentiation each."""
    drawn, signer, root = random.Random(7), certs.new_key("rsa2048"), _root_name(roots_pem)
    key = certs.new_key()

    def modulus():
        return drawn.getrandbits(16384) | 1 | 1 << 16383

    chain = [_authority(root, rsa.RSAPublicNumbers(65537, modulus()).public_key(), signer) for _ in range(LARGE)]
    forged = [_resigned(one, b"\0" + drawn.randbytes(2047)) for one in (_leaf(uri, key, root, signer), *chain)]
    return certs.Identity("".join(forged), certs.key_pem(key))


def _resigned(certificate, signature):
    """_resigned is the certificate as PEM with other bytes for its signature: as many as such a key would have made."""
    whole = certificate.public_bytes(serialization.Encoding.DER)
    body = certificate.tbs_certificate_bytes
    at = whole.index(body) + len(body)
    algorithm = whole[at:at + 2 + whole[at + 1]]
    made = certs.der(0x30, body + algorithm + certs.der(0x03, b"\0" + signature))
    return certs.cert_pem(x509.load_der_x509_certificate(made))


BOMBS = {"number": by_number, "size": by_size, "paths": by_paths, "few paths": functools.partial(by_paths, same=FEW),
         "keys": by_keys}
