#include "proxy/net/name_service.h"

#include <utility>

namespace mooring::net {
namespace {

bool IsLocalhost(const std::string& host) { return host == "localhost" || host == "localhost."; }

// RFC 6761 6.3: localhost is the loopback addresses, whoever else has an opinion. IPv4 first, for
// that is where most programs listen that do so on one alone. Not asked of c-ares: 1.18 loses ten
// bytes each time where /etc/hosts has no localhost.
std::vector<SocketAddress> Loopback() {
  std::vector<SocketAddress> both;
  for (const char* literal : {"127.0.0.1", "::1"}) {
    if (const auto address = SocketAddress::FromLiteral(Address::Tcp(literal, 0)))
      both.push_back(*address);
  }
  return both;
}

}  // namespace

NameService::NameService(Loop& loop)
    : loop_(loop),
      random_(std::random_device()()),
      wake_(loop, [this] { names_.Tick(); }),
      names_({[this](const std::string& host, NameKind kind, Dns::Callback callback) {
                LookUp(host, kind, [host, callback = std::move(callback)](Dns::Found found) {
                  callback(
                      found ? std::move(found)
                            : Dns::Found(Error{found.error().code, "cannot resolve " + host + ": " +
                                                                       found.error().message}));
                });
              },
              [&loop] { return loop.now(); }, [this](milliseconds delay) { wake_.Start(delay); },
              [this] { return std::uniform_real_distribution<double>()(random_); }}),
      dns_(loop),
      sources_(loop) {}

NameService& NameService::Of(Loop& loop) {
  std::unique_ptr<Attachment>& attachment = loop.attachment();
  if (!attachment) attachment = std::make_unique<NameService>(loop);
  return static_cast<NameService&>(*attachment);
}

void NameService::LookUp(const std::string& host, NameKind kind, Dns::Callback callback) {
  if (IsLocalhost(host)) {
    loop_.Defer([callback = std::move(callback)] { callback(Loopback()); });
    return;
  }
  dns_.LookUp(host, [this, host, kind, callback = std::move(callback)](Dns::Found found) {
    if (!found && found.error().code == ErrorCode::kNotFound && NameSources::MachineHasOthers()) {
      sources_.LookUp(host, kind, callback);
    } else {
      callback(std::move(found));
    }
  });
}

}  // namespace mooring::net
