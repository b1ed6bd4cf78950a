"""x509-limbo: path validation, from its limbo.json. MOORING_LIMBO is that file or the clone that has it.

We have no host names to judge by, so a path is asked for alone: what limbo refuses for a name is in the table.
"""

import datetime
import json

from lib import check
from suites import ask, lists


def question(test):
    when = test["validation_time"]
    now = datetime.datetime.fromisoformat(when) if when else datetime.datetime.now(datetime.timezone.utc)
    return {"path": True, "roots": [ask.base64_of(pem) for pem in test["trusted_certs"]],
            "chain": [ask.base64_of(pem) for pem in [test["peer_certificate"], *test["untrusted_intermediates"]]],
            # Limbo's kind is of the validator: SERVER is who judges a server.
            "role": test["validation_kind"].lower(), "domain": "-", "now": int(now.timestamp())}


def run(case):
    path = ask.folder("MOORING_LIMBO", "limbo.json of github.com/C2SP/x509-limbo")
    path = path / "limbo.json" if path.is_dir() else path
    if not path.exists():
        raise check.Skip(f"MOORING_LIMBO: no {path}")
    # Cases of BetterTLS are a suite of their own.
    tests = [test for test in json.loads(path.read_text())["testcases"] if not test["id"].startswith("bettertls")]
    results = lists.Results("limbo")
    for test, verdict in zip(tests, ask.verdicts([question(test) for test in tests])):
        wanted = "accept" if test["expected_result"] == "SUCCESS" else "refuse"
        results.add(test["id"], verdict, verdict.split(" ")[0] == wanted)
    return results
