"""tlsfuzzer's scripts against a server that wants a client's certificate. MOORING_TLSFUZZER is its clone; tlslite-ng
comes as a package.

Each script holds conversations; each is a test, and passes or fails. tlsfuzzer_caller.py runs a script: what it draws
by chance is the same in each run, and one that knows of no client certificates is given one.
"""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lib import check
from suites import ask, lists
from suites.server import Server

TLSLITE = "0.9.0b2"
RSA, EC = "rsa2048", "ec"

GCM = ["-C", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]
SUITE = ["-d", *GCM, "--ems"]
SIGNATURES = ["-s", "ecdsa_secp256r1_sha256 ed25519 rsa_pss_rsae_sha256 rsa_pkcs1_sha256 ecdsa_secp384r1_sha384 "
              "rsa_pss_rsae_sha384 rsa_pkcs1_sha384 ecdsa_secp521r1_sha512 rsa_pss_rsae_sha512 rsa_pkcs1_sha512"]

# Script, what it is told besides, the kind of the caller's key. Left out are those on kinds of keys that no certificate
# of a mesh has.
WITH_CERTIFICATE = (
    ("certificate-malformed", SUITE, RSA), ("certificate-request", [*SUITE, *SIGNATURES], RSA),
    ("certificate-verify", SUITE, RSA), ("certificate-verify-malformed", SUITE, RSA),
    ("renegotiation-disabled-client-cert", SUITE[:3], RSA),
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
        "ssl-death-alert", "tls13-0rtt-garbage", "tls13-session-resumption", "tls13-version-negotiation")),
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
        "tls13-multiple-ccs-messages", "tls13-no-unknown-groups", "tls13-nociphers", "tls13-obsolete-curves",
        "tls13-pkcs-signature", "tls13-record-layer-limits", "tls13-record-padding", "tls13-rsa-signatures",
        "tls13-serverhello-random", "tls13-shuffled-extentions", "tls13-signature-algorithms",
        "tls13-symetric-ciphers", "tls13-unencrypted-alert", "tls13-unrecognised-groups",
        "tls13-zero-content-type", "tls13-zero-length-data")))

# How many conversations a script holds at most; None: it takes no number, and holds all. Two are long, of one kind, and
# encrypt in Python.
ALL = "0"
COUNT = {"tls13-certificate-request": None, "lengths": "1000", "tls13-lengths": "1000"}
AT_ONCE = 3  # scripts
HEAD = re.compile(r'^(?:(\S.*) \.\.\.|("[^"]+") repeat \d+(?:\.\.\.)?)$', re.M)
ERROR = re.compile(r"^(?:AssertionError|\w+(?:\.\w+)*(?:Error|Exception|Alert)|socket\.\w+): ?(.*)$", re.M)
CALLER = Path(__file__).with_name("tlsfuzzer_caller.py")


def packages():
    cache = os.environ.get("MOORING_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "mooring")
    folder = Path(cache) / f"tlslite-ng-{TLSLITE}"
    if not (folder / "tlslite").is_dir():
        done = subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                               "--target", folder, f"tlslite-ng=={TLSLITE}"], capture_output=True, text=True,
                               check=False)
        if done.returncode != 0:
            raise check.Skip(f"tlslite-ng {TLSLITE} could not be installed: {done.stderr[-300:]}")
    return folder


def conversations(output):
    """conversations are (name, error) of a script's output; error is None for one that passed."""
    heads = list(HEAD.finditer(output.split("\nTest end")[0]))
    for head, following in zip(heads, [*heads[1:], None]):
        part = output[head.start():following.start() if following else None].split("\nTest end")[0]
        errors = ERROR.findall(part)
        yield head[1] or head[2], None if re.search(r"^OK$", part, re.M) else (errors or ["failed"])[-1]


class Scripts:
    """The clone, and two sidecars to which its scripts speak."""

    def __init__(self, case):
        self.case, self.folder = case, ask.folder("MOORING_TLSFUZZER", "github.com/tlsfuzzer/tlsfuzzer")
        # Without this the order of a set in Python is another one in each run.
        self.environment = {**os.environ, "PYTHONPATH": f"{self.folder}:{packages()}", "PYTHONDONTWRITEBYTECODE": "1",
                            "PYTHONHASHSEED": "0"}
        self.server = {kind: Server(case, kind, kind) for kind in (RSA, EC)}

    def run(self, script, arguments, kind=RSA, knows=True):
        """run is what a script said; knows: of client certificates."""
        to, module = self.server[kind], "test_" + script.replace("-", "_")
        prove = [] if knows else ["--prove", to.certificate, to.key]
        certificate = ["-k", to.key, "-c", to.certificate] if knows else []
        count = ["-n", count] if (count := COUNT.get(script, ALL)) else []
        done = subprocess.run([sys.executable, CALLER, *prove, module, "-h", to.host, "-p", str(to.port), *certificate,
                               *count, *arguments], cwd=self.folder, env=self.environment, capture_output=True,
                              text=True, check=False, timeout=1800)
        self.case.write(f"{script}.log", done.stdout + done.stderr)
        return script, done


def run(case):
    scripts, results = Scripts(case), lists.Results("tlsfuzzer")
    wanted = [*WITH_CERTIFICATE, *((name, words, RSA, False) for name, words in WITHOUT)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for script, done in pool.map(lambda one: scripts.run(*one), wanted):
            found = list(conversations(done.stdout))
            if not found or not re.search(r"^TOTAL: (\d+)$", done.stdout, re.M):
                results.add(script, f"ended with {done.returncode}: {done.stderr.strip()[-200:]}", False)
            for name, error in found:
                results.add(f"{script}: {name}", error or "passed", error is None)
            for server in scripts.server.values():
                server.lives()
    return results
