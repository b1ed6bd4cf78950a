"""The Debian packages, as a new user meets them: in a small Debian system of its own (examples/packaging/chroot), installed,
upgraded under traffic, purged. With --full alone, for the packages are built first."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

from lib import apps, certs, check, elf, hardening, tlspeer
from lib.case import Process
from lib.chroot import Chroot, archive
from lib.mooring import yaml_text
from lib.packaged import packages
from lib.ports import free_port
from lib.static import identity_files

EXPECTED_SECONDS = 300
ROOT = Path(__file__).resolve().parents[2]
# `systemctl` of a system without systemd as its first process: of what maintainer scripts ask it does what a unit says.
SYSTEMCTL = """#!/bin/sh
echo "$@" >>/var/lib/systemctl.log
case "$1" in
  list-units) [ ! -f /run/mooring/pid ] || echo "mooring.service loaded active running Mooring" ;;
  reload) command=$(sed -n 's/^ExecReload=//p' "/lib/systemd/system/$2") && exec env RUNTIME_DIRECTORY=/run/mooring $command ;;
esac
"""


def setup_module(case):
    if case.reduced:
        raise check.Skip("--full builds packages and tries them")
    if os.geteuid() != 0:
        raise check.Skip("a system to try packages in needs root")


def test_the_packages_are_built_and_lintian_has_no_complaint(case):
    packages(case.directory, anew=True)
    archive("bookworm", ["systemd"])


test_the_packages_are_built_and_lintian_has_no_complaint.limit = 3600


def installed(case, *names):
    """A system with these of the packages; the state before it with what is no package's own."""
    system = Chroot(case, archive("bookworm", ["systemd"]))
    before, debs = (system.files(), accounts(system)), packages(case.directory)
    system.does("dpkg", "-i", *(system.bring(debs[name]) for name in names))
    return system, before


def accounts(system):
    return [(system.path / "etc" / name).read_text() for name in ("passwd", "group", "shadow", "gshadow")]


def test_a_new_user_installs_configures_and_purges_it_and_nothing_is_left(case):
    system, (files, users) = installed(case, "mooring", "mooring-dev-agent")
    check.true(re.search(r"^mooring:x:", (system.path / "etc/passwd").read_text(), re.M), "the unit's user")
    check.true("COMMAND" in system.does("mooring", "help"), "mooring help")
    check.equal(system.does("mooring", "version").split()[0], "mooring", "mooring version")
    check.true("-default-policy" in system.does("mooring", "dev", "-help"), "`mooring dev` starts mooring-dev")
    code, said = system.run("mooring", "validate", "/etc/mooring/mooring.yaml")
    check.true(code == 1 and "sidecar_for" in said, f"the file that comes with it has no service yet: {said}")
    (system.path / "etc/mooring/mooring.yaml").write_text("sidecar_for: payment-1\nadmin: {address: 'unix:/run/mooring/admin.sock'}\n")
    system.does("mooring", "validate", "/etc/mooring/mooring.yaml")
    system.does("dpkg", "-P", "mooring", "mooring-dev-agent")
    check.equal((system.files() - files, files - system.files()), (set(), set()), "files that a purge leaves, and that it takes along")
    check.equal(accounts(system), users, "accounts")


def test_removed_and_not_purged_it_leaves_its_settings(case):
    system, _ = installed(case, "mooring")
    path = system.path / "etc/mooring/mooring.yaml"
    path.write_text("sidecar_for: payment-1\n")
    system.does("dpkg", "-r", "mooring")
    check.equal(path.read_text(), "sidecar_for: payment-1\n", "the settings")
    check.true(not (system.path / "usr/bin/mooring").exists(), "the program is gone")
    system.does("dpkg", "-i", system.bring(packages(case.directory)["mooring"]))
    check.equal(path.read_text(), "sidecar_for: payment-1\n", "the settings, after it was installed again")


def test_without_the_agents_package_it_is_named(case):
    system, _ = installed(case, "mooring")
    code, said = system.run("mooring", "dev")
    check.true(code == 1 and "mooring-dev-agent" in said, said)
    check.true("mooring-dev-agent" in system.does("mooring", "help", "dev"), "mooring help dev")


