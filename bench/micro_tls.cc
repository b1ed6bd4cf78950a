// What TLS costs: records, handshakes, and the judgement of a peer's chain alone.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "bench/micro.h"
#include "bench/micro_certificates.h"
#include "tls/context.h"
#include "tls/session.h"

namespace mooring::bench {
namespace {

using tls::Progress;
using tls::Session;
using tls::Wire;

// bytes sealed or opened in a row, as a busy relay does
constexpr std::size_t kBurst = std::size_t{256} << 10;

// Contexts are what the sessions of one mesh share, and where they keep what they learn of each
// other.
struct Contexts {
  explicit Contexts(const Mesh& mesh) {
    auto dialling = tls::Context::MeshClient(mesh.web, FreshRoots(mesh));
    auto accepting = tls::Context::MeshServer(mesh.db, FreshRoots(mesh));
    Require(dialling && accepting, "no TLS context can be made");
    client = *std::move(dialling);
    server = *std::move(accepting);
  }

  std::shared_ptr<const tls::Context> client;
  std::shared_ptr<const tls::Context> server;
};

// End is one side of a connection in memory. What it does is metered if it has a meter.
class End final {
 public:
  template <typename Make>
  End(Meter* meter, const Make& make) : meter_(meter) {
    Metered([&] { session_ = make(); });
  }
  ~End() {
    Metered([&] { session_.reset(); });
  }
  End(const End&) = delete;
  End& operator=(const End&) = delete;

  void Handshake(End& peer) {
    Wire wire{peer.out, out};
    Metered([&] { session_->Handshake(wire); });
    Require(wire.in.empty() && session_->failure() == tls::Failure::kNone, "a handshake failed");
    peer.out.clear();
  }

  void SendByte() {
    Wire wire{{}, out};
    bool good = false;
    Metered([&] { good = session_->Write(wire, std::array<std::uint8_t, 1>{'x'}); });
    Require(good, "a byte could not be sealed");
  }

  void TakeByte(End& peer) {
    Wire wire{peer.out, out};
    std::array<std::uint8_t, 1> byte{};
    std::size_t length = 0;
    Metered([&] { session_->Read(wire, byte, &length); });
    Require(length == 1 && wire.in.empty(), "a byte could not be opened");
    peer.out.clear();
  }

  Session& session() { return *session_; }

  tls::WireBytes out;  // bytes on their way to the peer

 private:
  template <typename Call>
  void Metered(const Call& call) {
    if (meter_ != nullptr) meter_->Start();
    call();
    if (meter_ != nullptr) meter_->Stop();
  }

  Meter* meter_;
  std::unique_ptr<Session> session_;
};

// Pair is a connection on which the first byte has come back, resumed if `endpoint` has given a
// ticket before.
struct Pair {
  Pair(const Contexts& contexts, const std::string& endpoint, Meter* of_client, Meter* of_server)
      : client(of_client,
               [&] {
                 return Session::Connect(contexts.client, Service("db").Sni(), Service("db"),
                                         endpoint);
               }),
        server(of_server, [&] { return Session::Accept(contexts.server); }) {
    client.Handshake(server);
    server.Handshake(client);
    client.Handshake(server);
    server.Handshake(client);
    Require(client.session().handshake_done() && server.session().handshake_done(),
            "a handshake without an end");
    // The accepting side's ticket travels with its first byte.
    server.SendByte();
    client.TakeByte(server);
  }

