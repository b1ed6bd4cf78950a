#include "tls/record_layer.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace mooring::tls {
namespace {

using Number = TrafficKey::Number;
using Input = std::span<const std::uint8_t>;

// Content types, and a handshake message's (RFC 8446 B.1, B.3).
constexpr std::uint8_t kHandshake = 22;
constexpr std::uint8_t kApplicationData = TrafficKey::kApplicationData;
constexpr std::uint8_t kKeyUpdate = 24;
constexpr std::size_t kKeyUpdateSize = 5;
constexpr std::size_t kMostRecord = TrafficKey::kHeader + TrafficKey::kMostBody;
constexpr std::size_t kAround = TrafficKey::kHeader + TrafficKey::kTag;

// One spare buffer a thread: a bulk stream ends most reads in the middle of a record, and needs no
// allocation for that. What is left in it is ciphertext.
WireBytes& Spare() {
  thread_local WireBytes spare;
  return spare;
}

// RecordSize is the size of the record that `bytes` begins with; 0 if too little of it is there to
// tell.
std::size_t RecordSize(Input bytes) {
  if (bytes.size() < TrafficKey::kHeader) return 0;
  return TrafficKey::kHeader + (static_cast<std::size_t>(bytes[3]) << 8U | bytes[4]);
}

// Why a protected record cannot begin so; null: it can.
const RecordLayer::Fault* HeaderFault(Input record) {
  static constexpr RecordLayer::Fault kType{SSL_AD_UNEXPECTED_MESSAGE, "INVALID_OUTER_RECORD_TYPE"};
  static constexpr RecordLayer::Fault kVersion{SSL_AD_PROTOCOL_VERSION, "WRONG_VERSION_NUMBER"};
  static constexpr RecordLayer::Fault kTooLong{SSL_AD_RECORD_OVERFLOW, "ENCRYPTED_LENGTH_TOO_LONG"};
  if (record[0] != kApplicationData) return &kType;
  if (record[1] != 3 || record[2] != 3) return &kVersion;
  return RecordSize(record) > kMostRecord ? &kTooLong : nullptr;
}

// TakeSize is how much of `bytes` to take as a record: all of it, or its header if that is a bad
// one; 0: it is not there yet.
std::size_t TakeSize(Input bytes) {
  const std::size_t size = RecordSize(bytes);
  if (size == 0) return 0;
  if (HeaderFault(bytes) != nullptr) return TrafficKey::kHeader;
  return size <= bytes.size() ? size : 0;
}

}  // namespace

void RecordLayer::PrepareThread() { (void)Spare(); }

void RecordLayer::Begin(SSL* ssl, std::uint64_t most_per_key) {
  ssl_ = ssl;
  most_per_key_ = most_per_key;
  may_take_over_ = SSL_version(ssl) == TLS1_3_VERSION;
}

std::size_t RecordLayer::ToSsl(Wire& wire, std::span<std::uint8_t> room) {
  if (read_) {
    const std::size_t count = std::min(room.size(), for_ssl_.size() - for_ssl_given_);
    std::copy_n(for_ssl_.begin() + static_cast<std::ptrdiff_t>(for_ssl_given_), count,
                room.begin());
    for_ssl_given_ += count;
    return count;
  }
  Input input = wire.in.first(std::min(room.size(), wire.in.size()));
  // Up to the end of a record, so that BoringSSL is left with nothing.
  if (may_take_over_ && SSL_get_read_sequence(ssl_) >= kBoringSslFirst) {
    input = input.first(std::min(input.size(), framer_.Left()));
  }
  if (input.empty()) return 0;
  std::memcpy(room.data(), input.data(), input.size());
  framer_.Pass(input);
  wire.in = wire.in.subspan(input.size());
  return input.size();
}

bool RecordLayer::FromSsl(Wire& wire, Input records) {
  if (!write_) {
    Append(wire.out, records);
    return true;
  }
  while (!records.empty()) {
    const std::size_t size = RecordSize(records);
    if (size <= kAround || size > records.size()) return false;
    WireBytes inner;
    inner.resize(size - kAround);
    if (!write_->Open(Number::kSsl, records.first(size), inner.data())) return false;
    const std::size_t before = wire.out.size();
    wire.out.resize(before + size);
    if (!write_->Seal(Number::kWire, inner, {}, std::span(wire.out).subspan(before))) {
      wire.out.resize(before);
      return false;
    }
    if (inner.back() == kHandshake) {
      // All that BoringSSL has to say of this kind is one key update; tickets went before the layer
      // took over. The next key comes behind it, which BoringSSL has had since it wrote this (RFC
      // 8446 4.6.3).
      if (inner.size() != kKeyUpdateSize + 1 || inner.front() != kKeyUpdate ||
          !TakeOver(write_, false, 0))
        return false;
    }
    records = records.subspan(size);
  }
  return true;
}

bool RecordLayer::TakeOver(std::optional<TrafficKey>& key, bool reading, std::uint64_t number) {
  bssl::Span<const std::uint8_t> reads;
  bssl::Span<const std::uint8_t> writes;
  if (!bssl::SSL_get_traffic_secrets(ssl_, &reads, &writes)) return false;
  const auto secret = reading ? reads : writes;
  key = TrafficKey::Make(SSL_get_current_cipher(ssl_), {secret.data(), secret.size()}, number);
  if (!key) ClearErrors();
  if (reading) by_ssl_ = true;  // BoringSSL may be in the middle of a message of several records
  return key.has_value();
}

