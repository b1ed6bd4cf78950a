"""Man pages and completions are made of what the program says of itself, and have all of it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from lib import check
from lib.mooring import run

EXPECTED_SECONDS = 3
MAKER = Path(__file__).resolve().parents[2] / "examples/packaging/documents.py"
COMMANDS = ("connect proxy", "proxy", "reload", "status", "ready", "top")


def setup_module(case):
    global FOLDER
    FOLDER = case.directory / "documents"
    subprocess.run([MAKER, "--program", os.environ["MOORING_BIN"], "--output", FOLDER], check=True, timeout=60)
    case.undo(lambda: shutil.rmtree(FOLDER))


def flags(command):
    found = re.findall(r"^  -([a-z][\w-]*)", run("help", *command.split())[1], re.M)
    check.true(found, f"flags of {command}")
    return found


def test_the_manual_has_each_flag_and_each_key(case):
    page = (FOLDER / "man/mooring.1").read_text().replace("\\-", "-")
    missing = [f"{command} -{flag}" for command in COMMANDS for flag in flags(command) if f"\n\\fB-{flag}\\fR" not in page]
    check.equal(missing, [], "flags that mooring(1) lacks")
    settings = run("help", "settings")[1]
    keys = re.findall(r"^\s*#?([a-z_]+):", settings, re.M)
    page = (FOLDER / "man/mooring.yaml.5").read_text()
    check.true(len(keys) > 50, f"keys: {len(keys)}")
    check.equal([key for key in keys if f"{key}:" not in page], [], "keys that mooring.yaml(5) lacks")


def test_the_manual_is_well_formed(case):
    if not shutil.which("groff"):
        raise check.Skip("no groff here")
    for page in sorted((FOLDER / "man").iterdir()):
        done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", page], capture_output=True, text=True, check=False, timeout=60)
        check.equal((done.returncode, done.stderr), (0, ""), page.name)


def bash(*words):
    """What bash offers for the last of these words."""
    script = (f"source '{FOLDER}/bash/mooring'; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _mooring; "
              "printf '%s\\n' \"${COMPREPLY[@]}\"")
    done = subprocess.run(["bash", "-c", script, "bash", *words], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


def test_bash_offers_commands_and_the_flags_of_each(case):
    check.equal(bash("mooring", "co"), {"connect", "connections"}, "commands")
    for command in COMMANDS:
        check.equal(bash("mooring", *command.split(), "-"), {f"-{flag}" for flag in flags(command)} | {"-help"}, command)
    (case.directory / "some.yaml").touch()
    check.equal(bash("mooring", "proxy", "-config", f"{case.directory}/so"), {f"{case.directory}/some.yaml"}, "a file")


def test_fish_offers_the_same(case):
    if not shutil.which("fish"):
        raise check.Skip("no fish here")
    for command in COMMANDS:
        done = subprocess.run(["fish", "--no-config", "-c", f"source '{FOLDER}/fish/mooring.fish'; complete -C 'mooring {command} -'"],
                              capture_output=True, text=True, check=True, timeout=60, env={**os.environ, "HOME": str(case.directory)})
        offered = {line.split("\t")[0] for line in done.stdout.splitlines()}
        check.equal(offered, {f"-{flag}" for flag in flags(command)}, command)


def test_zsh_reads_its_file(case):
    if not shutil.which("zsh"):
        raise check.Skip("no zsh here")
    done = subprocess.run(["zsh", "-n", FOLDER / "zsh/_mooring"], capture_output=True, text=True, check=False, timeout=60)
    check.equal((done.returncode, done.stderr), (0, ""), "zsh -n")
    text = (FOLDER / "zsh/_mooring").read_text()
    check.equal([flag for flag in flags("connect proxy") if f"'*-{flag}[" not in text], [], "flags that it lacks")


def test_the_settings_that_the_package_brings_are_valid_but_for_the_service(case):
    # The file that the package brings names no service: that line is to be filled in, and nothing else.
    shipped = (MAKER.parent / "debian/mooring.yaml").read_text()
    code, _, errors = run("validate", case.write("shipped.yaml", shipped))
    check.true(code != 0 and "1 mistake" in errors and "sidecar_for" in errors, errors)
    path = case.write("filled.yaml", shipped.replace("#sidecar_for", "sidecar_for"))
    check.equal(run("validate", path)[0], 0, run("validate", path)[2])
