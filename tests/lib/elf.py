"""What a program's ELF file says of itself: segments, dynamic entries, imports, marks. Of 64 bits, little-endian."""

import struct
from dataclasses import dataclass
from pathlib import Path

PT_LOAD, PT_DYNAMIC, PT_NOTE, PT_GNU_STACK, PT_GNU_RELRO = 1, 2, 4, 0x6474E551, 0x6474E552
X, W = 1, 2  # of a segment's flags
DT_NEEDED, DT_STRTAB, DT_SYMTAB, DT_RELA, DT_RELASZ, DT_INIT, DT_FINI = 1, 5, 6, 7, 8, 12, 13
DT_RPATH, DT_TEXTREL, DT_BIND_NOW, DT_INIT_ARRAY, DT_RUNPATH, DT_FLAGS, DT_FLAGS_1 = 15, 22, 24, 25, 29, 30, 0x6FFFFFFB
DF_TEXTREL, DF_BIND_NOW, DF_1_NOW, DF_1_PIE = 4, 8, 1, 0x08000000
ET_DYN = 3
NT_GNU_BUILD_ID, NT_GNU_PROPERTY_TYPE_0, X86_FEATURE_1_AND, IBT, SHSTK = 3, 5, 0xC0000002, 1, 2
R_X86_64_RELATIVE = 8
ENDBR64 = bytes.fromhex("f30f1efa")


@dataclass
class Segment:
    kind: int
    flags: int
    offset: int
    address: int
    size: int


class Elf:
    def __init__(self, path):
        self.data = data = Path(path).read_bytes()
        if data[:6] != b"\x7fELF\x02\x01":
            raise ValueError(f"{path}: no ELF file of 64 bits, little-endian")
        self.type, self.machine = struct.unpack_from("<HH", data, 16)
        self.entry, headers = struct.unpack_from("<QQ", data, 24)
        size, count = struct.unpack_from("<HH", data, 54)
        self.segments = []
        for place in range(headers, headers + size * count, size):
            kind, flags, offset, address, _, in_file = struct.unpack_from("<IIQQQQ", data, place)
            self.segments.append(Segment(kind, flags, offset, address, in_file))
        self.dynamic = self._dynamic()

    def of(self, kind):
        return [segment for segment in self.segments if segment.kind == kind]

    def at(self, address, size):
        """The bytes that a process has at this address."""
        for segment in self.of(PT_LOAD):
            if segment.address <= address < segment.address + segment.size:
                start = segment.offset + address - segment.address
                return self.data[start:start + size]
        raise ValueError(f"nothing is loaded at {address:#x}")

    def is_code(self, address):
        return any(s.flags & X and s.address <= address < s.address + s.size for s in self.of(PT_LOAD))

    def _dynamic(self):
        """The dynamic section: each tag with its values."""
        found = {}
        for segment in self.of(PT_DYNAMIC):
            for place in range(segment.offset, segment.offset + segment.size, 16):
                tag, value = struct.unpack_from("<QQ", self.data, place)
                if tag == 0:
                    break
                found.setdefault(tag, []).append(value)
        return found

    def has_flag(self, tag, flag):
        return bool(self.dynamic.get(tag, [0])[0] & flag)

    def _string(self, place):
        text = self.at(self.dynamic[DT_STRTAB][0] + place, 4096)
        return text[:text.index(b"\0")].decode()

    def needed(self):
        """The shared libraries that it asks for."""
        return [self._string(place) for place in self.dynamic.get(DT_NEEDED, [])]

    def imports(self):
        """The names that it takes from shared libraries. The table's end is where the strings begin, as linkers lay it out."""
        names, place = set(), self.dynamic[DT_SYMTAB][0] + 24
        while place < self.dynamic[DT_STRTAB][0]:
            name, _, _, section = struct.unpack("<IBBH", self.at(place, 8))
            if section == 0 and name:
                names.add(self._string(name))
            place += 24
        return names

    def notes(self):
        """(owner, type, description) of each note."""
        for segment in self.of(PT_NOTE):
            place, end = segment.offset, segment.offset + segment.size
            while place + 12 <= end:
                name, size, kind = struct.unpack_from("<III", self.data, place)
                begin = place + 12 + (name + 3) // 4 * 4
                yield self.data[place + 12:place + 12 + name].rstrip(b"\0"), kind, self.data[begin:begin + size]
                # A property note is padded to eight bytes, and so is its segment.
                place = begin + (size + 7) // 8 * 8 if kind == NT_GNU_PROPERTY_TYPE_0 else begin + (size + 3) // 4 * 4

    def build_id(self):
        return next((text.hex() for owner, kind, text in self.notes() if (owner, kind) == (b"GNU", NT_GNU_BUILD_ID)), None)

    def cet(self):
        """The marks of control-flow protection: IBT | SHSTK."""
        marks = 0
        for owner, kind, text in self.notes():
            place = 0
            while (owner, kind) == (b"GNU", NT_GNU_PROPERTY_TYPE_0) and place + 8 <= len(text):
                property_, size = struct.unpack_from("<II", text, place)
                if property_ == X86_FEATURE_1_AND:
                    marks |= struct.unpack_from("<I", text, place + 8)[0]
                place += 8 + (size + 7) // 8 * 8
        return marks

    def code_pointers(self):
        """Each address in the code that data or the loader may jump to: entry, start and end, and what is relocated."""
        found = {self.entry, *(value for tag in (DT_INIT, DT_FINI) for value in self.dynamic.get(tag, []))}
        begin, size = self.dynamic.get(DT_RELA, [0])[0], self.dynamic.get(DT_RELASZ, [0])[0]
        for _, info, addend in struct.iter_unpack("<QQq", self.at(begin, size) if size else b""):
            if info & 0xFFFFFFFF == R_X86_64_RELATIVE and self.is_code(addend):
                found.add(addend)
        return found
