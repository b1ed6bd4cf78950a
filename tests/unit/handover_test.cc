// What passes from a process to its successor: the place, the channel, the offer, a question.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "proxy/control/question_parts.h"
#include "proxy/handover/channel.h"
#include "proxy/handover/documents.h"
#include "proxy/handover/offer.h"
#include "proxy/handover/place.h"
#include "proxy/net/loop.h"

namespace mooring {
namespace {

using handover::Channel;
using handover::Message;
using handover::Place;
using net::UniqueFd;

// Folder is a new one, which goes with it.
class Folder final {
 public:
  Folder() : path_(Made()) {}
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::string& path() const { return path_; }

 private:
  static std::string Made() {
    std::string path = (std::filesystem::temp_directory_path() / "handover-XXXXXX").string();
    return mkdtemp(path.data());
  }
  std::string path_;
};

// Pair is both ends of a socket.
struct Pair {
  Pair() {
    int fds[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    one = UniqueFd(fds[0]);
    other = UniqueFd(fds[1]);
  }
  UniqueFd one, other;
};

// Heard is what a channel has told.
struct Heard {
  explicit Heard(net::Loop& loop) : late(loop, [&loop] { loop.Stop(); }) {
    late.Start(net::milliseconds(5'000));
  }
  std::vector<Message> messages;
  std::string end;
  net::Timer late;
  Channel::Callbacks Until(net::Loop& loop, std::size_t count) {
    return {[this, &loop, count](Message message) {
              messages.push_back(std::move(message));
              if (messages.size() == count) loop.Stop();
            },
            [this, &loop](const std::string& why) {
              end = why;
              loop.Stop();
            }};
  }
};

void Settle(net::Loop& loop) {
  loop.Post([&loop] { loop.Stop(); });
  loop.Run();
}

std::string Framed(const std::string& text) {
  std::string prefix(4, '\0');
  for (std::size_t i = 0; i < 4; ++i)
    prefix[i] = static_cast<char>((text.size() >> (8 * (3 - i))) & 0xffU);
  return prefix + text;
}

TEST_CASE("handover: messages keep their order, their fields and their descriptors") {
  net::Loop loop;
  {
    Pair pair;
    Heard heard(loop);
    Channel from(loop, std::move(pair.one), {[](Message) {}, [](const std::string&) {}});
    Channel to(loop, std::move(pair.other), heard.Until(loop, 3));
    int pipes[2];
    REQUIRE(pipe2(pipes, O_CLOEXEC) == 0);
    UniqueFd read_end(pipes[0]);
    Message with{"sockets", {{"names", {"a"}}}};
    with.descriptors.emplace_back(pipes[1]);
    // More than a socket takes at once.
    from.Send({"first", {{"text", std::string(3'000'000, 'x')}}});
    from.Send(std::move(with));
    from.Send({"last", {{"number", 7}, {"flag", true}}});
    loop.Run();
    REQUIRE(heard.messages.size() == 3);
    CHECK(heard.messages[0].Text("text").size() == 3'000'000);
    REQUIRE(heard.messages[1].descriptors.size() == 1);
    CHECK(write(heard.messages[1].descriptors[0].get(), "!", 1) == 1);
    char byte = 0;
    CHECK(read(read_end.get(), &byte, 1) == 1);
    CHECK(heard.messages[1].Texts("names") == std::vector<std::string>{"a"});
    CHECK(heard.messages[2].Number("number") == 7);
    CHECK(heard.messages[2].Flag("flag"));
    CHECK(heard.messages[2].Number("none", -1) == -1);
    CHECK(heard.messages[2].Text("number").empty());
  }
  Settle(loop);
}

TEST_CASE("handover: what was said before the other end went unread is heard, and then its end") {
  net::Loop loop;
  {
    Pair pair;
    Heard heard(loop);
    Channel to(loop, std::move(pair.other), heard.Until(loop, 9));
    // Never read, so that closing is a reset.
    to.Send({"take_over", {}});
    {
      Channel from(loop, std::move(pair.one), {[](Message) {}, [](const std::string&) {}});
      // Each by itself: one read takes the descriptors of one message.
      for (int i = 0; i < 3; ++i) {
        Message message{"sockets", {}};
        message.descriptors.emplace_back(open("/dev/null", O_RDONLY | O_CLOEXEC));
        from.Send(std::move(message));
      }
    }
    loop.Run();
    CHECK(heard.messages.size() == 3);
    CHECK(heard.end == "Connection reset by peer");
  }
  Settle(loop);
}

TEST_CASE("handover: what is no message ends the channel") {
  const std::string cases[] = {
      Framed("[]"),
      Framed("not json"),
      Framed(R"({"no":"kind"})"),
      Framed(R"({"kind":7})"),
      Framed(R"({"kind":"sockets","descriptors":1})"),  // and none came
      std::string("\xff\xff\xff\xff", 4),               // a length beyond any
  };
  for (const std::string& bytes : cases) {
    CAPTURE(bytes);
    net::Loop loop;
    {
      Pair pair;
      Heard heard(loop);
      Channel to(loop, std::move(pair.other), heard.Until(loop, 1));
      REQUIRE(write(pair.one.get(), bytes.data(), bytes.size()) ==
              static_cast<ssize_t>(bytes.size()));
      loop.Run();
      CHECK(heard.messages.empty());
      CHECK(!heard.end.empty());
    }
    Settle(loop);
  }
}

TEST_CASE("handover: a message that comes byte by byte is whole in the end, and an end is told") {
  net::Loop loop;
  {
    Pair pair;
    Heard heard(loop);
    Channel to(loop, std::move(pair.other), heard.Until(loop, 2));
    std::thread slow([fd = std::move(pair.one)] {
      for (const char byte : Framed(R"({"kind":"ready"})")) {
        (void)!write(fd.get(), &byte, 1);
        std::this_thread::yield();
      }
    });
    loop.Run();
    slow.join();
    REQUIRE(heard.messages.size() == 1);
    CHECK(heard.messages[0].kind == "ready");
    CHECK(!heard.end.empty());
  }
  Settle(loop);
}

TEST_CASE("handover: the place is ours alone, and the newest has its socket") {
  Folder folder;
  const std::string path = folder.path() + "/place";
  auto place = Place::Open(path);
  REQUIRE(place);
  struct stat info {};
  REQUIRE(stat(path.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0700);
  CHECK(place->Connect(handover::kSocket).error().code == ErrorCode::kNotFound);
  {
    auto first = place->Listen(handover::kSocket);
    auto second = place->Listen(handover::kSocket);
    REQUIRE(first);
    REQUIRE(second);
    REQUIRE(stat(place->PathOf(handover::kSocket).c_str(), &info) == 0);
    CHECK((info.st_mode & 0777) == 0600);
    auto connected = place->Connect(handover::kSocket);
    REQUIRE(connected);
    CHECK(handover::IsOurs(connected->get()));
    first->Reset();
    CHECK(place->Connect(handover::kSocket));  // it was the second's
    place->Remove(handover::kSocket);
    CHECK(!std::filesystem::exists(place->PathOf(handover::kSocket)));
  }
  CHECK(chmod(path.c_str(), 0750) == 0);
  CHECK(Place::Open(path).error().message.find("chmod 0700 " + path) != std::string::npos);
  CHECK(Place::Open(folder.path() + "/none/deeper").error().message.find("cannot be made") !=
        std::string::npos);
  CHECK(!Place::Open(folder.path() + "/" + std::string(120, 'x')));
}

TEST_CASE("handover: a successor gets all that is offered, however many sockets there are") {
  Folder folder;
  auto place = Place::Open(folder.path() + "/place");
  REQUIRE(place);
  auto listening = place->Listen(handover::kSocket);
  REQUIRE(listening);
  constexpr std::size_t kSockets = 150;
  std::thread predecessor([&] {
    UniqueFd fd;
    while (!fd) fd = UniqueFd(accept4(listening->get(), nullptr, nullptr, SOCK_NONBLOCK));
    net::Loop loop;
    {
      handover::Offer offer;
      offer.generation = 3;
      offer.notify_socket = "/run/systemd/notify";
      offer.watchdog_period = net::milliseconds(1'500);
      for (std::size_t i = 0; i < kSockets; ++i)
        offer.sockets.push_back(
            {UniqueFd(dup(listening->get())), i % 2 == 0 ? "" : "n" + std::to_string(i)});
      for (std::size_t i = 0; i < kSockets; ++i) {
        const std::string of = "service.s" + std::to_string(i);
        offer.documents.push_back({of, *handover::WriteDocuments("of " + of)});
      }
      std::optional<Channel> channel;
      channel.emplace(
          loop, std::move(fd),
          Channel::Callbacks{[&](const Message& message) {
                               CHECK(message.kind == "take_over");
                               for (Message& part : handover::MessagesOf(std::move(offer)))
                                 channel->Send(std::move(part));
                             },
                             [&loop](const std::string&) { loop.Stop(); }});
      loop.Run();
    }
    Settle(loop);
  });
  {
    auto offered = handover::AskForPlace(*place, "1.2.3");
    REQUIRE(offered);
    CHECK(offered->offer.generation == 3);
    CHECK(offered->offer.notify_socket == "/run/systemd/notify");
    CHECK(offered->offer.watchdog_period == net::milliseconds(1'500));
    REQUIRE(offered->offer.sockets.size() == kSockets);
    CHECK(offered->offer.sockets[148].name.empty());
    CHECK(offered->offer.sockets[149].name == "n149");
    CHECK(net::SocketAddress::LocalOf(offered->offer.sockets[149].fd.get()).family() == AF_UNIX);
    REQUIRE(offered->offer.documents.size() == kSockets);
    const handover::Offer::Documents& last = offered->offer.documents.back();
    CHECK(last.of == "service.s149");
    for (int time = 0; time < 2; ++time)
      CHECK(*handover::ReadDocuments(last.fd.get(), 100) == "of service.s149");
  }
  predecessor.join();
}

TEST_CASE("handover: documents cannot be changed on their way, and nothing else is read as such") {
  auto fd = handover::WriteDocuments("what is known");
  REQUIRE(fd);
  CHECK(*handover::ReadDocuments(fd->get(), 13) == "what is known");
  CHECK(pwrite(fd->get(), "W", 1, 0) < 0);
  CHECK(ftruncate(fd->get(), 0) < 0);
  CHECK(handover::ReadDocuments(fd->get(), 12).error().message == "it is too large");
  CHECK(*handover::ReadDocuments(handover::WriteDocuments("")->get(), 0) == "");
  std::array<int, 2> pair{};
  REQUIRE(pipe(pair.data()) == 0);
  const UniqueFd reading(pair[0]);
  const UniqueFd writing(pair[1]);
  CHECK(handover::ReadDocuments(reading.get(), 100).error().message == "it is no sealed memory");
  const UniqueFd unsealed(memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  CHECK(handover::ReadDocuments(unsealed.get(), 100).error().message == "it is no sealed memory");
  CHECK(!handover::ReadDocuments(-1, 100));
}

TEST_CASE("handover: a question is read as it was written, and what is none is refused") {
  control::Question::What what;
  what.path = "/v1/health/connect/db%20x";
  what.query = "passing&tag=a%20b";
  what.any_token = true;
  control::Question::How how;
  how.own = control::Question::Own::kIntentionList;
  how.wait = net::milliseconds(20'000);
  how.marked = true;
  const std::string header = control::HeaderOf(what, how);
  const auto read = control::ReadHeader(header);
  REQUIRE(read);
  CHECK(read->what == what);
  CHECK(read->how.own == how.own);
  CHECK(read->how.wait == how.wait);
  CHECK(read->how.marked);
  for (const char* wrong :
       {"", "index", "often any-token none marked 1 /v1/x ", "index some none marked 1 /v1/x ",
        "index any-token all marked 1 /v1/x ", "index any-token none marked 1x /v1/x ",
        "index any-token none marked -1 /v1/x ", "index any-token none marked 99999999999 /v1/x "})
    CHECK(!control::ReadHeader(wrong));
}

}  // namespace
}  // namespace mooring
