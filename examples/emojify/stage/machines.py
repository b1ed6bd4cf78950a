"""Two machines on one: network namespaces, and a link between them that lets across what is listed and no more."""

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import threading

from lib import check
from lib.case import Process

NEW_NETWORK = 0x40000000  # CLONE_NEWNET

FILTER = """
table inet emojify {{
  counter refused {{ }}
  chain input {{
    type filter hook input priority 0; policy drop;
    iif "lo" accept
    ct state established,related accept
    tcp dport {{ {tcp} }} accept
    udp dport {{ {udp} }} accept
    counter name refused drop
  }}
}}
"""


def command(*words, stdin=None):
    if shutil.which(words[0]) is None:
        raise check.Skip(f"no {words[0]} on this machine; examples/emojify/run installs what is missing")
    done = subprocess.run(words, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


class Machine:
    """A network namespace. `with machine:` is in it, with the sockets that the thread makes and what it starts."""

    def __init__(self, case, name, keep=False):
        """keep: what is started here is to outlive this program's terminal."""
        self.case, self.name, self._options = case, name, {"start_new_session": True} if keep else {}
        command("ip", "netns", "add", name)
        case.undo(self._remove)
        command("ip", "-n", name, "link", "set", "lo", "up")
        self._descriptor = os.open(f"/run/netns/{name}", os.O_RDONLY)
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._before = threading.local()

    @property
    def launch(self):
        """launch are the words before a command line that has it run there."""
        return ["ip", "netns", "exec", self.name]

    def start(self, argv, name, **options):
        with self:
            return Process(self.case, argv, name, **self._options, **options)

    def run(self, *words):
        """run runs a command there to its end, and returns what it printed."""
        with self:
            return command(*map(str, words))

    def listeners(self):
        """listeners are (address, port) of TCP sockets that listen there. Java's are IPv6's, with IPv4 in them."""
        rows = [line.split()[3].rpartition(":") for line in self.run("ss", "-Hltn").splitlines()]
        return [(host.strip("[]").removeprefix("::ffff:"), int(port)) for host, _, port in rows]

    def pids(self):
        return [int(word) for word in command("ip", "netns", "pids", self.name).split()]

    def signal_all(self, number):
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    # What crosses the link.

    def admit(self, tcp, udp):
        """admit lets the link bring in these ports and nothing else."""
        self.run_filter(FILTER.format(tcp=", ".join(map(str, tcp)), udp=", ".join(map(str, udp))))

    def run_filter(self, text):
        with self:
            command("nft", "-f", "-", stdin=text)

    def refused(self):
        """refused is how many packets the filter has dropped."""
        said = json.loads(self.run("nft", "-j", "list", "counter", "inet", "emojify", "refused"))
        return said["nftables"][-1]["counter"]["packets"]

    # Being there.

    def __enter__(self):
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self._before.stack = getattr(self._before, "stack", []) + [before]
        self._enter(self._descriptor)
        return self

    def __exit__(self, *_):
        before = self._before.stack.pop()
        self._enter(before)
        os.close(before)

    def _enter(self, descriptor):
        if self._libc.setns(descriptor, NEW_NETWORK) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter a network namespace: {os.strerror(ctypes.get_errno())}")

    def _remove(self):
        """A process that was left behind is one of this run: nobody else is in here."""
        self.signal_all(signal.SIGKILL)
        check.within(lambda: not self.pids(), f"no process is left in {self.name}", 10)
        os.close(self._descriptor)
        command("ip", "netns", "del", self.name)


def sweep(stem):
    """sweep removes what runs that were killed have left: namespaces of our name in which nobody is any more."""
    for name in [line.split()[0] for line in command("ip", "netns", "list").splitlines() if line.startswith(stem)]:
        number = name.removeprefix(stem).partition("-")[0]
        dead = number.isdecimal() and not os.path.exists(f"/proc/{number}")
        if dead and not command("ip", "netns", "pids", name).strip():
            command("ip", "netns", "del", name)


def join(one, other, addresses):
    """join puts a link between two machines. addresses: two lists, the first of each is the machine's main one."""
    names = ("to-vm", "to-cluster")
    command("ip", "-n", one.name, "link", "add", names[0], "type", "veth", "peer", "name", names[1], "netns",
            other.name)
    for machine, interface, mine in zip((one, other), names, addresses):
        for address in mine:
            command("ip", "-n", machine.name, "address", "add", f"{address}/24", "dev", interface)
        command("ip", "-n", machine.name, "link", "set", interface, "up")
