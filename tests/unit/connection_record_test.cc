// Inbound and Outbound by themselves, with a host made for the test: what the record of a whole
// life says, and that a cut is a reset at whatever stage it comes.
#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "proxy/data/inbound.h"
#include "proxy/data/outbound.h"
#include "proxy/data/round_robin.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/relay_fixture.h"
#include "tests/unit/shortage_fixture.h"

namespace {

using namespace mooring;
using data::CloseReason;

// Host keeps the record of the one connection that it has.
class Host final : public test::FakeHost {
 public:
  std::shared_ptr<data::Upstream> UpstreamOf(const std::string&) override { return upstream; }
  void Retire(data::Connection* over) noexcept override {
    if (!ended) ended = over->record();
  }
  template <typename Kind>
  void Begin(std::unique_ptr<Kind> made) {
    connection = std::move(made);
    loop().Attend(connection.get(), [this] { connection->Begin(); });
  }
  void AwaitEnd() {
    test::RunUntil(loop(), [this] { return ended.has_value(); });
  }

  std::shared_ptr<data::Upstream> upstream;
  std::optional<data::Record> ended;
  std::unique_ptr<data::Connection> connection;
};

// Accepted is a listening socket, and the connection that came to it.
struct Accepted {
  Accepted() {
    auto opened = net::Listen(test::Loopback());
    REQUIRE(opened);
    listening = std::move(*opened);
  }
  net::UniqueFd Take() {
    test::Await(listening.get(), POLLIN);
    net::UniqueFd fd(accept4(listening.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    REQUIRE(fd);
    return fd;
  }
  net::SocketAddress address() const { return net::SocketAddress::LocalOf(listening.get()); }
  net::UniqueFd listening;
};

void KnowUpstream(Host* host, const test::Sidecars& sidecars,
                  const std::optional<net::SocketAddress>& place = std::nullopt) {
  auto snapshot = std::make_shared<data::Snapshot>(*sidecars.ForCaller());
  auto rules = std::make_shared<data::UpstreamRules>(*snapshot->upstreams["db"]);
  if (place) rules->endpoints[0].address = *place;
  snapshot->upstreams["db"] = rules;
  host->upstream = std::make_shared<data::Upstream>(std::make_unique<data::RoundRobin>(0), rules);
  host->Know(std::move(snapshot));
}

void KnowService(Host* host, const test::Sidecars& sidecars) {
  auto rules = std::make_shared<data::InboundRules>();
  rules->local_app = {sidecars.app.address()};
  auto snapshot = std::make_shared<data::Snapshot>();
  snapshot->identity = sidecars.IdentityOf(sidecars.db_leaf);
  snapshot->intentions = std::make_shared<const authz::IntentionSet>();
  snapshot->fallback = authz::DefaultPolicy::kAllow;
  snapshot->inbound = std::move(rules);
  host->Know(std::move(snapshot));
}

// IsReset: the other end of this descriptor was reset.
bool IsReset(int fd) {
  test::Await(fd, POLLIN);
  char bytes[4096];
  ssize_t got = 0;
  while ((got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0) test::Await(fd, POLLIN);
  return got < 0 && errno == ECONNRESET;
}

}  // namespace

TEST_CASE(
    "record: of a whole life outbound, who called, whom it reached and how, what passed and why it "
    "ended") {
  test::Sidecars sidecars;
  Host host;
  KnowUpstream(&host, sidecars);
  Accepted app;
  const net::ConnectStart start = net::StartConnect(app.address());
  net::UniqueFd fd = app.Take();
  const net::SocketAddress peer = net::SocketAddress::LocalOf(start.fd.get());
  host.Begin(std::make_unique<data::Outbound>(host, "db", std::move(fd), peer));
  REQUIRE(send(start.fd.get(), "hello", 5, MSG_NOSIGNAL) == 5);
  std::string got;
  test::RunUntil(host.loop(), [&] {
    char bytes[16];
    const ssize_t more = recv(start.fd.get(), bytes, sizeof bytes, MSG_DONTWAIT);
    if (more > 0) got.append(bytes, static_cast<std::size_t>(more));
    return got.size() == 5;
  });
  CHECK(got == "hello");
  shutdown(start.fd.get(), SHUT_WR);
  host.AwaitEnd();
  const data::Record& record = *host.ended;
  CHECK(record.kind == data::ListenerKind::kUpstream);
  CHECK(record.local == app.address());
  CHECK(record.peer == peer);
  CHECK(record.identity == tls::ends::Service("db").Uri());
  REQUIRE(record.endpoint);
  CHECK(*record.endpoint == net::SocketAddress::LocalOf(sidecars.in.get()));
  CHECK(record.attempts == 1);
  CHECK(std::string(record.tls.version) == "TLSv1.3");
  CHECK(record.first_byte);
  CHECK(record.bytes_in == 5);
  CHECK(record.bytes_out == 5);
  CHECK(record.reason == CloseReason::kDone);
}

TEST_CASE(
    "record: of a whole life inbound, who called, what let it in, and the app that it reached") {
  test::Sidecars sidecars;
  Host host;
  KnowService(&host, sidecars);
  Accepted place;
  Host lead;
  KnowUpstream(&lead, sidecars, place.address());
  sidecars.caller.PostSnapshot(lead.snapshot());
  test::OnThreadOf(sidecars.caller, [] {});
  auto life = std::async(std::launch::async, [&sidecars] { return test::Client(sidecars).Live(); });
  net::UniqueFd fd = place.Take();
  const net::SocketAddress peer = place.address();  // whatever it is told
  host.Begin(std::make_unique<data::Inbound>(host, std::move(fd), peer));
  host.AwaitEnd();
  CHECK(life.get());
  const data::Record& record = *host.ended;
  CHECK(record.kind == data::ListenerKind::kPublic);
  CHECK(record.local == place.address());
  CHECK(record.peer == peer);
  CHECK(record.identity == tls::ends::Service("web").Uri());
  REQUIRE(record.endpoint);
  CHECK(*record.endpoint == sidecars.app.address());
  CHECK(std::string(record.tls.version) == "TLSv1.3");
  CHECK(record.bytes_in > 20'000);
  CHECK(record.bytes_in == record.bytes_out);
  CHECK(record.decided_by.find("default") != std::string::npos);
  CHECK(record.reason == CloseReason::kDone);
}

TEST_CASE("connection: a cut is a reset, in a caller's handshake and in a search") {
  test::Sidecars sidecars;
  {
    Host host;
    KnowService(&host, sidecars);
    Accepted place;
    const net::ConnectStart caller = net::StartConnect(place.address());
    net::UniqueFd fd = place.Take();
    host.Begin(std::make_unique<data::Inbound>(host, std::move(fd), place.address()));
    host.connection->Cut(CloseReason::kDrainTimeout);
    host.connection.reset();
    CHECK(host.ended->reason == CloseReason::kDrainTimeout);
    CHECK(IsReset(caller.fd.get()));
  }
  {
    Host host;
    Accepted silent;
    KnowUpstream(&host, sidecars, silent.address());
    Accepted place;
    const net::ConnectStart app = net::StartConnect(place.address());
    net::UniqueFd fd = place.Take();
    host.Begin(std::make_unique<data::Outbound>(host, "db", std::move(fd), place.address()));
    const net::UniqueFd instance = silent.Take();
    test::Turn(host.loop());
    host.connection->Cut(CloseReason::kDrainTimeout);
    host.connection.reset();
    CHECK(host.ended->reason == CloseReason::kDrainTimeout);
    CHECK(IsReset(app.fd.get()));
    CHECK(IsReset(instance.get()));
  }
}
