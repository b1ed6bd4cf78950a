"""Port numbers for peers that cannot bind port 0 and tell.

Every test process owns one block of ports below the kernel's ephemeral range, so neither an outgoing
connection nor another test run can take a number between its being handed out and its being bound. The
block is claimed by holding its first port bound for the life of the process; a second claimant fails to
bind it and tries the next block. The range begins above the ports that an agent of the machine gives to sidecars and
to checks (21000 to 21755).
"""

import os
import socket

FIRST, LAST, BLOCK = 22000, 32000, 120

_claim = None
_base = 0
_next = 0


def _bind(port):
    holder = socket.socket()
    try:
        holder.bind(("127.0.0.1", port))
    except OSError:
        holder.close()
        return None
    return holder


def _claim_block():
    global _claim, _base, _next
    for base in range(FIRST, LAST, BLOCK):
        _claim = _bind(base)
        if _claim:
            _base, _next = base, 1
            return
    raise RuntimeError(f"every block of ports between {FIRST} and {LAST} is taken by other test runs")


def free_port():
    """free_port returns a port of our block that nothing is bound to. Blocks are walked in a circle, so
    a port comes back only after all others were used."""
    global _next
    if _claim is None:
        _claim_block()
    for _ in range(BLOCK):
        port = _base + _next
        _next = _next % (BLOCK - 1) + 1
        with socket.socket() as probe:
            # As the peers do: a connection of an earlier test in TIME_WAIT does not make a port busy.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("0.0.0.0", port))
                return port
            except OSError:
                continue
    raise RuntimeError(f"no free port in {_base}..{_base + BLOCK - 1}")


def listening(port):
    """listening tells whether some socket listens on the TCP port, without connecting to it: a connection
    would already be an event for a proxy that dials its application on accept."""
    return any(address[1] == port for address in listeners())


def listeners(inodes=None):
    """listeners lists (address, port) of listening TCP sockets; of those socket inodes only, if given."""
    found = []
    for table, width in (("/proc/net/tcp", 8), ("/proc/net/tcp6", 32)):
        try:
            with open(table) as lines:
                rows = [line.split() for line in lines][1:]
        except FileNotFoundError:
            continue
        for row in rows:
            if row[3] != "0A" or (inodes is not None and row[9] not in inodes):
                continue
            raw, port = row[1].split(":")
            words = [bytes.fromhex(raw[i:i + 8])[::-1] for i in range(0, width, 8)]
            family = socket.AF_INET if width == 8 else socket.AF_INET6
            found.append((socket.inet_ntop(family, b"".join(words)), int(port, 16)))
    return found


def accepts(pid, port):
    """accepts tells whether the process has a socket that listens at this TCP port; several processes may share one."""
    inodes = set()
    try:
        for number in os.listdir(f"/proc/{pid}/fd"):
            try:
                target = os.readlink(f"/proc/{pid}/fd/{number}")
            except FileNotFoundError:  # closed meanwhile
                continue
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    except (FileNotFoundError, ProcessLookupError):  # it has ended
        return False
    return any(known == port for _, known in listeners(inodes))
