"""examples/emojify, played from end to end. Reduced it does without what is missing of Java, OpenCV and a browser."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

from lib import check
from lib.case import Process, peer_binary, slowness
from lib.namespaces import ip

EXPECTED_SECONDS = 75
ROOT = Path(__file__).resolve().parents[2]
STEPS = 9
RECORD = ROOT / "build" / "emojify"  # transcript, results and screenshots of the last run

_left_out = []  # what the run had to do without


def needs():
    if os.geteuid() != 0:
        raise check.Skip("network namespaces need root")
    for peer in ("consul", "envoy", "nginx"):
        peer_binary(peer)
    for program, package in (("ip", "iproute2"), ("nft", "nftables")):
        if shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin") is None:
            raise check.Skip(f"no {program}: apt-get install {package}")
    probe = f"mooring-{os.getpid()}-probe"
    ip("netns", "add", probe)
    ip("netns", "del", probe)


def command(*words):
    program = ROOT / "examples/emojify/emojify.py"
    return ["/usr/bin/python3", "-B", program, "--mooring", os.environ["MOORING_BIN"], *words]


def leaves_nothing(output):
    """leaves_nothing asserts that the namespaces that a run has named are gone, and with them what was in them."""
    name = next(word for word in output.split() if word.startswith("emo-"))
    left = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    check.true(name not in left, f"it has removed its namespaces: {left}")


def test_the_story_is_as_it_should_be_in_every_step(case):
    needs()
    shutil.rmtree(RECORD, ignore_errors=True)
    done = subprocess.run(command("--record", RECORD, *(["--reduced"] if case.reduced else [])), capture_output=True,
                          text=True, check=False, timeout=(220 if case.reduced else 560) * slowness())
    check.true((RECORD / "results.json").exists(), f"it went to its end:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    results = json.loads((RECORD / "results.json").read_text())
    _left_out.extend(results["left_out"])
    broken = [f"step {step['number']}: {one['what']}: {one['seen']}"
              for step in results["steps"] for one in step["checks"] if not one["kept"]]
    check.true(not broken, "\n".join(broken) + f"\nIt said:\n{done.stdout[-6000:]}")
    check.equal((done.returncode, [step["number"] for step in results["steps"]]), (0, list(range(1, STEPS + 1))),
                "exit code and steps")
    leaves_nothing(done.stdout)


test_the_story_is_as_it_should_be_in_every_step.limit = 600


def test_the_story_was_played_with_a_browser_with_java_and_with_opencv(case):
    """It is a skip, so that the report says what was not tried."""
    if _left_out:
        raise check.Skip("; ".join(_left_out))


def test_a_run_that_is_interrupted_leaves_nothing(case):
    needs()
    run = Process(case, command("--reduced"), "emojify")
    run.wait_log("Consul: three servers", 60)
    run.send(signal.SIGINT)
    check.equal(run.wait(30), 130, "exit code")
    leaves_nothing(run.stdout())


test_a_run_that_is_interrupted_leaves_nothing.limit = 120


def test_the_envoys_of_the_cluster_are_told_to_deny_whom_the_intentions_deny(case):
    """Of several intentions the one of the highest precedence decides. Envoy has a list of those who are denied."""
    sys.path.insert(0, str(ROOT / "examples/emojify"))
    from stage.envoy_files import denied
    random = Random(20)
    for _ in range(500):
        intentions = [{"SourceName": random.choice(("api", "web", "*")), "Action": random.choice(("allow", "deny")),
                       "Precedence": precedence}
                      for precedence in random.sample(range(1, 10), random.randrange(5))]
        rules = denied(intentions)
        for caller in ("api", "web", "other"):
            covering = [one for one in intentions if one["SourceName"] in (caller, "*")]
            decides = max(covering, key=lambda one: one["Precedence"], default={"Action": "allow"})
            seen = any(source in (caller, "*") and caller not in exceptions for source, exceptions in rules)
            check.equal(seen, decides["Action"] == "deny", f"{caller} is denied by {intentions}, as {rules}")
