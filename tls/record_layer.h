// RecordLayer stands between a session's BoringSSL and the wire.
//
// BoringSSL does the handshake and the first records of each direction. With TLS 1.3 the layer then
// takes that direction over: it opens application data straight into the caller's memory, and seals
// it straight out of that. This spares two copies and BoringSSL's buffers, a tenth of a stream's
// cost. A connection of few records would not earn back the cost of deriving the keys, and stays
// with BoringSSL.
//
// BoringSSL goes on judging everything else. A record that is no plain application data is passed
// to it: a ticket, a key update, an alert, an empty record. The layer opens such a record by its
// number on the wire, and seals it again under the number that BoringSSL expects next. What
// BoringSSL wants to send goes the same way back. So its state, limits, alerts and error texts are
// those of any connection. A record that is forged, repeated or out of order never reaches it.
//
// Private to tls/. One thread at a time.
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
  // How many records of a direction BoringSSL handles before the layer takes that direction over.
  static constexpr std::uint64_t kBoringSslFirst = 4;

  // PrepareThread: see tls::PrepareThread.
  static void PrepareThread();

  // Begin is for the end of the handshake. After `most_per_key` sealed records the key is changed
  // (RFC 8446 5.5).
  void Begin(SSL* ssl, std::uint64_t most_per_key);

  // The two halves of BoringSSL's BIO. ToSsl fills `room` with input and answers how much; 0: there
  // is none now. FromSsl takes what BoringSSL sends. It is false only if BoringSSL has failed.
  std::size_t ToSsl(Wire& wire, std::span<std::uint8_t> room);
  bool FromSsl(Wire& wire, std::span<const std::uint8_t> records);

  enum class Step {
    kAskSsl,     // call SSL_read next
    kWantInput,  // all of the input is used up
    kFull,       // there is no room left in `plain`
    kBroken,     // what came is no record of this connection: fault() says why
  };
  // Open opens records into `plain`, behind the `*length` bytes that are in it already, and adds to
  // `*length`.
  Step Open(Wire& wire, std::span<std::uint8_t> plain, std::size_t* length);
  // Call SslHasDelivered when SSL_read has given bytes, SslIsDry when it wants more input. SslIsDry
  // is the moment at which the layer may take the direction over, or change its key. It is false if
  // that fails.
  void SslHasDelivered() { by_ssl_ = false; }
  bool SslIsDry();

  struct Fault {
    std::uint8_t alert;
    const char* text;
  };
  const Fault& fault() const { return fault_; }

  // Ask ReadyToSeal before every write. True: the layer writes, so call Seal, which appends records
  // with `plain` to `out`. False: call SSL_write. Seal is false if BoringSSL has failed.
  bool ReadyToSeal();
  bool Seal(Wire& wire, std::span<const std::uint8_t> plain);

 private:
  bool TakeOver(std::optional<TrafficKey>& key, bool reading, std::uint64_t number);
  std::span<const std::uint8_t> Next(Wire& wire);
  bool Flush();

  SSL* ssl_ = nullptr;
  bool may_take_over_ = false;
  // BoringSSL may hold the answer to a key update, which has to go before our next data (RFC
  // 8446 4.6.3)
  bool answer_due_ = false;
  bool by_ssl_ = true;  // the next record goes through BoringSSL, whatever it is
  std::uint64_t most_per_key_ = 0;
  RecordFramer framer_;
  std::optional<TrafficKey> read_;
  std::optional<TrafficKey> write_;
  WireBytes partial_;  // the beginning of a record whose end has not come
  bool partial_is_whole_ = false;
  WireBytes for_ssl_;
  std::size_t for_ssl_given_ = 0;
  Fault fault_{};
};

}  // namespace mooring::tls
