"""Small Debian systems, to try a package in as somebody does who has nothing of ours."""

import os
import signal
import subprocess
import tempfile
from pathlib import Path

from lib import check
from lib.namespaces import own_mounts

ROOT = Path(__file__).resolve().parents[2]
DEVICES = ("null", "zero", "full", "random", "urandom")
# What is no file of anybody's: the kernel's, and what dpkg and the loader note of themselves.
NOTES = ("proc", "sys", "dev", "var/lib/dpkg", "var/log/dpkg.log", "var/log/alternatives.log", "var/cache/ldconfig", "etc/ld.so.cache", "tmp")


def archive(release, packages=()):
    """The system of a release as a .tar, by examples/packaging/chroot; a skip where it cannot be had."""
    if os.geteuid() != 0:
        raise check.Skip("a system to try packages in needs root")
    words = [ROOT / "examples/packaging/chroot", release, *([f"--with={','.join(packages)}"] if packages else [])]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise check.Skip(f"no system of {release}: {done.stderr.strip()[-300:]}")
    return done.stdout.strip()


class Chroot:
    """A system in a folder of its own, with /proc and the harmless devices, until the end of the case. user: who commands are
    run as there, root if it is None."""

    def __init__(self, case, *tars, user=None):
        own_mounts("a system to try packages in")
        self.case = case
        # Not in memory, where the case's own folder is: it has some 200 MB.
        self.path = Path(tempfile.mkdtemp(prefix="mooring-chroot-", dir=os.environ.get("TMPDIR", "/var/tmp")))
        self.path.chmod(0o755)
        case.undo(self._remove)
        for tar in tars:
            subprocess.run(["tar", "-xf", tar, "-C", self.path, "--numeric-owner"], check=True)
        self.user = [f"--userspec={user}"] if user else []
        self.mounts = []
        self._mount("-t", "proc", "proc", place="proc")
        self._mount("-t", "tmpfs", "tmpfs", place="dev")
        for name in DEVICES:
            (self.path / "dev" / name).touch()
            self._mount("--bind", f"/dev/{name}", place=f"dev/{name}")

    def _mount(self, *words, place):
        (self.path / place).parent.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["mount", *words, self.path / place], capture_output=True, text=True, check=False)
        if done.returncode:
            raise check.Skip(f"mount of {place}: {done.stderr.strip()}")
        self.mounts.append(self.path / place)

    def processes(self):
        """Who runs in it: process IDs."""
        found = []
        for entry in os.listdir("/proc"):
            try:
                if entry.isdigit() and os.readlink(f"/proc/{entry}/root") == str(self.path):
                    found.append(int(entry))
            except OSError:
                pass  # it has ended
        return found

    def _remove(self):
        left = self.processes()
        for process in left:
            os.kill(process, signal.SIGKILL)
        check.within(lambda: not self.processes(), "nobody runs in it any more", 10)
        for place in reversed(self.mounts):
            subprocess.run(["umount", "-l", place], check=True)
        subprocess.run(["rm", "-rf", "--one-file-system", self.path], check=True)
        return f"processes {left} were left in {self.path}" if left else None

    def command(self, *words):
        """The command line that runs in it, with the environment of nobody in particular."""
        return ["env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "HOME=/root",
                "DEBIAN_FRONTEND=noninteractive", "chroot", *self.user, str(self.path), *map(str, words)]

    def run(self, *words, seconds=120):
        """The code with which it ends there, and all that it says."""
        done = subprocess.run(self.command(*words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=seconds, check=False, cwd="/")
        return done.returncode, done.stdout

    def does(self, *words, seconds=120):
        code, said = self.run(*words, seconds=seconds)
        check.equal(code, 0, f"{' '.join(map(str, words))}: {said[-3000:]}")
        return said

    def bring(self, file, place="tmp"):
        """A file of the test's, and its path in there."""
        target = self.path / place / Path(file).name
        subprocess.run(["install", "-D", "-m", str(oct(os.stat(file).st_mode & 0o777))[2:], file, target], check=True)
        return f"/{target.relative_to(self.path)}"

    def files(self):
        """Each file and folder in it with what it is, but for NOTES."""
        prune = " ".join(f"-path ./{place} -prune -o" for place in NOTES)
        done = subprocess.run(f"find . -xdev {prune} -printf '%p %y %m %u %g %l\\n'", shell=True, cwd=self.path, capture_output=True, text=True,
                              check=True)
        return set(done.stdout.splitlines())
