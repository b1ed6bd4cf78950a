"""Emojify: a shop in a service mesh, and a payment gateway on a VM that will never move, whole, on one machine.

Two network namespaces stand for the cluster and for the VM; nothing but the public mTLS ports and Consul's own crosses
the link between them. Consul and its servers, nginx, Envoy, Java and the browser are real. Every step of the story is
asserted; the exit code is 0 if all of them are as they should be. It leaves nothing running; --keep leaves it up.
"""

import argparse
import os
import shutil
import signal
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "tests")]

from lib import check  # noqa: E402
from lib.case import SANITIZER, Case  # noqa: E402
from report import Report  # noqa: E402
from stage import Stage, parts, play_with  # noqa: E402
from story import STEPS, Story  # noqa: E402


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proxy", choices=("mooring", "consul", "envoy"), default="mooring",
                        help="the sidecar of the VM: Mooring, `consul connect proxy` or Envoy (mooring)")
    parser.add_argument("--keep", action="store_true", help="leave everything up, and say how to play with it")
    parser.add_argument("--record", metavar="DIR", type=Path,
                        help="keep screenshots, the transcript and the results there, and the logs of a run that failed")
    parser.add_argument("--reduced", action="store_true",
                        help="shorter loads, and without what is not installed of Java, OpenCV and a browser")
    parser.add_argument("--drawn", action="store_true",
                        help="no photographs and no OpenCV: one picture that is drawn here, whose faces are known")
    parser.add_argument("--mooring", required=True, help=argparse.SUPPRESS)
    return parser.parse_args()


def have(arguments, report):
    """have are the parts that are there. A whole run wants all of them."""
    found = parts.Parts(parts.cache(), arguments.drawn)
    for part, packages, then in found.left_out:
        report.without(part, f"install {packages}; {then}")
    if found.left_out and not arguments.reduced:
        raise check.Skip("a whole run needs all of it (--reduced does without)")
    return found


def main():
    arguments = options()
    os.environ["MOORING_BIN"] = os.path.abspath(arguments.mooring)
    ended, loading = [], [True]

    def end(number, _):
        ended.append(128 + number)
        if not loading:
            raise SystemExit(ended[0])

    # Ctrl-C and a TERM end the run like a failure does: everything is stopped. OpenCV, while it is loaded, swallows what is
    # raised, or ends the process by it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    if os.geteuid() != 0:
        sys.exit("==> network namespaces need root: sudo examples/emojify/run")
    if arguments.record:
        arguments.record.mkdir(parents=True, exist_ok=True)
    case = Case("emojify")
    report = Report(len(STEPS), arguments.record and arguments.record / "transcript.txt")
    stage, kept, code = None, False, 1
    try:
        found = have(arguments, report)
        loading.clear()
        if ended:
            raise SystemExit(ended[0])
        stage = Stage(case, found, arguments.proxy, report.say, arguments.keep)
        Story(stage, report, arguments.record, arguments.reduced).play()
        if arguments.record:
            report.save(arguments.record / "results.json")
        report.end()
        if arguments.keep:
            kept = True
            play_with.tell(stage)
        code = 1 if report.failed() else 0
    except SystemExit as why:
        print("\n==> ended; cleaning up", file=sys.stderr)
        code = why.code
    except (check.Skip, RuntimeError) as missing:
        print(f"==> {missing}", file=sys.stderr)
    finally:
        if not kept and clean_up(case, stage):
            code = code or 1
        if code and arguments.record:
            logs = arguments.record / "logs"
            shutil.rmtree(logs, ignore_errors=True)
            logs.mkdir()
            case.keep_logs(logs)
        if not kept:
            case.forget()
        report.close()
    return code


def clean_up(case, stage):
    """clean_up ends and removes all of it, and returns what was wrong with that."""
    # A second one would leave namespaces behind.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if stage:
        stage.down()
    problems = [f"{process.name}: sanitizer report:\n{process.stderr()[-4000:]}" for process in case.processes
                if process.name.startswith("mooring") and SANITIZER.search(process.stderr())]
    problems += case.close()
    for problem in problems:
        print(f"==> {problem}", file=sys.stderr)
    return problems


if __name__ == "__main__":
    sys.exit(main())
