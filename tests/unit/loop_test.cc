// The loop serves sockets in the order in which they became ready.
#include <doctest/doctest.h>
#include <sys/socket.h>

#include <array>
#include <memory>
#include <vector>

#include "proxy/net/loop.h"
#include "proxy/net/socket.h"

namespace {

using namespace mooring;

// Box is a socket that a byte can be put into, and that notes when it is served.
struct Box {
  Box(net::Loop& loop, int number, std::vector<int>& served) {
    std::array<int, 2> ends{};
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) == 0);
    near = net::UniqueFd(ends[0]);
    far = net::UniqueFd(ends[1]);
    poller = std::make_unique<net::Poller>(loop, near.get(), [this, number, &served](net::Poller::Ready) {
      char byte = 0;
      REQUIRE(recv(near.get(), &byte, 1, 0) == 1);
      served.push_back(number);
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
  for (int number = 0; number < 8; ++number) boxes.push_back(std::make_unique<Box>(loop, number, served));
  Turn(loop);
  REQUIRE(served.empty());
  const std::vector<std::vector<int>> orders = {
      {0, 1, 2, 3, 4, 5, 6, 7}, {7, 6, 5, 4, 3, 2, 1, 0}, {3, 1, 4, 0, 5, 2, 6}, {2, 7}, {6, 0, 3}, {5, 4, 3, 2, 1, 0}};
  for (const std::vector<int>& order : orders) {
    for (const int number : order) boxes[static_cast<std::size_t>(number)]->Fill();
    Turn(loop);
    CHECK(served == order);
    served.clear();
    Turn(loop);  // the kernel keeps the place of what it has just reported until it finds that it is not ready
    REQUIRE(served.empty());
  }
}
