#include "proxy/net/name_service.h"

#include <utility>

namespace mooring::net {
namespace {

bool IsLocalhost(const std::string& host) { return host == "localhost" || host == "localhost."; }

// RFC 6761 6.3: localhost is both loopback addresses, even if /etc/hosts gives it one alone.
void AddLoopback(std::vector<SocketAddress>* found) {
  for (const char* literal : {"::1", "127.0.0.1"}) {
    const auto address = SocketAddress::FromLiteral(Address::Tcp(literal, 0));
    bool there = !address;
    for (const SocketAddress& each : *found) there = there || each == *address;
    if (!there) found->push_back(*address);
  }
}

}  // namespace

NameService::NameService(Loop& loop)
    : random_(std::random_device()()),
      wake_(loop, [this] { names_.Tick(); }),
      names_({[this](const std::string& host, NameKind kind, Dns::Callback callback) {
                LookUp(host, kind, [host, callback = std::move(callback)](Dns::Found found) {
                  callback(found ? std::move(found)
                                 : Dns::Found(Error{found.error().code,
                                                    "cannot resolve " + host + ": " + found.error().message}));
                });
              },
              [&loop] { return loop.now(); }, [this](milliseconds delay) { wake_.Start(delay); },
              [this] { return std::uniform_real_distribution<double>()(random_); }}),
      dns_(loop),
      sources_(loop) {}

void NameService::LookUp(const std::string& host, NameKind kind, Dns::Callback callback) {
  dns_.LookUp(host, [this, host, kind, callback = std::move(callback)](Dns::Found found) {
    if (IsLocalhost(host)) {
      std::vector<SocketAddress> both;
      if (found) both = *std::move(found);
      AddLoopback(&both);
      callback(std::move(both));
    } else if (!found && found.error().code == ErrorCode::kNotFound && NameSources::MachineHasOthers()) {
      sources_.LookUp(host, kind, callback);
    } else {
      callback(std::move(found));
    }
  });
}

}  // namespace mooring::net
