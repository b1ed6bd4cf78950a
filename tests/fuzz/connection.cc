// connection: the life of proxied connections, by every order of events. A ServiceHost serves them
// on the target's own thread; the script says what the callers, the apps and the instances around
// it do next, what the agent comes to say, and how much time passes, of which none is waited for.
//
// Each connection ends once, with a reason that is none of ours to mend; nobody hears a byte that
// was not said to them, a stranger none at all; where no snapshot has let anybody in, no caller
// gets to the app; and nothing is left, neither memory nor descriptors nor a count.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <list>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "proxy/data/endpoint_history.h"
#include "proxy/data/service_host.h"
#include "tests/fuzz/fixtures.h"
#include "tests/fuzz/targets.h"
#include "tests/unit/http_fixture.h"
#include "tests/unit/test_clock.h"
#include "tests/unit/tls_ends.h"

namespace mooring::fuzz {
namespace {

using data::CloseReason;
using data::ListenerKind;
using net::milliseconds;
using net::UniqueFd;
using tls::ends::End;
using tls::ends::Mesh;
using tls::ends::Service;

UniqueFd Opened() {
  auto opened = net::Listen(test::Loopback());
  FUZZ_REQUIRE(opened.has_value(), opened ? "" : opened.error().message);
  return std::move(*opened);
}

// Place is what is made once: keys, and sockets that are listened on, which a run finds as the one
// before has left them, with nobody waiting.
struct Place {
  Mesh mesh;
  Mesh other;  // of another CA, with the same names
  mint::Minted leaf = mesh.LeafFor("db");
  std::shared_ptr<const tls::Credentials> own = mint::Own(leaf);
  // What a sidecar accepts by that has been given the other CA's roots.
  std::shared_ptr<const tls::Context> other_server = Mesh::Server(leaf, other.roots);
  UniqueFd callers = Opened();
  UniqueFd apps = Opened();
  UniqueFd app = Opened();
  std::array<UniqueFd, 2> instances{Opened(), Opened()};
  // Whoever is dialled there refuses: the port is ours, and nobody listens.
  UniqueFd refusing{socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  UniqueFd nowhere{open("/dev/null", O_WRONLY | O_CLOEXEC)};
  log::Log log{log::Level::kInfo, /*json=*/false, nowhere.get()};

  Place() {
    const auto any = *net::SocketAddress::FromLiteral(test::Loopback());
    FUZZ_REQUIRE(bind(refusing.get(), any.raw(), any.length()) == 0, "bind");
  }
};

const Place& Here() {
  static Place& place = *new Place;
  return place;
}

net::SocketAddress At(const UniqueFd& fd) { return net::SocketAddress::LocalOf(fd.get()); }

// Peer is one of those around the sidecar, with a socket, and TLS where it is of the mesh.
struct Peer {
  explicit Peer(UniqueFd socket, char voice) : fd(std::move(socket)), says(voice) {}

