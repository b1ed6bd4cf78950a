#include "proxy/handover/offer.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "proxy/net/loop.h"

namespace mooring::handover {
namespace {

constexpr net::milliseconds kAnswer{10'000};
constexpr std::int64_t kMaxSockets = 100'000;

// Counted is a number of things that an offer says will follow; nothing: it is none.
std::optional<std::size_t> Counted(const Message& message, const char* name,
                                   std::int64_t otherwise) {
  const std::int64_t count = message.Number(name, otherwise);
  if (count < 0 || count > kMaxSockets) return std::nullopt;
  return static_cast<std::size_t>(count);
}

// InParts has each message carry as many of the things as one can.
template <typename Thing>
void InParts(std::vector<Thing>* things, const char* kind, const char* names,
             std::string Thing::*name, std::vector<Message>* messages) {
  for (std::size_t begin = 0; begin < things->size(); begin += kMaxDescriptors) {
    Message& next = messages->emplace_back();
    next.kind = kind;
    next.fields[names] = nlohmann::json::array();
    const std::size_t end = std::min(begin + kMaxDescriptors, things->size());
    for (std::size_t i = begin; i < end; ++i) {
      next.fields[names].push_back((*things)[i].*name);
      next.descriptors.push_back(std::move((*things)[i].fd));
    }
  }
}

// Each has `take` called with the descriptors of a part and the names that it gives them.
void Each(Message* part, const char* names,
          const std::function<void(net::UniqueFd fd, std::string name)>& take) {
  const auto found = part->fields.find(names);
  for (std::size_t i = 0; i < part->descriptors.size(); ++i) {
    const bool named = found != part->fields.end() && found->is_array() && i < found->size() &&
                       (*found)[i].is_string();
    take(std::move(part->descriptors[i]), named ? (*found)[i].get<std::string>() : std::string());
  }
}

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
      sockets_ = Counted(message, "sockets", -1);
      documents_ = Counted(message, "documents", 0);  // an older version hands none over
      if (!sockets_ || !documents_) return End(Invalid("it offers no sockets"));
    } else if (message.kind == "documents") {
      Each(&message, "of", [this](net::UniqueFd fd, std::string of) {
        offer_.documents.push_back({std::move(of), std::move(fd)});
      });
    } else if (message.kind == "sockets") {
      Each(&message, "names", [this](net::UniqueFd fd, std::string name) {
        offer_.sockets.push_back({std::move(fd), std::move(name)});
      });
    }
    if (sockets_ && offer_.sockets.size() >= *sockets_ && offer_.documents.size() >= *documents_)
      loop_.Stop();
  }

  void End(Error error) {
    wrong_ = std::move(error);
    loop_.Stop();
  }

  net::Loop& loop_;
  std::optional<Error> wrong_;
  std::optional<std::size_t> sockets_;  // so many have been announced
  std::optional<std::size_t> documents_;
  Offer offer_;
  net::Timer late_;
  Channel channel_;
};

}  // namespace

std::vector<Message> MessagesOf(Offer offer) {
  std::vector<Message> messages;
  Message& first = messages.emplace_back();
  first.kind = "offer";
  first.fields = {{"generation", offer.generation},  {"pid", offer.pid},
                  {"version", offer.version},        {"notify_socket", offer.notify_socket},
                  {"sockets", offer.sockets.size()}, {"documents", offer.documents.size()}};
  if (offer.watchdog_period) first.fields["watchdog_ms"] = offer.watchdog_period->count();
  first.descriptors = std::move(offer.standard);
  // The sockets last: an older version listens until it has them all.
  InParts(&offer.documents, "documents", "of", &Offer::Documents::of, &messages);
  InParts(&offer.sockets, "sockets", "names", &Offer::Socket::name, &messages);
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
