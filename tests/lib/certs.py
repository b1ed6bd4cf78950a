"""Certificates of a mesh: authorities, leaves, and every wrong leaf that a peer could show.

The wrong ones follow the X509-SVID and SPIFFE-ID rules: each breaks one rule and says how Mooring must
judge it as a client's and as a server's certificate.
"""

import datetime
import ipaddress
import itertools
import os
import tempfile
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID, ObjectIdentifier

TRUST_DOMAIN = "11111111-2222-3333-4444-555555555555.consul"
HOUR = datetime.timedelta(hours=1)

_serials = itertools.count(1000)
_folder = None
_files = threading.Lock()  # tests ask from several threads


def utc():
    return datetime.datetime.utcnow().replace(microsecond=0)


def new_key(kind="ec"):
    """Kinds: ec (P-256), p384, ed25519, or rsa1024, rsa2048, ..."""
    if kind == "ec":
        return ec.generate_private_key(ec.SECP256R1())
    if kind == "p384":
        return ec.generate_private_key(ec.SECP384R1())
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, int(kind[3:]))


def key_pem(key, pkcs8=False):
    pkcs8 = pkcs8 or isinstance(key, ed25519.Ed25519PrivateKey)
    form = serialization.PrivateFormat.PKCS8 if pkcs8 else serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def cert_pem(*certificates):
    return "".join(c.public_bytes(serialization.Encoding.PEM).decode() for c in certificates)


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)] if text else [])


def signing_hash(key):
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def der(tag, content):
    length = len(content)
    if length < 128:
        head = bytes([length])
    else:
        octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
        head = bytes([0x80 | len(octets)]) + octets
    return bytes([tag]) + head + content


def raw_uri_names(*values):
    """raw_uri_names is a subjectAltName with these octets as URIs, whatever they are: libraries that build
    certificates refuse to write some of them."""
    content = der(0x30, b"".join(der(0x86, value) for value in values))
    return x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, content)


def key_usage(*allowed):
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
             "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{n: n in allowed for n in names})


# Consul's leaves also set the two that X509-SVID does not speak of.
LEAF_USAGE = ("digital_signature", "key_encipherment", "data_encipherment", "key_agreement")
BOTH_PURPOSES = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


class Identity:
    """A chain and the key of its leaf, as PEM text and, on demand, as one file."""

    def __init__(self, chain_pem, private_key_pem, uri=None):
        self.chain_pem, self.key_pem, self.uri = chain_pem, private_key_pem, uri
        self._path = None

    def path(self):
        """path is a file holding chain and key, for the ssl module."""
        global _folder
        with _files:
            if self._path is None:
                _folder = _folder or tempfile.TemporaryDirectory(prefix="mooring-certs-")
                descriptor, self._path = tempfile.mkstemp(".pem", dir=_folder.name)
                with os.fdopen(descriptor, "w") as file:
                    file.write(self.chain_pem + "\n" + self.key_pem)
        return self._path


def forget():
    """forget removes the files that Identity.path made."""
    global _folder
    if _folder:
        _folder.cleanup()
        _folder = None


def from_agent(leaf):
    """from_agent is the identity in an agent's leaf document."""
    return Identity(leaf["CertPEM"], leaf["PrivateKeyPEM"], leaf["ServiceURI"])


