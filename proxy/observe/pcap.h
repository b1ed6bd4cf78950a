// Pcap: what a tap has collected, as a capture file that Wireshark and tcpdump read.
//
// The packets are made up around the payload, in the order in which it passed, so that the tools
// put the stream together again: IP and TCP headers of the client's connection, a handshake before
// the first byte. Link type RAW (101). Checksums of TCP are left 0. Pure.
// Source: the pcap file format (draft-ietf-opsawg-pcap), RFC 791, RFC 8200, RFC 9293.
#pragma once

#include <string>
#include <vector>

#include "proxy/data/tap.h"
#include "proxy/net/socket.h"

namespace mooring::observe {

// Pcap is the whole file. The two ends are those of the client's connection; where they are no IP
// addresses, 127.0.0.1 stands for both, with ports 1 and 2.
std::string Pcap(const net::SocketAddress& client, const net::SocketAddress& server,
                 const std::vector<data::Tap::Piece>& pieces);

}  // namespace mooring::observe
