"""tlsfuzzer's scripts against a server that wants a client's certificate. MOORING_TLSFUZZER is its clone; tlslite-ng
comes as a package.

Each script holds conversations; each is a test, and passes or fails. tlsfuzzer_caller.py runs a script: what it draws
by chance is the same in each run, and one that knows of no client certificates is given one.
"""

import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lib import check
from suites import ask, lists, packages
from suites.server import Server

TLSLITE = "0.9.0b2"
RSA, EC = "rsa2048", "ec"

GCM = ["-C", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]
SUITE = ["-d", *GCM, "--ems"]
SIGNATURES = ["-s", "ecdsa_secp256r1_sha256 ed25519 rsa_pss_rsae_sha256 rsa_pkcs1_sha256 ecdsa_secp384r1_sha384 "
              "rsa_pss_rsae_sha384 rsa_pkcs1_sha384 ecdsa_secp521r1_sha512 rsa_pss_rsae_sha512 rsa_pkcs1_sha512"]

# Script, what it is told besides, the kind of the caller's key. Left out are those on kinds of keys that no certificate
# of a mesh has, and the one for servers that ask for a certificate in a renegotiation alone.
WITH_CERTIFICATE = (
    ("certificate-malformed", SUITE, RSA), ("certificate-request", [*SUITE, *SIGNATURES], RSA),
    ("certificate-verify", SUITE, RSA), ("certificate-verify-malformed", SUITE, RSA),
    ("tls13-certificate-request", SIGNATURES, RSA), ("tls13-certificate-verify", SIGNATURES, RSA),
    ("tls13-ecdsa-in-certificate-verify", SIGNATURES, EC))

