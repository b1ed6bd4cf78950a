"""Clocks that the test sets, for one process under test.

They come from a small library (clock_shift.c) that the process loads first. It works on programs that ask the C library for
the time; Go's do not.
"""

import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

from lib import check

SOURCE = Path(__file__).with_name("clock_shift.c")

_library = None
_folder = None


def library():
    """library is the path of the compiled library, made once a test process; a loud skip without a compiler."""
    global _library, _folder
    if _library is None:
        compiler = next((c for c in ("cc", "gcc", "clang") if shutil.which(c)), None)
        if compiler is None:
            raise check.Skip("no C compiler for tests/lib/clock_shift.c, so the clock cannot be shifted")
        _folder = tempfile.TemporaryDirectory(prefix="mooring-clock-")
        path = Path(_folder.name) / "clock_shift.so"
        done = subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", path, SOURCE],
                              capture_output=True, text=True, timeout=60, check=False)
        check.true(done.returncode == 0, f"{compiler} {SOURCE.name}: {done.stderr}")
        _library = path
    return _library


def forget():
    """forget removes what library() made."""
    global _library, _folder
    if _folder:
        _folder.cleanup()
    _library = _folder = None


class Clock:
    """env is what the process needs in its environment. The clock starts true, or `shift` seconds off."""

    def __init__(self, case, shift=0):
        self.path = case.directory / "clock"
        self.values = [int(shift), 0]
        self.path.write_bytes(struct.pack("2q", *self.values))
        sanitizer = os.environ.get("ASAN_OPTIONS", "")
        self.env = {"LD_PRELOAD": str(library()), "MOORING_TEST_CLOCK": str(self.path),
                    # AddressSanitizer insists on being the first library, which it need not be for ours.
                    "ASAN_OPTIONS": f"{sanitizer}:verify_asan_link_order=0".lstrip(":")}

    def shift(self, seconds):
        """shift sets by how many seconds the process's wall clock is ahead of ours, from this moment on."""
        self._set(0, int(seconds))

    def elapse(self, seconds):
        """elapse makes the process believe that so many seconds have passed at once, by both clocks."""
        self._set(0, self.values[0] + int(seconds))
        self._set(1, self.values[1] + int(seconds))

    def _set(self, field, value):
        self.values[field] = value
        # In place: the process has the file mapped.
        with open(self.path, "r+b") as file:
            file.write(struct.pack("2q", *self.values))
