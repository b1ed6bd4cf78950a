#include "proxy/observe/pcap.h"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <string_view>

namespace mooring::observe {
namespace {

constexpr std::uint32_t kMagic = 0xA1B2C3D4;  // microseconds, in our own byte order
constexpr std::uint32_t kLinkRaw = 101;
constexpr std::size_t kSegment = 16'384;  // payload of one packet
constexpr std::uint8_t kSyn = 0x02, kAck = 0x10, kPush = 0x08;

// Native numbers are those of the file's own headers, Network those of the packets'.
template <typename T>
void AppendNative(std::string* out, T value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <typename T>
void AppendNetwork(std::string* out, T value) {
  const std::uint64_t wide = value;
  for (std::size_t i = sizeof value; i-- > 0;)
    *out += static_cast<char>((wide >> (8U * i)) & 0xFFU);
}

// End is one end of the connection: its address in network order, and where it is in its stream.
struct End {
  std::string address;
  std::uint16_t port = 0;
  std::uint32_t next = 0;
};

End EndOf(const net::SocketAddress& address, std::uint16_t instead) {
  End end;
  if (address.family() == AF_INET6) {
    sockaddr_in6 raw{};
    std::memcpy(&raw, address.raw(), sizeof raw);
    end.address.assign(reinterpret_cast<const char*>(&raw.sin6_addr), sizeof raw.sin6_addr);
    end.port = address.port();
  } else if (address.family() == AF_INET) {
    sockaddr_in raw{};
    std::memcpy(&raw, address.raw(), sizeof raw);
    end.address.assign(reinterpret_cast<const char*>(&raw.sin_addr), sizeof raw.sin_addr);
    end.port = address.port();
  } else {
    end.address = std::string("\x7F\0\0\1", 4);
    end.port = instead;
  }
  return end;
}

std::uint16_t IpChecksum(std::string_view header) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i + 1 < header.size(); i += 2) {
    sum += static_cast<std::uint32_t>(static_cast<unsigned char>(header[i])) << 8U;
    sum += static_cast<unsigned char>(header[i + 1]);
  }
  while (sum > 0xFFFFU) sum = (sum & 0xFFFFU) + (sum >> 16U);
  return static_cast<std::uint16_t>(~sum);
}

std::string IpHeader(const End& from, const End& to, std::size_t length) {
  std::string header;
  if (from.address.size() == 16) {
    AppendNetwork(&header, std::uint32_t{0x6000'0000});  // version 6
    AppendNetwork(&header, static_cast<std::uint16_t>(length));
    header += static_cast<char>(IPPROTO_TCP);
    header += '\x40';  // hop limit
    return header + from.address + to.address;
  }
  AppendNetwork(&header, std::uint16_t{0x4500});  // version 4, five words
  AppendNetwork(&header, static_cast<std::uint16_t>(20 + length));
  AppendNetwork(&header, std::uint32_t{0x0000'4000});  // no fragment of another
  header += '\x40';
  header += static_cast<char>(IPPROTO_TCP);
  AppendNetwork(&header, std::uint16_t{0});
  header += from.address + to.address;
  const std::uint16_t sum = IpChecksum(header);
  header[10] = static_cast<char>(sum >> 8U);
  header[11] = static_cast<char>(sum & 0xFFU);
  return header;
}

class File final {
 public:
  File() {
    AppendNative(&bytes_, kMagic);
    AppendNative(&bytes_, std::uint16_t{2});
    AppendNative(&bytes_, std::uint16_t{4});
    AppendNative(&bytes_, std::uint64_t{0});  // time zone and accuracy, which are always 0
    AppendNative(&bytes_, std::uint32_t{262'144});
    AppendNative(&bytes_, kLinkRaw);
  }

  void Packet(std::chrono::system_clock::time_point at, End* from, const End& to,
              std::uint8_t flags, std::string_view payload) {
    std::string tcp;
    AppendNetwork(&tcp, from->port);
    AppendNetwork(&tcp, to.port);
    AppendNetwork(&tcp, from->next);
    AppendNetwork(&tcp, (flags & kAck) != 0 ? to.next : 0U);
    tcp += '\x50';  // five words
    tcp += static_cast<char>(flags);
    AppendNetwork(&tcp, std::uint16_t{65'535});
    AppendNetwork(&tcp, std::uint32_t{0});  // checksum, urgent pointer
    const std::string ip = IpHeader(*from, to, tcp.size() + payload.size());
    const auto length = static_cast<std::uint32_t>(ip.size() + tcp.size() + payload.size());
    const auto since = std::chrono::duration_cast<std::chrono::microseconds>(at.time_since_epoch());
    AppendNative(&bytes_, static_cast<std::uint32_t>(since.count() / 1'000'000));
    AppendNative(&bytes_, static_cast<std::uint32_t>(since.count() % 1'000'000));
    AppendNative(&bytes_, length);
    AppendNative(&bytes_, length);
    bytes_ += ip;
    bytes_ += tcp;
    bytes_ += payload;
    from->next += static_cast<std::uint32_t>(payload.size() + ((flags & kSyn) != 0 ? 1 : 0));
  }

  std::string Take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

}  // namespace

std::string Pcap(const net::SocketAddress& client, const net::SocketAddress& server,
                 const std::vector<data::Tap::Piece>& pieces) {
  End from = EndOf(client, 1);
  End to = EndOf(server, 2);
  if (from.address.size() != to.address.size()) {
    // Of two kinds: as where there are none.
    from = EndOf(net::SocketAddress(), 1);
    to = EndOf(net::SocketAddress(), 2);
  }
  File file;
  if (pieces.empty()) return file.Take();
  const auto begun = pieces.front().at;
  file.Packet(begun, &from, to, kSyn, {});
  file.Packet(begun, &to, from, kSyn | kAck, {});
  file.Packet(begun, &from, to, kAck, {});
  for (const data::Tap::Piece& piece : pieces) {
    std::string_view left = piece.bytes;
    while (!left.empty()) {
      const std::string_view part = left.substr(0, std::min(left.size(), kSegment));
      if (piece.from_client) {
        file.Packet(piece.at, &from, to, kPush | kAck, part);
      } else {
        file.Packet(piece.at, &to, from, kPush | kAck, part);
      }
      left.remove_prefix(part.size());
    }
  }
  return file.Take();
}

}  // namespace mooring::observe
