// A live part between two plaintext legs, with the test for a connection around it.
#pragma once

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "proxy/data/live.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/relay_fixture.h"

namespace mooring::test {

class Served final : public data::Live::Owner {
 public:
  explicit Served(data::ListenerKind kind) {
    Sockets app;
    Sockets mesh;
    app_end = std::move(app.far);
    mesh_end = std::move(mesh.far);
    record.kind = kind;
    app_leg.emplace(host.loop(), std::move(app.leg), nullptr);
    mesh_leg.emplace(host.loop(), std::move(mesh.leg), nullptr);
    host.Know(data::LivePolicy{});
    live.emplace(host, *this, record, *app_leg, *mesh_leg, net::milliseconds{0}, host.loop().now());
    live->Start();
  }
  bool IsSettled() noexcept override { return settled; }
  void OnObjection(const data::Objection& objection, data::Manner how) override {
    objected = objection.detail;
    manner = how;
    if (how == data::Manner::kBetweenExchanges) return live->End(objection.reason);
    live->Cut(objection.reason);
  }
  void OnLiveOver(data::CloseReason reason) noexcept override { ended = reason; }

  void Say(int from, int to, std::string_view text) {
    REQUIRE(send(from, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
    std::string got(text.size(), '\0');
    std::size_t have = 0;
    while (have < got.size()) {
      Turn(host.loop());
      const ssize_t more = recv(to, got.data() + have, got.size() - have, MSG_DONTWAIT);
      if (more > 0) have += static_cast<std::size_t>(more);
    }
    CHECK(got == text);
  }
  data::DirectionStats& counters() { return host.counters(record.kind); }

  FakeHost host;
  data::Record record;
  net::UniqueFd app_end, mesh_end;
  std::optional<net::Stream> app_leg, mesh_leg;
  std::optional<data::Live> live;
  bool settled = true;
  std::string objected;
  std::optional<data::Manner> manner;
  std::optional<data::CloseReason> ended;
};

}  // namespace mooring::test
