// A peer that seals whatever a test likes, and two that are told it: a Session, and plain BoringSSL
// to hold it against.
#pragma once

#include <doctest/doctest.h>
#include <openssl/hkdf.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "tests/unit/tls_ends.h"
#include "tls/traffic_key.h"

namespace mooring::tls::ends {

using Number = TrafficKey::Number;
using Input = std::span<const std::uint8_t>;

inline constexpr std::uint8_t kHandshakeType = 22;
inline constexpr std::size_t kWarmUp = 6;  // messages a direction, more than BoringSSL keeps

// Sender seals as the holder of a plain connection's writing key would.
class Sender final {
 public:
  explicit Sender(SSL* ssl) : cipher_(SSL_get_current_cipher(ssl)) {
    bssl::Span<const std::uint8_t> reads;
    bssl::Span<const std::uint8_t> writes;
    REQUIRE(bssl::SSL_get_traffic_secrets(ssl, &reads, &writes));
    secret_.assign(writes.begin(), writes.end());
    key_ = TrafficKey::Make(cipher_, secret_, SSL_get_write_sequence(ssl));
    REQUIRE(key_.has_value());
  }

  Bytes Record(std::uint8_t type, Input content, std::size_t padding = 0) {
    Bytes end(1 + padding, 0);
    end[0] = type;
    return Inner(content, end);
  }
  // Inner seals what need not end in a content type.
  Bytes Inner(Input content, Input end) {
    Bytes record(TrafficKey::kHeader + content.size() + end.size() + TrafficKey::kTag);
    REQUIRE(key_->Seal(Number::kWire, content, end, record));
    return record;
  }
  Bytes KeyUpdate(bool wants_answer) {
    Bytes record = Record(kHandshakeType, Message(wants_answer));
    Rekey();
    return record;
  }
  static Bytes Message(bool wants_answer) {
    return {24, 0, 0, 1, static_cast<std::uint8_t>(wants_answer ? 1 : 0)};
  }
  void Rekey() {
    const std::string label = "tls13 traffic upd";
    Bytes info{0, static_cast<std::uint8_t>(secret_.size()),
               static_cast<std::uint8_t>(label.size())};
    info.insert(info.end(), label.begin(), label.end());
    info.push_back(0);
    Bytes next(secret_.size());
    REQUIRE(HKDF_expand(next.data(), next.size(), next.size() == 48 ? EVP_sha384() : EVP_sha256(),
                        secret_.data(), secret_.size(), info.data(), info.size()) == 1);
    secret_ = next;
    key_ = TrafficKey::Make(cipher_, secret_, 0);
  }

 private:
  const SSL_CIPHER* cipher_;
  Bytes secret_;
  std::optional<TrafficKey> key_;
};

// Sent is all that a plain connection has to send.
inline Bytes Sent(const Raw& from) {
  BIO* out = SSL_get_wbio(from.ssl.get());
  Bytes bytes(BIO_pending(out));
  if (!bytes.empty()) BIO_read(out, bytes.data(), static_cast<int>(bytes.size()));
  return bytes;
}

// Hearer is one who is told what a Sender seals, with the plain client that talked to it until
// then.
class Hearer {
 public:
  explicit Hearer(const Mesh& mesh) {
    client.Show(mesh.LeafFor("web"));
    client.Start();
  }
  virtual ~Hearer() = default;
  Hearer(const Hearer&) = delete;
  Hearer& operator=(const Hearer&) = delete;

  virtual void Take(Input bytes) = 0;  // and answers, if it has to
  virtual void Say(const std::string& text) = 0;

