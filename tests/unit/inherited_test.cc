#include "proxy/net/inherited.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "proxy/net/refusing_port.h"
#include "tests/unit/http_fixture.h"
#include "tests/unit/state_fixture.h"

namespace mooring::net {
namespace {

using test::Loopback;

std::uint16_t PortOf(int fd) { return SocketAddress::LocalOf(fd).port(); }

// Taken asks for a literal.
Result<Inherited::Socket> Taken(Inherited& from, const Address& wanted) {
  return from.Take(wanted, {*SocketAddress::FromLiteral(wanted)});
}
Result<Inherited::Socket> Opened(Inherited& from, const Address& wanted) {
  return from.Open(wanted, {*SocketAddress::FromLiteral(wanted)});
}

// Bound is a listening socket as a manager makes them: blocking, passed over exec.
UniqueFd Bound(const char* host, bool v6_only = false) {
  const SocketAddress at = *SocketAddress::FromLiteral(Address::Tcp(host, 0));
  UniqueFd fd(socket(at.family(), SOCK_STREAM, 0));
  const int only = v6_only ? 1 : 0;
  if (at.family() == AF_INET6)
    REQUIRE(setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only) == 0);
  REQUIRE(bind(fd.get(), at.raw(), at.length()) == 0);
  REQUIRE(listen(fd.get(), 8) == 0);
  return fd;
}

TEST_CASE("inherited: a socket is given once, to who wants its address, fit for a loop") {
  Inherited inherited;
  UniqueFd fd = Bound("127.0.0.1");
  const int number = fd.get();
  const std::uint16_t port = PortOf(number);
  inherited.Add(std::move(fd), "web");
  CHECK(inherited.complaints().empty());
  CHECK(inherited.Left() == std::vector{Loopback(port).Text() + " (web)"});
  CHECK(Taken(inherited, Address::Tcp("127.0.0.2", port)).error().code == ErrorCode::kNotFound);
  CHECK(Taken(inherited, Loopback(0)).error().code == ErrorCode::kNotFound);
  auto taken = Taken(inherited, Loopback(port));
  REQUIRE(taken);
  CHECK(taken->fd.get() == number);
  CHECK(taken->name == "web");
  CHECK(taken->inherited);
  CHECK(taken->HeldByUnit());
  CHECK((fcntl(number, F_GETFD) & FD_CLOEXEC) != 0);
  CHECK((fcntl(number, F_GETFL) & O_NONBLOCK) != 0);
  CHECK(inherited.Left().empty());
  CHECK(Taken(inherited, Loopback(port)).error().code == ErrorCode::kNotFound);
  inherited.Return(std::move(*taken));
  CHECK(Taken(inherited, Loopback(port))->name == "web");
}

TEST_CASE("inherited: every interface is not one, and one is not every interface") {
  Inherited inherited;
  UniqueFd every = Bound("0.0.0.0"), one = Bound("127.0.0.1");
  const std::uint16_t every_port = PortOf(every.get()), one_port = PortOf(one.get());
  inherited.Add(std::move(every), "every");
  inherited.Add(std::move(one), "one");
  auto wider = Opened(inherited, Loopback(every_port));
  REQUIRE_FALSE(wider);
  CHECK(wider.error().message.find("passed to us (every) is at 0.0.0.0:") != std::string::npos);
  auto narrower = Opened(inherited, Address::Tcp("0.0.0.0", one_port));
  REQUIRE_FALSE(narrower);
  CHECK(narrower.error().message.find("passed to us (one) is at 127.0.0.1:") != std::string::npos);
  CHECK(Taken(inherited, Address::Tcp("0.0.0.0", every_port)));
  CHECK(Taken(inherited, Loopback(one_port)));
}

TEST_CASE("inherited: [::] of both families is 0.0.0.0 as well; of IPv6 alone it is neither") {
  Inherited inherited;
  UniqueFd both = Bound("::"), also = Bound("::"), six = Bound("::", true);
  const std::uint16_t both_port = PortOf(both.get()), also_port = PortOf(also.get()),
                      six_port = PortOf(six.get());
  inherited.Add(std::move(both));
  inherited.Add(std::move(also));
  inherited.Add(std::move(six));
  CHECK(Taken(inherited, Address::Tcp("0.0.0.0", both_port)));
  CHECK(Taken(inherited, Address::Tcp("::", also_port)));
  CHECK_FALSE(Taken(inherited, Address::Tcp("0.0.0.0", six_port)));
  const auto opened = Opened(inherited, Address::Tcp("::", six_port));
  REQUIRE_FALSE(opened);
  CHECK(opened.error().message.find("BindIPv6Only=both") != std::string::npos);
}

TEST_CASE("inherited: of a name's addresses the first that is there is taken") {
  Inherited inherited;
  UniqueFd fd = Bound("::1", true);
  const std::uint16_t port = PortOf(fd.get());
  inherited.Add(std::move(fd));
  const auto taken = inherited.Take(Address::Tcp("localhost", port),
                                    {*SocketAddress::FromLiteral(Loopback(port)),
                                     *SocketAddress::FromLiteral(Address::Tcp("::1", port))});
  REQUIRE(taken);
  CHECK_FALSE(taken->HeldByUnit());
}

TEST_CASE("inherited: a unix socket is known by its path, and no wider than wanted") {
  const test::TempDir folder;
  Address address;
  address.kind = Address::Kind::kUnix;
  address.path = folder.path() + "/s";
  Inherited inherited;
  inherited.Add(*Listen(address), "unit");
  REQUIRE(chmod(address.path.c_str(), 0666) == 0);
  const auto wide = Opened(inherited, address);
  REQUIRE_FALSE(wide);
  CHECK(wide.error().code == ErrorCode::kInvalid);
  CHECK(wide.error().message.find("SocketMode=0600") != std::string::npos);
  address.mode = 0666;
  auto taken = Opened(inherited, address);
  REQUIRE(taken);
  CHECK(taken->inherited);
  inherited.Return(std::move(*taken));
  // Nobody could reach it: it is made anew.
  REQUIRE(unlink(address.path.c_str()) == 0);
  const auto fresh = Opened(inherited, address);
  REQUIRE(fresh);
  CHECK_FALSE(fresh->inherited);
}

TEST_CASE("inherited: one that refuses for now is given as well, and can listen again") {
  Inherited inherited;
  const std::uint16_t port = PortOf(Bound("127.0.0.1").get());  // was free a moment ago
  UniqueFd fd = *Listen(Loopback(port));
  REQUIRE(RefuseAt(fd.get()));
  inherited.Add(std::move(fd));
  const auto taken = Taken(inherited, Loopback(port));
  REQUIRE(taken);
  CHECK_FALSE(Listens(taken->fd.get()));
  CHECK(ListenAgain(taken->fd.get()));
  CHECK(Listens(taken->fd.get()));
}

TEST_CASE("inherited: what nobody can accept at is named") {
  Inherited inherited;
  inherited.Add(UniqueFd(socket(AF_INET, SOCK_DGRAM, 0)), "datagrams");
  inherited.Add(UniqueFd(open("/dev/null", O_RDONLY)), "file");
  inherited.Add(UniqueFd(socket(AF_INET, SOCK_STREAM, 0)), "unbound");
  int pair[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  inherited.Add(UniqueFd(pair[0]), "accepted");
  close(pair[1]);
  CHECK(inherited.Left().empty());
  const std::vector<std::string> named = {"(datagrams) is no stream socket", "(file) is no socket",
                                          "(unbound) is not bound", "(accepted) is a connection"};
  REQUIRE(inherited.complaints().size() == named.size());
  for (std::size_t i = 0; i < named.size(); ++i)
    CHECK(inherited.complaints()[i].find(named[i]) != std::string::npos);
}

// Passed is what a manager leaves in the environment.
struct Passed {
  Passed(const char* count, const std::string& process, const char* names) {
    setenv("LISTEN_FDS", count, 1);
    setenv("LISTEN_PID", process.c_str(), 1);
    setenv("LISTEN_FDNAMES", names, 1);
  }
};

TEST_CASE("inherited: what a manager passes is taken once, by its names") {
  constexpr int kFirst = 700;  // nothing else is there
  UniqueFd one = Bound("127.0.0.1"), two = Bound("127.0.0.1");
  const std::uint16_t first = PortOf(one.get()), second = PortOf(two.get());
  REQUIRE(dup2(one.get(), kFirst) == kFirst);
  REQUIRE(dup2(two.get(), kFirst + 1) == kFirst + 1);
  Passed(/*count=*/"2", std::to_string(getpid()), /*names=*/"public.socket");
  Inherited inherited;
  inherited.AddFromManager(kFirst);
  CHECK(inherited.complaints().empty());
  CHECK(Taken(inherited, Loopback(first))->name == "public.socket");
  CHECK(Taken(inherited, Loopback(second))->HeldByUnit());
  for (const char* name : {"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"})
    CHECK(std::getenv(name) == nullptr);
  inherited.AddFromManager(kFirst);
  CHECK(inherited.complaints().empty());
}

TEST_CASE("inherited: what is passed to another process, or is no number, is named and not taken") {
  const struct {
    const char* count;
    std::string process;
    const char* says;
  } cases[] = {{"1", "1", "has to exec"},
               {"x", std::to_string(getpid()), "must be numbers"},
               {"", std::to_string(getpid()), "must be numbers"},
               {"2", std::to_string(getpid()), "descriptor 800 is not open"}};
  for (const auto& each : cases) {
    Passed(each.count, each.process, "a:b");
    Inherited inherited;
    inherited.AddFromManager(800);
    REQUIRE(inherited.complaints().size() == 1);
    CHECK(inherited.complaints().front().find(each.says) != std::string::npos);
  }
}

TEST_CASE("inherited: who waits at a socket that nobody takes is turned away when it is time") {
  Loop loop;
  Inherited inherited;
  UniqueFd one = Bound("127.0.0.1"), predecessors = Bound("127.0.0.1");
  const SocketAddress at = SocketAddress::LocalOf(one.get()),
                      theirs = SocketAddress::LocalOf(predecessors.get());
  inherited.Add(std::move(predecessors));
  // As one of a manager's that was used here and is not wanted any more.
  inherited.Add(std::move(one), "unit");
  inherited.LetGo(Loopback(at.port()), *Taken(inherited, Loopback(at.port())));
  const ConnectStart early = StartConnect(at), other = StartConnect(theirs);
  std::vector<std::string> reset;
  inherited.TurnAway(
      loop, [&](const SocketAddress&, const std::string& socket) { reset.push_back(socket); });
  test::RunUntil(loop, [&] { return !reset.empty(); });
  CHECK(reset == std::vector{at.Text() + " (unit)"});
  char byte = 0;
  CHECK(recv(early.fd.get(), &byte, 1, 0) < 0);
  CHECK(errno == ECONNRESET);
  // Its new owner alone has it.
  auto taken = Taken(inherited, Loopback(at.port()));
  REQUIRE(taken);
  const ConnectStart late = StartConnect(at);
  bool over = false;
  Timer timer(loop, [&] { over = true; });
  timer.Start(milliseconds(50));
  test::RunUntil(loop, [&] { return over; });
  CHECK(reset.size() == 1);
  const UniqueFd accepted(accept(taken->fd.get(), nullptr, nullptr));
  CHECK(accepted);
  // Where a predecessor accepts nobody is taken from it.
  CHECK(recv(other.fd.get(), &byte, 1, 0) < 0);
  CHECK(errno == EAGAIN);
}

// Store is a manager that keeps what it is told.
struct Store {
  Store() {
    const SocketAddress at = *SocketAddress::FromLiteral(ParseAddress("unix:" + Path()).value());
    REQUIRE(bind(fd.get(), at.raw(), at.length()) == 0);
  }
  std::string Path() const { return folder.path() + "/notify"; }
  // Next is the next message, and the descriptor that came with it.
  std::string Next(UniqueFd* given) {
    char text[512], control[CMSG_SPACE(sizeof(int))] = {};
    iovec into{text, sizeof text};
    msghdr message{};
    message.msg_iov = &into;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t size = recvmsg(fd.get(), &message, MSG_DONTWAIT);
    if (size < 0) return {};
    if (const cmsghdr* rights = CMSG_FIRSTHDR(&message); rights != nullptr) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(rights), sizeof number);
      *given = UniqueFd(number);
    }
    return {text, static_cast<std::size_t>(size)};
  }
  const test::TempDir folder;
  const UniqueFd fd{socket(AF_UNIX, SOCK_DGRAM, 0)};
};

