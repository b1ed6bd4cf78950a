"""How to build is said where it is looked for: README's packages are those that tests/setup installs, and a `meson setup` that lacks
something names the command that brings it."""

import os
import re
import subprocess
from pathlib import Path

from lib import check

EXPECTED_SECONDS = 20
ROOT = Path(__file__).resolve().parents[2]


def configured(case, *options, **environment):
    """configured runs `meson setup` in a folder of the test's, and returns its code and what it said."""
    done = subprocess.run(["meson", "setup", "-Dunit_tests=false", *options, case.directory / "build", ROOT], text=True,
                          capture_output=True, stdin=subprocess.DEVNULL, env={**os.environ, **environment}, check=False)
    return done.returncode, done.stdout + done.stderr


def refused(case, command, *options, **environment):
    code, said = configured(case, *options, **environment)
    check.true(code != 0, f"meson ends with an error: {said[-1000:]}")
    check.true(command in said, f"{command} is named: {said[-1000:]}")
    return said


def prefix(room):
    """prefix is what the room's script has built into the cache."""
    done = subprocess.run([ROOT / room / "build", "--query"], text=True, capture_output=True, check=False)
    if done.returncode:
        raise check.Skip(f"{room}/build has left nothing in the cache: this tree was built with another")
    return done.stdout.strip()


def test_without_the_libraries_all_of_them_are_named_and_what_installs_them(case):
    said = refused(case, "`tests/setup --program`", "-Dlibraries=debian", PKG_CONFIG_LIBDIR=str(case.directory),
                   CMAKE_FIND_ROOT_PATH=str(case.directory))
    check.true("libuv" in said and "c-ares" in said, f"more than one: {said[-600:]}")


def test_without_libuv_and_others_the_command_that_builds_them_is_named(case):
    refused(case, "run proxy/libraries/build", MOORING_CACHE=str(case.directory / "none"))


def test_without_boringssl_the_command_that_builds_it_is_named(case):
    refused(case, "run tls/boringssl/build", f"-Dlibraries={prefix('proxy/libraries')}", MOORING_CACHE=str(case.directory / "none"))


def test_without_llhttp_the_command_that_fetches_it_is_named(case):
    refused(case, "run proxy/http/llhttp/fetch", f"-Dlibraries={prefix('proxy/libraries')}", f"-Dboringssl={prefix('tls/boringssl')}",
            MOORING_CACHE=str(case.directory / "none"))


def test_without_the_development_agent_nothing_of_it_is_built(case):
    code, said = configured(case, "-Ddev_agent=none", f"-Dlibraries={prefix('proxy/libraries')}", f"-Dboringssl={prefix('tls/boringssl')}")
    check.equal(code, 0, said[-1000:])
    done = subprocess.run(["ninja", "-C", case.directory / "build", "-n", "-v"], text=True, capture_output=True, check=True)
    made = re.findall(r"\S*(?:libdev\.a|mooring-dev|dev_inside\.cc)(?!\S)", done.stdout)
    check.equal(made, [], "what is made of it")
    check.true("dev_beside.cc" in done.stdout, "`mooring dev` names the program that it is")


for configuring in (test_without_the_libraries_all_of_them_are_named_and_what_installs_them,
                    test_without_libuv_and_others_the_command_that_builds_them_is_named,
                    test_without_boringssl_the_command_that_builds_it_is_named,
                    test_without_llhttp_the_command_that_fetches_it_is_named,
                    test_without_the_development_agent_nothing_of_it_is_built):
    configuring.limit = 120  # a compiler is tried many times, on a machine that runs other tests meanwhile


def test_readme_lists_the_packages_that_setup_installs(case):
    setup = (ROOT / "tests/setup").read_text()
    wanted = set(re.search(r"^build_packages=\((.*?)\)", setup, re.M | re.DOTALL).group(1).split()) | {"clang"}
    listed = re.search(r"apt-get install ((?:.*\\\n)*.*)", (ROOT / "README.md").read_text()).group(1)
    check.equal(sorted(set(listed.replace("\\", "").split())), sorted(wanted), "packages in README")
