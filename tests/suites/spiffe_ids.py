"""go-spiffe's vectors of SPIFFE IDs, read out of its tests. MOORING_GO_SPIFFE is its clone.

An ID that is none of a service's is a good one to SPIFFE: that it is refused by its path's shape alone counts as taken.
"""

import json
import re

from lib import check
from suites import ask, lists

GOOD = ("its path is not [", "it names a trust domain", "it is a Consul agent", "it is a gateway")
LITERAL = r'"((?:[^"\\]|\\.)*)"'


def vectors(folder):
    """vectors are (where, ID, good) of the literals in id_test.go, and of its loops over all characters."""
    path = folder / "v2/spiffeid/id_test.go" if (folder / "v2").is_dir() else folder / "spiffeid/id_test.go"
    if not path.exists():
        raise check.Skip(f"MOORING_GO_SPIFFE: no {path}")
    text = path.read_text()
    body = re.search(r"func TestFromString\(.*?^}", text, re.DOTALL | re.M)[0]
    literals = re.findall(rf"assert(OK|Fail)\(t, {LITERAL},", body)
    check.true(len(literals) >= 25, f"its literals are as they were: {len(literals)}")
    for how, literal in literals:
        yield f"FromString {how}", json.loads(f'"{literal}"'), how == "OK"
    letters = "abcdefghijklmnopqrstuvwxyz"
    domain = set(letters + "0123456789.-_")
    check.true(body.count("for i := 0; i < 256; i++") == 1 and 'mergeSets(lowerAlpha, numbers, special)' in text,
               "its loop over 256 characters is as it was")
    for number in range(256):
        if chr(number) != "/":
            one = chr(number)
            yield f"trust domain char {number:X}", f"spiffe://trustdomain{one}/path", one in domain
            yield f"path char {number:X}", f"spiffe://trustdomain/path{one}", one in domain | set(letters.upper())


def run(case):
    folder = ask.folder("MOORING_GO_SPIFFE", "github.com/spiffe/go-spiffe")
    tests = list(vectors(folder))
    questions = [{"name": "db", "match": '{"db": []}', "source_uri": uri, "default": "allow"} for _, uri, _ in tests]
    results = lists.Results("spiffe_ids")
    for (where, uri, good), answer in zip(tests, ask.decisions(questions)):
        taken = answer.startswith("allow ") or not uri.endswith("/") and any(text in answer for text in GOOD)
        results.add(f"{where}: {uri!r}", answer, taken if good else answer.startswith("error SPIFFE ID") and not taken)
    return results
