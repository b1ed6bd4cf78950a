"""What suites ask: our filters `verdicts` and `decide`, beside the program, and folders that variables name."""

import base64
import json
import os
import subprocess
from pathlib import Path

from lib import check


def folder(variable, what):
    """folder is the path that a variable holds, or a loud skip. Nothing of these suites is in the repository."""
    if not os.environ.get(variable):
        raise check.Skip(f"{variable} is not set: it is to name {what}")
    path = Path(os.environ[variable]).resolve()
    if not path.exists():
        raise check.Skip(f"{variable}: no {path}")
    return path


def base64_of(pem):
    """base64_of is the DER of the one certificate in a PEM text, as base64 without line ends."""
    return base64.b64encode(base64.b64decode("".join(
        line for line in pem.strip().splitlines() if not line.startswith("-----")))).decode()


def _filter(name, questions):
    path = Path(os.environ["MOORING_BIN"]).parent / "tests" / name
    if not os.access(path, os.X_OK):
        raise check.Skip(f"no {path}; it is built with the unit tests")
    text = "".join(json.dumps(question) + "\n" for question in questions)
    done = subprocess.run([path], input=text, text=True, capture_output=True, timeout=600, check=True)
    lines = done.stdout.split("\n")[:-1]
    check.equal(len(lines), len(questions), f"answers of {name}")
    return lines


def verdicts(questions):
    return _filter("verdicts", questions)


def decisions(questions):
    return _filter("decide", questions)
