"""testssl.sh (Debian: testssl.sh): versions, cipher suites, what a server offers first, known holes, quirks."""

import json
import shutil
import subprocess

from lib import check
from suites import lists
from suites.server import Server

# Protocols, kinds of cipher suites, forward secrecy, preferences, the first answer, holes, quirks, RC4.
SECTIONS = ("-p", "-s", "-f", "-P", "-S", "-U", "-g", "-4")
GOOD = ("OK", "INFO")
WRONG = ("LOW", "MEDIUM", "HIGH", "CRITICAL", "WARN", "DEBUG")  # DEBUG: a check that failed itself
# A scan that ended early has not said these, the last one among them.
SAID = ("TLS1_3", "cipher_order", "heartbleed", "CCS", "ticketbleed", "ROBOT", "secure_renego", "fallback_SCSV", "RC4", "GREASE")

# These want a client's certificate, which it cannot show; whether it notices so is a matter of milliseconds.
UNASKED = ("BREACH", "secure_client_renego")


def run(case):
    program = shutil.which("testssl") or shutil.which("testssl.sh")
    if not program:
        raise check.Skip("no testssl here (Debian: testssl.sh)")
    results = lists.Results("testssl")
    for key in ("ec", "rsa2048"):
        server = Server(case, key)
        out = case.directory / f"testssl-{key}.json"
        subprocess.run([program, "--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", *SECTIONS,
                        "--add-ca", server.roots, "--jsonfile", out, f"{server.host}:{server.port}"],
                       check=False, stdout=subprocess.DEVNULL, timeout=1200)  # its exit code counts what it dislikes
        server.lives()
        findings = json.loads(out.read_text())
        check.equal(sorted({*SAID} - {one["id"] for one in findings}), [], "what it has not said anything about")
        check.true(any(one["id"] == "TLS1_3" and one["severity"] == "OK" for one in findings), "it has seen TLS 1.3")
        for one in findings:
            if one["id"] in UNASKED:
                continue
            check.one_of(one["severity"], (*GOOD, *WRONG), f"the severity of {one['id']}")
            results.add(f"{key}: {one['id']}", one["finding"][:150], one["severity"] in GOOD)
    return results
