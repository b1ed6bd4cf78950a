// record: the record layer that takes a TLS 1.3 connection over from BoringSSL, against BoringSSL
// itself. A peer that holds the keys seals what the script says; a Session and plain BoringSSL are
// told the same, and must come to the same end.
//
// Both connections, and three Sessions that differ in how much they are asked to read at once, are
// made once and restored for each input (kept.h): no handshake, and no key, is in a run.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/fuzz/kept.h"
#include "tests/fuzz/targets.h"
#include "tests/unit/tls_sealing_peer.h"

namespace mooring::fuzz {
namespace {

using namespace tls::ends;  // NOLINT: the words that the fixture is written in
using tls::TrafficKey;

constexpr std::array<std::size_t, 3> kRooms = {1 << 16, 7, 300};
// So many bytes are said in all, and answered, to one who reads so much at once: two of the largest
// records, or one by 300. By sevens it takes as long as a hundred small ones, and says no more.
constexpr std::array<std::size_t, kRooms.size()> kMost = {34'000, 1'000, 17'000};

// World is what is made once.
struct World {
  World() {
    for (std::size_t i = 0; i < kRooms.size(); ++i) ours[i].emplace(mesh, kRooms[i]);
    reference.emplace(mesh);
  }
  // What hears nothing of an input is as it was made.
  Ours& Use(std::size_t which) {
    used = which;
    return *ours[which];
  }
  void Spend() {
    ours[used].reset();
    reference.reset();
  }

  Mesh mesh;
  std::array<std::optional<Ours>, kRooms.size()> ours;
  std::optional<BoringSsl> reference;
  std::size_t used = 0;
};

Kept<World> worlds;

// Telling is one who seals what is said to a Hearer, by its own keys.
class Telling final {
 public:
  Telling(Hearer& hearer, std::size_t most)
      : hearer_(hearer), sender_(hearer.client.ssl.get()), left_(most), answers_(most) {}

  // Each run of the script reads it from its beginning.
  void Tell(Script script, bool in_parts) {
    in_parts_ = in_parts;
    // What may be said in answer, at the latest in the end.
    for (int left = 30; left > 0 && !script.AtEnd() && !Ended(); --left) Step(&script);
    Flush();
    if (!hearer_.failed) hearer_.Say("answer");
  }

 private:
  bool Ended() const { return hearer_.failed || hearer_.closed; }

  void Step(Script* script) {
    static constexpr std::array<std::uint8_t, 6> kTypes = {23, 22, 21, 20, 24, 0};
    const std::uint8_t what = script->Byte();
    switch (what % 13) {
      case 0:
      case 1:
      case 2: return Seal(23, Bytes(script->Byte(), 'd'), 0);
      case 3: return Seal(23, Bytes(Size(script), 'D'), 0);
      case 4: {
        const std::size_t size = Size(script);
        return Seal(23, Bytes(size, 'p'), Padding(script, size));
      }
      case 5: {
        const std::uint8_t type = script->OneOf(kTypes);
        const Input content = script->Piece();
        return Seal(type, {content.begin(), content.end()}, script->Below(3));
      }
      case 6: {  // what does not end in a type
        const Input content = script->Piece();
        return Add(sender_.Inner(content, Bytes(script->Below(20), 0)));
      }
      case 7: return Add(sender_.KeyUpdate((what & 128U) != 0));
      case 8: {  // a key update in two records
        const Bytes message = Sender::Message((what & 128U) != 0);
        const std::size_t cut = 1 + script->Below(message.size() - 1);
        Seal(22, {message.begin(), message.begin() + static_cast<std::ptrdiff_t>(cut)}, 0);
        Seal(22, {message.begin() + static_cast<std::ptrdiff_t>(cut), message.end()}, 1);
        return sender_.Rekey();
      }
      case 9: {  // a record that has been changed on its way
        Bytes record = sender_.Record(23, Bytes(20, 'x'));
        // Behind the header: what is said of a bad one differs by design (record_layer.cc).
        const std::size_t at = TrafficKey::kHeader + script->Below(record.size() - 5);
        record[at] = static_cast<std::uint8_t>(record[at] ^ (1U << script->Below(8)));
        return Add(std::move(record));
      }
      case 10:  // one is lost, or comes again
        if (script->Flag()) {
          (void)sender_.Record(23, Bytes(5, 'l'));
        } else if (!sent_.empty()) {
          Add(Bytes(sent_[script->Below(sent_.size())]));
        }
        return;
      case 11:
        Flush();
        if (!hearer_.failed) Answer(Size(script) * (1 + script->Below(2)));
        return;
      default: return Flush();
    }
  }

  // Size is that of a content: a small one, or one at a limit.
  static std::size_t Size(Script* script) {
    static constexpr std::array<std::size_t, 8> kLimits = {255,
                                                           256,
                                                           1024,
                                                           8192,
                                                           TrafficKey::kMostPlain - 1,
                                                           TrafficKey::kMostPlain,
                                                           TrafficKey::kMostPlain + 1,
                                                           TrafficKey::kMostPlain + 40};
    const std::uint8_t what = script->Byte();
    return what < 224 ? what : kLimits[what % kLimits.size()];
  }
  // Padding is a little, or such that what is sealed has the size that is just allowed, or one
  // more.
  static std::size_t Padding(Script* script, std::size_t size) {
    const std::uint8_t what = script->Byte();
    if (what < 192 || size > TrafficKey::kMostPlain) return what;
    return TrafficKey::kMostPlain - size + what % 2;
  }

  void Answer(std::size_t size) {
    if (size > answers_) return;
    answers_ -= size;
    hearer_.Say(std::string(size, 's'));
  }
  void Seal(std::uint8_t type, const Bytes& content, std::size_t padding) {
    // More than a record can hold is no record of this protocol: BoringSSL takes 64 bytes more.
    if (content.size() + padding > TrafficKey::kMostBody - TrafficKey::kTag - 1) return;
    if (content.size() + padding > left_) return;
    left_ -= content.size() + padding;
    Add(sender_.Record(type, content, padding));
  }
  void Add(Bytes record) {
    waiting_.insert(waiting_.end(), record.begin(), record.end());
    if (sent_.size() < 200) sent_.push_back(std::move(record));
    if (waiting_.size() > 60'000) Flush();
  }
  void Flush() {
    const Bytes stream = std::move(waiting_);
    waiting_.clear();
    std::size_t step = 1;
    for (Input rest = stream; !rest.empty() && !Ended();) {
      step = in_parts_ ? step * 7 % 1021 + 1 : rest.size();
      const Input part = rest.first(std::min(step, rest.size()));
      hearer_.Take(part);
      rest = rest.subspan(part.size());
    }
  }

  Hearer& hearer_;
  Sender sender_;
  std::size_t left_, answers_;  // bytes that may still be said
  bool in_parts_ = false;
  Bytes waiting_;
  std::vector<Bytes> sent_;
};

}  // namespace

void record(Input input) {
  worlds.Run([input](World& world) {
    Script script(input);
    const std::uint8_t how = script.Byte();
    Ours& ours = world.Use(how % kRooms.size());
    BoringSsl& reference = *world.reference;
    const std::size_t most = kMost[how % kRooms.size()];
    Telling(ours, most).Tell(script, (how & 128U) != 0);
    Telling(reference, most).Tell(script, (how & 64U) != 0);
    FUZZ_REQUIRE(ours.heard == reference.heard, "what was heard");
    FUZZ_REQUIRE(ours.answer == reference.answer, "what was answered");
    FUZZ_REQUIRE(ours.failed == reference.failed, ours.end.session->failure_text());
    FUZZ_REQUIRE(ours.closed == reference.closed, "whether it was closed");
    FUZZ_REQUIRE(ours.alert == reference.alert,
                 std::to_string(ours.alert) + " / " + std::to_string(reference.alert));
  });
}

}  // namespace mooring::fuzz
