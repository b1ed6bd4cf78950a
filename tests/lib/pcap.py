"""A reader of capture files, for streams of one TCP connection."""

import struct


def streams(data):
    """streams is {(source address and port): bytes} and the number of packets, put together by sequence numbers."""
    magic, major, _, _, _, _, link = struct.unpack("=IHHiIII", data[:24])
    if (magic, major, link) != (0xA1B2C3D4, 2, 101):
        raise ValueError(f"no capture file of raw packets: {data[:24]!r}")
    found, at, packets = {}, 24, 0
    first = {}
    while at < len(data):
        _, _, length, original = struct.unpack("=IIII", data[at:at + 16])
        packet = data[at + 16:at + 16 + length]
        at, packets = at + 16 + length, packets + 1
        if length != original or len(packet) != length:
            raise ValueError("a packet is cut")
        if packet[0] >> 4 == 4:
            source, tcp = packet[12:16], packet[20:]
            if struct.unpack(">H", packet[2:4])[0] != length or packet[9] != 6 or checksum(packet[:20]):
                raise ValueError(f"IP header: {packet[:20]!r}")
        else:
            source, tcp = packet[8:24], packet[40:]
        port, _, number, _, offset, flags = struct.unpack(">HHIIBB", tcp[:14])
        payload = tcp[(offset >> 4) * 4:]
        key = (source, port)
        if flags & 0x02:
            first[key], found[key] = number + 1, b""
        elif number - first[key] != len(found[key]):
            raise ValueError(f"a gap at {number}")
        found[key] += payload
    return found, packets


def checksum(header):
    total = sum(struct.unpack(f">{len(header) // 2}H", header))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF
