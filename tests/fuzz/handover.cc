// handover: what passes between two generations of the program, over a real socket.
//
// The first byte says what: a channel that is told messages, whole against split; an offer of
// choices to a successor that asks for the place; or documents in sealed memory.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "proxy/handover/channel.h"
#include "proxy/handover/documents.h"
#include "proxy/handover/offer.h"
#include "proxy/handover/place.h"
#include "tests/fuzz/targets.h"

namespace mooring::fuzz {
namespace {

using handover::Message;
using mooring::handover::Channel;
using net::UniqueFd;

// Chunk is what one sendmsg carries.
struct Chunk {
  std::string bytes;
  std::size_t descriptors = 0;
};

std::string Framed(const std::string& text) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8)
    bytes += static_cast<char>(text.size() >> static_cast<unsigned>(shift) & 0xffU);
  return bytes + text;
}

bool SendChunk(int fd, std::string_view bytes, std::size_t descriptors) {
  if (bytes.empty()) return true;
  std::vector<int> passed(descriptors);
  for (int& one : passed) one = open("/dev/null", O_RDONLY | O_CLOEXEC);
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * 80)> control{};
  if (descriptors > 0) {
    header.msg_control = control.data();
    header.msg_controllen = CMSG_SPACE(sizeof(int) * descriptors);
    cmsghdr* one = CMSG_FIRSTHDR(&header);
    one->cmsg_level = SOL_SOCKET;
    one->cmsg_type = SCM_RIGHTS;
    one->cmsg_len = CMSG_LEN(sizeof(int) * descriptors);
    std::memcpy(CMSG_DATA(one), passed.data(), sizeof(int) * descriptors);
  }
  const ssize_t sent = sendmsg(fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
  for (const int one : passed) close(one);
  return sent == static_cast<ssize_t>(bytes.size());
}

// Messages of choices: of the kinds that there are, with fields that may be wrong.
Chunk Choose(Script* script) {
  static constexpr std::array<const char*, 8> kTexts = {
      R"({"kind":"offer","sockets":1,"documents":0,"generation":2,"pid":1,"version":"1"})",
      R"({"kind":"offer","sockets":0,"documents":1,"watchdog_ms":9223372036854775807})",
      R"({"kind":"sockets","names":["a"],"descriptors":1})",
      R"({"kind":"documents","of":["service.web"],"descriptors":1})",
      R"({"kind":"refused","why":"no"})",
      R"({"kind":"offer","sockets":-1,"descriptors":3})",
      R"({"kind":"sockets","names":[1,null],"descriptors":2})",
      R"({"kind":"yours"})"};
  const std::uint8_t what = script->Byte();
  Chunk chunk;
  chunk.descriptors = script->Byte() % 4;
  if ((what & 240U) == 240U) chunk.descriptors = script->Byte() % 71;
  if ((what & 8U) != 0) {
    const std::string text = script->Text();
    chunk.bytes = (what & 1U) != 0 ? text : Framed(text);
  } else {
    chunk.bytes = Framed(kTexts[what % kTexts.size()]);
  }
  return chunk;
}

std::vector<Chunk> ChooseAll(Script* script) {
  std::vector<Chunk> chunks;
  while (!script->AtEnd() && chunks.size() < 12) chunks.push_back(Choose(script));
  return chunks;
}

// ---- a channel
// -----------------------------------------------------------------------------------

struct Heard {
  std::vector<std::string> messages;
  int ends = 0;
  std::string why;

  // The kernel says with which bytes descriptors came, not with which message. One read may bring a
  // message and the next one's descriptors; so with a sender that names more than it sends, or
  // sends more than there is room for, it depends on the reads how much is heard before the end.
  bool Miscounted() const {
    return why == "a message without its descriptors" ||
           why == "more descriptors than there is room for";
  }
};

// Agree: the same was heard, or as far as both were told.
bool Agree(const Heard& a, const Heard& b) {
  if (!a.Miscounted() && !b.Miscounted()) return a.messages == b.messages;
  const std::size_t both = std::min(a.messages.size(), b.messages.size());
  return std::equal(a.messages.begin(), a.messages.begin() + static_cast<std::ptrdiff_t>(both),
                    b.messages.begin());
}

