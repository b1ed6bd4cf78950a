"""The state file that Mooring keeps, read and written as its format is documented.

A header of three lines, the last one JSON, then the documents' bodies one after the other. decode() takes it
whole or raises Torn; encode() makes one with a right checksum, for files that must be refused, or believed,
for what is in them.
"""

import dataclasses
import hashlib
import json
import os

from lib import check
from lib.case import slowness

MAGIC = b"mooring state 1"


class Torn(Exception):
    """The bytes are not one whole state file. No AssertionError: half a file is not there yet in nobody's eyes, at no time."""


@dataclasses.dataclass
class Document:
    """One answer of the agent: `confirmed_ms` is when it was last known to hold, in Unix milliseconds."""

    name: str
    confirmed_ms: int
    headers: dict
    body: bytes

    @property
    def watch(self):
        return self.name.split(" ")[0]

    def json(self):
        return json.loads(self.body)


@dataclasses.dataclass
class State:
    """What a file holds. `facts` are the header's other fields: id, agent, datacenter."""

    facts: dict
    documents: list

    def document(self, watch):
        """document is the one of that watch (`leaf`, `intentions`, ...), or None."""
        return next((one for one in self.documents if one.watch == watch), None)


def _line(data, at, what):
    end = data.find(b"\n", at)
    if end < 0:
        raise Torn(f"the file ends in {what} ({len(data)} bytes)")
    return data[at:end], end + 1


def decode(data):
    magic, at = _line(data, 0, "its first line")
    if magic != MAGIC:
        raise Torn(f"the first line is {magic[:40]!r}")
    sum_line, at = _line(data, at, "the checksum's line")
    if sum_line != b"sha256 " + hashlib.sha256(data[at:]).hexdigest().encode():
        raise Torn(f"the checksum {sum_line[:90]!r} is not that of the {len(data) - at} bytes below it")
    text, at = _line(data, at, "the JSON line")
    header = json.loads(text)
    documents = []
    for entry in header.pop("documents"):
        body = data[at:at + entry["length"]]
        if len(body) != entry["length"]:
            raise Torn(f"the body of {entry['name']} is {len(body)} bytes and should be {entry['length']}")
        at += len(body)
        documents.append(Document(entry["name"], entry["confirmed_ms"], entry["headers"], body))
    if at != len(data):
        raise Torn(f"{len(data) - at} bytes after the last document")
    return State(header, documents)


def encode(state):
    entries = [{"name": d.name, "confirmed_ms": d.confirmed_ms, "headers": d.headers, "length": len(d.body)}
               for d in state.documents]
    rest = json.dumps({**state.facts, "documents": entries}).encode() + b"\n"
    rest += b"".join(d.body for d in state.documents)
    return MAGIC + b"\nsha256 " + hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest


def read(path):
    """read decodes the file at the path. A save that replaces it meanwhile does no harm: it is opened once."""
    with open(path, "rb") as file:
        return decode(file.read())


def write(path, state):
    """write puts the state where the old file was: a new file by rename, mode 0600."""
    scratch = f"{path}.edited"
    with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(encode(state))
    os.rename(scratch, path)


def edit(path, change):
    """edit passes the file's state to `change` and writes what it made of it, with a right checksum."""
    state = read(path)
    change(state)
    write(path, state)


def of_service(directory, service):
    """of_service is where `mooring connect proxy -service` keeps its state."""
    return directory / f"service.{service}" / "state"


WATCHES = ("roots", "leaf", "intentions", "intention_default")


def wait_whole(path, *watches, seconds=3.0):
    """wait_whole returns the state once the file holds what those watches, and all usual ones, have learnt."""
    def look():
        state = read(path)
        missing = [name for name in WATCHES + watches if state.document(name) is None]
        check.equal(missing, [], "documents that the state file lacks")
        return state

    return check.within(look, f"{path} is complete", seconds * slowness())
