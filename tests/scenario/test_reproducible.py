"""The same source makes the same program wherever it is built: what a build leaves of its own place in the program, and
the comparison that examples/packaging/reproducible ends with. The two builds themselves are in
field/test_reproducible.py."""

import io
import os
import re
import subprocess
import tarfile
from pathlib import Path

from lib import check
from lib.case import sanitized

EXPECTED_SECONDS = 2
ROOT = Path(__file__).resolve().parents[2]


def test_no_folder_of_the_building_machine_is_in_the_program(case):
    if sanitized():
        raise check.Skip("a sanitized build is for this machine alone")
    program = Path(os.environ["MOORING_BIN"])
    caches = [os.environ.get(name) for name in ("MOORING_CACHE", "XDG_CACHE_HOME", "HOME")]
    folders = {str(ROOT), *(folder for folder in caches if folder and len(folder) > 1)}
    text = program.read_bytes()
    named = [folder for folder in sorted(folders) if re.search(re.escape(os.fsencode(folder)) + rb"(?:/|\0)", text)]
    check.equal(named, [], f"folders that {program} names, line tables included")


def compared(one, other):
    done = subprocess.run([ROOT / "examples/packaging/compare.py", one, other], capture_output=True, text=True,
                          check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


def test_a_difference_is_named_by_the_programs_section(case):
    for name, text in (("one", "built on Monday"), ("other", "built on Friday")):
        source = case.write(f"{name}.c", f'const char* when(void) {{ return "{text}"; }}\n')
        subprocess.run(["cc", "-c", source, "-o", case.directory / f"{name}.o"], check=True, timeout=60)
    code, said = compared(case.directory / "one.o", case.directory / "other.o")
    check.true(code == 1 and ".rodata: from byte" in said and ".text" not in said, said)
    check.true("Monday" in said and "Friday" in said, said)
    check.equal(compared(case.directory / "one.o", case.directory / "one.o")[0], 0, "the same file")
    check.equal(compared(case.directory / "one.o", case.directory / "none.o")[0], 2, "a file that is not there")


def deb(path, mode, time):
    """An archive as dpkg makes it, with one file."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w:xz") as archive:
        entry = tarfile.TarInfo("./usr/bin/mooring")
        entry.mode, entry.mtime, entry.size = mode, time, 4
        archive.addfile(entry, io.BytesIO(b"same"))
    content = tar.getvalue()
    header = f"{'data.tar.xz':16}{'0':12}{'0':6}{'0':6}{'100644':8}{len(content):<10}`\n".encode()
    path.write_bytes(b"!<arch>\n" + header + content + b"\n" * (len(content) % 2))


def test_a_difference_is_named_by_the_packages_file(case):
    (case.directory / "1").mkdir()
    (case.directory / "2").mkdir()
    deb(case.directory / "1/a.deb", 0o755, 0)
    deb(case.directory / "2/a.deb", 0o700, 7)
    code, said = compared(case.directory / "1", case.directory / "2")
    place = "a.deb data.tar.xz ./usr/bin/mooring: {'mode': '0o755', 'time': 0} and {'mode': '0o700', 'time': 7}"
    check.true(code == 1 and place in said, said)
    (case.directory / "2/b.deb").touch()
    check.true("b.deb" in compared(case.directory / "1", case.directory / "2")[1], "a file that one side alone has")