class Authority:
    """A certificate authority. issuer=None: a root."""

    def __init__(self, title="Mesh Root", trust_domain=TRUST_DOMAIN, key="ec", issuer=None, path_length=None,
                 permitted_uri=None, lifetime=24 * HOUR, spiffe=True, ca=True):
        self.trust_domain, self.issuer = trust_domain, issuer
        self.key = new_key(key)
        self.claimed_key = self.key  # whose key ID leaves name as their issuer's
        signer = issuer or self
        builder = (x509.CertificateBuilder().subject_name(name(title))
                   .issuer_name(name(title) if issuer is None else issuer.certificate.subject)
                   .public_key(self.key.public_key()).serial_number(next(_serials))
                   .not_valid_before(utc() - HOUR).not_valid_after(utc() + lifetime)
                   .add_extension(x509.BasicConstraints(ca, path_length if ca else None), True)
                   .add_extension(key_usage("digital_signature", "key_cert_sign", "crl_sign"), True)
                   .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), False)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key()),
                                  False))
        if spiffe:
            builder = builder.add_extension(x509.SubjectAlternativeName(
                [x509.UniformResourceIdentifier(f"spiffe://{trust_domain}")]), False)
        if permitted_uri:
            builder = builder.add_extension(x509.NameConstraints(
                [x509.UniformResourceIdentifier(permitted_uri)], None), True)
        self.certificate = builder.sign(signer.key, signing_hash(signer.key))
        self.pem = cert_pem(self.certificate)

    def chain(self):
        """chain lists the certificates between a leaf of ours and the root, without the root."""
        return [self.certificate] + self.issuer.chain() if self.issuer else []

    def intermediate(self, title="Mesh Intermediate", **options):
        return Authority(title, self.trust_domain, issuer=self, **options)

    def uri(self, service, namespace="default", datacenter="dc1"):
        return f"spiffe://{self.trust_domain}/ns/{namespace}/dc/{datacenter}/svc/{service}"

    def leaf(self, service="web", uri=None, uris=None, raw_uris=None, alternatives=(), names=True,
             key="ec", usage=LEAF_USAGE, purposes=BOTH_PURPOSES, ca=False, basic=True, start=-HOUR,
             lifetime=24 * HOUR, extra=(), subject=None, critical_names=False, pkcs8=False,
             with_certificate=False):
        """leaf mints an identity; without options it is what Consul would issue to the service. uris,
        raw_uris: other URI names; names=False: no subjectAltName; usage or purposes None: none of it."""
        private = key if hasattr(key, "public_key") else new_key(key)
        uri = uri or self.uri(service)
        builder = (x509.CertificateBuilder().subject_name(name(service if subject is None else subject))
                   .issuer_name(self.certificate.subject).public_key(private.public_key())
                   .serial_number(next(_serials)).not_valid_before(utc() + start)
                   .not_valid_after(utc() + start + lifetime)
                   .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), False)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(
                       self.claimed_key.public_key()), False))
        if names:
            if raw_uris is not None:
                builder = builder.add_extension(raw_uri_names(*raw_uris), critical_names)
            else:
                values = [uri] if uris is None else uris
                entries = [x509.UniformResourceIdentifier(v) for v in values] + list(alternatives)
                builder = builder.add_extension(x509.SubjectAlternativeName(entries), critical_names)
        if basic:
            builder = builder.add_extension(x509.BasicConstraints(ca, None), True)
        if usage is not None:
            builder = builder.add_extension(key_usage(*usage), True)
        if purposes is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), False)
        for extension, critical in extra:
            builder = builder.add_extension(extension, critical)
        certificate = builder.sign(self.key, signing_hash(self.key))
        identity = Identity(cert_pem(certificate, *self.chain()), key_pem(private, pkcs8), uri)
        return (identity, certificate, private) if with_certificate else identity

    def server(self, *hosts):
        """server mints a web server's certificate, for an agent's HTTPS port."""
        private = new_key()
        entries = []
        for host in hosts:
            try:
                entries.append(x509.IPAddress(ipaddress.ip_address(host)))
            except ValueError:
                entries.append(x509.DNSName(host))
        certificate = (x509.CertificateBuilder().subject_name(name(hosts[0]))
                       .issuer_name(self.certificate.subject).public_key(private.public_key())
                       .serial_number(next(_serials)).not_valid_before(utc() - HOUR)
                       .not_valid_after(utc() + 24 * HOUR)
                       .add_extension(x509.SubjectAlternativeName(entries), False)
                       .add_extension(x509.BasicConstraints(False, None), True)
                       .add_extension(key_usage("digital_signature", "key_encipherment"), True)
                       .add_extension(x509.ExtendedKeyUsage(BOTH_PURPOSES), False)
                       .sign(self.key, signing_hash(self.key)))
        return Identity(cert_pem(certificate, *self.chain()), key_pem(private))


# ---- every leaf of the abuse table ---------------------------------------------------------------------

ACCEPTED = "accepted"


class Specimen:
    """One certificate and its verdicts: ACCEPTED, or the set of close reasons that may name the refusal.

    None as a verdict: makes no sense in that direction. versions: the TLS versions it is judged in.
    """

    def __init__(self, title, make, client, server, versions=("1.2", "1.3")):
        self.title, self.make, self.client, self.server = title, make, client, server
        self.versions = versions


def _chained(mesh, service, depth):
    authority = mesh
    for number in range(depth):
        authority = authority.intermediate(f"Mesh Intermediate {number}")
    return authority.leaf(service)


