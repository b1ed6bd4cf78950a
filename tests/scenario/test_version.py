"""The version stands in meson.build alone, and everything that says one says that."""

import json
import os
import re

from lib import agent as scripted
from lib import check
from lib.mooring import Mooring, run

EXPECTED_SECONDS = 1
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def wanted():
    with open(f"{ROOT}/meson.build", encoding="utf-8") as file:
        return re.search(r"^project\(.*?^  version: '([^']+)'", file.read(), re.M | re.DOTALL).group(1)


def test_mooring_version_is_the_projects(case):
    for word in ("version", "-version", "--version"):
        check.equal(run(word), (0, f"mooring {wanted()}\n", ""), word)


def test_status_and_what_the_agent_hears_name_the_same_version(case):
    agent = scripted.Agent(case)
    mooring = Mooring.connect_proxy(case, "-http-addr", agent.address, "-service", "web", "-listen", "127.0.0.1:0",
                                    "-service-addr", "127.0.0.1:1")
    check.equal(json.loads(mooring.admin("/status")[1])["version"], wanted(), "/status")
    check.equal({request.user_agent for request in agent.requests}, {f"mooring/{wanted()}"}, "the User-Agent of its questions")


def test_the_newest_part_of_the_changelog_is_that_versions(case):
    with open(f"{ROOT}/.github/CHANGELOG.md", encoding="utf-8") as file:
        check.equal(re.search(r"^## ([\w.]+)", file.read(), re.M).group(1), wanted(), "the first version in CHANGELOG.md")


def test_no_source_file_names_it(case):
    named = []
    for room in ("authz", "tls", "proxy"):
        for folder, _, names in os.walk(os.path.join(ROOT, room)):
            for name in names:
                if name.endswith((".cc", ".h", ".in")):
                    with open(os.path.join(folder, name), encoding="utf-8") as file:
                        if f'"{wanted()}"' in file.read():
                            named.append(os.path.relpath(os.path.join(folder, name), ROOT))
    check.equal(named, [], "files that name the version")
