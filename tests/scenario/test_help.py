"""First contact: every command says what it takes, whole and with status 0, however it is asked."""

import os
import re

from lib import check
from lib.mooring import run

EXPECTED_SECONDS = 1
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
COMMANDS = {("connect", "proxy"): "-sidecar-for=<id>", ("proxy",): "-config=<file>", ("validate",): "validate FILE.yaml",
            ("status",): "-admin-addr=<address>", ("connections",): "-match=<words>", ("top",): "-once", ("ready",): "-wait=<duration>", ("dev",): "-default-policy=<policy>"}


def says(*arguments):
    code, output, errors = run(*arguments)
    check.equal((code, errors), (0, ""), f"code and standard error of {arguments}")
    return output


def test_each_command_has_a_text_of_its_own(case):
    for words, part in COMMANDS.items():
        text = says("help", *words)
        check.true(text.startswith("Usage: mooring " + " ".join(words)) and part in text, text)
        for flag in ("-help", "--help", "-h"):
            check.equal(says(*words, flag), text, f"{words} {flag}")


def test_the_list_of_commands_names_all_and_the_reference_is_one_of_them(case):
    text = says("help")
    for words in COMMANDS:
        check.true(re.search(rf"^  {' '.join(words)} ", text, re.M), f"{words} in {text}")
    for flag in ("-help", "--help", "-h"):
        check.equal(says(flag), text, flag)
    with open(f"{ROOT}/examples/mooring.yaml", encoding="utf-8") as file:
        check.equal(says("help", "settings"), file.read(), "mooring help settings > examples/mooring.yaml")


def test_what_is_no_command_and_what_a_command_does_not_take_is_named(case):
    for arguments, part in ((("help", "conect"), "conect"), (("connect", "proxi"), "connect proxi"), (("proxy",), "-config FILE"),
                            (("proxy", "x.yaml"), "non-flag arguments"), (("proxy", "-confg", "x"), "did you mean -config?"),
                            (("validate",), "mooring validate FILE.yaml"), (("validate", "a", "b"), "one file"),
                            (("status", "-jsn"), "did you mean -json?"), (("status", "x"), "non-flag arguments"),
                            (("ready", "-wait", "5"), "it has no unit"), (("ready", "-admin-addr", "x"), "-admin-addr: "),
                            (("dev", "-like"), "flag needs an argument: -like")):
        code, _, errors = run(*arguments)
        expected = 78 if arguments[0] == "proxy" else 1  # what a unit starts
        check.true(code == expected and errors.startswith("==> ") and part in errors, f"{arguments}: {code} {errors}")