// Hear tells a channel the chunks, each in parts of `step` bytes. `abrupt`: all at once, and then
// the far end goes without having read what the channel has to say, which is a reset.
Heard Hear(const std::vector<Chunk>& chunks, std::size_t step, bool abrupt) {
  int ends[2] = {-1, -1};
  FUZZ_REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0, "");
  UniqueFd far(ends[0]);
  Heard heard;
  net::Loop loop;
  const auto turn = [&loop] {
    loop.Defer([&loop] { loop.Stop(); });
    loop.Run();
  };
  {
    Channel channel(
        loop, UniqueFd(ends[1]),
        {.on_message =
             [&heard](const Message& message) {
               FUZZ_REQUIRE(heard.ends == 0, "nothing comes behind the end");
               FUZZ_REQUIRE(!message.kind.empty(), "a kind");
               for (const UniqueFd& fd : message.descriptors)
                 FUZZ_REQUIRE(fcntl(fd.get(), F_GETFD) >= 0, "a descriptor");
               heard.messages.push_back(
                   message.fields.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) +
                   std::to_string(message.descriptors.size()));
             },
         .on_end =
             [&heard](const std::string& why) {
               ++heard.ends;
               heard.why = why;
             }});
    if (abrupt) channel.Send({"unread"});
    for (const Chunk& chunk : chunks) {
      for (std::size_t at = 0; at < chunk.bytes.size(); at += step) {
        const auto part = std::string_view(chunk.bytes).substr(at, step);
        if (!SendChunk(far.get(), part, at == 0 ? chunk.descriptors : 0)) break;
        if (!abrupt) turn();
      }
    }
    far.Reset();
    for (int left = 4; left > 0 || (heard.ends == 0 && left > -1000); --left) turn();
    FUZZ_REQUIRE(heard.ends == 1, "it ends once");
  }
  turn();
  return heard;
}

// ---- an offer
// ------------------------------------------------------------------------------------

// Folder is this process's, and goes with it.
const handover::Place& Here() {
  struct Folder {
    Folder() {
      std::string pattern = (std::filesystem::temp_directory_path() / "mooring-fuzz-XXXXXX");
      FUZZ_REQUIRE(mkdtemp(pattern.data()) != nullptr, pattern);
      path = pattern;
      auto opened = handover::Place::Open(path);
      FUZZ_REQUIRE(opened.has_value(), path);
      place.emplace(std::move(opened.value()));
    }
    ~Folder() { std::filesystem::remove_all(path); }
    std::string path;
    std::optional<handover::Place> place;
  };
  static Folder folder;
  return *folder.place;
}

void AskAndOffer(Script* script) {
  const std::vector<Chunk> chunks = ChooseAll(script);
  static UniqueFd door = [] {
    auto opened = Here().Listen(handover::kSocket);
    FUZZ_REQUIRE(opened.has_value(), opened ? "" : opened.error().message);
    return std::move(opened.value());
  }();
  std::thread predecessor([&chunks] {
    UniqueFd fd;
    while (!fd) fd = UniqueFd(accept4(door.get(), nullptr, nullptr, SOCK_CLOEXEC));
    for (const Chunk& chunk : chunks) (void)SendChunk(fd.get(), chunk.bytes, chunk.descriptors);
    // It waits for nobody: what it has to say it has said.
  });
  const auto offered = handover::AskForPlace(Here(), "1.2.3");
  predecessor.join();
  if (!offered) {
    FUZZ_REQUIRE(!offered.error().message.empty(), "why");
    return;
  }
  for (const auto& socket : offered.value().offer.sockets)
    FUZZ_REQUIRE(fcntl(socket.fd.get(), F_GETFD) >= 0, "a socket that was offered");
  for (const auto& documents : offered.value().offer.documents) {
    FUZZ_REQUIRE(fcntl(documents.fd.get(), F_GETFD) >= 0, "documents that were offered");
    FUZZ_REQUIRE(!handover::ReadDocuments(documents.fd.get(), 100).has_value(), "no sealed memory");
  }
  FUZZ_REQUIRE(fcntl(offered.value().channel.get(), F_GETFD) >= 0, "the channel");
}

// ---- documents
// -----------------------------------------------------------------------------------

void WriteAndRead(Script* script) {
  const std::size_t limit = script->Number16();
  const std::string content(TextOf(script->Rest()));
  const auto fd = handover::WriteDocuments(content);
  FUZZ_REQUIRE(fd.has_value(), fd ? "" : fd.error().message);
  for (int again = 0; again < 2; ++again) {
    const auto read = handover::ReadDocuments(fd.value().get(), limit);
    FUZZ_REQUIRE(read.has_value() == (content.size() <= limit), content);
    if (read) FUZZ_REQUIRE(read.value() == content, content);
  }
  const auto size = static_cast<off_t>(content.size());
  FUZZ_REQUIRE(write(fd.value().get(), "x", 1) < 0, "sealed");
  for (const off_t other : {size - 1, size + 1})
    FUZZ_REQUIRE(other < 0 || ftruncate(fd.value().get(), other) != 0, "sealed");
}

int FirstFree() {
  const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  close(fd);
  return fd;
}

}  // namespace

void handover(Input input) {
  Script script(input);
  const std::uint8_t how = script.Byte();
  (void)Here();
  if (how % 4 == 3) return WriteAndRead(&script);
  if (how % 4 == 2) return AskAndOffer(&script);
  const int before = FirstFree();
  const std::vector<Chunk> chunks = ChooseAll(&script);
  const bool abrupt = (how & 128U) != 0;
  const Heard whole = Hear(chunks, 1U << 16U, abrupt);
  // One after the other, as they may come: no more than a socket holds.
  const Heard split = Hear(chunks, abrupt ? 1U << 16U : 1 + how / 4U, false);
  FUZZ_REQUIRE(Agree(whole, split), whole.why + " / " + split.why);
  FUZZ_REQUIRE(FirstFree() == before, "no descriptor is left open");
}

}  // namespace mooring::fuzz