// Next takes the next whole record off the input and answers it, valid until the next call; empty:
// there is none yet, and all of the input is kept.
Input RecordLayer::Next(Wire& wire) {
  if (partial_is_whole_) {
    partial_is_whole_ = false;
    partial_.clear();
    if (Spare().capacity() == 0) partial_.swap(Spare());
    WireBytes().swap(partial_);  // an idle connection holds no buffer
  }
  if (partial_.empty()) {
    if (const std::size_t size = TakeSize(wire.in); size > 0) {
      const Input record = wire.in.first(size);
      wire.in = wire.in.subspan(size);
      return record;
    }
    if (wire.in.empty()) return {};
    partial_.swap(Spare());
    partial_.reserve(kMostRecord);
  }
  for (;;) {
    if (TakeSize(partial_) > 0) {
      partial_is_whole_ = true;
      return partial_;
    }
    const std::size_t goal = std::max(RecordSize(partial_), TrafficKey::kHeader);
    const Input more = wire.in.first(std::min(wire.in.size(), goal - partial_.size()));
    if (more.empty()) return {};
    Append(partial_, more);
    wire.in = wire.in.subspan(more.size());
  }
}

RecordLayer::Step RecordLayer::Open(Wire& wire, std::span<std::uint8_t> plain,
                                    std::size_t* length) {
  for (;;) {
    if (*length == plain.size()) return Step::kFull;
    if (!read_) return wire.in.empty() ? Step::kWantInput : Step::kAskSsl;
    const Input record = Next(wire);
    if (record.empty()) return Step::kWantInput;
    if (const Fault* bad = HeaderFault(record)) {
      fault_ = *bad;
      return Step::kBroken;
    }
    const std::size_t inner_size = std::max(record.size(), kAround) - kAround;
    const std::span<std::uint8_t> room = plain.subspan(*length);
    const bool fits = room.size() >= inner_size;
    WireBytes elsewhere;
    if (!fits) elsewhere.resize(inner_size);
    const std::span<std::uint8_t> inner =
        fits ? room.first(inner_size) : std::span<std::uint8_t>(elsewhere);
    if (record.size() < kAround || !read_->Open(Number::kWire, record, inner.data())) {
      fault_ = {SSL_AD_BAD_RECORD_MAC, "DECRYPTION_FAILED_OR_BAD_RECORD_MAC"};
      return Step::kBroken;
    }
    std::size_t content = inner.size();
    while (content > 0 && inner[content - 1] == 0) --content;  // padding
    const bool is_data = content > 1 && inner_size <= TrafficKey::kMostPlain + 1 &&
                         inner[content - 1] == kApplicationData;
    if (is_data && fits && !by_ssl_) {
      *length += content - 1;
      continue;
    }
    by_ssl_ = true;
    for_ssl_given_ = 0;
    for_ssl_.resize(record.size());
    const bool sealed = read_->Seal(Number::kSsl, inner, {}, for_ssl_);
    OPENSSL_cleanse(inner.data(), inner.size());  // perhaps a ticket, in the caller's memory
    if (sealed) return Step::kAskSsl;
    fault_ = {SSL_AD_INTERNAL_ERROR, "INTERNAL_ERROR"};
    return Step::kBroken;
  }
}

bool RecordLayer::SslIsDry() {
  if (read_) {
    WireBytes().swap(for_ssl_);
    for_ssl_given_ = 0;
    // BoringSSL counts from 0 again after a key update (RFC 8446 5.3), and it has seen one record
    // at least before that.
    if (SSL_get_read_sequence(ssl_) == read_->number(Number::kSsl)) return true;
    answer_due_ = true;  // perhaps; BoringSSL knows
    return TakeOver(read_, true, 0);
  }
  if (may_take_over_ && SSL_get_read_sequence(ssl_) >= kBoringSslFirst && framer_.Left() == 0) {
    may_take_over_ =
        SSL_has_pending(ssl_) == 0 && TakeOver(read_, true, SSL_get_read_sequence(ssl_));
    answer_due_ = true;  // perhaps, to one that came before
  }
  return true;
}

// Flush sends what BoringSSL has put off until the next write: tickets, the answer to a key update.
bool RecordLayer::Flush() { return SSL_write(ssl_, "", 0) >= 0; }

bool RecordLayer::ReadyToSeal() {
  if (write_) return true;
  return may_take_over_ && SSL_get_write_sequence(ssl_) >= kBoringSslFirst && Flush() &&
         TakeOver(write_, false, SSL_get_write_sequence(ssl_));
}

bool RecordLayer::Seal(Wire& wire, Input plain) {
  // As long as BoringSSL does the reading, key updates are not seen here.
  if ((!read_ || std::exchange(answer_due_, false)) && !Flush()) return false;
  while (!plain.empty()) {
    const bool worn = write_->number(Number::kWire) >= most_per_key_;
    if (worn && (SSL_key_update(ssl_, SSL_KEY_UPDATE_NOT_REQUESTED) != 1 || !Flush())) return false;
    const Input chunk = plain.first(std::min(plain.size(), TrafficKey::kMostPlain));
    const std::size_t before = wire.out.size();
    wire.out.resize(before + chunk.size() + TrafficKey::kOverhead);
    const std::span<std::uint8_t> record = std::span(wire.out).subspan(before);
    if (!write_->Seal(Number::kWire, chunk, std::span(&kApplicationData, 1), record)) {
      wire.out.resize(before);
      return false;
    }
    plain = plain.subspan(chunk.size());
  }
  return true;
}

}  // namespace mooring::tls
