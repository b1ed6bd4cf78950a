#!/usr/bin/python3
"""Compares two files byte by byte, and says where they first differ: in a Debian package down to the file in it, in a
program down to the section.

  compare.py ONE OTHER       files, or folders with files of the same names

The exit code is 0 if they are the same, 1 if they differ, and 2 if they cannot be compared.
"""

import gzip
import io
import struct
import sys
import tarfile
import zlib
from pathlib import Path

SHF_COMPRESSED, SHT_NOBITS = 0x800, 8
AROUND = 48  # bytes that are shown


def first_difference(one, other):
    """The place of the first byte that is not the same; both must differ."""
    low, high = 0, min(len(one), len(other))
    while low < high:  # slices are compared as a whole, which bytes by themselves are not
        middle = (low + high) // 2
        if one[low:middle + 1] == other[low:middle + 1]:
            low = middle + 1
        else:
            high = middle
    return low


def shown(data, place):
    """What is around the place, as text where it is some."""
    return repr(data[max(0, place - AROUND // 2):place + AROUND])[2:-1]


def bytes_differ(where, one, other):
    place = first_difference(one, other)
    sizes = "" if len(one) == len(other) else f" ({len(one)} and {len(other)} bytes)"
    yield f"{where}: from byte {place} on{sizes}\n    {shown(one, place)}\n    {shown(other, place)}"


def members_of_ar(data):
    """Name, what is said of it, and content, of each file in a Debian package, which is an archive of ar."""
    place = 8
    while place + 60 <= len(data):
        header = data[place:place + 60]
        size = int(header[48:58])
        said = {"time": int(header[16:28]), "owner": (int(header[28:34]), int(header[34:40])),
                "mode": header[40:48].decode().strip()}
        yield header[:16].decode().strip().rstrip("/"), said, data[place + 60:place + 60 + size]
        place += 60 + size + size % 2


def members_of_tar(data):
    """Path, what is said of it, and content."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for entry in archive:
            said = {"type": entry.type, "mode": oct(entry.mode), "time": entry.mtime, "link": entry.linkname,
                    "owner": (entry.uid, entry.gid, entry.uname, entry.gname)}
            yield entry.name, said, archive.extractfile(entry).read() if entry.isfile() else b""


def sections(data):
    """Name and content of each section of an ELF file of 64 bits, unpacked."""
    table, = struct.unpack_from("<Q", data, 40)
    size, count, names = struct.unpack_from("<HHH", data, 58)
    headers = [struct.unpack_from("<IIQQQQIIQQ", data, table + size * i) for i in range(count)]
    texts = data[headers[names][4]:headers[names][4] + headers[names][5]]
    for name, kind, flags, _, place, length, *_ in headers:
        content = b"" if kind == SHT_NOBITS else data[place:place + length]
        if flags & SHF_COMPRESSED:
            content = zlib.decompress(content[24:])
        yield texts[name:texts.index(b"\0", name)].decode() or "(none)", None, content


def parts_differ(where, one, other, separator):
    """one, other: lists of (name, what is said of it, content)."""
    names = [name for name, _, _ in one], [name for name, _, _ in other]
    if names[0] != names[1]:
        alone = sorted(set(names[0]) ^ set(names[1]))
        yield f"{where}: " + (f"only in one of them: {', '.join(alone[:10])}" if alone else "the same in another order")
        return
    for (name, said, content), (_, other_said, other_content) in zip(one, other):
        place = f"{where}{separator}{name}"
        if said != other_said:
            if isinstance(said, dict):
                said = {key: value for key, value in said.items() if value != other_said[key]}
                other_said = {key: other_said[key] for key in said}
            yield f"{place}: {said} and {other_said}"
        if content != other_content:
            yield from differences(place, content, other_content)


def differences(where, one, other):
    """A line for each part of the two that is not the same in both."""
    if one == other:
        return
    found = []
    if one[:8] == other[:8] == b"!<arch>\n":
        found = list(parts_differ(where, list(members_of_ar(one)), list(members_of_ar(other)), " "))
    elif one[:4] == other[:4] == b"\x7fELF":
        found = list(parts_differ(where, list(sections(one)), list(sections(other)), " "))
    elif ".tar" in where.rpartition(" ")[2].rpartition("/")[2]:
        found = list(parts_differ(where, list(members_of_tar(one)), list(members_of_tar(other)), " "))
    elif one[:2] == other[:2] == b"\x1f\x8b":
        found = list(differences(f"{where} unpacked", gzip.decompress(one), gzip.decompress(other)))
    # Where the parts are the same it is in what is around them: headers, packing.
    yield from found or bytes_differ(where, one, other)


def files(path):
    if not path.is_dir():
        return {"": path}
    return {str(file.relative_to(path)): file for file in sorted(path.rglob("*")) if file.is_file()}


def main():
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    one, other = (files(Path(argument)) for argument in sys.argv[1:])
    if not (one and other):
        raise ValueError(f"no file in {sys.argv[1 + bool(one)]}")
    found = [f"only in {sys.argv[1 + (name in other)]}: {name}" for name in sorted(one.keys() ^ other.keys())]
    for name in sorted(one.keys() & other.keys()):
        found += differences(name or Path(sys.argv[1]).name, one[name].read_bytes(), other[name].read_bytes())
    print("\n".join(found) if found else f"{len(one)} files, the same in both")
    sys.exit(bool(found))


try:
    main()
except (OSError, ValueError, struct.error, tarfile.TarError, zlib.error) as error:
    print(f"compare: error: {error}", file=sys.stderr)
    sys.exit(2)
