// session: two Sessions and what lies between them. The script says who goes on with what, and what
// happens to the bytes on their way: they come in any pieces, are changed, dropped or added to.
//
// What is heard is the beginning of what was said, whatever happens. Where nothing happened to the
// bytes, all of it is heard, and nobody fails. Half of the scripts begin with the handshake, the
// others behind it (kept.h).
#include <memory>
#include <string>

#include "tests/fuzz/kept.h"
#include "tests/fuzz/targets.h"
#include "tests/unit/tls_ends.h"

namespace mooring::fuzz {
namespace {

using namespace tls::ends;  // NOLINT: the words that the fixture is written in
using tls::Progress;

// World is what is made once.
struct World {
  Mesh mesh;
  std::shared_ptr<const tls::Context> old_server = [this] {
    auto context = Mesh::Server(mesh.LeafFor("db"), mesh.roots);
    FUZZ_REQUIRE(SSL_CTX_set_max_proto_version(context->impl().ssl_ctx.get(), TLS1_2_VERSION) == 1,
                 "TLS 1.2");
    return context;
  }();
  Pair shaken = Connected(mesh);
};

Kept<World> worlds;

constexpr std::size_t kReads = 200;  // of one Step: with the largest room, more than is ever said

// Side is one end, with what it has said and heard.
struct Side {
  explicit Side(End& of) : end(of) {}

  bool Failed() const { return end.last == Progress::kFailed || failed; }
  bool Shaken() const { return end.session->handshake_done() && !Failed(); }

  // Step takes in what has come.
  void Step(std::size_t room) {
    if (Failed()) return;
    if (!end.session->handshake_done()) {
      if (end.Handshake() == Progress::kFailed) NoteFailure();
      return;
    }
    if (closed) return;
    // The kDone of a Read says that there may be more. Who reads little at once may stop in
    // between, and goes on at the end (Exchange).
    for (std::size_t left = kReads; left > 0; --left) {
      const std::size_t before = heard.size();
      const Progress progress = end.Read(&heard, room);
      if (progress == Progress::kFailed) return NoteFailure();
      closed = progress == Progress::kClosed;
      if (progress != Progress::kDone) return;
      FUZZ_REQUIRE(heard.size() == before + room, "a Read with more to come fills its room");
    }
  }
  void Say(std::size_t size) {
    if (!Shaken()) return;
    const std::string text(size, static_cast<char>('a' + size % 26));
    const bool written = end.Write(text);
    FUZZ_REQUIRE(written == !ended, end.session->failure_text());
    if (written) said += text;
  }
  void Close() {
    if (!Shaken()) return;
    end.CloseNotify();
    ended = true;
  }
  void Alarm() {
    if (!Shaken() || ended) return;
    end.With([&](tls::Wire& wire) {
      end.session->SendAlert(wire, tls::Alert::kAccessDenied);
      return 0;
    });
    ended = alarmed = true;
  }
  void NoteFailure() {
    failed = true;
    FUZZ_REQUIRE(end.session->failure() != tls::Failure::kNone, "a failure has a kind");
    const std::string& text = end.session->failure_text();
    FUZZ_REQUIRE(!text.empty() && text.size() < 4000, text);
    for (const char c : text) FUZZ_REQUIRE(c >= ' ' && c <= '~', text);
  }

  End& end;
  std::string said, heard;
  bool ended = false;    // it has ended its direction
  bool alarmed = false;  // by an alert
  bool closed = false;   // it has seen the end of the other's
  bool failed = false;
};

class Play final {
 public:
  Play(Pair& pair, Script script) : client_(pair.client), server_(pair.server), script_(script) {}

  void Run() {
    static constexpr std::array<std::size_t, 4> kRooms = {1 << 16, 1, 100, 16384};
    for (int left = 80; left > 0 && !script_.AtEnd(); --left) {
      const std::uint8_t what = script_.Byte();
      Side& side = (what & 128U) != 0 ? server_ : client_;
      Side& other = (what & 128U) != 0 ? client_ : server_;
      switch (what % 12) {
        case 0: Carry(side, other, side.end.out.size()); break;
        case 1: Carry(side, other, script_.Number16()); break;
        case 2: side.Step(script_.OneOf(kRooms)); break;
        case 3: side.Say(script_.Byte()); break;
        case 4: side.Say(script_.Number16()); break;
        case 5: side.Close(); break;
        case 6: side.Alarm(); break;
        case 7: Change(side); break;
        case 8: Drop(side); break;
        case 9: Insert(side); break;
        default: Exchange(); break;
      }
      Check();
    }
    for (int left = 12; left > 0; --left) Exchange();
    Check();
    if (touched_) return;
    CheckUntouched(client_, server_);
    CheckUntouched(server_, client_);
  }