def _self_signed(mesh, service):
    lone = Authority("lone", mesh.trust_domain)
    private = lone.key
    certificate = (x509.CertificateBuilder().subject_name(name(service)).issuer_name(name(service))
                   .public_key(private.public_key()).serial_number(next(_serials))
                   .not_valid_before(utc() - HOUR).not_valid_after(utc() + HOUR)
                   .add_extension(x509.SubjectAlternativeName(
                       [x509.UniformResourceIdentifier(mesh.uri(service))]), False)
                   .add_extension(x509.BasicConstraints(False, None), True)
                   .add_extension(key_usage(*LEAF_USAGE), True)
                   .add_extension(x509.ExtendedKeyUsage(BOTH_PURPOSES), False)
                   .sign(private, hashes.SHA256()))
    return Identity(cert_pem(certificate), key_pem(private))


def _leaf_as_issuer(mesh, service):
    _, certificate, private = mesh.leaf("issuer", with_certificate=True)
    rogue = Authority("issuer", mesh.trust_domain, issuer=mesh)
    rogue.certificate, rogue.key = certificate, private
    return rogue.leaf(service)


def _forged_signature(mesh, service):
    forger = Authority("Mesh Root", mesh.trust_domain)
    forger.claimed_key = mesh.key
    return forger.leaf(service)


def _path_length_broken(mesh, service):
    return mesh.intermediate("Short", path_length=0).intermediate("Too Deep").leaf(service)


def _name_constraint_broken(mesh, service):
    return mesh.intermediate("Constrained", permitted_uri="other.example", spiffe=False).leaf(service)


