// The loop serves sockets in the order in which they became ready, and what other threads post
// before the next of them. Its scratch memory is given back after large bursts.
#include <doctest/doctest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "proxy/net/loop.h"
#include "proxy/net/scratch.h"
#include "proxy/net/socket.h"

namespace {

using namespace mooring;

// Box is a socket that a byte can be put into, and that notes when it is served.
struct Box {
  Box(
      net::Loop& loop, int number, std::vector<int>& served, std::function<void()> then = [] {}) {
    std::array<int, 2> ends{};
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) == 0);
    near = net::UniqueFd(ends[0]);
    far = net::UniqueFd(ends[1]);
    poller = std::make_unique<net::Poller>(
        loop, near.get(), [this, number, &served, then = std::move(then)](net::Poller::Ready) {
          char byte = 0;
          REQUIRE(recv(near.get(), &byte, 1, 0) == 1);
          served.push_back(number);
          then();
        });
    poller->Set(net::Poller::kRead);
  }
  void Fill() const { REQUIRE(send(far.get(), "x", 1, 0) == 1); }

  net::UniqueFd near;
  net::UniqueFd far;
  std::unique_ptr<net::Poller> poller;
};

void Turn(net::Loop& loop) {
  loop.Defer([&loop] { loop.Stop(); });  // after the events at hand
  loop.Run();
}

}  // namespace

TEST_CASE("sockets are served in the order in which they became ready") {
  net::Loop loop;
  std::vector<int> served;
  std::vector<std::unique_ptr<Box>> boxes;
  for (int number = 0; number < 8; ++number)
    boxes.push_back(std::make_unique<Box>(loop, number, served));
  Turn(loop);
  REQUIRE(served.empty());
  const std::vector<std::vector<int>> orders = {
      {0, 1, 2, 3, 4, 5, 6, 7}, {7, 6, 5, 4, 3, 2, 1, 0}, {3, 1, 4, 0, 5, 2, 6}, {2, 7}, {6, 0, 3},
      {5, 4, 3, 2, 1, 0}};
  for (const std::vector<int>& order : orders) {
    for (const int number : order) boxes[static_cast<std::size_t>(number)]->Fill();
    Turn(loop);
    CHECK(served == order);
    served.clear();
    // the kernel keeps the place of what it has just reported until it finds that it is not ready
    Turn(loop);
    REQUIRE(served.empty());
  }
}

TEST_CASE("what another thread posts holds for every socket served after it") {
  net::Loop loop;
  std::vector<int> served;
  const auto post = [&](int number) {
    std::thread([&, number] { loop.Post([&, number] { served.push_back(number); }); }).join();
  };
  const Box first(loop, 0, served, [&] { post(101); });
  const Box second(loop, 1, served, [&] {
    post(102);
    post(103);
  });
  const Box third(loop, 2, served);
  Turn(loop);
  // ready before the tasks are posted
  for (const Box* box : {&first, &second, &third}) box->Fill();
  post(100);
  Turn(loop);
  CHECK(served == std::vector<int>{100, 0, 101, 1, 102, 103, 2});
}

TEST_CASE("scratch memory of large bursts is given back once there are no more") {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const auto resident = [page](std::span<std::uint8_t> scratch) {
    std::vector<unsigned char> pages((scratch.size() + page - 1) / page);
    REQUIRE(mincore(scratch.data(), scratch.size(), pages.data()) == 0);
    return page * static_cast<std::size_t>(std::count_if(
                      pages.begin(), pages.end(), [](unsigned char p) { return (p & 1U) != 0; }));
  };
  net::Loop loop;
  const auto burst = [&](std::size_t bytes) {
    for (const auto scratch : {loop.scratch().cipher(), loop.scratch().plain()})
      std::fill_n(scratch.begin(), bytes, std::uint8_t{1});
    loop.scratch().out().resize(bytes);
    loop.scratch().NoteRead(bytes);
  };
  CHECK(resident(loop.scratch().cipher()) == 0);
  burst(net::kLargeBurst);
  loop.scratch().Trim();
  CHECK(resident(loop.scratch().cipher()) >= net::kLargeBurst);  // there may be more of them
  burst(net::kReadBurst);
  loop.scratch().Trim();
  CHECK(resident(loop.scratch().cipher()) <= net::kReadBurst + page);
  CHECK(resident(loop.scratch().plain()) <= net::kReadBurst + page);
  CHECK(loop.scratch().out().empty());
  CHECK(loop.scratch().cipher().front() == 1);  // what the next message will need stays
}
