"""The units of examples/systemd: valid, hardened, and what the README shows."""

import os
import re

from lib import check
from lib.units import FOLDER, analyze

EXPECTED_SECONDS = 2

SERVICES = sorted(FOLDER.glob("*.service"))
OURS = [path for path in SERVICES if path.name.startswith("mooring")]
# of the table in README: what makes restart policies, hand-over and boot work
KEYS = {"Type": "notify", "WatchdogSec": "", "DynamicUser": "yes", "Restart": "always", "RestartPreventExitStatus": "78",
        "FileDescriptorStoreMax": "", "RuntimeDirectoryMode": "0700", "StateDirectoryMode": "0700", "ExecReload": "/usr/bin/mooring reload",
        "LimitNOFILE": "", "MemoryMax": "", "CapabilityBoundingSet": None, "WantedBy": "multi-user.target"}


def values(path, key):
    return re.findall(rf"^{key}=(.*)$", path.read_text(), re.M)


def test_the_readme_shows_the_unit(case):
    unit = (FOLDER / "mooring.service").read_text()
    shown = "".join(f"    {line}\n" if line else "\n" for line in unit.split("\n", 1)[1].splitlines())
    check.true(shown in (FOLDER.parents[1] / "README.md").read_text(), "README.md shows examples/systemd/mooring.service")


def test_row_72_the_units_of_a_sidecar_say_what_a_manager_has_to_know(case):
    for path in OURS:
        for key, value in KEYS.items():
            said = values(path, key)
            check.true(said and (value is None or (said[0] == value if value else said[0])), f"{path.name}: {key}={said}")


def test_row_73_the_order_is_agent_sidecar_app_and_the_opposite_at_the_stop(case):
    after = {path.name: " ".join(values(path, "After")).split() for path in SERVICES}
    check.true("consul.service" in after["mooring.service"] and "consul.service" in after["mooring@.service"], after)
    check.true("mooring.service" in after["payment.service"], after)


def test_every_unit_leaves_little_to_attack(case):
    for path in SERVICES:
        said = analyze("security", "--offline=true", "--no-pager", str(path)).stdout
        level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
        if not level:
            raise check.Skip("this systemd-analyze does not judge files")
        check.true(float(level[1]) <= 2.5, f"{path.name}\n{said}")


def test_every_unit_is_valid(case):
    binaries = {"mooring": os.environ["MOORING_BIN"], "consul": "/bin/true", "payment": "/bin/true"}
    files = []
    for path in sorted([*SERVICES, *FOLDER.glob("*.socket")]):
        text = path.read_text()
        for name, binary in binaries.items():
            text = text.replace(f"/usr/bin/{name} ", f"{binary} ")
        # A template is judged by an instance of it.
        files.append(case.write(path.name.replace("@.", "@payment-1."), text))
    done = analyze("verify", "--man=no", *map(str, files))
    about = [line for line in done.stderr.splitlines() if any(file.name in line for file in files)]
    check.true(done.returncode == 0 and not about, done.stderr)
