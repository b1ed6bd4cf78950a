// The record layer that takes a TLS 1.3 connection over from BoringSSL, against BoringSSL itself: a
// peer that seals whatever a test likes is heard by a Session and by plain BoringSSL, and both must
// come to the same end.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/tls_ends.h"
#include "tests/unit/tls_sealing_peer.h"
#include "tls/peer_memory.h"
#include "tls/record_framer.h"
#include "tls/record_layer.h"

namespace mooring::tls {

using namespace ends;  // NOLINT: the words that these tests are written in

namespace {

constexpr std::uint8_t kAlertType = 21;
constexpr std::uint8_t kDataType = 23;
constexpr int kUnexpectedMessage = 10;
constexpr int kBadRecordMac = 20;
constexpr int kRecordOverflow = 22;
constexpr int kProtocolVersion = 70;

Bytes Text(const std::string& text) { return {text.begin(), text.end()}; }

using Step = std::function<Bytes(Sender&, std::vector<Bytes>& sent)>;

Step Sealed(std::uint8_t type, Bytes content, std::size_t padding = 0) {
  return [type, content = std::move(content), padding](Sender& sender, std::vector<Bytes>&) {
    return sender.Record(type, content, padding);
  };
}

Step Data(std::size_t size, std::size_t padding = 0) {
  return Sealed(kDataType, Bytes(size, 'd'), padding);
}

// What one record, or a few, can be. The first are those that a connection survives.
std::vector<Step> Peaceful() {
  return {
      Data(1),
      Data(100),
      Data(16384),
      Data(50, 100),
      Data(16000, 384),
      Data(0),
      Data(0, 20),
      Sealed(kAlertType, {1, 90}),  // user_canceled, to be ignored
      [](Sender& sender, std::vector<Bytes>&) { return sender.KeyUpdate(false); },
      [](Sender& sender, std::vector<Bytes>&) { return sender.KeyUpdate(true); },
      [](Sender& sender, std::vector<Bytes>&) {  // in two records
        const Bytes message = Sender::Message(true);
        Bytes records = sender.Record(kHandshakeType, Input(message).first(2));
        const Bytes rest = sender.Record(kHandshakeType, Input(message).subspan(2), 7);
        records.insert(records.end(), rest.begin(), rest.end());
        sender.Rekey();
        return records;
      },
  };
}

std::vector<Step> Fatal() {
  return {
      Data(16384, 1),  // padding counts
      Data(17000),
      Sealed(99, Text("unknown")),
      Sealed(20, {1}),
      Sealed(kAlertType, {2, 40}),
      Sealed(kAlertType, {1, 0}),
      Sealed(kAlertType, {1}),
      Sealed(kAlertType, {1, 100}),
      Sealed(kAlertType, {3, 0}),
      Sealed(kAlertType, {}),
      Sealed(kHandshakeType, {}),
      Sealed(kHandshakeType, {24, 0, 0, 1, 2}),
      Sealed(kHandshakeType, {4, 0, 0, 1, 0}),
      Sealed(kHandshakeType, {1, 0, 0, 0}),
      Sealed(kHandshakeType, {24, 0, 0, 1, 1, 24, 0, 0, 1, 1}),  // more behind a key change
      Sealed(kHandshakeType, {24, 1, 0, 0}),
      [](Sender& sender, std::vector<Bytes>&) { return sender.Inner(Bytes(20, 0), {}); },
      [](Sender& sender, std::vector<Bytes>&) { return sender.Inner({}, {}); },
      [](Sender& sender, std::vector<Bytes>&) {  // data inside a message
        Bytes records = sender.Record(kHandshakeType, Bytes{24, 0});
        const Bytes data = sender.Record(kDataType, Text("data"));
        records.insert(records.end(), data.begin(), data.end());
        return records;
      },
      [](Sender& sender, std::vector<Bytes>&) {
        Bytes records;
        for (int i = 0; i < 40; ++i) {
          const Bytes empty = sender.Record(kDataType, {});
          records.insert(records.end(), empty.begin(), empty.end());
        }
        return records;
      },
      [](Sender& sender, std::vector<Bytes>&) {
        Bytes records;
        for (int i = 0; i < 40; ++i) {
          const Bytes update = sender.KeyUpdate(i % 2 == 0);
          records.insert(records.end(), update.begin(), update.end());
        }
        return records;
      },
      [](Sender& sender, std::vector<Bytes>&) {
        Bytes record = sender.Record(kDataType, Text("damaged"));
        record.back() ^= 1U;
        return record;
      },
      [](Sender& sender, std::vector<Bytes>&) {
        Bytes record = sender.Record(kDataType, Text("damaged"));
        record[TrafficKey::kHeader] ^= 128U;
        return record;
      },
      [](Sender&, std::vector<Bytes>&) { return Bytes{23, 3, 3, 0, 3, 1, 2, 3}; },
      [](Sender&, std::vector<Bytes>&) {
        return Bytes{23, 3, 1, 0, 100};
      },
      [](Sender& sender, std::vector<Bytes>& sent) {
        return sent.empty() ? sender.Record(99, {}) : sent.front();
      },
      [](Sender& sender, std::vector<Bytes>& sent) {
        return sent.empty() ? sender.Record(99, {}) : sent.back();
      },
      [](Sender& sender, std::vector<Bytes>&) {  // one is missing
        sender.Record(kDataType, Text("lost"));
        return sender.Record(kDataType, Text("behind it"));
      },
  };
}

// Play has a Hearer take a script, in pieces that `seed` cuts.
void Play(Hearer& hearer, const std::vector<Step>& script, unsigned seed) {
  std::mt19937 random(seed);
  Sender sender(hearer.client.ssl.get());
  std::vector<Bytes> sent;
  Bytes stream;
  for (const Step& step : script) {
    sent.push_back(step(sender, sent));
    stream.insert(stream.end(), sent.back().begin(), sent.back().end());
  }
  const std::size_t most = random() % 2 == 0 ? 40 : 40000;
  for (Input rest = stream; !rest.empty() && !hearer.failed && !hearer.closed;) {
    const std::size_t size = std::min<std::size_t>(rest.size(), 1 + random() % most);
    hearer.Take(rest.first(size));
    rest = rest.subspan(size);
  }
  if (!hearer.failed) hearer.Say("answer");
}

void Compare(const Mesh& mesh, const std::vector<Step>& script, unsigned seed) {
  CAPTURE(seed);
  Ours ours(mesh, seed % 5 == 0 ? 100 : 1 << 16);
  BoringSsl reference(mesh);
  Play(ours, script, seed);
  Play(reference, script, seed);
  CHECK((ours.heard == reference.heard));
  CHECK(ours.answer == reference.answer);
  CHECK(ours.failed == reference.failed);
  CHECK(ours.closed == reference.closed);
  CHECK(ours.alert == reference.alert);
}

}  // namespace

TEST_CASE("record layer: whatever a peer seals, it comes to the same end as with BoringSSL alone") {
  const Mesh mesh;
  unsigned seed = 0;
  for (const Step& step : Peaceful()) Compare(mesh, {step, Data(10), step, step}, ++seed);
  int fatal = 0;
  for (const Step& step : Fatal()) {
    CAPTURE(fatal++);
    Compare(mesh, {step, Data(10)}, ++seed);
    Compare(mesh, {Data(10), Data(20), step, Data(10)}, ++seed);
  }
}

TEST_CASE("record layer: random scripts come to the same end as with BoringSSL alone") {
  const Mesh mesh;
  const std::vector<Step> peaceful = Peaceful();
  const std::vector<Step> fatal = Fatal();
  std::mt19937 random(7);
  for (unsigned i = 0; i < 300; ++i) {
    std::vector<Step> script;
    for (std::size_t length = 1 + random() % 25; script.size() < length;)
      script.push_back(peaceful[random() % peaceful.size()]);
    if (random() % 3 == 0) script.push_back(fatal[random() % fatal.size()]);
    Compare(mesh, script, 1000 + i);
  }
}

TEST_CASE("record layer: no record is taken twice, early or late") {
  const Mesh mesh;
  // BoringSSL's own count stands still while the layer reads, so the record with that number is the
  // one to try.
  for (std::size_t again = 0; again < 8; ++again) {
    CAPTURE(again);
    Ours ours(mesh);
    Sender sender(ours.client.ssl.get());
    std::vector<Bytes> sent;
    for (int i = 0; i < 8; ++i) {
      sent.push_back(sender.Record(kDataType, Text("once")));
      ours.Take(sent.back());
    }
    REQUIRE_FALSE(ours.failed);
    const std::string before = ours.heard;
    ours.Take(sent[again]);
    CHECK(ours.failed);
    CHECK(ours.heard == before);
    CHECK(ours.alert == kBadRecordMac);
    CHECK(ours.end.session->failure() == Failure::kProtocol);
    ours.Take(sender.Record(kDataType, Text("after")));
    CHECK(ours.heard == before);
  }
}

TEST_CASE("record layer: headers that no protected record has are refused by their own alert") {
  const Mesh mesh;
  const auto outcome = [&](const Bytes& bytes) {
    Ours ours(mesh);
    ours.Take(bytes);
    CHECK(ours.failed);
    return ours.alert;
  };
  CHECK(outcome({20, 3, 3, 0, 1, 1}) == kUnexpectedMessage);
  CHECK(outcome({21, 3, 3, 0, 2, 1, 0}) == kUnexpectedMessage);  // close_notify in plain
  CHECK(outcome({23, 3, 4, 0, 30}) == kProtocolVersion);
  // RFC 8446 5.2; BoringSSL would take 64 bytes more
  CHECK(outcome({23, 3, 3, 0x41, 1}) == kRecordOverflow);
  CHECK(outcome({23, 3, 3, 0, 0}) == kBadRecordMac);
}

TEST_CASE("record layer: a new key comes before the old one is worn out, and the peer follows") {
  const Mesh mesh;
  auto& limit = const_cast<Context::Impl&>(mesh.server->impl()).most_records_per_key;
  limit = 20;
  Ours ours(mesh);
  std::string said = ours.answer;
  Sender sender(ours.client.ssl.get());
  for (int i = 0; i < 200; ++i) {
    if (i % 7 == 0) {  // one that is due falls together with one of our own
      ours.Take(sender.KeyUpdate(true));
      ours.Take(sender.Record(kDataType, Text("d")));
    }
    const std::string text(static_cast<std::size_t>(i) * 400, static_cast<char>('a' + i % 26));
    ours.Say(text);
    said += text;
    REQUIRE((ours.answer == said));
    CHECK(SSL_get_read_sequence(ours.client.ssl.get()) <= limit + 1);
  }
  ours.end.CloseNotify();
  ours.Say("");
  CHECK(SSL_get_shutdown(ours.client.ssl.get()) == SSL_RECEIVED_SHUTDOWN);
}

TEST_CASE(
    "record layer: key updates are answered once, before the next data, so that they cannot pile "
    "up answers") {
  const Mesh mesh;
  Ours ours(mesh);
  Sender sender(ours.client.ssl.get());
  for (int i = 0; i < 1000; ++i) {
    Bytes bytes = sender.KeyUpdate(true);
    const Bytes data = sender.Record(kDataType, Text("d"));
    bytes.insert(bytes.end(), data.begin(), data.end());
    ours.end.in = bytes;
    REQUIRE(ours.end.Read(&ours.heard) == Progress::kWantInput);
    REQUIRE(ours.end.out.empty());
  }
  CHECK(ours.heard == std::string(kWarmUp, 'w') + std::string(1000, 'd'));
  ours.Say("under the new key");
  CHECK(SSL_get_read_sequence(ours.client.ssl.get()) == 1);
  ours.Say("");
  ours.Say(" again");
  CHECK(SSL_get_read_sequence(ours.client.ssl.get()) == 2);
  CHECK(ours.answer == std::string(kWarmUp, 'w') + "under the new key again");
}

TEST_CASE("record layer: key updates are answered whichever directions the layer has taken over") {
  const Mesh mesh;
  constexpr std::array<std::size_t, 4> kWords{0, 1, 3, kWarmUp};
  for (const std::size_t to_hearer : kWords) {
    for (const std::size_t from_hearer : kWords) {
      CAPTURE(to_hearer);
      CAPTURE(from_hearer);
      Ours ours(mesh, 1 << 16, to_hearer, from_hearer);
      Sender sender(ours.client.ssl.get());
      std::string said = ours.answer;
      for (int round = 0; round < 10; ++round) {
        ours.Take(sender.KeyUpdate(true));
        if (round % 3 == 1) ours.Take(sender.Record(kDataType, Text("d")));
        ours.Say("x");
        said += "x";
        REQUIRE(ours.answer == said);
        REQUIRE(SSL_get_read_sequence(ours.client.ssl.get()) == 1);
      }
      // One before the layer reads, answered after.
      ours.Take(sender.KeyUpdate(true));
      for (std::size_t i = 0; i < kWarmUp; ++i) ours.Take(sender.Record(kDataType, Text("d")));
      ours.Say("y");
      CHECK(SSL_get_read_sequence(ours.client.ssl.get()) == 1);
      ours.Take(sender.Record(99, Text("x")));
      CHECK(ours.failed);
      CHECK(ours.alert == kUnexpectedMessage);
      CHECK(ours.answer == said + "y");
    }
  }
}

TEST_CASE("record layer: an answer that is due goes with what ends our direction") {
  const Mesh mesh;
  for (const bool alert : {false, true}) {
    CAPTURE(alert);
    Ours ours(mesh);
    Sender sender(ours.client.ssl.get());
    ours.Take(sender.KeyUpdate(true));
    if (alert) {
      Wire wire{{}, ours.end.out};
      ours.end.session->SendAlert(wire, Alert::kAccessDenied);
    } else {
      ours.end.CloseNotify();
    }
    ours.Say("");
    CHECK(SSL_get_shutdown(ours.client.ssl.get()) == SSL_RECEIVED_SHUTDOWN);
    CHECK(ours.alert == (alert ? 49 : -1));
    CHECK(SSL_get_read_sequence(ours.client.ssl.get()) == 1);
    if (alert) continue;
    for (int i = 0; i < 3; ++i) {  // nothing can be answered any more
      ours.Take(sender.KeyUpdate(true));
      ours.Take(sender.Record(kDataType, Text("still heard")));
      CHECK_FALSE(ours.failed);
    }
    CHECK(ours.heard == std::string(kWarmUp, 'w') + "still heardstill heardstill heard");
  }
}

TEST_CASE("record layer: a ticket that comes late is kept") {
  const Mesh mesh;
  const PeerMemory& memory = *mesh.client->impl().memory;
  Raw server(true);
  server.Show(mesh.LeafFor("db"));
  server.Start();
  End client;
  client.session =
      Session::Connect(mesh.client, Service("db").Sni(), Service("db"), "127.0.0.1:8443");
  client.Handshake();
  REQUIRE(server.ShakeWith(client));  // tickets go out with the server's first word
  Bytes first_word;
  std::string text;
  for (std::size_t i = 0; i < kWarmUp; ++i) {
    REQUIRE(SSL_write(server.ssl.get(), "w", 1) == 1);
    Bytes bytes(1 << 14);
    bytes.resize(static_cast<std::size_t>(
        BIO_read(SSL_get_wbio(server.ssl.get()), bytes.data(), static_cast<int>(bytes.size()))));
    if (first_word.empty()) first_word = bytes;
    client.in.insert(client.in.end(), bytes.begin(), bytes.end());
    REQUIRE(client.Read(&text) == Progress::kWantInput);
  }
  const std::size_t tickets = memory.tickets();
  CHECK(tickets >= 1);

  bssl::Span<const std::uint8_t> reads;
  bssl::Span<const std::uint8_t> writes;
  REQUIRE(bssl::SSL_get_traffic_secrets(server.ssl.get(), &reads, &writes));
  auto opener =
      TrafficKey::Make(SSL_get_current_cipher(server.ssl.get()), {writes.data(), writes.size()}, 0);
  const std::size_t body = static_cast<std::size_t>(first_word[3]) << 8U | first_word[4];
  Bytes ticket(body - TrafficKey::kTag);
  REQUIRE(opener->Open(Number::kWire, Input(first_word).first(TrafficKey::kHeader + body),
                       ticket.data()));
  REQUIRE(ticket.back() == kHandshakeType);
  ticket.pop_back();

  Sender sender(server.ssl.get());
  // in two records, which data may follow but not divide
  const std::size_t half = ticket.size() / 2;
  for (const Bytes& record : {sender.Record(kHandshakeType, Input(ticket).first(half)),
                              sender.Record(kHandshakeType, Input(ticket).subspan(half)),
                              sender.Record(kDataType, Text("x"))}) {
    client.in.insert(client.in.end(), record.begin(), record.end());
    REQUIRE(client.Read(&text) == Progress::kWantInput);
  }
  CHECK(memory.tickets() == 2 * tickets);  // BoringSSL puts all its tickets into one record
  CHECK(text == std::string(kWarmUp, 'w') + "x");
}

TEST_CASE("record layer: a connection is taken over at any point of the stream, byte by byte") {
  const Mesh mesh;
  Pair pair = Connected(mesh);
  std::string sent;
  std::string received;
  for (std::size_t i = 0; i < 12; ++i) {
    const std::string text(1 + i * 3001, static_cast<char>('a' + i));
    REQUIRE(pair.client.Write(text));
    sent += text;
  }
  for (const std::uint8_t byte : pair.client.out) {
    pair.server.in.push_back(byte);
    REQUIRE(pair.server.Read(&received) == Progress::kWantInput);
    REQUIRE(pair.server.in.empty());
  }
  CHECK((received == sent));
}

TEST_CASE("record layer: every cipher suite of TLS 1.3 seals and opens") {
  const std::array<std::uint8_t, 32> secret{1};
  for (const std::uint16_t suite : std::array<std::uint16_t, 3>{0x1301, 0x1302, 0x1303}) {
    CAPTURE(suite);
    const SSL_CIPHER* cipher = SSL_get_cipher_by_value(suite);
    REQUIRE(cipher != nullptr);
    auto here = TrafficKey::Make(cipher, secret, 5);
    auto there = TrafficKey::Make(cipher, secret, 5);
    REQUIRE(here);
    REQUIRE(there);
    const Bytes content = Text("content");
    const Bytes end{kDataType};
    Bytes record(content.size() + TrafficKey::kOverhead);
    Bytes inner(content.size() + 1);
    REQUIRE(here->Seal(Number::kWire, content, end, record));
    CHECK_FALSE(there->Open(Number::kWire, Bytes(record.begin(), record.end() - 1),
                            Bytes(inner.size() - 1).data()));
    there = TrafficKey::Make(cipher, secret, 5);
    CHECK(there->Open(Number::kWire, record, inner.data()));
    CHECK(std::equal(content.begin(), content.end(), inner.begin()));
    CHECK(inner.back() == kDataType);
    CHECK(there->number(Number::kWire) == 6);
    CHECK(there->number(Number::kSsl) == 5);
  }
  // of TLS 1.2
  CHECK_FALSE(TrafficKey::Make(SSL_get_cipher_by_value(0xc02b), secret, 0).has_value());
}

TEST_CASE("record framer: knows the end of a record from any cut") {
  const Bytes stream{23, 3, 3, 0, 2, 'a', 'b', 23, 3, 3, 0, 0, 22, 3, 1, 1, 0};
  RecordFramer framer;
  CHECK(framer.Left() == 0);
  framer.Pass(Input(stream).first(1));
  CHECK(framer.Left() == 4);
  framer.Pass(Input(stream).subspan(1, 4));
  CHECK(framer.Left() == 2);
  framer.Pass(Input(stream).subspan(5, 2));
  CHECK(framer.Left() == 0);
  framer.Pass(Input(stream).subspan(7, 5));  // an empty one
  CHECK(framer.Left() == 0);
  framer.Pass(Input(stream).subspan(12));
  CHECK(framer.Left() == 256);
  framer.Pass(Bytes(256));
  CHECK(framer.Left() == 0);
}

}  // namespace mooring::tls
