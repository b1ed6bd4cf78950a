// A mesh in small for tests of shortage: an app, the workers of two sidecars in front of it, and a
// client of theirs. All over real sockets on loopback, each worker on its own thread.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "proxy/data/endpoint_history.h"
#include "proxy/data/worker.h"
#include "tests/unit/http_fixture.h"
#include "tests/unit/tls_ends.h"

namespace mooring::test {

// Within waits for what another thread makes true; a test that hangs fails instead.
inline bool Within(const std::function<bool()>& holds, std::chrono::milliseconds limit = kGiveUp) {
  for (const auto until = std::chrono::steady_clock::now() + limit;
       std::chrono::steady_clock::now() < until;) {
    if (holds()) return true;
    std::this_thread::sleep_for(std::chrono::microseconds{200});
  }
  return holds();
}

inline std::size_t OpenFiles() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& file : std::filesystem::directory_iterator("/proc/self/fd"))
    ++count;
  return count;
}

// OnThreadOf runs `act` on a worker's thread and waits for it.
inline void OnThreadOf(data::ServiceHost& worker, const std::function<void()>& act) {
  std::promise<void> done;
  worker.loop().Post([&] {
    act();
    done.set_value();
  });
  done.get_future().wait();
}

// EchoApp sends back what it gets, to each client on a thread of its own.
class EchoApp final {
 public:
  EchoApp() {
    auto opened = net::Listen(Loopback());
    REQUIRE(opened);
    listening_ = std::move(*opened);
    thread_ = std::thread([this] { Serve(); });
  }
  ~EchoApp() {  // its clients have gone by then
    ending_ = true;
    thread_.join();
    CHECK(Within([this] { return serving_ == 0; }));
  }
  EchoApp(const EchoApp&) = delete;
  EchoApp& operator=(const EchoApp&) = delete;
  net::SocketAddress address() const { return net::SocketAddress::LocalOf(listening_.get()); }

 private:
  void Serve() {
    while (!ending_) {
      pollfd look{.fd = listening_.get(), .events = POLLIN, .revents = 0};
      if (poll(&look, 1, 20) != 1) continue;
      const int peer = accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC);
      ++serving_;
      // Left alone: kept for a join at the end, those of tens of thousands of clients would be more
      // than a process may have.
      std::thread([this, owned = std::make_shared<net::UniqueFd>(peer)]() mutable {
        std::array<char, 4096> bytes{};
        for (ssize_t got = 0; (got = recv(owned->get(), bytes.data(), bytes.size(), 0)) > 0;) {
          if (send(owned->get(), bytes.data(), static_cast<std::size_t>(got), MSG_NOSIGNAL) < 0)
            break;
        }
        owned.reset();
        --serving_;
      }).detach();
    }
  }

  net::UniqueFd listening_;
  std::atomic<bool> ending_ = false;
  std::atomic<int> serving_ = 0;
  std::thread thread_;
};

// Sidecars are the workers of a caller and of a service, with what each of them is to know.
struct Sidecars {
  Sidecars() {
    for (data::Worker* worker : {&callers_worker, &services_worker}) worker->Start();
    in = Open(service, "public", data::ListenerKind::kPublic);
    out = Open(caller, "db", data::ListenerKind::kUpstream);
    TellService();
    TellCaller();
  }