  void Send(Input bytes) {
    if (fd && !bytes.empty())
      (void)!send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  void Flush() {
    if (!tls) return;
    Send({tls->out.data(), tls->out.size()});
    tls->out.clear();
  }
  bool Talks() const {
    return fd && (!tls || (tls->session->handshake_done() && tls->last != tls::Progress::kFailed));
  }
  // Step takes what has come, and goes on with the handshake.
  void Step() {
    if (!fd) return;
    std::array<std::uint8_t, 16384> room;
    const ssize_t got = recv(fd.get(), room.data(), room.size(), MSG_DONTWAIT);
    const Input come(room.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
    if (!tls) {
      heard.append(TextOf(come));
      return;
    }
    tls->in.insert(tls->in.end(), come.begin(), come.end());
    if (tls->last == tls::Progress::kFailed) return;
    if (!tls->session->handshake_done()) {
      (void)tls->Handshake();
    } else {
      tls::Progress progress = tls::Progress::kDone;
      while (progress == tls::Progress::kDone) progress = tls->Read(&heard);
      if (progress == tls::Progress::kFailed) tls->last = progress;
    }
    Flush();
  }
  void Say(std::size_t size) {
    if (!Talks() || ended) return;
    const std::string text(size, says);
    said = said || size > 0;
    if (!tls) return Send(BytesOf(text));
    (void)tls->Write(text);
    Flush();
  }
  void EndWrite() {
    if (!fd) return;
    ended = true;
    if (tls && Talks()) {
      tls->CloseNotify();
      Flush();
    }
    if (!tls) (void)shutdown(fd.get(), SHUT_WR);
  }
  void Close(bool reset) {
    if (!fd) return;
    if (reset) net::SetResetOnClose(fd.get());
    fd.Reset();
  }

  UniqueFd fd;
  std::unique_ptr<End> tls;
  char says;
  bool said = false, ended = false;
  bool stranger = false;  // proves the right name, by another CA
  std::string heard;
};

class World final {
 public:
  explicit World(Script script) : place_(Here()), script_(script) {
    host_.emplace(data::ServiceHost::Shared{loop_, admission_, unproven_, heap_},
                  const_cast<log::Log&>(place_.log),
                  data::ServiceHost::Accounts{.traffic = nullptr, .reports = &reports_});
    host_->Begin();
    // A fresh one: what it learns of tickets is gone with this run.
    client_ = Mesh::Client(place_.leaf, place_.mesh.roots);
    how_ = script_.Byte();
    Tell();
    Listen("public", ListenerKind::kPublic, place_.callers);
    Listen("db", ListenerKind::kUpstream, place_.apps);
    Turn();
  }

  void Run() {
    for (int left = 120; left > 0 && !script_.AtEnd(); --left) {
      Act();
      Check();
    }
    // All go home, and so does whoever is dialled from now on.
    const bool reset = script_.Flag();
    for (auto* peers : {&clients_, &servers_})
      for (Peer& peer : *peers) peer.Close(reset);
    clock_.RunUntil(loop_, [this] {
      SendHome();
      return host_->active() == 0;
    });
    host_->End();
    Turn();
    const data::ServiceStats& stats = host_->stats();
    const std::int64_t began = stats.inbound.total.value() + stats.outbound.total.value();
    CheckCounts(stats.inbound);
    CheckCounts(stats.outbound);
    FUZZ_REQUIRE(ever_open_ || stats.inbound.reached.value() == 0, "nobody has been let in");
    host_.reset();
    CheckReports(began);
    for (const ListenerKind kind : {ListenerKind::kPublic, ListenerKind::kUpstream})
      FUZZ_REQUIRE(admission_.connections(kind) == 0, "no connection is counted any more");
    FUZZ_REQUIRE(admission_.handshakes() == 0 && admission_.handshake_bytes() == 0, "no handshake");
    FUZZ_REQUIRE(admission_.buffers().kept() == 0, "no bytes are kept");
    SendHome();
  }

 private:
  void Listen(const char* name, ListenerKind kind, const UniqueFd& listening) {
    UniqueFd share(fcntl(listening.get(), F_DUPFD_CLOEXEC, 0));
    FUZZ_REQUIRE(share.get() >= 0, "a descriptor");
    host_->PostListener(name, kind, std::move(share));
  }
  void Turn() {
    loop_.Defer([this] { loop_.Stop(); });
    loop_.Run();
  }

  // Tell gives the host a snapshot by how_: what is known, who may come in, who can be reached.
  void Tell() {
    auto snapshot = std::make_shared<data::Snapshot>();
    if ((how_ & 1U) == 0) {
      auto identity = std::make_shared<data::Identity>();
      identity->leaf = place_.own;
      identity->roots = (how_ & 2U) == 0 ? place_.mesh.roots : place_.other.roots;
      identity->server = (how_ & 2U) == 0 ? place_.mesh.server : place_.other_server;
      identity->client = client_;
      snapshot->identity = std::move(identity);
    }
    snapshot->roots_stale = (how_ & 12U) == 12U;
    ever_open_ = ever_open_ || (how_ & (1U | 2U | 16U)) == 0;
    snapshot->intentions = std::make_shared<const authz::IntentionSet>();
    snapshot->fallback =
        (how_ & 16U) == 0 ? authz::DefaultPolicy::kAllow : authz::DefaultPolicy::kDeny;
    auto inbound = std::make_shared<data::InboundRules>();
    inbound->local_app = {At((how_ & 32U) == 0 ? place_.app : place_.refusing)};
    inbound->proxy_header = (how_ & 4U) != 0;
    inbound->idle_timeout = milliseconds((how_ & 8U) != 0 ? 20'000 : 0);
    snapshot->inbound = std::move(inbound);
    snapshot->live.revoke_grace = milliseconds((how_ & 64U) != 0 ? 2'000 : 0);
    snapshot->live.revoke_quietly = (how_ & 8U) != 0;
    snapshot->live.max_age = milliseconds((how_ & 68U) == 68U ? 30'000 : 0);
    auto rules = std::make_shared<data::UpstreamRules>();
    rules->name = "db";
    rules->known = (how_ & 128U) == 0;
    rules->identity = identity_;
    rules->early_close = milliseconds((how_ & 4U) != 0 ? 500 : 0);
    rules->probe_interval = milliseconds((how_ & 24U) == 24U ? 5'000 : 0);
    for (const UniqueFd* fd : {&place_.instances[0], &place_.instances[1], &place_.refusing}) {
      if (fd == &place_.refusing && (how_ & 32U) == 0) continue;
      data::Endpoint endpoint;
      endpoint.address = At(*fd);
      endpoint.identity = identity_;
      std::shared_ptr<data::EndpointHistory>& history = histories_[endpoint.address.port()];
      if (!history) history = std::make_shared<data::EndpointHistory>();
      endpoint.history = history;
      rules->endpoints.push_back(std::move(endpoint));
    }
    snapshot->upstreams["db"] = std::move(rules);
    host_->PostSnapshot(std::move(snapshot));
  }

  void Act() {
    const std::uint8_t what = script_.Byte();
    std::list<Peer>& peers = (what & 128U) != 0 ? servers_ : clients_;
    Peer* peer = nullptr;
    if (!peers.empty()) {
      auto at = peers.begin();
      std::advance(at, (what >> 4U & 7U) % peers.size());
      peer = &*at;
    }
    switch (what % 16) {
      case 0: return Dial((what & 128U) != 0);
      case 1: return Accept(what);
      case 2: return peer != nullptr ? peer->Step() : Turn();
      case 3: return peer != nullptr ? peer->Say(script_.Byte()) : Turn();
      case 4: return peer != nullptr ? peer->Say(script_.Number16()) : Turn();
      case 5:
        if (peer == nullptr) return Turn();
        // What is put between records of TLS is never heard.
        garbage_ = garbage_ || !peer->tls;
        return peer->Send(script_.Piece());
      case 6: return peer != nullptr ? peer->EndWrite() : Turn();
      case 7: return peer != nullptr ? peer->Close((what & 16U) != 0) : Turn();
      case 8: how_ = script_.Byte(); return Tell();
      case 9: {
        static constexpr std::array<int, 8> kTimes = {1,     100,   250,    1'000,
                                                      2'000, 5'000, 10'000, 60'000};
        clock_.Skip(loop_, milliseconds(kTimes[what >> 4U & 7U]));
        return Turn();
      }
      case 10:
        if ((what & 112U) == 112U && !drained_) {
          drained_ = true;
          host_->PostDrain(milliseconds((what & 128U) != 0 ? 200 : 0), std::nullopt, [] {});
        } else if ((what & 112U) == 96U) {
          host_->PostCutAll();
        }
        return Turn();
      case 11: {  // a round in which everybody goes on
        for (auto* each : {&clients_, &servers_})
          for (Peer& one : *each) one.Step();
        return Turn();
      }
      default: return Turn();
    }
  }

  void Dial(bool outbound) {
    if (clients_.size() >= 4) return Turn();
    net::ConnectStart start = net::StartConnect(At(outbound ? place_.apps : place_.callers));
    FUZZ_REQUIRE(start.error == 0, "loopback takes a connection");
    Peer& peer =
        clients_.emplace_back(std::move(start.fd), static_cast<char>('a' + clients_.size()));
    if (!outbound) {
      peer.tls = std::make_unique<End>();
      peer.tls->session =
          tls::Session::Connect(place_.mesh.client, Service("db").Sni(), Service("db"));
      // Some never say a word of TLS.
      if (script_.Below(8) != 7) {
        (void)peer.tls->Handshake();
        peer.Flush();
      }
    }
    Turn();
  }

  void Accept(std::uint8_t what) {
    const std::array<const UniqueFd*, 3> doors = {&place_.app, &place_.instances[0],
                                                  &place_.instances[1]};
    for (std::size_t i = 0; i < doors.size() && servers_.size() < 8; ++i) {
      const UniqueFd& door = *doors[(i + (what >> 4U)) % doors.size()];
      UniqueFd fd(accept4(door.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!fd) continue;
      Peer& peer = servers_.emplace_back(std::move(fd), static_cast<char>('A' + servers_.size()));
      if (&door == &place_.app) return;
      peer.tls = std::make_unique<End>();
      peer.stranger = (what & 192U) == 192U;
      peer.tls->session =
          tls::Session::Accept(peer.stranger ? place_.other.server : place_.mesh.server);
      return;
    }
    Turn();
  }

  void SendHome() const {
    for (const UniqueFd* door : {&place_.app, &place_.instances[0], &place_.instances[1]}) {
      for (;;) {
        const UniqueFd fd(accept4(door->get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (!fd) break;
        net::SetResetOnClose(fd.get());
      }
    }
  }

  // Check: whoever hears something hears one voice, of the other side, that has spoken. A header
  // of the PROXY protocol may stand before it.
  void Check() const {
    for (const auto& [hearing, speaking] :
         {std::pair{&clients_, &servers_}, {&servers_, &clients_}}) {
      for (const Peer& peer : *hearing) {
        FUZZ_REQUIRE(!peer.stranger || peer.heard.empty(), "a stranger hears nothing");
        if (peer.heard.empty() || peer.heard[0] == '\r') continue;
        FUZZ_REQUIRE(peer.heard.find_first_not_of(peer.heard[0]) == std::string::npos || garbage_,
                     peer.heard);
        const bool known = std::any_of(speaking->begin(), speaking->end(), [&](const Peer& other) {
          return other.says == peer.heard[0] && other.said;
        });
        FUZZ_REQUIRE(known || garbage_, "somebody has said it");
      }
    }
  }

  static void CheckCounts(const data::DirectionStats& stats) {
    std::int64_t ends = 0;
    for (std::size_t i = 0; i < data::kCloseReasons; ++i)
      ends += stats.closed[static_cast<CloseReason>(i)].value();
    FUZZ_REQUIRE(ends == stats.total.value(), "each has ended once");
    FUZZ_REQUIRE(stats.active.value() == 0, "none is active");
    for (const CloseReason ours : {CloseReason::kInternalError, CloseReason::kOutOfResources})
      FUZZ_REQUIRE(stats.closed[ours].value() == 0, data::CloseReasonName(ours));
  }

  void CheckReports(std::int64_t began) {
    reports_.Close();
    std::vector<data::Report> all = data::Reports::MakeBatch();
    (void)reports_.Take(&all);
    std::set<std::uint64_t> ids;
    for (const data::Report& report : all) {
      FUZZ_REQUIRE(report.record.reason.has_value(), "an end has a reason");
      FUZZ_REQUIRE(ids.insert(report.record.id).second, "one end is reported once");
    }
    FUZZ_REQUIRE(static_cast<std::int64_t>(ids.size()) == began, "each end is reported");
  }

  const Place& place_;
  Script script_;
  test::Clock clock_;
  net::Loop loop_;
  data::Admission admission_{data::Limits::None(), 1};
  data::Unproven unproven_{loop_, admission_};
  data::HeapTrim heap_{loop_};
  data::Reports reports_{data::Reports::Wanted{}};
  std::optional<data::ServiceHost> host_;
  std::shared_ptr<const tls::Context> client_;
  const std::shared_ptr<const authz::ServiceId> identity_ =
      std::make_shared<const authz::ServiceId>(Service("db"));
  std::map<std::uint16_t, std::shared_ptr<data::EndpointHistory>> histories_;
  std::uint8_t how_ = 0;
  bool drained_ = false;
  bool garbage_ = false;
  bool ever_open_ = false;  // some snapshot has let the callers in
  std::list<Peer> clients_, servers_;
};

int FirstFree() {
  const int fd = fcntl(Here().callers.get(), F_DUPFD_CLOEXEC, 0);
  close(fd);
  return fd;
}

}  // namespace

void connection(Input input) {
  AllowFixtures();
  const int before = FirstFree();
  World(Script(input)).Run();
  FUZZ_REQUIRE(FirstFree() == before, "no descriptor is left open");
}

}  // namespace mooring::fuzz
