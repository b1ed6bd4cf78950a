// Lister: who asks for connections gets those that match, in the order that is wanted, however many
// there are and whatever leaves meanwhile; and the loop goes on between two parts of the work.
#include "proxy/data/lister.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "proxy/net/loop.h"
#include "tests/unit/relay_fixture.h"

namespace {

using namespace mooring;
using data::Lister;
using data::Wanted;

constexpr std::size_t kAtOnce = data::Rounds<int>::kAtOnce;

class Fake final : public data::Connection {
 public:
  Fake(net::Loop& loop, std::uint64_t id, std::string source, std::uint64_t bytes)
      : Connection(loop, data::ListenerKind::kPublic), source_(std::move(source)) {
    record_.id = id;
    record_.bytes_in = bytes;
  }
  void Begin() override {}
  void Cut(data::CloseReason) noexcept override { (void)NoteRetired(); }
  void OnSnapshot(data::Judge&, net::MonotonicTime) override {}
  void OnSweep() override {}
  bool OwesAnswer() const override { return false; }
  bool IsAwaited() const override { return true; }
  bool EndIfQuiet(net::milliseconds) override { return true; }
  void OnEscaped() noexcept override {}
  void ShowNow(data::ConnectionView* view) override {
    view->source = source_;
    if (throws) throw std::bad_alloc();
  }
  void Feed() noexcept override { ++fed; }

  int fed = 0;
  bool throws = false;

 private:
  const std::string source_;
};

struct Crowd {
  Fake& Join(const std::string& source, std::uint64_t bytes = 0) {
    connections.push_front(std::make_unique<Fake>(loop, ++last_id, source, bytes));
    return static_cast<Fake&>(*connections.front());
  }
  void Leave(Lister::Connections::iterator position) {
    lister.Leaving(position);
    connections.erase(position);
  }
  void Ask(Wanted wanted, data::Found* found, bool* back) {
    lister.Ask(
        std::make_shared<data::Inquiry>(loop, std::move(wanted), found, [back] { *back = true; }));
  }
  data::Found Answer(Wanted wanted) {
    data::Found found;
    bool back = false;
    const Wanted::Order order = wanted.order;
    Ask(std::move(wanted), &found, &back);
    test::RunUntil(loop, [&] { return back; });
    std::sort(found.views.begin(), found.views.end(),
              [order](const auto& a, const auto& b) { return data::Before(order, a, b); });
    return found;
  }

  net::Loop loop;
  std::uint64_t last_id = 0;
  Lister::Connections connections;
  Lister lister{loop, connections};
};

std::vector<std::uint64_t> Ids(const data::Found& found) {
  std::vector<std::uint64_t> ids;
  for (const data::ConnectionView& view : found.views) ids.push_back(view.id);
  return ids;
}

Wanted Words(const std::string& typed, std::size_t most = 100) {
  Wanted wanted;
  wanted.words = data::WordsOf(typed);
  wanted.most = most;
  return wanted;
}

}  // namespace

TEST_CASE("lister: the newest come first, and all that match are counted") {
  Crowd crowd;
  for (int i = 0; i < 300; ++i) crowd.Join(i % 3 == 0 ? "Web" : "api");
  data::Found found = crowd.Answer(Words("", 2));
  CHECK(found.matched == 300);
  CHECK(Ids(found) == std::vector<std::uint64_t>{300, 299});
  found = crowd.Answer(Words(" wEB  inbound ", 2));
  CHECK(found.matched == 100);
  CHECK(Ids(found) == std::vector<std::uint64_t>{298, 295});
  CHECK(crowd.Answer(Words("web outbound")).matched == 0);
  CHECK(crowd.Answer(Words("", 0)).matched == 300);
}

TEST_CASE("lister: by bytes, those with most come first wherever they stand in the list") {
  Crowd crowd;
  for (const std::uint64_t bytes : {5U, 900U, 7U, 900U, 1U}) crowd.Join("web", bytes);
  Wanted wanted = Words("", 3);
  wanted.order = Wanted::Order::kBytes;
  CHECK(Ids(crowd.Answer(wanted)) == std::vector<std::uint64_t>{4, 2, 3});
}

TEST_CASE("lister: a few in each turn of the loop, one question after the other") {
  Crowd crowd;
  for (std::size_t i = 0; i < 3 * kAtOnce; ++i) crowd.Join("web");
  Wanted feed;
  feed.feed = true;
  data::Found none, found;
  bool fed = false, back = false;
  crowd.Ask(feed, &none, &fed);
  crowd.Ask(Words(""), &found, &back);
  const auto count = [&] {
    return std::count_if(crowd.connections.begin(), crowd.connections.end(),
                         [](const auto& one) { return static_cast<const Fake&>(*one).fed == 1; });
  };
  CHECK(count() == kAtOnce);
  CHECK_FALSE(fed);
  // What leaves while it is under way is in nobody's way, and what comes is not awaited.
  crowd.Leave(std::next(crowd.connections.begin(), kAtOnce));
  crowd.Leave(std::prev(crowd.connections.end()));
  crowd.Join("late");
  test::RunUntil(crowd.loop, [&] { return fed && back; });
  CHECK(count() == 3 * kAtOnce - 2);
  CHECK(none.views.empty());
  CHECK(found.matched == 3 * kAtOnce - 1);
}

TEST_CASE("lister: one that is over is not shown, and a lack of memory is said") {
  Crowd crowd;
  crowd.Join("web").Cut(data::CloseReason::kDone);
  Fake& heavy = crowd.Join("web");
  CHECK(crowd.Answer(Words("")).matched == 1);
  heavy.throws = true;
  CHECK(crowd.Answer(Words("")).failed);
  heavy.throws = false;
  CHECK_FALSE(crowd.Answer(Words("")).failed);
}
