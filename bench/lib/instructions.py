"""Instructions of a thread, counted by callgrind."""

import re
import shutil
import subprocess

# What no inbound connection would need if nobody counted by peer and nobody were told of its end; none of them calls another. What the
# compiler has put into their callers is not seen; Retire does a little else.
TELLING = re.compile(r"mooring::data::(Host::EnterFlow|Traffic::NoteHandshake|Reports::Note|ServiceHost::Retire|ServiceHost::NoteLife)\(")
LINE = re.compile(r"^\s*([\d,]+)\s+\([^)]*\)\s+(.*)$")


def without_debug_information(program, folder):
    """without_debug_information is a copy that keeps its symbols: Debian's valgrind cannot read what clang writes beside them."""
    copy = folder / "without-debug"
    subprocess.run(["strip", "--strip-debug", "-o", str(copy), program], check=True)
    return str(copy)


class Callgrind:
    """One program's run under callgrind, whose results are written beside `path` when it ends."""

    def __init__(self, path):
        for program in ("valgrind", "callgrind_annotate"):
            if shutil.which(program) is None:
                raise RuntimeError(f"no {program} here (Debian: valgrind)")
        self._path = path

    def command(self):
        # With a small stack it takes none of it ahead (proxy/cli/start.cc), which valgrind would not see growing.
        return ["prlimit", "--stack=2097152", "valgrind", "--tool=callgrind", "--separate-threads=yes", f"--callgrind-out-file={self._path}"]

    def busiest_thread(self):
        """busiest_thread is how many instructions the thread with most of them has executed, and how many of these in TELLING and
        in what that calls."""
        most = (0, 0)
        for file in self._path.parent.glob(f"{self._path.name}-*"):
            text = subprocess.run(["callgrind_annotate", "--inclusive=yes", "--threshold=100", str(file)], check=True,
                                  capture_output=True, text=True).stdout
            counted = [(int(found[1].replace(",", "")), found[2]) for found in map(LINE.match, text.splitlines()) if found]
            if not counted:
                continue
            total = next((number for number, what in counted if what.startswith("PROGRAM TOTALS")), 0)
            most = max(most, (total, sum(number for number, what in counted if TELLING.search(what))))
        return most
