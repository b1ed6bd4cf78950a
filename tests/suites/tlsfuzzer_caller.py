"""Runs a script of tlsfuzzer's; which conversations it draws, and how it changes them, is the same in each run.

  tlsfuzzer_caller.py [--prove CERTIFICATE KEY] SCRIPT [ARGUMENT ...]    SCRIPT: a module in tlsfuzzer._apps

--prove: as a caller who has a certificate, for scripts that know of none. Before a conversation runs, in each of its
full handshakes the server's request is expected, and certificate and proof are sent. Where a script wants cipher suites
of CBC, or RSA's own key exchange, ECDHE with AES-GCM stands in their place, with the extensions for it in a ClientHello
that has none, so that what the script is about is reached; those that are about these suites are not for us.
"""

import random
import runpy
import sys

del sys.path[0]  # our own folder, whose tlsfuzzer.py is not what the scripts mean

from tlsfuzzer import expect, messages, runner  # noqa: E402
from tlslite.constants import CipherSuite, ExtensionType, GroupName, SignatureScheme  # noqa: E402
from tlslite.extensions import SignatureAlgorithmsExtension, SupportedGroupsExtension  # noqa: E402
from tlslite.utils.keyfactory import parsePEMKey  # noqa: E402
from tlslite.x509 import X509  # noqa: E402
from tlslite.x509certchain import X509CertChain  # noqa: E402

OURS = CipherSuite.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
THEIRS = ("TLS_RSA_WITH_AES_128_CBC_SHA", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "TLS_DHE_RSA_WITH_AES_128_CBC_SHA")


# What a ClientHello says that has to be served by us.
EXTENSIONS = {
    ExtensionType.supported_groups: SupportedGroupsExtension().create([GroupName.secp256r1]),
    ExtensionType.signature_algorithms: SignatureAlgorithmsExtension().create(
        [SignatureScheme.rsa_pss_rsae_sha256, SignatureScheme.rsa_pkcs1_sha256])}


class Caller:
    def __init__(self, certificate, key):
        parsed = X509()
        with open(certificate, encoding="ascii") as file:
            parsed.parse(file.read())
        self.chain = X509CertChain([parsed])
        with open(key, encoding="ascii") as file:
            self.key = parsePEMKey(file.read(), private=True)
        self.seen = set()

    def prove(self, node, asked=None):
        """prove walks what can follow the node; asked: in a handshake of this version it has been asked for."""
        while node is not None and id(node) not in self.seen:
            self.seen.add(id(node))
            if isinstance(node, messages.ClientHelloGenerator):
                asked = None
                if not node.ssl2 and not {*(node.extensions or ())} - {ExtensionType.renegotiation_info}:
                    node.extensions = {**EXTENSIONS, **(node.extensions or {})}
            for sibling in list(node.get_all_siblings())[1:]:
                self.prove(sibling, asked)
            asked = self._before(node, node.child, asked)
            node = node.child

    def _before(self, node, child, asked):
        if isinstance(child, expect.ExpectServerHelloDone) and not isinstance(node, expect.ExpectCertificateRequest):
            if isinstance(node, expect.ExpectCertificate):  # a script of RSA's key exchange
                node = self._insert(node, expect.ExpectServerKeyExchange())
            self._ask(node)
            return None
        if isinstance(child, expect.ExpectServerHelloDone):
            return "1.2"
        if isinstance(node, expect.ExpectEncryptedExtensions) and isinstance(
                child, (expect.ExpectCertificate, expect.ExpectCompressedCertificate)):
            self._ask(node)
            return "1.3"
        if asked == "1.2" and isinstance(child, messages.ClientKeyExchangeGenerator):
            self._insert(node, messages.CertificateGenerator(self.chain))
            self._insert(child, messages.CertificateVerifyGenerator(self.key))
            return None
        if asked == "1.2" and isinstance(child, messages.ChangeCipherSpecGenerator):  # ClientKeyExchange is left out
            node = self._insert(node, messages.CertificateGenerator(self.chain))
            self._insert(node, messages.CertificateVerifyGenerator(self.key))
            return None
        if asked == "1.3" and isinstance(child, messages.FinishedGenerator):
            node = self._insert(node, messages.CertificateGenerator(self.chain))
            self._insert(node, messages.CertificateVerifyGenerator(self.key))
            return None
        return asked

    def _ask(self, node):
        """_ask has the request come next, or whatever else than the handshake's next message could have come."""
        asked = expect.ExpectCertificateRequest()
        asked.next_sibling = node.child.next_sibling
        self._insert(node, asked)

    @staticmethod
    def _insert(node, new):
        new.child, node.child = node.child, new
        return new


def prove_always(caller):
    """prove_always has each conversation changed by caller before it runs."""
    for name in THEIRS:
        setattr(CipherSuite, name, OURS)
    begin = runner.Runner.__init__

    def with_proof(self, conversation):
        caller.prove(conversation)
        begin(self, conversation)

    runner.Runner.__init__ = with_proof


def main():
    del sys.argv[0]
    if sys.argv[0] == "--prove":
        prove_always(Caller(*sys.argv[1:3]))
        del sys.argv[:3]
    script = sys.argv[0] = f"tlsfuzzer._apps.{sys.argv[0]}"
    random.seed(1)
    runpy.run_module(script, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
