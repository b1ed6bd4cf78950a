// RecordLayer stands between a session's BoringSSL and the wire.
//
// BoringSSL does the handshake and the first records of each direction. Then, with TLS 1.3, the layer takes that direction over:
// application data is opened from and sealed into the caller's memory at once, which spares two copies and BoringSSL's buffers, a
// tenth of a stream's cost. A connection of few records does not earn back the derived keys and stays with BoringSSL.
//
// BoringSSL remains the judge of all else. A record that is not plain application data (tickets, key updates, alerts, empty ones) is
// opened here, by its number on the wire, and sealed again under the number that BoringSSL expects; what BoringSSL wants to send
// goes the same way back. So its state, its limits, its alerts and its words for what went wrong are those of any connection,
// and a record that is forged, repeated or out of order never reaches it. Private to tls/. One thread at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "tls/boringssl.h"
#include "tls/record_framer.h"
#include "tls/traffic_key.h"
#include "tls/wire.h"

namespace mooring::tls {

class RecordLayer final {
 public:
  // Records of a direction that BoringSSL passes before the layer takes it over.
  static constexpr std::uint64_t kBoringSslFirst = 4;

  // PrepareThread: see tls::PrepareThread.
  static void PrepareThread();

  // Begin is for the end of the handshake. `most_per_key`: records that are sealed under one key before a new one (RFC 8446 5.5).
  void Begin(SSL* ssl, std::uint64_t most_per_key);

  // What BoringSSL's BIO does. ToSsl fills `room`; 0: nothing now. FromSsl fails only by BoringSSL's fault.
  std::size_t ToSsl(Wire& wire, std::span<std::uint8_t> room);
  bool FromSsl(Wire& wire, std::span<const std::uint8_t> records);

  enum class Step {
    kAskSsl,     // SSL_read has the next word
    kWantInput,  // all of the input is used up
    kFull,       // no room in `plain`
    kBroken,     // what came is no record of this connection: fault()
  };
  // Open goes on behind what SSL_read has delivered: adds to `plain`, from `*length` on.
  Step Open(Wire& wire, std::span<std::uint8_t> plain, std::size_t* length);
  // SslHasDelivered and SslIsDry are for what SSL_read says: bytes; that it wants more. SslIsDry is where keys change.
  void SslHasDelivered() { by_ssl_ = false; }
  bool SslIsDry();

  struct Fault {
    std::uint8_t alert;
    const char* text;
  };
  const Fault& fault() const { return fault_; }

  // Seal appends records with `plain` to `out`, if writing is the layer's: ReadyToSeal, to be asked before every write. Otherwise
  // SSL_write is to be called. False: BoringSSL has failed.
  bool ReadyToSeal();
  bool Seal(Wire& wire, std::span<const std::uint8_t> plain);

 private:
  bool TakeOver(std::optional<TrafficKey>& key, bool reading, std::uint64_t number);
  std::span<const std::uint8_t> Next(Wire& wire);
  bool Flush();

  SSL* ssl_ = nullptr;
  bool may_take_over_ = false;
  bool answer_due_ = false;  // BoringSSL may hold the answer to a key update, which goes before our next data (RFC 8446 4.6.3)
  bool by_ssl_ = true;  // the next record goes through BoringSSL, whatever it is
  std::uint64_t most_per_key_ = 0;
  RecordFramer framer_;
  std::optional<TrafficKey> read_;
  std::optional<TrafficKey> write_;
  WireBytes partial_;  // a record that has not come whole, without its end
  bool partial_is_whole_ = false;
  WireBytes for_ssl_;
  std::size_t for_ssl_given_ = 0;
  Fault fault_{};
};

}  // namespace mooring::tls