def _specimens():
    def leaf(**options):
        return lambda mesh, service: mesh.leaf(service, **options)

    def shaped(text):
        """URI names made of the service's good URI; text may hold {uri}, {td}, {svc}."""
        def make(mesh, service):
            values = {"uri": mesh.uri(service), "td": mesh.trust_domain, "svc": service,
                      "TD": mesh.trust_domain.upper(), "SVC": service.upper(),
                      "rest": f"/ns/default/dc/dc1/svc/{service}"}
            shapes = [text] if isinstance(text, str) else text
            return mesh.leaf(service, raw_uris=[s.format(**values).encode() for s in shapes])
        return make

    rules, malformed_id = {"leaf_rules"}, {"not_a_service_id"}
    no_path, unreadable = {"unknown_ca"}, {"certificate_malformed", "not_a_service_id"}
    other_service = {"denied"}, {"san_mismatch"}

    def both(title, make, verdict):
        return Specimen(title, make, verdict, verdict)

    yield both("good", leaf(), ACCEPTED)
    yield both("one_intermediate", lambda m, s: _chained(m, s, 1), ACCEPTED)
    yield both("dns_names_beside_the_uri", leaf(alternatives=[x509.DNSName("web.example"),
                                                             x509.DNSName("web")]), ACCEPTED)
    yield both("empty_subject_and_critical_names", leaf(subject="", critical_names=True), ACCEPTED)
    yield both("no_extended_key_usage", leaf(purposes=None), ACCEPTED)
    yield both("no_basic_constraints", leaf(basic=False), ACCEPTED)
    yield both("rsa_2048_leaf", leaf(key="rsa2048"), ACCEPTED)
    yield Specimen("p384_leaf", leaf(key="p384"), ACCEPTED, None)
    # In TLS 1.2 a server's curve must be one of the client's groups (RFC 8422 5.1.1), which P-384 is not.
    yield Specimen("p384_leaf_in_tls13", leaf(key="p384"), None, ACCEPTED, ("1.3",))
    yield both("five_intermediates", lambda m, s: _chained(m, s, 5), ACCEPTED)

    yield both("two_uri_names_good_one_first",
               shaped(["{uri}", "spiffe://{td}/ns/default/dc/dc1/svc/other"]), rules)
    yield both("two_uri_names_good_one_last",
               shaped(["spiffe://{td}/ns/default/dc/dc1/svc/other", "{uri}"]), rules)
    yield both("two_uri_names_http_first", shaped(["http://{td}/", "{uri}"]), rules)
    yield both("no_uri_name", leaf(uris=[], alternatives=[x509.DNSName("web")]), rules)
    yield both("no_alternative_names", leaf(names=False), rules)
    yield both("ca_true_leaf", leaf(ca=True), rules)
    yield both("key_cert_sign_leaf", leaf(usage=LEAF_USAGE + ("key_cert_sign",)), rules)
    yield both("crl_sign_leaf", leaf(usage=LEAF_USAGE + ("crl_sign",)), rules)
    yield both("no_key_usage", leaf(usage=None), rules)
    # OpenSSL does not even show this one as a server in TLS 1.2: it ends the handshake itself.
    yield Specimen("no_digital_signature", leaf(usage=("key_encipherment", "key_agreement")),
                   rules, rules | {"peer_alert"})
    yield Specimen("server_auth_only", leaf(purposes=[ExtendedKeyUsageOID.SERVER_AUTH]),
                   rules | {"unknown_ca"}, ACCEPTED)
    yield Specimen("client_auth_only", leaf(purposes=[ExtendedKeyUsageOID.CLIENT_AUTH]),
                   ACCEPTED, rules | {"unknown_ca"})
    yield both("code_signing_only", leaf(purposes=[ExtendedKeyUsageOID.CODE_SIGNING]),
               rules | {"unknown_ca"})
    yield both("expired", leaf(start=-3 * HOUR, lifetime=HOUR), {"cert_expired"})
    yield both("not_yet_valid", leaf(start=HOUR), {"cert_not_yet_valid"})
    yield both("unknown_critical_extension", leaf(extra=[(x509.UnrecognizedExtension(
        ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00"), True)]),
        rules | {"unknown_ca", "certificate_malformed"})
    yield both("rsa_1024_leaf", leaf(key="rsa1024"), rules | {"unknown_ca", "tls_error"})

    yield both("foreign_trust_domain_of_our_ca", shaped("spiffe://foreign.consul{rest}"),
               {"foreign_trust_domain"})
    yield both("uppercase_trust_domain", shaped("spiffe://{TD}{rest}"), malformed_id)
    yield both("uppercase_scheme", shaped("SPIFFE://{td}{rest}"), malformed_id)
    yield Specimen("uppercase_service_is_another_service",
                   shaped("spiffe://{td}/ns/default/dc/dc1/svc/{SVC}"), *other_service)
    yield Specimen("other_namespace_case_is_another_service",
                   shaped("spiffe://{td}/ns/Default/dc/dc1/svc/{svc}"), *other_service)
    yield Specimen("other_partition", shaped("spiffe://{td}/ap/other/ns/default/dc/dc1/svc/{svc}"),
                   {"denied", "not_a_service_id"}, {"san_mismatch", "not_a_service_id"})
    yield both("percent_encoded_letter", shaped("spiffe://{td}/ns/default/dc/dc1/svc/%77eb"), malformed_id)
    yield both("percent_encoded_slash", shaped("spiffe://{td}/ns/default/dc/dc1/svc/{svc}%2Fadmin"),
               malformed_id)
    yield both("dot_segments", shaped("spiffe://{td}/ns/default/dc/dc1/svc/x/../{svc}"), malformed_id)
    yield both("trailing_slash", shaped("{uri}/"), malformed_id)
    yield both("query", shaped("{uri}?x=1"), malformed_id)
    yield both("fragment", shaped("{uri}#x"), malformed_id)
    yield both("port", shaped("spiffe://{td}:443{rest}"), malformed_id)
    yield both("userinfo", shaped("spiffe://user@{td}{rest}"), malformed_id)
    yield both("root_path", shaped("spiffe://{td}/"), malformed_id)
    yield both("trust_domain_only", shaped("spiffe://{td}"), malformed_id | rules)
    yield both("http_scheme", shaped("http://{td}{rest}"), malformed_id | rules)
    yield both("agent_id", shaped("spiffe://{td}/agent/client/dc/dc1/id/node1"), malformed_id)
    yield both("nul_in_uri", shaped("{uri}\0.evil"), unreadable)
    yield both("newline_in_uri", shaped("{uri}\n"), unreadable)
    yield both("cyrillic_homoglyph", shaped("spiffe://{td}/ns/default/dc/dc1/svc/w\u0435b"), unreadable)
    yield both("id_of_2100_bytes", shaped("{uri}" + "x" * 2100), malformed_id)

    yield both("fake_ca_of_the_same_name",
               lambda m, s: Authority("Mesh Root", m.trust_domain).leaf(s), no_path)
    yield both("forged_signature_that_names_our_key", _forged_signature, no_path)
    yield both("self_signed", _self_signed, no_path)
    yield both("leaf_as_issuer", _leaf_as_issuer, no_path)
    yield both("path_length_broken", _path_length_broken, no_path)
    yield both("name_constraint_broken", _name_constraint_broken, no_path)
    yield both("twenty_intermediates", lambda m, s: _chained(m, s, 20), {"chain_too_long"})
    yield both("a_hundred_and_twenty_intermediates", lambda m, s: _chained(m, s, 120),
               {"chain_too_long", "tls_error"})
    yield Specimen("no_certificate", lambda m, s: None, {"no_client_certificate"}, None)


SPECIMENS = list(_specimens())