 private:
  // Carry brings the first bytes of what waits on one side to the other.
  static void Carry(Side& from, Side& to, std::size_t count) {
    auto& out = from.end.out;
    const auto end = out.begin() + static_cast<std::ptrdiff_t>(std::min(count, out.size()));
    to.end.in.insert(to.end.in.end(), out.begin(), end);
    out.erase(out.begin(), end);
  }
  void Exchange() {
    for (Side* side : {&client_, &server_}) {
      side->Step(1 << 16);
      Carry(*side, side == &client_ ? server_ : client_, side->end.out.size());
    }
  }
  void Change(Side& side) {
    auto& out = side.end.out;
    const std::size_t at = script_.Number16();
    const std::uint8_t by = script_.Byte();
    if (out.empty() || by == 0) return;
    out[at % out.size()] = static_cast<std::uint8_t>(out[at % out.size()] ^ by);
    touched_ = true;
  }
  void Drop(Side& side) {
    auto& out = side.end.out;
    const std::size_t at = std::min(script_.Number16(), out.size());
    const std::size_t count = std::min<std::size_t>(script_.Byte(), out.size() - at);
    if (count == 0) return;
    const auto begin = out.begin() + static_cast<std::ptrdiff_t>(at);
    out.erase(begin, begin + static_cast<std::ptrdiff_t>(count));
    touched_ = true;
  }
  void Insert(Side& side) {
    auto& out = side.end.out;
    const std::size_t at = std::min(script_.Number16(), out.size());
    const Input bytes = script_.Piece();
    if (bytes.empty()) return;
    out.insert(out.begin() + static_cast<std::ptrdiff_t>(at), bytes.begin(), bytes.end());
    touched_ = true;
  }

  void Check() const {
    FUZZ_REQUIRE(server_.said.starts_with(client_.heard), "what the client heard was said");
    FUZZ_REQUIRE(client_.said.starts_with(server_.heard), "what the server heard was said");
    // An end is never made up, and never comes before all that was said.
    if (client_.closed) FUZZ_REQUIRE(server_.ended && client_.heard == server_.said, "an end");
    if (server_.closed) FUZZ_REQUIRE(client_.ended && server_.heard == client_.said, "an end");
    for (const Side* side : {&client_, &server_}) {
      if (!side->Shaken()) continue;
      const auto& judged = side->end.session->judgement();
      FUZZ_REQUIRE(judged.refusal == tls::Refusal::kNone, judged.detail);
      FUZZ_REQUIRE(judged.id == Service(side == &client_ ? "db" : "web"), judged.id.Uri());
    }
    FUZZ_REQUIRE(ERR_peek_error() == 0, "nothing is left in the queue of errors");
  }

  static void CheckUntouched(const Side& side, const Side& other) {
    FUZZ_REQUIRE(!side.failed || other.alarmed, side.end.session->failure_text());
    if (side.failed) return;
    FUZZ_REQUIRE(side.end.session->handshake_done(), "the handshake is done");
    if (!other.failed) FUZZ_REQUIRE(side.heard == other.said, "all that was said is heard");
    FUZZ_REQUIRE(side.closed == (other.ended && !other.alarmed) || other.failed, "its end is seen");
  }

  Side client_, server_;
  Script script_;
  bool touched_ = false;
};

}  // namespace

void session(Input input) {
  worlds.Run([input](World& world) {
    Script script(input);
    const std::uint8_t how = script.Byte();
    if ((how & 1U) != 0) {
      Pair pair = Dial(world.mesh.client, (how & 2U) != 0 ? world.old_server : world.mesh.server);
      Play(pair, script).Run();
    } else {
      Play(world.shaken, script).Run();
    }
  });
}

}  // namespace mooring::fuzz
