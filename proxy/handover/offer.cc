#include "proxy/handover/offer.h"

#include <algorithm>
#include <utility>

#include "proxy/net/loop.h"

namespace mooring::handover {
namespace {

constexpr net::milliseconds kAnswer{10'000};
constexpr std::size_t kMaxSockets = 100'000;

class Asking final {
 public:
  Asking(net::Loop& loop, net::UniqueFd fd, const std::string& version)
      : loop_(loop),
        late_(loop_, [this] { End(Invalid("it has not answered within 10 s")); }),
        channel_(loop_, std::move(fd),
                 {[this](Message message) { Take(std::move(message)); },
                  [this](const std::string& why) { End(Invalid(why)); }}) {
    late_.Start(kAnswer);
    channel_.Send({"take_over", {{"version", version}}});
  }

  Result<Offered> Run() {
    loop_.Run();
    late_.Stop();
    if (wrong_) return *wrong_;
    auto fd = channel_.Release();
    if (!fd) return Invalid("it has said more than an offer");
    return Offered{std::move(offer_), std::move(*fd)};
  }

 private:
  void Take(Message message) {
    if (message.kind == "refused") {
      End(Invalid(message.Text("why")));
    } else if (message.kind == "offer") {
      offer_.generation = message.Number("generation", 1);
      offer_.pid = static_cast<pid_t>(message.Number("pid"));
      offer_.version = message.Text("version");
      offer_.notify_socket = message.Text("notify_socket");
      if (const auto period = message.Number("watchdog_ms"); period > 0)
        offer_.watchdog_period = std::chrono::milliseconds(period);
      offer_.standard = std::move(message.descriptors);
      const std::int64_t sockets = message.Number("sockets", -1);
      if (sockets < 0 || static_cast<std::size_t>(sockets) > kMaxSockets)
        return End(Invalid("it offers no sockets"));
      expected_ = static_cast<std::size_t>(sockets);
    } else if (message.kind == "sockets") {
      const auto names = message.fields.find("names");
      for (std::size_t i = 0; i < message.descriptors.size(); ++i) {
        const bool named = names != message.fields.end() && names->is_array() &&
                           i < names->size() && (*names)[i].is_string();
        offer_.sockets.push_back({std::move(message.descriptors[i]),
                                  named ? (*names)[i].get<std::string>() : std::string()});
      }
    }
    if (expected_ && offer_.sockets.size() >= *expected_) loop_.Stop();
  }

  void End(Error error) {
    wrong_ = std::move(error);
    loop_.Stop();
  }

  net::Loop& loop_;
  std::optional<Error> wrong_;
  std::optional<std::size_t> expected_;
  Offer offer_;
  net::Timer late_;
  Channel channel_;
};

}  // namespace

std::vector<Message> MessagesOf(Offer offer) {
  std::vector<Message> messages;
  Message& first = messages.emplace_back();
  first.kind = "offer";
  first.fields = {{"generation", offer.generation},
                  {"pid", offer.pid},
                  {"version", offer.version},
                  {"notify_socket", offer.notify_socket},
                  {"sockets", offer.sockets.size()}};
  if (offer.watchdog_period) first.fields["watchdog_ms"] = offer.watchdog_period->count();
  first.descriptors = std::move(offer.standard);
  for (std::size_t begin = 0; begin < offer.sockets.size(); begin += kMaxDescriptors) {
    Message& next = messages.emplace_back();
    next.kind = "sockets";
    const std::size_t end = std::min(begin + kMaxDescriptors, offer.sockets.size());
    next.fields["names"] = nlohmann::json::array();
    for (std::size_t i = begin; i < end; ++i) {
      next.fields["names"].push_back(offer.sockets[i].name);
      next.descriptors.push_back(std::move(offer.sockets[i].fd));
    }
  }
  return messages;
}

Result<Offered> AskForPlace(const Place& place, const std::string& version) {
  auto fd = place.Connect(kSocket);
  if (!fd) return fd.error();
  net::Loop loop;
  Result<Offered> offered = Asking(loop, std::move(*fd), version).Run();
  loop.Post([&loop] { loop.Stop(); });  // lets the handles close
  loop.Run();
  return offered;
}

}  // namespace mooring::handover
