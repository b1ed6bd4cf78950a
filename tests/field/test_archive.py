"""The release archive (examples/packaging/archive): its program starts on Debian 11, 12 and 13, and is as hardened as
any other build. With --full alone, for it is built first."""

import hashlib
import json
import os
import subprocess
from pathlib import Path

from lib import check, elf, hardening
from lib.chroot import Chroot, archive
from lib.packaged import Peers, newest_glibc

EXPECTED_SECONDS = 600
ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("MOORING_ARCHIVE", ROOT / "build-archive"))
RELEASES = ("bullseye", "bookworm", "trixie")


def setup_module(case):
    global UNPACKED
    if case.reduced:
        raise check.Skip("--full builds the archive and tries it")
    UNPACKED = case.directory / "unpacked"


def test_it_is_built_and_its_checksums_are_right(case):
    """Of the commit that is checked out. MOORING_ARCHIVE is a folder with an archive that is there already."""
    if "MOORING_ARCHIVE" not in os.environ:
        done = subprocess.run([ROOT / "examples/packaging/archive", "--output", FOLDER], check=False,
                              stdout=subprocess.DEVNULL)
        check.equal(done.returncode, 0, "examples/packaging/archive")
    sums = dict(reversed(line.split()) for line in (FOLDER / "SHA256SUMS").read_text().splitlines())
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in FOLDER.glob("*.tar.xz")}
    check.equal(sums, found, "SHA256SUMS")


def unpacked():
    """The archive's own folder, with that of the symbols beside it."""
    if not UNPACKED.exists():
        UNPACKED.mkdir()
        for path in FOLDER.glob("*.tar.xz"):
            subprocess.run(["tar", "-xf", path, "-C", UNPACKED], check=True)
    return next(path for path in UNPACKED.iterdir() if not path.name.endswith("-symbols"))


def test_its_programs_are_hardened_and_ask_for_no_newer_c_library(case):
    for name in ("mooring", "mooring-dev"):
        program = unpacked() / "bin" / name
        check.equal(hardening.faults(program), [], name)
        check.true(newest_glibc(program) <= (2, 31), f"{name} asks for glibc {newest_glibc(program)}")
        symbols = UNPACKED / f"{unpacked().name}-symbols" / f"{name}.debug"
        check.equal(elf.Elf(program).build_id(), elf.Elf(symbols).build_id(), f"the symbols are those of {name}")
        check.true(b"\0.debug_line\0" not in program.read_bytes(), f"{name} has no line tables")


def test_all_that_belongs_to_it_is_in_it(case):
    found = {str(path.relative_to(unpacked())) for path in unpacked().rglob("*") if path.is_file()}
    wanted = {"INSTALL", "LICENSE", "CHANGELOG.md", "third-party.txt", "mooring.cdx.json", "etc/mooring.yaml",
              "man/man1/mooring.1", "man/man5/mooring.yaml.5", "systemd/mooring.service", "systemd/mooring@.service",
              "completions/mooring.bash"}
    check.equal(wanted - found, set(), "files that it lacks")
    components = json.loads((unpacked() / "mooring.cdx.json").read_text())["components"]
    bill = {entry["name"]: entry["version"] for entry in components}
    check.equal(bill["glibc"], "2.31", "the C library that it is linked against")
    text = (unpacked() / "third-party.txt").read_text()
    missing = [name for name in bill if name != "glibc" and f"==== {name} ====" not in text]
    check.equal(missing, [], "libraries without their licence")


def tried(case, release):
    system = Chroot(case, archive(release))
    for name in ("mooring", "mooring-dev"):
        system.bring(unpacked() / "bin" / name, "opt/mooring")
    check.equal(system.does("/opt/mooring/mooring", "version").split()[0], "mooring", f"mooring version on {release}")
    said = system.does("/opt/mooring/mooring", "help", "dev")
    check.true("-default-policy" in said, f"the development agent beside it: {said}")
    # An exception is thrown, caught, and becomes a message: what libgcc needs to unwind is there.
    (system.path / "tmp/bad.yaml").write_text("service: [\n")
    code, said = system.run("/opt/mooring/mooring", "validate", "/tmp/bad.yaml")
    check.true(code == 1 and "bad.yaml:" in said, said)
    # A name is looked up by that release's C library, and by its modules.
    (system.path / "etc/hosts").write_text("127.0.0.1 agent.example\n")
    peers = Peers(case)
    flags = [*peers.flags(agent="agent.example"), "-state-dir", "/var/lib/mooring"]
    probes = peers.serves(system.command("/opt/mooring/mooring", "connect", "proxy", *flags))
    check.equal(probes, {"/live": 200, "/ready": 200, "/metrics": 200}, f"on {release}")


def test_it_serves_on_debian_11(case):
    tried(case, "bullseye")


def test_it_serves_on_debian_12(case):
    tried(case, "bookworm")


def test_it_serves_on_debian_13(case):
    tried(case, "trixie")


test_it_is_built_and_its_checksums_are_right.limit = 3600
for system_tried in (test_it_serves_on_debian_11, test_it_serves_on_debian_12, test_it_serves_on_debian_13,
                     test_its_programs_are_hardened_and_ask_for_no_newer_c_library):
    system_tried.limit = 900  # the first time the system is made