# Scripts without one. Left out are those whose subject we do not speak: CBC, CCM, DHE, RSA's own key exchange, SSL 2
# and 3, Encrypt-then-MAC, ALPN, heartbeats, OCSP stapling, record_size_limit, certificate compression, keys that are
# shared before, certificates of RSASSA-PSS and Ed25519; those that measure time; and legacy ones of TLS 1.0 and 1.1.
WITHOUT = (
    *((name, ["-d", *GCM]) for name in (
        "ccs", "connection-abort", "conversation", "cve-2016-6309", "early-application-data",
        "hello-request-by-client", "interleaved-application-data-in-renegotiation",
        "invalid-client-hello-w-record-overflow", "invalid-compression-methods", "invalid-content-type",
        "lengths", "no-mlkem-in-old-tls", "record-layer-fragmentation", "renegotiation-disabled",
        "truncating-of-client-hello", "version-numbers", "zero-length-data")),
    *((name, GCM) for name in (
        "cve-2004-0079", "ecdhe-rsa-key-exchange-with-bad-messages", "fuzzed-ciphertext",
        "interleaved-CKE-with-CCS", "point-extension")),
    *((name, ["-d"]) for name in (
        "aes-gcm-nonces", "client-hello-max-size", "downgrade-protection", "extended-master-secret-extension",
        "fallback-scsv", "large-hello", "large-number-of-extensions", "legacy-renegotiation",
        "message-skipping", "no-heartbeat", "renegotiation-changed-clienthello", "session-ticket-resumption",
        "ssl-death-alert", "tls13-session-resumption", "tls13-version-negotiation")),
    # With the groups that we speak: it compares what it has seen at the end, and wants all of it.
    ("tls13-serverhello-random", [word for group in ("secp384r1", "secp521r1", "x448", "ffdhe2048", "ffdhe3072")
                                  for word in ("-e", f"TLS 1.3 with {group}")]),
    # What is skipped where early data are refused is 16 KiB at most, headers among them.
    ("tls13-0rtt-garbage", ["-d", "--num-bytes", "8192"]),
    # A server may look past what it does not know (RFC 8446 4.2.7).
    ("tls13-obsolete-curves", ["--relaxed"]),
    # Many requests for a KeyUpdate may have one answer (RFC 8446 4.6.3).
    ("tls13-keyupdate", ["--coalescing"]),
    ("cve-2016-7054", ["-C", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"]),
    *((name, []) for name in (
        "fuzzed-finished", "invalid-cipher-suites", "invalid-client-hello", "invalid-session-id",
        "invalid-version", "message-duplication", "openssl-3712", "sig-algs", "signature-algorithms",
        "truncating-of-finished", "x25519", "tls13-ccs", "tls13-connection-abort", "tls13-conversation",
        "tls13-count-tickets", "tls13-crfg-curves", "tls13-ecdhe-curves", "tls13-empty-alert", "tls13-finished",
        "tls13-finished-plaintext", "tls13-hrr", "tls13-invalid-ciphers", "tls13-keyshare-omitted",
        "tls13-large-number-of-extensions", "tls13-legacy-version", "tls13-lengths",
        "tls13-multiple-ccs-messages", "tls13-no-unknown-groups", "tls13-nociphers",
        "tls13-pkcs-signature", "tls13-record-layer-limits", "tls13-record-padding", "tls13-rsa-signatures",
        "tls13-shuffled-extentions", "tls13-signature-algorithms",
        "tls13-symetric-ciphers", "tls13-unencrypted-alert", "tls13-unrecognised-groups",
        "tls13-zero-content-type", "tls13-zero-length-data")))

# How many conversations a script holds at most; None: it takes no number, and holds all. Two are long, of one kind, and
# encrypt in Python.
ALL = "0"
COUNT = {"tls13-certificate-request": None, "lengths": "1000", "tls13-lengths": "1000"}
AT_ONCE = 3  # scripts
HEAD = re.compile(r'^(?:("[^"]+") repeat \d+(?:\.\.\.)?|(\S.*?) ?\.\.\.)$', re.M)
ERROR = re.compile(r"^(?:AssertionError|\w+(?:\.\w+)*(?:Error|Exception|Alert)|socket\.\w+): ?(.*)$", re.M)
# What a script says of the values that servers are to draw, when all conversations are over.
VALUES = re.compile(r"^(?:(.+) values: OK|((?:Duplicated entries|Unexpected number of values) .*))$", re.M)
CALLER = Path(__file__).with_name("tlsfuzzer_caller.py")


def conversations(output):
    """conversations are (name, error) of a script's output; error is None for one that passed."""
    said, _, sums = output.partition("\nTest end")
    heads, found = list(HEAD.finditer(said)), []
    for head, following in zip(heads, [*heads[1:], None]):
        part = said[head.start():following.start() if following else None]
        errors = ERROR.findall(part)
        found.append((head[1] or head[2],
                      None if re.search(r"^OK$", part, re.M) else (errors or ["failed"])[-1]))
    counted = [re.search(rf"^{what}: (\d+)$", sums, re.M) for what in ("PASS", "FAIL")]
    check.true(found and all(counted), "it has come to its end")
    failed = sum(error is not None for _, error in found)
    check.equal([int(one[1]) for one in counted], [len(found) - failed, failed], "conversations that passed and failed")
    return found + [(f"values {good}".strip(), bad or None) for good, bad in VALUES.findall(said)]


class Scripts:
    """The clone, and two sidecars to which its scripts speak."""

    def __init__(self, case):
        self.case, self.folder = case, ask.folder("MOORING_TLSFUZZER", "github.com/tlsfuzzer/tlsfuzzer")
        self.python = packages.installed("tlslite-ng", TLSLITE, "lib/python3*/site-packages/tlslite") / "bin/python"
        # Without a hash seed the order of a set in Python is another one in each run.
        self.environment = {**os.environ, "PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1",
                            "PYTHONHASHSEED": "0"}
        self.server = {kind: Server(case, kind, kind) for kind in (RSA, EC)}

    def run(self, script, arguments, kind=RSA, knows=True):
        """run is what a script said; knows: of client certificates."""
        to, module = self.server[kind], "test_" + script.replace("-", "_")
        prove = [] if knows else ["--prove", to.certificate, to.key]
        certificate = ["-k", to.key, "-c", to.certificate] if knows else []
        count = ["-n", count] if (count := COUNT.get(script, ALL)) else []
        done = subprocess.run([self.python, CALLER, *prove, module, "-h", to.host, "-p", str(to.port), *certificate,
                               *count, *arguments], cwd=self.folder, env=self.environment, capture_output=True,
                              text=True, check=False, timeout=1800)
        self.case.write(f"{script}.log", done.stdout + done.stderr)
        return script, done


def run(case):
    scripts, results = Scripts(case), lists.Results("tlsfuzzer")
    wanted = [*WITH_CERTIFICATE, *((name, words, RSA, False) for name, words in WITHOUT)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for script, done in pool.map(lambda one: scripts.run(*one), wanted):
            try:
                for name, error in conversations(done.stdout):
                    results.add(f"{script}: {name}", error or "passed", error is None)
            except AssertionError as reason:
                results.add(script, f"{reason}; it ended with {done.returncode}: {done.stderr.strip()[-200:]}", False)
            for server in scripts.server.values():
                server.lives()
    return results
