"""No test, example or benchmark uses a port that Consul or Envoy has by default: an agent of the machine's own may be there."""

import os
import re
import signal
import subprocess
import sys

from lib import check, ports
from lib.case import peer_binary, slowness
from lib.consul import Consul

EXPECTED_SECONDS = 5
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# The agent's HTTP, HTTPS, gRPC, server, serf and DNS ports, the admin ports of Envoy, and what an agent gives to sidecars
# and to the checks that it exposes.
DEFAULTS = {8300, 8301, 8302, 8500, 8501, 8502, 8503, 8600, 9901, 19000, 19001, *range(21000, 21256), *range(21500, 21756)}

# Files in which such a number is text that nobody connects to or binds.
TEXT_ONLY = {
    "bench/micro_authz.cc": "a registration that is decoded",
    "examples/kubernetes/sidecar.yaml": "the agent of a cluster's node",
    "examples/systemd/mooring.socket": "the port that a registration has by default, in a comment or as an example",
    "examples/mooring.yaml": "the reference of the settings: the agent's default address",
    "tests/fuzz/seeds": "flags, files and a saved state that are parsed",
    "tests/fuzz/yaml.cc": "an environment that a file is parsed in",
    "tests/interop/test_dev.py": "what an agent says of its leader",
    "tests/lib/agent.py": "what an agent says of its leader",
    "tests/lib/ports.py": "the comment that says which ports are left out",
    "tests/scenario/test_kubernetes.py": "the flags of examples/kubernetes, for which the test has others",
    "tests/scenario/test_ports.py": "this list",
    "tests/unit/agent_link_test.cc": "what an agent says of its leader",
    "tests/unit/dev_agent_test.cc": "ports that `mooring dev` gives in a registration; an address that it refuses",
    "tests/unit/dev_test.cc": "a certificate's name",
    "tests/unit/flags_test.cc": "flags that are parsed",
    "tests/unit/proxy_config_test.cc": "documents that are decoded",
    "tests/unit/registration_test.cc": "what an agent says of its leader",
    "tests/unit/state_format_test.cc": "an agent's name in a saved state",
    "tests/unit/state_store_test.cc": "an agent's name in a saved state",
    "tests/unit/status_table_test.cc": "a status that is drawn",
    "tests/unit/watch_test.cc": "what an agent says of its leader",
    "tests/unit/yaml_test.cc": "files that are parsed",
}


def programs():
    for room in ("bench", "examples", "tests"):
        for folder, folders, names in os.walk(os.path.join(ROOT, room)):
            folders[:] = [name for name in folders if name not in ("corpus", "data", "__pycache__")]
            for name in sorted(names):
                if not name.endswith((".md", ".png", ".pyc")):
                    yield os.path.relpath(os.path.join(folder, name), ROOT)


def test_no_program_names_a_default_port(case):
    named = {}
    for path in programs():
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            found = {int(number) for number in re.findall(r"(?<![\w.])\d{4,5}(?![\w.])", file.read())} & DEFAULTS
        if found:
            named[path] = sorted(found)
    check.equal({path: found for path, found in named.items() if path not in TEXT_ONLY}, {}, "ports that Consul or Envoy has by default")
    check.equal(sorted(set(TEXT_ONLY) - set(named)), [], "files in TEXT_ONLY that name none any more")


def listened(pid):
    found = set()
    for number in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{number}")
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            found.add(target[8:-1])
    return {port for _, port in ports.listeners(found)}


def test_an_agent_of_the_tests_has_no_default_port_open(case):
    consul = Consul(case)
    opened = listened(consul.process.pid)
    check.true(consul.port in opened, f"it listens on its own: {opened}")
    check.equal(opened & DEFAULTS, set(), "default ports that it listens on")


def test_the_quickstart_with_a_real_agent_has_no_default_port_open(case):
    done = subprocess.run([sys.executable, "-B", f"{ROOT}/examples/quickstart/quickstart.py", "--mooring", os.environ["MOORING_BIN"],
                           "--keep", "--consul", peer_binary("consul")], text=True, capture_output=True, timeout=90 * slowness(),
                          env={**os.environ, "TMPDIR": str(case.directory)}, check=False)
    check.equal(done.returncode, 0, done.stdout + done.stderr)
    pids = [int(word) for word in done.stdout.split("kill ")[1].split(";")[0].split()]
    try:
        opened = set().union(*(listened(pid) for pid in pids))
    finally:
        for pid in reversed(pids):
            os.kill(pid, signal.SIGTERM)
    check.true(len(opened) >= 6, f"agent, app and sidecars listen: {opened}")
    check.equal(opened & DEFAULTS, set(), "default ports that they listen on")


test_the_quickstart_with_a_real_agent_has_no_default_port_open.limit = 60