TEST_CASE("inherited: what we open is the manager's to keep, and a later process takes it") {
  Store store;
  const NotifySocket manager(store.Path());
  Inherited first;
  first.UseStore(manager);
  const std::uint16_t port = PortOf(Bound("127.0.0.1").get());  // was free a moment ago
  auto opened = Opened(first, Loopback(port));
  REQUIRE(opened);
  REQUIRE(first.Keep(Loopback(port), &*opened));
  CHECK(opened->Kept());
  CHECK_FALSE(opened->HeldByUnit());
  CHECK_FALSE(opened->KeptForSure());
  UniqueFd kept;
  CHECK(store.Next(&kept) == "FDSTORE=1\nFDPOLL=0\nFDNAME=" + KeptName(Loopback(port)));
  CHECK(PortOf(kept.get()) == port);
  REQUIRE(first.Keep(Loopback(port), &*opened));  // once is enough
  CHECK(store.Next(&kept).empty());

  opened->fd.Reset();
  Inherited second;
  second.UseStore(manager);
  second.Add(std::move(kept), KeptName(Loopback(port)));
  auto taken = Taken(second, Loopback(port));
  REQUIRE(taken);
  CHECK(taken->KeptForSure());
  REQUIRE(second.Keep(Loopback(port), &*taken));
  CHECK(store.Next(&kept).empty());
  second.LetGo(Loopback(port), std::move(*taken));
  CHECK(store.Next(&kept) == "FDSTOREREMOVE=1\nFDNAME=" + KeptName(Loopback(port)));
  CHECK(Listen(Loopback(port)));
}