  End client;
  End server;
};

std::shared_ptr<Pair> Connected(const Contexts& contexts) {
  return std::make_shared<Pair>(contexts, "", nullptr, nullptr);
}

// Seal and Open do bursts, so that a record costs what it costs in a long stream.

Benchmark Seal(std::shared_ptr<Pair> pair, const std::string& label, std::size_t size) {
  const std::vector<std::uint8_t> plain(size, 'x');
  return {"seal/" + label, size,
          [pair = std::move(pair), plain](Meter& meter, std::size_t operations) {
            const std::size_t records = kBurst / plain.size();
            for (std::size_t done = 0; done < operations;) {
              const std::size_t count = std::min(records, operations - done);
              tls::WireBytes& out = pair->client.out;
              out.clear();
              Wire wire{{}, out};
              bool good = true;
              meter.Start();
              for (std::size_t i = 0; i < count; ++i)
                good = pair->client.session().Write(wire, plain) && good;
              meter.Stop();
              Require(good, "a record could not be sealed");
              done += count;
            }
          }};
}

Benchmark Open(std::shared_ptr<Pair> pair, const std::string& label, std::size_t size) {
  const std::vector<std::uint8_t> plain(size, 'x');
  return {"open/" + label, size,
          [pair = std::move(pair), plain](Meter& meter, std::size_t operations) {
            const std::size_t records = kBurst / plain.size();
            // room for a record beside the last one's padding
            std::vector<std::uint8_t> opened(kBurst + 16384);
            for (std::size_t done = 0; done < operations;) {
              const std::size_t count = std::min(records, operations - done);
              tls::WireBytes& sealed = pair->client.out;
              tls::WireBytes& replies = pair->server.out;
              sealed.clear();
              Wire sending{{}, sealed};
              for (std::size_t i = 0; i < count; ++i) pair->client.session().Write(sending, plain);
              Wire receiving{sealed, replies};
              std::size_t length = 0;
              meter.Start();
              pair->server.session().Read(receiving, opened, &length);
              meter.Stop();
              Require(length == count * plain.size(), "records could not be opened");
              done += count;
            }
          }};
}

// Meeting is what the two sides know of each other: nothing, the chain that the other has shown
// before, or a ticket.
enum class Meeting { kFirst, kAgain, kResumed };
enum class Side { kBoth, kClient, kServer };

Benchmark Handshake(std::shared_ptr<const Mesh> mesh, const std::string& name, Meeting meeting,
                    Side side) {
  auto known = std::make_shared<const Contexts>(*mesh);
  const std::string endpoint = meeting == Meeting::kResumed ? "db" : "";
  Pair(*known, endpoint, nullptr, nullptr);
  return {
      name, 0,
      [=, mesh = std::move(mesh), known = std::move(known)](Meter& meter, std::size_t operations) {
        Meter* of_client = side == Side::kServer ? nullptr : &meter;
        Meter* of_server = side == Side::kClient ? nullptr : &meter;
        for (std::size_t i = 0; i < operations; ++i) {
          const auto contexts =
              meeting == Meeting::kFirst ? std::make_shared<const Contexts>(*mesh) : known;
          Pair pair(*contexts, endpoint, of_client, of_server);
          Require(pair.client.session().resumed() == (meeting == Meeting::kResumed),
                  "not the handshake wanted");
        }
      }};
}

void AddHandshakes(std::vector<Benchmark>& all, const std::string& chain,
                   std::size_t intermediates) {
  const auto mesh = std::make_shared<const Mesh>(MakeMesh(1, intermediates));
  const std::vector<std::pair<std::string, Meeting>> meetings = {
      {"first", Meeting::kFirst}, {"again", Meeting::kAgain}, {"resumed", Meeting::kResumed}};
  for (const auto& [label, meeting] : meetings) {
    const std::string name = "handshake/" + chain + "/" + label;
    all.push_back(Handshake(mesh, name + "/both", meeting, Side::kBoth));
    all.push_back(Handshake(mesh, name + "/client", meeting, Side::kClient));
    all.push_back(Handshake(mesh, name + "/server", meeting, Side::kServer));
  }
}

void JudgeWeb(const Mesh& mesh, const tls::TrustBundle& roots) {
  const std::vector<std::span<const std::uint8_t>> chain(mesh.web_chain.begin(),
                                                         mesh.web_chain.end());
  const tls::Judgement judgement =
      roots.Judge(chain, tls::Purpose::kPeerIsClient, std::chrono::system_clock::now());
  Require(judgement.refusal == tls::Refusal::kNone, "a good chain was refused");
}

void AddJudgements(std::vector<Benchmark>& all, std::size_t count) {
  const auto mesh = std::make_shared<const Mesh>(MakeMesh(count, 0));
  const std::string name = "judge/roots=" + std::to_string(count);
  all.push_back({name + "/first", 0, [mesh](Meter& meter, std::size_t operations) {
                   for (std::size_t i = 0; i < operations; ++i) {
                     const auto roots = FreshRoots(*mesh);
                     meter.Start();
                     JudgeWeb(*mesh, *roots);
                     meter.Stop();
                   }
                 }});
  all.push_back(Simple(name + "/again", 0, [mesh, roots = FreshRoots(*mesh)](std::size_t) {
    JudgeWeb(*mesh, *roots);
  }));
}

}  // namespace

std::vector<Benchmark> TlsBenchmarks() {
  const Contexts contexts(MakeMesh(1, 0));
  std::vector<Benchmark> all;
  const std::vector<std::pair<std::string, std::size_t>> sizes = {
      {"16KiB", 16384}, {"4KiB", 4096}, {"1KiB", 1024}, {"256B", 256}};
  for (const auto& [label, size] : sizes) all.push_back(Seal(Connected(contexts), label, size));
  for (const auto& [label, size] : sizes) all.push_back(Open(Connected(contexts), label, size));
  AddHandshakes(all, "root+leaf", 0);
  AddHandshakes(all, "root+intermediate+leaf", 1);
  for (const std::size_t count : {1U, 3U, 20U}) AddJudgements(all, count);
  return all;
}

}  // namespace mooring::bench
