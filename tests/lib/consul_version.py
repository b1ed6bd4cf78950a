"""Which Consul the tests run against, and what they expect of it by its version: the one place for that."""

import functools
import re
import subprocess

from lib import check
from lib.case import peer_binary


@functools.cache
def text():
    """text is the version as the binary tells it: 1.8.7."""
    said = subprocess.run([peer_binary("consul"), "version"], capture_output=True, text=True, timeout=20, check=True).stdout
    return re.match(r"Consul v(\S+)", said).group(1)


def version():
    """version is a pair to compare: (1, 8)."""
    return tuple(int(part) for part in text().split(".")[:2])


def since(*release):
    return version() >= release


def needs(*release):
    """needs skips the test where the agent is older."""
    if not since(*release):
        raise check.Skip(f"needs a Consul {'.'.join(map(str, release))} (tests/run --consul PATH); this is {text()}")


def closed_ports():
    """closed_ports are those that an agent opens by itself, and two agents on one machine would both want."""
    return {"dns": -1, "grpc": -1, **({"grpc_tls": -1} if since(1, 14) else {})}


def refuses_two_upstreams_of_one_name():
    """refuses_two_upstreams_of_one_name: also where only their ports differ. 1.8 does not, 1.21 does."""
    return since(1, 9)
