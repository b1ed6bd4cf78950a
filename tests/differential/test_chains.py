"""Row 51: our verdict on chains of certificates beside Go's and OpenSSL's. Where they differ, chains.md says why."""

import collections
import functools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from differential import chains, openssl
from lib import check
from lib.deviations import Table

EXPECTED_SECONDS = 10
HERE = Path(__file__).parent
GO = (1, 23)  # the first that refuses negative serial numbers
SEED = 51  # MOORING_TEST_SEED is another


ACCEPTS = {True: "We accept, another refuses", False: "We refuse, another accepts"}  # the sections of chains.md


def deviations():
    table = Table(HERE / "chains.md")
    for row in table.rows:
        check.one_of(row.section, ACCEPTS.values(), f"the section of {row.line}")
        check.true(row.section != ACCEPTS[True] or not {"*", "*.*"} & set(row.patterns[2]),
                   f"the mutation that the row is about: {row.line}")
    return table


def program():
    """program is `verdicts`, which is built with the unit tests, beside the program under test."""
    path = Path(os.environ.get("MOORING_VERDICTS") or Path(os.environ["MOORING_BIN"]).parent / "tests" / "verdicts")
    if not os.access(path, os.X_OK):
        raise check.Skip(f"no {path}; it is built with the unit tests")
    return path


def go_program(case):
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
    if not go:
        raise check.Skip("no Go here: its verdict on chains is not compared (1.23 or later; in Debian's backports)")
    # With GO111MODULE off, or a module that says go 1.20, the program would be as lax as Go was then.
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GO111MODULE": "on", "GOWORK": "off", "GOFLAGS": "",
                   "GODEBUG": ""}
    version = subprocess.run([go, "env", "GOVERSION"], env=environment, capture_output=True, text=True,
                             check=True).stdout.strip()
    number = re.match(r"go(\d+)\.(\d+)", version)
    if not number or (int(number[1]), int(number[2])) < GO:
        raise check.Skip(f"Go {GO[0]}.{GO[1]} or later is wanted to compare chains with; the machine has {version}")
    made = case.directory / "verdicts"
    done = subprocess.run([go, "build", "-o", made, HERE / "verdicts.go"], env=environment, capture_output=True,
                          text=True, check=False)
    check.equal(done.returncode, 0, f"go build: {done.stderr}")
    return made


def answers(argv, questions):
    text = "".join(json.dumps(question) + "\n" for question in questions)
    done = subprocess.run(argv, input=text, text=True, capture_output=True, timeout=600, check=True)
    lines = done.stdout.splitlines()
    check.equal(len(lines), len(questions), f"answers of {argv[0]} ({done.stderr[-500:]})")
    check.equal([line for line in lines if not line.startswith(("accept", "refuse "))][:3], [],
                f"questions that {argv[0]} could not read")
    return lines


def accepted(answer):
    return answer.startswith("accept")


@functools.cache
def judged(count, seed):
    """judged is what both tests ask about: (mutations, question) pairs, and our answers."""
    pairs = list(chains.generate(count, seed))
    return pairs, answers([program()], [question for _, question in pairs])


def compare(case, peer, ask):
    seed = int(os.environ.get("MOORING_TEST_SEED") or SEED)
    pairs, ours = judged(case.scale(len(chains.EVERY + chains.PAIRS), 10_000), seed)
    theirs = ask([question for _, question in pairs])
    table, unexplained, agreed = deviations(), [], collections.Counter()
    for (mutations, question), we, they in zip(pairs, ours, theirs):
        if accepted(we) == accepted(they):
            agreed[accepted(we)] += 1
            if accepted(they) and they not in ("accept", we):  # OpenSSL names nobody
                unexplained.append(f"{' + '.join(mutations)}: who it is: we {we}; {peer}: {they}")
            continue
        said = they if accepted(we) else we.removeprefix("refuse ")
        if not table.explains(peer, said, mutations, section=ACCEPTS[accepted(we)]):
            case.write(f"unexplained-{len(unexplained)}.json", json.dumps(question))
            unexplained.append(f"{' + '.join(mutations)}: we {we}; {peer}: {they}")
    listed = "\n".join(unexplained[:40])
    check.true(not unexplained, f"{len(unexplained)} of {len(pairs)} verdicts differ from {peer}'s without a reason in "
                                f"chains.md (seed {seed}; unexplained-N.json has the questions):\n{listed}")
    check.true(min(agreed[True], agreed[False]) > len(pairs) // 4, f"both verdicts are common: {agreed}")
    if not case.reduced and seed == SEED:
        check.equal(table.unused(peer), [], "rows of chains.md that explain nothing")
    different = len(pairs) - sum(agreed.values())
    print(f"{peer}: {len(pairs)} chains, seed {seed}: {agreed[True]} accepted and {agreed[False]} refused by both, "
          f"{different} deviations, each explained", file=sys.stderr)


def test_row_51_chains_are_judged_as_go_judges_them_but_for_the_reasons_in_the_table(case):
    go = go_program(case)
    compare(case, "go", lambda questions: answers([go], questions))


def test_row_51_chains_are_judged_as_openssl_judges_them_but_for_the_reasons_in_the_table(case):
    crypto = openssl.OpenSsl()
    compare(case, "openssl", lambda questions: [crypto.answer(question) for question in questions])


test_row_51_chains_are_judged_as_go_judges_them_but_for_the_reasons_in_the_table.limit = 300
test_row_51_chains_are_judged_as_openssl_judges_them_but_for_the_reasons_in_the_table.limit = 300
