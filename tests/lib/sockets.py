"""TCP connections as the kernel's inet_diag tells them (sock_diag(7)): quick also where thousands are in TIME_WAIT, whose table in /proc
takes so long that a short time is missed."""

import errno
import os
import socket
import struct

from lib import check

_QUERY, _DUMP, _ERROR, _DONE = 20, 0x301, 2, 3  # SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, NLMSG_ERROR, NLMSG_DONE
_STATES = 1 << 1 | 1 << 2 | 1 << 8  # established, being opened, and closed by the other end alone
_HEAD = struct.Struct("=IHHII")  # nlmsghdr
_PORTS, _INODE = struct.Struct(">HH"), struct.Struct("=I")  # in inet_diag_msg, at 4 and at 68


def _messages(kernel):
    while True:
        data = kernel.recv(1 << 18)
        while data:
            length, kind, *_ = _HEAD.unpack_from(data)
            if kind == _DONE:
                return
            if kind == _ERROR:
                code = -struct.unpack_from("=i", data, _HEAD.size)[0]
                raise OSError(code, os.strerror(code))
            yield data[_HEAD.size:length]
            data = data[(length + 3) & ~3:]


def to_port(port):
    """to_port are the inodes of the sockets on this machine whose connection, of IPv4, leads to that port."""
    query = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0, _STATES) + bytes(48)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as kernel:  # NETLINK_SOCK_DIAG
        kernel.send(_HEAD.pack(_HEAD.size + len(query), _QUERY, _DUMP, 1, 0) + query)
        try:
            return {_INODE.unpack_from(message, 68)[0] for message in _messages(kernel) if _PORTS.unpack_from(message, 4)[1] == port}
        except OSError as error:
            if error.errno == errno.ENOENT:
                raise check.Skip("the kernel does not tell of its sockets (inet_diag)") from error
            raise


def of_process(pid):
    """of_process are the inodes of a process's sockets; none, if it has ended."""
    found = set()
    try:
        for number in os.listdir(f"/proc/{pid}/fd"):
            try:
                target = os.readlink(f"/proc/{pid}/fd/{number}")
            except FileNotFoundError:  # closed meanwhile
                continue
            if target.startswith("socket:["):
                found.add(int(target[8:-1]))
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found