def test_its_commands_say_what_they_take(case):
    """scenario.test_help with the packages' program, whose development agent is a program beside it."""
    system, _ = installed(case, "mooring", "mooring-dev-agent")
    done = subprocess.run([sys.executable, ROOT / "tests/lib/runner.py", "--mooring", system.path / "usr/bin/mooring", "--reduced", "scenario.test_help"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=120, env={**os.environ, "MOORING_BIN": ""})
    check.true(done.returncode == 0 and "0 failed, 0 skipped" in done.stdout, done.stdout)


def test_the_programs_in_it_are_hardened_stripped_and_their_symbols_fit(case):
    system, _ = installed(case, "mooring", "mooring-dev-agent", "mooring-dbgsym")
    for name in ("mooring", "mooring-dev"):
        program = system.path / "usr/bin" / name
        check.equal(hardening.faults(program), [], name)
        check.true(b".debug_line" not in program.read_bytes(), f"{name} has no line tables")
    mark = elf.Elf(system.path / "usr/bin/mooring").build_id()
    check.true((system.path / f"usr/lib/debug/.build-id/{mark[:2]}/{mark[2:]}.debug").exists(), f"symbols of {mark}")
    bill = json.loads((system.path / "usr/share/doc/mooring/mooring.cdx.json").read_text())
    text = (system.path / "usr/share/doc/mooring/third-party.txt").read_text() if (
        system.path / "usr/share/doc/mooring/third-party.txt").exists() else subprocess.run(
            ["zcat", system.path / "usr/share/doc/mooring/third-party.txt.gz"], capture_output=True, text=True, check=True).stdout
    names = [entry["name"] for entry in bill["components"] if entry["name"] != "glibc"]
    check.equal([name for name in names if f"==== {name} ====" not in text], [], "libraries without their licence")


class Callers(threading.Thread):
    """One connection after the other, each with an exchange, until told to stop."""

    def __init__(self, case, port, identity, roots):
        super().__init__(daemon=True)
        self.case, self.place, self.identity, self.roots = case, ("127.0.0.1", port), identity, roots
        self.served, self.failed, self.ending = 0, [], threading.Event()

    def run(self):
        while not self.ending.is_set():
            try:
                peer = tlspeer.connect(self.case, self.place, self.identity, self.roots)
                peer.handshake()
                peer.send(b"ping")
                check.equal(peer.receive(4), b"ping", "the answer")
                peer.close()
                self.served += 1
            except Exception as error:
                self.failed.append(f"{type(error).__name__}: {error}")

    def stop(self):
        self.ending.set()
        self.join(30)


def next_version(case, deb):
    """The same package as of a later version, with a program that is another file."""
    folder = case.directory / "next"
    subprocess.run(["dpkg-deb", "-R", deb, folder], check=True)
    control = folder / "DEBIAN/control"
    control.write_text(re.sub(r"^(Version: .*)$", r"\1+next", control.read_text(), flags=re.M))
    with open(folder / "usr/bin/mooring", "ab") as file:
        file.write(b"\0")
    made = case.directory / "mooring_next.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "-b", folder, made], check=True, stdout=subprocess.DEVNULL)
    return made


def test_an_upgrade_of_the_package_under_load_cuts_and_refuses_nobody(case):
    system, _ = installed(case, "mooring")
    (system.path / "usr/local/bin/systemctl").write_text(SYSTEMCTL)
    (system.path / "usr/local/bin/systemctl").chmod(0o755)
    (system.path / "run/systemd/system").mkdir(parents=True)
    (system.path / "run/mooring").mkdir(mode=0o700)
    authority, port, app = certs.Authority(), free_port(), apps.App(case, apps.echo)
    files = {name: system.bring(path, "etc/mooring") for name, path in identity_files(case, authority, "payment").items()}
    (system.path / "etc/mooring/mooring.yaml").write_text(yaml_text({
        "service": "payment", "identity": files, "admin": {"address": "unix:/run/mooring/admin.sock"},
        "public_listener": {"address": f"127.0.0.1:{port}", "local_app": f"127.0.0.1:{app.port}"},
        "intentions": {"default": "deny", "rules": [{"source": "web", "action": "allow"}]}}))
    unit = (system.path / "lib/systemd/system/mooring.service").read_text()
    start = re.search(r"^ExecStart=(.*)", unit, re.M)[1].split()
    words = system.command(*start)
    words.insert(words.index("chroot"), "RUNTIME_DIRECTORY=/run/mooring")
    first = Process(case, words, "mooring")
    (system.path / "run/mooring/pid").write_text(str(first.popen.pid))
    system.does("mooring", "ready", "-wait", "30s", "-admin-addr", "unix:/run/mooring/admin.sock")

    web = authority.leaf("web")
    session = tlspeer.connect(case, ("127.0.0.1", port), web, authority.pem)
    session.handshake()
    callers = Callers(case, port, web, authority.pem)
    callers.start()
    case.undo(callers.stop)
    check.within(lambda: callers.served >= 20, "callers are served before the upgrade", 30)
    said = system.does("dpkg", "-i", system.bring(next_version(case, packages(case.directory)["mooring"])))
    before = callers.served
    check.within(lambda: callers.served >= before + 20, "callers are served after the upgrade", 30)
    callers.stop()
    check.equal(callers.failed, [], f"of {callers.served} connections")
    session.send(b"still")
    check.equal(session.receive(5), b"still", "the session from before")
    status = json.loads(system.does("mooring", "status", "-json", "-admin-addr", "unix:/run/mooring/admin.sock"))
    check.equal(status["generation"], 2, f"the generation that serves: {said}")
    second, = [process for process in system.processes() if process != first.popen.pid]
    check.equal(os.readlink(f"/proc/{second}/exe"), f"{system.path}/usr/bin/mooring", "its program is the new one, not one that was removed")
    check.true("reload mooring.service" in (system.path / "var/lib/systemctl.log").read_text(), "postinst asked for a reload")
    session.close()
    check.equal(first.wait(60), 0, "exit code of the old generation")
    os.kill(second, signal.SIGTERM)
    check.within(lambda: not system.processes(), "the new one ends", 60)


test_an_upgrade_of_the_package_under_load_cuts_and_refuses_nobody.limit = 240
for packaged in (test_a_new_user_installs_configures_and_purges_it_and_nothing_is_left, test_removed_and_not_purged_it_leaves_its_settings,
                 test_without_the_agents_package_it_is_named, test_its_commands_say_what_they_take,
                 test_the_programs_in_it_are_hardened_stripped_and_their_symbols_fit):
    packaged.limit = 180
