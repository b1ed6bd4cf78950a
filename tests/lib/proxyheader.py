"""A decoder of the PROXY protocol's version 2, written from its specification, for what apps behind Mooring are sent."""

import ipaddress
import struct

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
FAMILIES = {0x11: (4, ipaddress.IPv4Address), 0x21: (16, ipaddress.IPv6Address)}
SPIFFE_ID, SSL, SSL_VERSION = 0xE0, 0x20, 0x21


class Header:
    """source and destination are (host, port), or None; tlvs maps a type to its value; rest is what follows the header."""

    def __init__(self, data):
        if data[:12] != SIGNATURE:
            raise ValueError(f"no header of version 2: {data[:16]!r}")
        command, family, length = struct.unpack(">BBH", data[12:16])
        if command != 0x21:
            raise ValueError(f"version and command are {command:#x}")
        body, self.rest = data[16:16 + length], data[16 + length:]
        if len(body) != length:
            raise ValueError(f"{len(body)} bytes of {length}")
        self.source = self.destination = None
        if family in FAMILIES:
            size, kind = FAMILIES[family]
            ports = struct.unpack(">HH", body[2 * size:2 * size + 4])
            self.source = str(kind(body[:size])), ports[0]
            self.destination = str(kind(body[size:2 * size])), ports[1]
            body = body[2 * size + 4:]
        self.tlvs = dict(tlvs(body))

    def tls_version(self):
        client, verify = struct.unpack(">BI", self.tlvs[SSL][:5])
        if (client, verify) != (3, 0):
            raise ValueError(f"client is {client}, verify is {verify}")
        return dict(tlvs(self.tlvs[SSL][5:]))[SSL_VERSION].decode()


def tlvs(data):
    while data:
        kind, length = struct.unpack(">BH", data[:3])
        if len(data) < 3 + length:
            raise ValueError(f"TLV {kind:#x} is cut off")
        yield kind, data[3:3 + length]
        data = data[3 + length:]