  // TellCaller gives the caller a fresh TLS context: without tickets, so that its next handshake is
  // a full one.
  void TellCaller() { caller.PostSnapshot(ForCaller()); }
  std::shared_ptr<const data::Snapshot> ForCaller() const {
    auto rules = std::make_shared<data::UpstreamRules>();
    rules->name = "db";
    rules->known = true;
    rules->identity = std::make_shared<const authz::ServiceId>(tls::ends::Service("db"));
    data::Endpoint endpoint;
    endpoint.address = net::SocketAddress::LocalOf(in.get());
    endpoint.identity = rules->identity;
    endpoint.history = std::make_shared<data::EndpointHistory>();
    rules->endpoints = {endpoint};
    auto snapshot = std::make_shared<data::Snapshot>();
    snapshot->identity = IdentityOf(web_leaf);
    snapshot->upstreams["db"] = std::move(rules);
    return snapshot;
  }
  void TellService() { TellService(app.address()); }
  void TellService(const net::SocketAddress& local_app) {
    auto rules = std::make_shared<data::InboundRules>();
    rules->local_app = {local_app};
    auto snapshot = std::make_shared<data::Snapshot>();
    snapshot->identity = IdentityOf(db_leaf);
    snapshot->intentions = std::make_shared<const authz::IntentionSet>();
    snapshot->fallback = authz::DefaultPolicy::kAllow;
    snapshot->inbound = std::move(rules);
    service.PostSnapshot(std::move(snapshot));
  }

  std::int64_t Active() const { return caller.active() + service.active(); }
  static std::int64_t Closed(const data::DirectionStats& stats, data::CloseReason reason) {
    return stats.closed[reason].value();
  }

  static net::UniqueFd Open(data::ServiceHost& worker, const std::string& name,
                            data::ListenerKind kind) {
    auto opened = net::Listen(Loopback());
    REQUIRE(opened);
    net::UniqueFd share(fcntl(opened->get(), F_DUPFD_CLOEXEC, 0));
    REQUIRE(share);
    worker.PostListener(name, kind, std::move(share));
    return std::move(*opened);
  }
  std::shared_ptr<const data::Identity> IdentityOf(const mint::Minted& leaf) const {
    auto identity = std::make_shared<data::Identity>();
    identity->leaf = mint::Own(leaf);
    identity->roots = mesh.roots;
    identity->server = tls::ends::Mesh::Server(leaf, mesh.roots);
    identity->client = tls::ends::Mesh::Client(leaf, mesh.roots);
    return identity;
  }

  tls::ends::Mesh mesh;
  mint::Minted web_leaf = mesh.LeafFor("web");
  mint::Minted db_leaf = mesh.LeafFor("db");
  EchoApp app;
  log::Log log{log::Level::kError, /*json=*/false};
  data::Worker callers_worker;
  data::Worker services_worker;
  data::ServiceHost& caller = callers_worker.AddService(log);
  data::ServiceHost& service = services_worker.AddService(log);
  net::UniqueFd in;
  net::UniqueFd out;
};

// Client is the caller's app: one connection to its upstream, with limits on every wait.
class Client final {
 public:
  explicit Client(const Sidecars& sidecars) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const timeval limit{.tv_sec = 10, .tv_usec = 0};
    (void)setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    const auto address = net::SocketAddress::LocalOf(sidecars.out.get());
    REQUIRE(connect(fd_.get(), address.raw(), address.length()) == 0);
  }
  // Echo is true if what was sent comes back. A connection that neither answers nor ends fails the
  // test.
  bool Echo(const std::string& text) const {
    if (send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL) < 0) return false;
    std::string got(text.size(), '\0');
    for (std::size_t have = 0; have < got.size();) {
      const ssize_t more = recv(fd_.get(), got.data() + have, got.size() - have, 0);
      REQUIRE((more >= 0 || errno == ECONNRESET));
      if (more <= 0) return false;
      have += static_cast<std::size_t>(more);
    }
    return got == text;
  }
  // End is true if our end is answered by a clean one.
  bool End() const {
    shutdown(fd_.get(), SHUT_WR);
    char byte = 0;
    const ssize_t got = recv(fd_.get(), &byte, 1, 0);
    REQUIRE((got >= 0 || errno == ECONNRESET || errno == ENOTCONN));
    return got == 0;
  }
  // Live is a whole life: enough messages for a session's record layer to take over, the last ones
  // large, and a clean end.
  bool Live() const {
    for (int i = 0; i < 6; ++i) {
      if (!Echo("a small message")) return false;
    }
    return Echo(std::string(20'000, 'x')) && End();
  }

 private:
  net::UniqueFd fd_;
};

}  // namespace mooring::test
