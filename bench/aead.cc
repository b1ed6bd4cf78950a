#include "bench/aead.h"

#include <array>
#include <ctime>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "authz/spiffe.h"
#include "bench/event_loop.h"
#include "bench/take.h"
#include "tls/context.h"
#include "tls/identity.h"
#include "tls/issuer.h"
#include "tls/session.h"

namespace mooring::bench {
namespace {

constexpr std::size_t kRecord = 16384;
constexpr std::size_t kBurst = 7 * kRecord;
constexpr char kTrustDomain[] = "bench.example";

authz::ServiceId Service(const std::string& name) {
  return {.trust_domain = kTrustDomain, .partition = "", .ns = "default", .datacenter = "dc1", .service = name};
}

std::shared_ptr<const tls::Credentials> Leaf(const tls::Issuer& issuer, const std::string& name) {
  const tls::IssuedLeaf leaf = Take(issuer.Issue(Service(name), std::chrono::hours(1)));
  return Take(tls::Credentials::Make(leaf.certificate_pem, leaf.private_key_pem));
}

struct Joined {
  std::unique_ptr<tls::Session> client, server;
};

Joined Shake() {
  const auto issuer = Take(tls::Issuer::Make(kTrustDomain));
  const std::array<std::string, 1> roots = {issuer->root_pem()};
  const auto trust = Take(tls::TrustBundle::Make(kTrustDomain, roots));
  Joined joined{
      .client = tls::Session::Connect(Take(tls::Context::MeshClient(Leaf(*issuer, "web"), trust)),
                                      Service("db").Sni(), Service("db")),
      .server = tls::Session::Accept(Take(tls::Context::MeshServer(Leaf(*issuer, "db"), trust))),
  };
  std::vector<std::uint8_t> there, back;
  while (!joined.client->handshake_done() || !joined.server->handshake_done()) {
    tls::Wire client{.in = back, .out = there};
    const bool well = joined.client->Handshake(client) != tls::Progress::kFailed;
    back.clear();
    tls::Wire server{.in = there, .out = back};
    if (!well || joined.server->Handshake(server) == tls::Progress::kFailed) {
      throw std::runtime_error("the handshake in memory failed: " + joined.client->failure_text() +
                               joined.server->failure_text());
    }
    there.clear();
  }
  return joined;
}

double CpuNow() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

}  // namespace

JsonLine MeasureAead(double seconds) {
  const Joined joined = Shake();
  const std::vector<std::uint8_t> plain(kBurst, 1);
  std::vector<std::uint8_t> opened(kBurst + 2 * kRecord), sealed;
  double bytes = 0;
  const double begin = CpuNow();
  const Time end = Clock::now() + Duration(seconds);
  while (Clock::now() < end) {
    sealed.clear();
    tls::Wire out{.in = {}, .out = sealed};
    if (!joined.client->Write(out, plain)) throw std::runtime_error(joined.client->failure_text());
    std::vector<std::uint8_t> replies;
    tls::Wire in{.in = sealed, .out = replies};
    std::size_t length = 0;
    if (joined.server->Read(in, opened, &length) == tls::Progress::kFailed || length != kBurst) {
      throw std::runtime_error("a burst did not come through: " + joined.server->failure_text());
    }
    bytes += static_cast<double>(length);
  }
  JsonLine line;
  line.Add("mode", "aead")
      .Add("what", "cost of the TLS sessions, sealing and opening 16 KiB records in memory: AEAD, record layer, copies")
      .Add("version", joined.client->version())
      .Add("cipher", joined.client->cipher())
      .Add("gb", bytes / 1e9)
      .Add("cpu_per_gb", (CpuNow() - begin) / (bytes / 1e9));
  return line;
}

}  // namespace mooring::bench
