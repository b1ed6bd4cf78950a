"""tlsfuzzer's scripts that show a client's certificate. MOORING_TLSFUZZER is its clone; tlslite-ng comes as a package.

Each script holds conversations; each is a test, and passes or fails. Of a script with thousands a hundred are drawn,
other ones in each run.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from lib import check
from suites import ask, lists
from suites.server import Server

TLSLITE = "0.9.0b2"
RSA, EC = "rsa2048", "ec"

SUITE = ["-d", "-C", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "--ems"]
SIGNATURES = ["-s", "ecdsa_secp256r1_sha256 ed25519 rsa_pss_rsae_sha256 rsa_pkcs1_sha256 ecdsa_secp384r1_sha384 "
              "rsa_pss_rsae_sha384 rsa_pkcs1_sha384 ecdsa_secp521r1_sha512 rsa_pss_rsae_sha512 rsa_pkcs1_sha512"]

# Script, what it is told besides, the kind of the caller's key. Left out are scripts whose one cipher suite is of CBC,
# which we do not speak, and those on kinds of keys that no certificate of a mesh has.
SCRIPTS = (
    ("certificate-malformed", SUITE, RSA), ("certificate-request", [*SUITE, *SIGNATURES], RSA),
    ("certificate-verify", SUITE, RSA), ("certificate-verify-malformed", SUITE, RSA),
    ("renegotiation-disabled-client-cert", SUITE[:3], RSA),
    ("tls13-certificate-request", SIGNATURES, RSA), ("tls13-certificate-verify", SIGNATURES, RSA),
    ("tls13-ecdsa-in-certificate-verify", SIGNATURES, EC))

# These hold all of their conversations anyway.
WITHOUT_COUNT = ("tls13-certificate-request",)


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
    parts = re.split(r"^(?=\S.* \.\.\.$)", output.split("\nTest end")[0], flags=re.M)
    for part in parts:
        name = re.match(r"(\S.*) \.\.\.$", part, re.M)
        if name:
            errors = re.findall(r"^(?:AssertionError|\w+(?:\.\w+)*(?:Error|Exception|Alert)|socket\.\w+): ?(.*)$", part,
                                re.M)
            yield name[1], None if re.search(r"^OK$", part, re.M) else (errors or ["failed"])[-1]


def run(case):
    folder = ask.folder("MOORING_TLSFUZZER", "github.com/tlsfuzzer/tlsfuzzer")
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{packages()}", "PYTHONDONTWRITEBYTECODE": "1"}
    server = {kind: Server(case, RSA if kind == RSA else EC, kind) for kind in (RSA, EC)}
    results = lists.Results("tlsfuzzer")
    for script, arguments, kind in SCRIPTS:
        to = server[kind]
        module = "test_" + script.replace("-", "_")
        count = [] if script in WITHOUT_COUNT else ["-n", "100"]
        done = subprocess.run([sys.executable, "-m", f"tlsfuzzer._apps.{module}", "-h", to.host, "-p", str(to.port),
                               "-k", to.key, "-c", to.certificate, *count, *arguments],
                              cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=1800)
        case.write(f"{script}.log", done.stdout + done.stderr)
        found = list(conversations(done.stdout))
        total = re.search(r"^TOTAL: (\d+)$", done.stdout, re.M)
        if not found or not total:
            results.add(script, f"ended with {done.returncode}: {done.stderr.strip()[-200:]}", False)
        for name, error in found:
            results.add(f"{script}: {name}", error or "passed", error is None)
        to.lives()
    return results
