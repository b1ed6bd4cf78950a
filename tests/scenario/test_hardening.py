"""The program as a file: what the compiler and the linker were told for it to be hard to turn against its user."""

import os
import re
import shlex
import subprocess
from pathlib import Path

from lib import check, hardening
from lib.case import sanitized

EXPECTED_SECONDS = 5
ROOT = Path(__file__).resolve().parents[2]
# Debian's glibc is built without CET. Of these start files the program runs `_start` alone, and enters it by a direct jump;
# what else is of libc_nonshared.a is called by its name.
UNMARKED = {"Scrt1.o", "crti.o", "crtn.o", "libc_nonshared.a"}


def mooring():
    if sanitized():
        raise check.Skip("a sanitized build is not hardened")
    return Path(os.environ["MOORING_BIN"])


def test_the_program_is_hardened(case):
    check.equal(hardening.faults(mooring()), [], f"what {mooring()} lacks")


def test_each_thing_that_is_looked_for_is_missed_where_it_is_not(case):
    source = case.write("bare.c", "static void f(void) {}\nvoid (*pointer)(void) = f;\n"
                        '__attribute__((section(".both,\\"awx\\",@progbits#"))) int both = 1;\nint main(void) { return both; }\n')
    bare = case.directory / "bare"
    flags = ("-no-pie -fno-pie -fno-stack-protector -fcf-protection=none -Wl,-z,norelro -Wl,-z,lazy -Wl,-z,execstack "
             "-Wl,-rpath,/tmp -Wl,--no-as-needed -lresolv")
    subprocess.run(["cc", str(source), "-o", str(bare), *flags.split()], check=True, timeout=60)
    said = " | ".join(hardening.faults(bare))
    for part in ("no PIE", "no RELRO", "no BIND_NOW", "stack is executable", "both writable and executable", "RPATH", "no stack protector",
                 "no FORTIFY", "not marked for IBT", "not marked for SHSTK", "needs libresolv.so.2"):
        check.true(part in said, f"{part}: {said}")
    # Marked, but with a pointer to code that has no ENDBR64.
    subprocess.run(["cc", str(source), "-o", str(bare), "-fcf-protection=none", "-Wl,-z,ibt", "-Wl,-z,shstk", "-pie", "-fPIE"], check=True, timeout=60)
    said = " | ".join(hardening.faults(bare))
    check.true("lead to no ENDBR64" in said and "not marked" not in said, said)


def test_symbols_that_are_kept_apart_are_found(case):
    subprocess.run([ROOT / "examples/packaging/symbols", mooring(), case.directory], check=True, timeout=120)
    stripped = case.directory / "mooring"
    check.true(b"\0.debug_line\0" not in stripped.read_bytes(), "no line tables in the program")
    check.true(stripped.stat().st_size * 2 < mooring().stat().st_size, "it is less than half as large")
    check.equal(subprocess.run([stripped, "version"], capture_output=True, check=True).stdout.split()[0], b"mooring", "it runs")
    table = subprocess.run(["nm", "-C", mooring()], capture_output=True, text=True, check=True).stdout
    address = re.search(r"^(\w+) \w mooring::cli::Reload\(", table, re.M)[1]
    place = subprocess.run(["addr2line", "-e", stripped, f"0x{address}"], capture_output=True, text=True, check=True).stdout
    check.true("proxy/cli/reload.cc:" in place, f"where mooring::cli::Reload is: {place}")


def test_only_the_c_librarys_start_files_are_not_marked_for_control_flow_protection(case):
    folder = mooring().parent
    if not (folder / "build.ninja").exists():
        raise check.Skip("the program stands in no build folder")
    commands = subprocess.run(["ninja", "-C", str(folder), "-t", "commands", "-s", "mooring"], capture_output=True, text=True, check=True)
    # Where it is marked by name the linker reports nobody.
    link = [word for word in shlex.split(commands.stdout.strip().splitlines()[-1]) if word not in ("-Wl,-z,ibt", "-Wl,-z,shstk")]
    link[link.index("-o") + 1] = str(case.directory / "again")
    done = subprocess.run([*link, "-Wl,-z,cet-report=warning", "-Wl,--strip-debug"], cwd=folder, capture_output=True, text=True, check=False)
    check.equal(done.returncode, 0, done.stderr)
    named = {Path(path).name for path in re.findall(r": ([^\s:]+?)(?:\([^)]*\))?: warning: missing (?:IBT|SHSTK)", done.stderr)}
    check.true(named and named <= UNMARKED, f"only {sorted(UNMARKED)} are not marked, and these are: {sorted(named)}")