TEST_CASE("inherited: what the store had and nobody wants any more leaves it") {
  Store store;
  const NotifySocket manager(store.Path());
  Inherited inherited;
  inherited.UseStore(manager);
  inherited.Add(Bound("127.0.0.1"), KeptName(Loopback(80)));
  UniqueFd unit = Bound("127.0.0.1");
  const std::string unit_at = SocketAddress::LocalOf(unit.get()).Text();
  inherited.Add(std::move(unit), "unit");
  CHECK(inherited.LetGoUnused().size() == 1);
  UniqueFd none;
  CHECK(store.Next(&none) == "FDSTOREREMOVE=1\nFDNAME=" + KeptName(Loopback(80)));
  CHECK(inherited.Left() == std::vector{unit_at + " (unit)"});
}

TEST_CASE("inherited: a port of the kernel's choice, and all without a manager, end with us") {
  Store store;
  const NotifySocket manager(store.Path());
  Inherited with, without;
  with.UseStore(manager);
  auto any = Opened(with, Loopback(0));
  REQUIRE(with.Keep(Loopback(0), &*any));
  CHECK_FALSE(any->Kept());
  auto alone = Opened(without, Loopback(0));
  REQUIRE(without.Keep(Loopback(PortOf(alone->fd.get())), &*alone));
  CHECK_FALSE(alone->Kept());
  UniqueFd none;
  CHECK(store.Next(&none).empty());
}

TEST_CASE("inherited: a name of the store is no unit's, and every address has its own") {
  const Inherited::Socket socket{{}, KeptName(Loopback(80)), true};
  CHECK_FALSE(socket.HeldByUnit());
  CHECK(KeptName(Loopback(80)) != KeptName(Loopback(81)));
  CHECK(KeptName(Address::Tcp("::1", 80)).find(':') == std::string::npos);
}

}  // namespace
}  // namespace mooring::net
