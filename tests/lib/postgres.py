"""A PostgreSQL of the machine's package in a folder of its own, and a session of its protocol (version 3, trust)."""

import os
import pwd
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
from pathlib import Path

from lib import check
from lib.case import Process
from lib.ports import free_port

USER, DATABASE = "mooring", "postgres"


def programs():
    """programs is the folder of the newest server that is installed, or None."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")
             if (path.parent / "pgbench").exists()]
    return max(found, key=lambda path: int(path.parent.name), default=None)


class Postgres:
    """A server on 127.0.0.1, at a port of ours, or a hot standby that follows another of them (replica_of). It refuses to
    run as root: then it runs as the user that its package made, or as nobody."""

    def __init__(self, case, replica_of=None, connections=200):
        self.programs = programs()
        if not self.programs:
            raise check.Skip("no PostgreSQL; tests/setup --postgres installs it")
        self.port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="mooring-postgres-"))
        case.undo(lambda: shutil.rmtree(self.directory, ignore_errors=True))
        as_user = self._user()
        data = self.directory / "data"
        if replica_of:
            words = ["pg_basebackup", "-D", data, "-h", "127.0.0.1", "-p", str(replica_of.port), "-U", USER, "--no-sync",
                     "--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast"]
        else:
            words = ["initdb", "-D", data, "-A", "trust", "-U", USER, "--no-sync", "--locale=C", "--encoding=UTF8"]
        made = subprocess.run([self.programs / words[0], *words[1:]], capture_output=True, text=True, cwd=self.directory,
                              check=False, **as_user)
        check.equal(made.returncode, 0, f"{words[0]}: {made.stdout}{made.stderr}")
        self.process = Process(case, [self.programs / "postgres", "-D", data, "-h", "127.0.0.1", "-p", self.port,
                                      "-k", self.directory, "-c", "fsync=off", "-c", f"max_connections={connections}"],
                               "postgres", cwd=self.directory, **as_user)
        case.undo(self._stop)
        self.process.wait_log("database system is ready to accept (read-only )?connections", 20)

    def _user(self):
        if os.geteuid() != 0:
            return {}
        try:
            user = pwd.getpwnam("postgres")
        except KeyError:
            user = pwd.getpwnam("nobody")
        os.chown(self.directory, user.pw_uid, user.pw_gid)
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def _stop(self):
        if self.process.running():
            self.process.send(signal.SIGINT)  # without waiting for its sessions
            self.process.wait(10)

    def pgbench(self, port, *words):
        """pgbench is a command line for that port, the server's own or a sidecar's."""
        return [self.programs / "pgbench", *words, "-h", "127.0.0.1", "-p", str(port), "-U", USER, DATABASE]

    def promote(self):
        """promote makes a standby a primary."""
        check.equal(self.query("select pg_promote()"), [("t",)], "pg_promote")

    def query(self, text):
        """query asks the server itself, past all sidecars."""
        session = Session(("127.0.0.1", self.port))
        try:
            return session.query(text)
        finally:
            session.close()


class ServerError(Exception):
    """What the server said instead of an answer."""


def startup():
    """startup is what a session begins with."""
    words = f"user\0{USER}\0database\0{DATABASE}\0\0".encode()
    return struct.pack(">II", 8 + len(words), 3 << 16) + words


def query(text):
    """query is the message of one statement."""
    words = text.encode() + b"\0"
    return b"Q" + struct.pack(">I", 4 + len(words)) + words


class Session:
    """One session. A lost connection is an OSError; the session is then of no use any more."""

    def __init__(self, address, seconds=5.0):
        self._socket = socket.create_connection(address, timeout=seconds)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = self._socket.makefile("rb")
        try:
            self._socket.sendall(startup())
            self._until_ready()
        except BaseException:
            self.close()
            raise

    def query(self, text):
        """query is one statement: its rows, as tuples of texts."""
        self._socket.sendall(query(text))
        return self._until_ready()

    def _exactly(self, length):
        data = self._read.read(length)
        if len(data) < length:
            raise ConnectionAbortedError("the connection ended")
        return data

    def _until_ready(self):
        rows, error = [], None
        while True:
            kind, length = struct.unpack(">cI", self._exactly(5))
            body = self._exactly(length - 4)
            if kind == b"D":
                rows.append(self._row(body))
            elif kind == b"E":
                error = ServerError(body.replace(b"\0", b" ").decode(errors="replace"))
                if body.startswith(b"SFATAL"):
                    raise error
            elif kind == b"R" and body[:4] != bytes(4):
                raise ServerError(f"authentication {body.hex()}, not trust")
            elif kind == b"Z":
                if error:
                    raise error
                return rows

    @staticmethod
    def _row(body):
        columns, at, row = struct.unpack(">H", body[:2])[0], 2, []
        for _ in range(columns):
            length = struct.unpack(">i", body[at:at + 4])[0]
            at += 4
            row.append(None if length < 0 else body[at:at + length].decode())
            at += max(0, length)
        return tuple(row)

    def close(self):
        self._read.close()
        self._socket.close()
