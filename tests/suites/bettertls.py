"""BetterTLS: building a path among several. MOORING_BETTERTLS is what `bettertls export-tests` wrote, or the clone.

Its other half, name constraints on host names, has no meaning where a URI is all that counts.
"""

import json
import shutil
import subprocess
import time

from lib import check
from suites import ask, lists


def exported(case, path):
    if path.is_file():
        return path
    go = shutil.which("go", path="/usr/local/go/bin:/usr/bin") or shutil.which("go")
    if not go:
        raise check.Skip("no Go here to run `bettertls export-tests` with")
    made = case.directory / "bettertls.json"
    subprocess.run([go, "run", "./cmd/bettertls", "export-tests", "--suite", "pathbuilding", "--out", made],
                   cwd=path / "test-suites", check=True)
    return made


def run(case):
    path = exported(case, ask.folder("MOORING_BETTERTLS", "github.com/Netflix/bettertls"))
    document = json.loads(path.read_text())
    tests = document["suites"]["pathbuilding"]["testCases"]
    questions = [{"path": True, "roots": [document["trustRoot"]], "chain": test["certificates"], "role": "server",
                  "domain": "-", "now": int(time.time())} for test in tests]
    results = lists.Results("bettertls")
    for test, verdict in zip(tests, ask.verdicts(questions)):
        wanted = "accept" if test["expected"] == "ACCEPT" else "refuse"
        results.add(f"pathbuilding {test['id']} ({len(test['certificates'])} certificates)", verdict,
                    verdict.split(" ")[0] == wanted)
    return results