  // ToClient has the client read all that came.
  void ToClient(Input bytes) {
    if (!bytes.empty())
      BIO_write(SSL_get_rbio(client.ssl.get()), bytes.data(), static_cast<int>(bytes.size()));
    std::array<char, 1000> room{};
    int count = 0;
    while ((count = SSL_read(client.ssl.get(), room.data(), room.size())) > 0)
      answer.append(room.data(), static_cast<std::size_t>(count));
    while (const std::uint32_t packed = ERR_get_error()) {
      const int reason = ERR_GET_REASON(packed);
      if (ERR_GET_LIB(packed) == ERR_LIB_SSL) alert = reason >= 1000 ? reason - 1000 : reason;
    }
  }
  Bytes FromClient() { return Sent(client); }
  // WarmUp says so many words in each direction.
  void WarmUp(std::size_t to_hearer = kWarmUp, std::size_t from_hearer = kWarmUp) {
    for (std::size_t i = 0; i < to_hearer; ++i) {
      REQUIRE(SSL_write(client.ssl.get(), "w", 1) == 1);
      Take(FromClient());
    }
    for (std::size_t i = 0; i < from_hearer; ++i) Say("w");
    REQUIRE(heard == std::string(to_hearer, 'w'));
    REQUIRE(answer == std::string(from_hearer, 'w'));
  }

  Raw client{false};
  std::string heard, answer;
  bool failed = false;
  bool closed = false;
  int alert = -1;  // that the client got
};

class Ours final : public Hearer {
 public:
  explicit Ours(const Mesh& mesh, std::size_t room = 1 << 16, std::size_t to_hearer = kWarmUp,
                std::size_t from_hearer = kWarmUp)
      : Hearer(mesh), end(Accepting(mesh)), room_(room) {
    REQUIRE(client.ShakeWith(end));
    WarmUp(to_hearer, from_hearer);
  }
  void Take(Input bytes) override {
    end.in.insert(end.in.end(), bytes.begin(), bytes.end());
    Progress progress = Progress::kDone;
    while (progress == Progress::kDone) progress = end.Read(&heard, room_);
    if (!failed && !closed) CHECK((progress == Progress::kFailed || end.in.empty()));
    failed = progress == Progress::kFailed;
    closed = progress == Progress::kClosed;
    Pass();
  }
  void Say(const std::string& text) override {
    end.Write(text);
    Pass();
  }
  End end;

 private:
  void Pass() {
    ToClient(end.out);
    end.out.clear();
  }
  std::size_t room_;
};

class BoringSsl final : public Hearer {
 public:
  explicit BoringSsl(const Mesh& mesh) : Hearer(mesh) {
    server.Show(mesh.LeafFor("db"));
    server.Start();
    for (int i = 0; i < 10; ++i) {
      SSL_do_handshake(client.ssl.get());
      Feed(FromClient());
      SSL_do_handshake(server.ssl.get());
      const Bytes bytes = FromServer();
      if (!bytes.empty())
        BIO_write(SSL_get_rbio(client.ssl.get()), bytes.data(), static_cast<int>(bytes.size()));
    }
    REQUIRE(SSL_in_init(client.ssl.get()) == 0);
    REQUIRE(SSL_in_init(server.ssl.get()) == 0);
    WarmUp();
  }
  void Take(Input bytes) override {
    Feed(bytes);
    std::array<char, 1000> room{};
    int count = 0;
    while ((count = SSL_read(server.ssl.get(), room.data(), room.size())) > 0)
      heard.append(room.data(), static_cast<std::size_t>(count));
    const int error = SSL_get_error(server.ssl.get(), count);
    closed = error == SSL_ERROR_ZERO_RETURN;
    failed = !closed && error != SSL_ERROR_WANT_READ;
    ERR_clear_error();
    ToClient(FromServer());
  }
  void Say(const std::string& text) override {
    SSL_write(server.ssl.get(), text.data(), static_cast<int>(text.size()));
    ERR_clear_error();
    ToClient(FromServer());
  }
  Raw server{true};

 private:
  void Feed(Input bytes) {
    if (!bytes.empty())
      BIO_write(SSL_get_rbio(server.ssl.get()), bytes.data(), static_cast<int>(bytes.size()));
  }
  Bytes FromServer() { return Sent(server); }
};

}  // namespace mooring::tls::ends
