// Review: a snapshot reaches each connection once, a few at a time, and always before the
// connection's next event.
#include "proxy/data/review.h"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/relay_fixture.h"

namespace {

using namespace mooring;
using data::Review;

constexpr std::size_t kAtOnce = data::Rounds<int>::kAtOnce;

// Fake is a connection that keeps a diary: "judged", "served", "escaped". It has a socket where it
// is given one.
class Fake final : public data::Connection {
 public:
  explicit Fake(net::Loop& loop, net::UniqueFd fd = {})
      : Connection(loop, data::ListenerKind::kPublic), fd_(std::move(fd)) {
    if (!fd_) return;
    poller_.emplace(loop, fd_.get(), [this](net::Poller::Ready) {
      diary.emplace_back("served");
      poller_->Set(net::Poller::kNone);
    });
    poller_->Set(net::Poller::kRead);
  }
  std::size_t judged() const {
    return static_cast<std::size_t>(std::count(diary.begin(), diary.end(), "judged"));
  }

  void Begin() override {}
  void Cut(data::CloseReason) noexcept override { (void)NoteRetired(); }
  void OnSnapshot(data::Judge&, net::MonotonicTime) override {
    diary.emplace_back("judged");
    if (throws) throw std::bad_alloc();
    if (revoked) Cut(data::CloseReason::kRevoked);
  }
  void OnSweep() override {}
  bool OwesAnswer() const override { return false; }
  bool IsAwaited() const override { return true; }
  bool EndIfQuiet(net::milliseconds) override { return true; }
  void OnEscaped() noexcept override {
    diary.emplace_back("escaped");
    Cut(data::CloseReason::kOutOfResources);
  }
  void ShowNow(data::ConnectionView*) override {}

  bool revoked = false;
  bool throws = false;
  std::vector<std::string> diary;

 private:
  net::UniqueFd fd_;
  std::optional<net::Poller> poller_;
};

struct Crowd {
  explicit Crowd(std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) Join();
  }
  Fake& Join(net::UniqueFd fd = {}) {
    loop.Attend(nullptr,
                [&] { connections.push_front(std::make_unique<Fake>(loop, std::move(fd))); });
    review.Joined(*connections.front());
    return static_cast<Fake&>(*connections.front());
  }
  void Leave(Review::Connections::iterator position) {
    review.Leaving(position);
    connections.erase(position);
  }
  void Begin() {
    auto next = std::make_shared<data::Snapshot>();
    review.Begin(std::exchange(snapshot, next), next);
  }
  std::vector<std::size_t> Judged() const {
    std::vector<std::size_t> counts;
    for (const auto& connection : connections)
      counts.push_back(static_cast<const Fake&>(*connection).judged());
    return counts;
  }
  std::size_t Sum() const {
    std::size_t sum = 0;
    for (const std::size_t count : Judged()) sum += count;
    return sum;
  }
  // Finish serves turns until the review is over, and checks that each is a small one.
  void Finish() {
    const auto limit = std::chrono::steady_clock::now() + test::kGiveUp;
    while (review.under_way()) {
      const std::size_t before = Sum();
      test::Turn(loop);
      CHECK(Sum() - before <= kAtOnce);
      REQUIRE(std::chrono::steady_clock::now() < limit);
    }
  }

  net::Loop loop;
  Review::Connections connections;
  Review review{loop, connections};
  std::shared_ptr<const data::Snapshot> snapshot;
};

// A pair of sockets, one of which has a byte to read.
std::pair<net::UniqueFd, net::UniqueFd> Readable() {
  int ends[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
  REQUIRE(send(ends[1], "x", 1, 0) == 1);
  return {net::UniqueFd(ends[0]), net::UniqueFd(ends[1])};
}

}  // namespace

TEST_CASE("review: a snapshot is judged a few connections a turn, each once") {
  Crowd crowd(9'000);
  crowd.Begin();
  CHECK(crowd.Sum() == kAtOnce);
  crowd.Finish();
  for (const std::size_t count : crowd.Judged()) CHECK(count == 1);
  CHECK_FALSE(crowd.review.under_way());
}

TEST_CASE("review: few connections are judged at once") {
  Crowd crowd(3);
  crowd.Begin();
  CHECK(crowd.Sum() == 3);
  CHECK_FALSE(crowd.review.under_way());
}

TEST_CASE(
    "review: a connection that has not been judged yet is judged before its next bytes move") {
  Crowd crowd(0);
  auto [leg, far] = Readable();
  Fake& last = crowd.Join(std::move(leg));
  for (std::size_t i = 0; i < 3'000; ++i) crowd.Join();
  SUBCASE("allowed: it goes on") {
    crowd.Begin();
    REQUIRE(last.diary.empty());
    test::Turn(crowd.loop);
    CHECK(last.diary == std::vector<std::string>{"judged", "served"});
  }
  SUBCASE("revoked: they do not") {
    last.revoked = true;
    crowd.Begin();
    REQUIRE(last.diary.empty());
    test::Turn(crowd.loop);
    CHECK(last.diary == std::vector<std::string>{"judged"});
  }
  SUBCASE("no memory to judge it: they do not") {
    last.throws = true;
    crowd.Begin();
    test::Turn(crowd.loop);
    CHECK(last.diary == std::vector<std::string>{"judged", "escaped"});
  }
  REQUIRE(crowd.review.under_way());
  crowd.Finish();
  CHECK(last.judged() == 1);  // its turn had been taken
}

TEST_CASE("review: a second snapshot in the middle of a review reaches everybody once") {
  Crowd crowd(1'000);
  crowd.Begin();
  crowd.Begin();
  crowd.Finish();
  std::size_t twice = 0;
  for (const std::size_t count : crowd.Judged()) {
    CHECK((count == 1 || count == 2));
    if (count == 2) ++twice;
  }
  CHECK(twice == kAtOnce);  // those who had been judged by the first
}

TEST_CASE(
    "review: who comes meanwhile is judged by its handshake, and who leaves leaves no trace") {
  Crowd crowd(1'000);
  crowd.Begin();
  const Fake& late = crowd.Join();
  // The one that would be next, among others.
  for (auto position = std::next(crowd.connections.begin()); position != crowd.connections.end();) {
    const auto leaving = position++;
    if (position != crowd.connections.end()) ++position;
    crowd.Leave(leaving);
  }
  crowd.Finish();
  CHECK(late.judged() == 0);
  for (const std::size_t count : crowd.Judged()) CHECK(count <= 1);
  CHECK(crowd.Sum() == crowd.connections.size() - 1);
}
