"""Mount and network namespaces of the test process's own: what a test does to the machine is seen by it and its children
alone, and ends with it. The test's thread enters them; threads and processes that it starts later are in them, too.
"""

import ctypes
import os
import shutil
import subprocess

from lib import check
from lib.case import Process
from lib.ports import free_port

CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000
PRIVATE = 0x40000 | 0x4000  # MS_PRIVATE, MS_REC

_mounts_are_ours = False


def _libc(why):
    if os.geteuid() != 0:
        raise check.Skip(f"{why} needs root")
    return ctypes.CDLL(None, use_errno=True)


def own_mounts(why):
    """own_mounts gives the test process a mount namespace, for the rest of its life; a loud skip where that cannot be."""
    global _mounts_are_ours
    if _mounts_are_ours:
        return
    libc = _libc(why)
    if libc.unshare(CLONE_NEWNS) != 0 or libc.mount(b"none", b"/", None, PRIVATE, None) != 0:
        raise check.Skip(f"{why} needs a mount namespace: {os.strerror(ctypes.get_errno())}")
    _mounts_are_ours = True


def bind_mount(case, path, place):
    """bind_mount puts the file `path` in the place of another, until the end of the case."""
    done = subprocess.run(["mount", "--bind", path, place], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise check.Skip(f"mount --bind over {place}: {done.stderr.strip()}")
    case.undo(lambda: subprocess.run(["umount", "-l", place], check=True) and None)


def own_network(case, why):
    """own_network puts the test into a network with nothing but a loopback device, until the end of the case."""
    libc = _libc(why)
    free_port()  # blocks of ports are shared out in the network that all test processes see
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)

    def back():
        failed = libc.setns(before, CLONE_NEWNET)
        os.close(before)
        return "could not leave the network namespace" if failed else None

    if libc.unshare(CLONE_NEWNET) != 0:
        os.close(before)
        raise check.Skip(f"{why} needs a network namespace: {os.strerror(ctypes.get_errno())}")
    case.undo(back)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def without_ipv4():
    """without_ipv4 takes 127.0.0.1 from the network that own_network made."""
    subprocess.run(["ip", "address", "del", "127.0.0.1/8", "dev", "lo"], check=True)


def without_ipv6():
    """without_ipv6 turns IPv6 off in the network that own_network made; ::1 goes, too."""
    for which in ("all", "default"):
        subprocess.run(["sysctl", "-qw", f"net.ipv6.conf.{which}.disable_ipv6=1"], check=True)


def interface(address):
    """interface adds one with this address (with its prefix length), and none of the other family."""
    v6 = ":" in address
    subprocess.run(["ip", "link", "add", "mn0", "type", "veth", "peer", "name", "mn1"], check=True)
    if not v6:
        subprocess.run(["sysctl", "-qw", "net.ipv6.conf.mn0.disable_ipv6=1", "net.ipv6.conf.mn1.disable_ipv6=1"], check=True)
    for name in ("mn0", "mn1"):
        subprocess.run(["ip", "link", "set", name, "up"], check=True)
    subprocess.run(["ip", "address", "add", address, "dev", "mn0", *(["nodad"] if v6 else [])], check=True)


def ip(*words):
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise check.Skip(f"no network namespaces here: ip {' '.join(words)}: {done.stderr.strip()}")


class Neighbour:
    """A machine next door: a network namespace behind a link of its own. It is 10.213.NUMBER.2, we are 10.213.NUMBER.1; no two
    tests have the same number."""

    def __init__(self, case, number):
        if os.getuid() != 0 or shutil.which("ip") is None:
            raise check.Skip("network namespaces need root and iproute2")
        self.case = case
        self.name = f"mooring-{os.getpid()}-{number}"
        self.near = f"mrg{os.getpid() % 100000}{number}"
        self.here, self.host = f"10.213.{number}.1", f"10.213.{number}.2"
        ip("netns", "add", self.name)
        case.undo(lambda: subprocess.run(["ip", "netns", "del", self.name], check=False) and None)
        ip("link", "add", self.near, "type", "veth", "peer", "name", "far", "netns", self.name)
        case.undo(lambda: subprocess.run(["ip", "link", "del", self.near], check=False, capture_output=True) and None)
        ip("addr", "add", f"{self.here}/30", "dev", self.near)
        ip("link", "set", self.near, "up")
        ip("-n", self.name, "addr", "add", f"{self.host}/30", "dev", "far")
        ip("-n", self.name, "link", "set", "far", "up")

    def run(self, argv, name, **options):
        """run starts a program there."""
        return Process(self.case, ["ip", "netns", "exec", self.name, *argv], name, **options)

    def die(self):
        """die takes the link down: nobody answers any more."""
        ip("link", "set", self.near, "down")
