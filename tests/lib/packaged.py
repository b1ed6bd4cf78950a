"""A program out of a package, tried once: started as the package says, beside a scripted agent and an app of the
test's."""

import fcntl
import http.client
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

from lib import agent as scripted
from lib import apps, check, tlspeer
from lib.case import Process, slowness
from lib.ports import free_port

ROOT = Path(__file__).resolve().parents[2]


def answer(port, path):
    """Code and text of a GET on loopback."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10 * slowness())
    try:
        connection.request("GET", path)
        told = connection.getresponse()
        return told.status, told.read().decode()
    finally:
        connection.close()


class Peers:
    """What a sidecar of payment needs around it."""

    def __init__(self, case):
        self.case, self.agent, self.app = case, scripted.Agent(case), apps.App(case, apps.echo)
        self.public, self.metrics = free_port(), free_port()

    def flags(self, agent="127.0.0.1"):
        """What names them; agent: the host of the agent, which may be another name of loopback."""
        return ["-http-addr", self.agent.address.replace("127.0.0.1", agent), "-service", "payment",
                "-service-addr", f"127.0.0.1:{self.app.port}", "-listen", f"127.0.0.1:{self.public}",
                "-metrics-addr", f"127.0.0.1:{self.metrics}", "-drain-delay", "0s"]

    def serves(self, words, **options):
        """The command line starts a sidecar that lets a caller in, and ends well by SIGTERM. Gives the codes of its
        metrics port."""
        process = Process(self.case, words, "packaged", **options)

        def ready():
            if not process.running():
                raise RuntimeError(f"{process.describe()}:\n{process.log()[-3000:]}")
            return answer(self.metrics, "/ready")[0] == 200

        check.within(ready, "it is ready", 30 * slowness())
        authority = self.agent.authority
        peer = tlspeer.connect(self.case, ("127.0.0.1", self.public), authority.leaf("web"), authority.pem)
        peer.handshake()
        peer.send(b"ping")
        check.equal(peer.receive(4), b"ping", "the answer")
        peer.close()
        probes = {path: answer(self.metrics, path)[0] for path in ("/live", "/ready", "/metrics")}
        process.send(signal.SIGTERM)
        check.equal(process.wait(30), 0, f"exit code: {process.log()[-2000:]}")
        return probes


def newest_glibc(program):
    """The newest version of the C library that the program asks for, as numbers."""
    names = re.findall(rb"\0GLIBC_([0-9.]+)(?=\0)", Path(program).read_bytes())
    found = {tuple(map(int, name.split(b"."))) for name in names}
    check.true(found, f"{program} asks for versions of the C library")
    return max(found)


def packages(to, anew=False):
    """The Debian packages of the commit, by name, copied into a folder. They are built if they are not there, or
    anew. MOORING_PACKAGES is a folder with packages that are there already."""
    folder = Path(os.environ.get("MOORING_PACKAGES", ROOT / "build-packages"))
    folder.mkdir(exist_ok=True)
    with open(folder / ".lock", "w", encoding="utf-8") as lock:  # files of tests run at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if "MOORING_PACKAGES" not in os.environ:
            version = subprocess.run([ROOT / "examples/packaging/version"], capture_output=True, text=True, check=True)
            if anew or not list(folder.glob(f"mooring_{version.stdout.strip()}_*.deb")):
                lintian = ["--lintian"] if shutil.which("lintian") else []
                done = subprocess.run([ROOT / "examples/packaging/deb", "--output", folder, *lintian], check=False,
                                      stdout=subprocess.DEVNULL)
                check.equal(done.returncode, 0, "examples/packaging/deb")
        found = {path.name.split("_")[0]: Path(shutil.copy(path, to)) for path in folder.glob("*.deb")}
    check.equal(sorted(found), ["mooring", "mooring-dbgsym", "mooring-dev-agent", "mooring-dev-agent-dbgsym"],
                f"packages in {folder}")
    return found
