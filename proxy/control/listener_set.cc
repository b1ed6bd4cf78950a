#include "proxy/control/listener_set.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "proxy/net/refusing_port.h"

namespace mooring::control {
namespace {
constexpr net::RetryPause::Bounds kRetryBind{net::milliseconds(250), net::milliseconds(2'000)};

}  // namespace

// GivenBack returns an inherited socket that could not be put to use: the next try finds it again.
class ListenerSet::GivenBack final {
 public:
  GivenBack(net::Inherited& to, net::Inherited::Socket socket)
      : to_(to), socket_(std::move(socket)) {}
  ~GivenBack() {
    if (socket_.inherited) to_.Return(std::move(socket_));
  }
  GivenBack(const GivenBack&) = delete;
  GivenBack& operator=(const GivenBack&) = delete;
  const net::Inherited::Socket* operator->() const { return &socket_; }
  net::Inherited::Socket* get() { return &socket_; }
  net::Inherited::Socket Use() { return std::move(socket_); }

 private:
  net::Inherited& to_;
  net::Inherited::Socket socket_;
};

bool ListenerSet::Entry::CanRefuse() const {
  return wanted.address.kind != net::Address::Kind::kUnix && wanted.address.port != 0 &&
         !socket.HeldByUnit();
}

bool ListenerSet::Entry::AsWanted() const {
  const bool refuse = !refuses_for.empty() && CanRefuse();
  return refuses_since.has_value() == refuse;
}

ListenerSet::ListenerSet(net::Loop& loop, log::Log& log,
                         const std::vector<data::ServiceHost*>& hosts, net::Inherited& inherited,
                         OnFailed on_failed, std::function<void()> on_open)
    : loop_(loop),
      log_(log),
      hosts_(hosts),
      inherited_(inherited),
      on_failed_(std::move(on_failed)),
      on_open_(std::move(on_open)),
      resolver_(loop),
      retry_(loop, [this] { Retry(); }) {}

ListenerSet::~ListenerSet() {
  // What is not accepted from is shared with another process, which goes on.
  if (!accepting_) return;
  for (auto& [name, entry] : entries_) {
    if (!entry.socket.Kept()) inherited_.LetGo(entry.wanted.address, std::move(entry.socket));
  }
}

void ListenerSet::Update(const std::map<std::string, Wanted>& wanted) {
  // Closing comes first: a listener that moves may take an address that another one leaves.
  for (auto it = entries_.begin(); it != entries_.end();) {
    const auto found = wanted.find(it->first);
    if (found != wanted.end() && found->second == it->second.wanted) {
      ++it;
      continue;
    }
    Close(it->first, &it->second);
    it = entries_.erase(it);
  }
  for (const auto& [name, want] : wanted) {
    auto [it, added] = entries_.try_emplace(name);
    if (!added) continue;
    it->second.wanted = want;
    it->second.id = ++last_id_;
    Open(name, &it->second);
  }
}

void ListenerSet::Open(const std::string& name, Entry* entry) {
  TryAgain();  // what is cut short by a lack of memory, too
  // Even a literal goes through the resolver: one path, and no callback from inside Update.
  if (entry->resolving) return;
  resolver_.Resolve(entry->wanted.address,
                    [this, name, id = entry->id](Result<std::vector<net::SocketAddress>> found) {
                      Resolved(name, id, std::move(found));
                    });
  entry->resolving = true;  // only now: there may have been no memory to ask
}

void ListenerSet::Resolved(const std::string& name, std::uint64_t id,
                           Result<std::vector<net::SocketAddress>> found) {
  const auto it = entries_.find(name);
  if (it == entries_.end() || it->second.id != id) return;
  it->second.resolving = false;
  if (*releases_ > 0) return;  // the address may be one that is just being left; Retry follows
  Entry* entry = &it->second;
  if (!found) {
    Failed(name, entry,
           {found.error().code,
            "cannot listen on " + entry->wanted.address.Text() + ": " + found.error().message});
    return;
  }
  if (const Status bound = Bind(name, *found, entry); !bound) {
    Failed(name, entry, bound.error());
    return;
  }
  if (const Status turned = Follow(name, entry); !turned) Failed(name, entry, turned.error());
  if (on_open_) on_open_();
}

Status ListenerSet::Bind(const std::string& name, const std::vector<net::SocketAddress>& found,
                         Entry* entry) {
  auto opened = inherited_.Open(entry->wanted.address, found);
  if (!opened) return opened.error();
  GivenBack socket(inherited_, std::move(*opened));
  std::string bound_to = net::SocketAddress::LocalOf(socket->fd.get()).Text();
  if (accepting_) {
    if (Status out = HandOut(name, socket->fd.get(), entry); !out) return out;
  }
  if (accepting_) KeepForNext(name, entry->wanted.address, socket.get());
  entry->socket = socket.Use();
  entry->error.clear();
  entry->bound = std::move(bound_to);
  // One that has refused until now does so on, or takes clients again: Follow.
  if (!net::Listens(entry->socket.fd.get())) entry->refuses_since = loop_.now();
  log_.Info("control", "listener open", {{"name", name}, {"address", entry->bound}});
  if (entry->socket.inherited) {
    log_.Info("control", "its socket was passed to us",
              {{"name", name}, {"as", entry->socket.name}});
  }
  return Ok();
}

void ListenerSet::KeepForNext(const std::string& name, const net::Address& address,
                              net::Inherited::Socket* socket) {
  if (inherited_.Keep(address, socket)) return;
  log_.Warn("control", "the service manager does not keep a socket for the next start",
            {{"name", name}});
}

Status ListenerSet::HandOut(const std::string& name, int fd, Entry* entry) {
  std::vector<net::UniqueFd> shares;
  for (std::size_t i = 0; i < hosts_.size(); ++i) {
    net::UniqueFd share(fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (!share) {
      return Error{ErrorCode::kUnavailable, "cannot listen on " + entry->wanted.address.Text() +
                                                ": " + std::strerror(errno)};
    }
    shares.push_back(std::move(share));
  }
  // All that needs memory comes first: a listener that is open for some workers only, or for none,
  // would look open.
  std::vector<std::unique_ptr<net::Task>> tasks;
  for (std::size_t i = 0; i < hosts_.size(); ++i) {
    tasks.push_back(hosts_[i]->MakeListenerTask(name, entry->wanted.kind, std::move(shares[i])));
  }
  for (std::size_t i = 0; i < hosts_.size(); ++i) hosts_[i]->Post(std::move(tasks[i]));
  entry->handed_out = true;
  return Ok();
}

void ListenerSet::StopAccepting(std::function<void()> done) {
  accepting_ = false;
  // One more share is this function's own, so that `done` runs once, whatever is open.
  const std::shared_ptr<void> last(
      nullptr, [&loop = loop_, task = std::make_shared<std::unique_ptr<net::Task>>(
                                   std::make_unique<net::Task>(std::move(done)))](void*) {
        loop.Post(std::move(*task));
      });
  for (auto& [name, entry] : entries_) {
    if (!std::exchange(entry.handed_out, false)) continue;
    for (data::ServiceHost* host : hosts_)
      host->PostCloseListener(name, data::Queued::kLeft, [last] {});
  }
}

void ListenerSet::StartAccepting() {
  accepting_ = true;
  Retry();
}

std::vector<const net::Inherited::Socket*> ListenerSet::Sockets() const {
  std::vector<const net::Inherited::Socket*> sockets;
  for (const auto& [name, entry] : entries_) {
    if (entry.socket.fd) sockets.push_back(&entry.socket);
  }
  return sockets;
}

void ListenerSet::GiveUp() {
  retry_.Stop();
  entries_.clear();
}

void ListenerSet::Refuse(const std::string& name, const std::string& why) {
  const auto it = entries_.find(name);
  if (it == entries_.end()) return;
  Entry* entry = &it->second;
  entry->refuses_for = why;
  if (const Status turned = Follow(name, entry); !turned) Failed(name, entry, turned.error());
}

Status ListenerSet::Follow(const std::string& name, Entry* entry) {
  if (!entry->socket.fd || !accepting_) return Ok();
  if (!entry->handed_out) {
    if (const Status out = HandOut(name, entry->socket.fd.get(), entry); !out) return out;
    KeepForNext(name, entry->wanted.address, &entry->socket);
    // Whoever shared it may have turned it meanwhile.
    if (net::Listens(entry->socket.fd.get())) {
      entry->refuses_since.reset();
    } else if (!entry->refuses_since) {
      entry->refuses_since = loop_.now();
    }
  }
  if (entry->AsWanted()) {
    // nothing has to be done
  } else if (!entry->refuses_since) {
    if (const Status refuses = net::RefuseAt(entry->socket.fd.get()); !refuses) return refuses;
    entry->refuses_since = loop_.now();
    log_.Warn("control", "listener refuses",
              {{"name", name}, {"address", entry->bound}, {"why", entry->refuses_for}});
  } else {
    // All that needs memory comes first: what listens and is not looked at would be a dead port.
    std::vector<std::unique_ptr<net::Task>> tasks;
    for (data::ServiceHost* host : hosts_) tasks.push_back(host->MakeResumeTask(name));
    if (const Status listens = net::ListenAgain(entry->socket.fd.get()); !listens) return listens;
    for (std::size_t i = 0; i < hosts_.size(); ++i) hosts_[i]->Post(std::move(tasks[i]));
    entry->refuses_since.reset();
    log_.Info("control", "listener takes connections again",
              {{"name", name}, {"address", entry->bound}});
  }
  entry->error.clear();
  return Ok();
}

void ListenerSet::Failed(const std::string& name, Entry* entry, const Error& error) {
  const bool news = entry->error != error.message;
  entry->error = error.message;
  TryAgain();
  if (news) on_failed_(name, error);
}

void ListenerSet::Close(const std::string& name, Entry* entry) {
  if (!entry->socket.fd) return;
  // All that needs memory here comes first: what is counted is released.
  std::vector<std::shared_ptr<std::unique_ptr<net::Task>>> tasks;
  for (std::size_t i = 0; i < hosts_.size(); ++i) {
    tasks.push_back(std::make_shared<std::unique_ptr<net::Task>>(
        std::make_unique<net::Task>([this, releases = std::weak_ptr<std::size_t>(releases_)] {
          if (const auto left = releases.lock(); left && --*left == 0) Retry();
        })));
  }
  // A socket unit's stays open there. Whoever connects meanwhile waits for a listener to want it.
  net::Inherited::Socket socket = std::exchange(entry->socket, {});
  if (accepting_) inherited_.LetGo(entry->wanted.address, std::move(socket));
  for (std::size_t i = 0; i < hosts_.size(); ++i) {
    // Runs on the worker; the count is looked at on our loop alone, and only while this object
    // lives.
    hosts_[i]->PostCloseListener(
        name, data::Queued::kTaken,
        [&loop = loop_, task = std::move(tasks[i])] { loop.Post(std::move(*task)); });
    ++*releases_;  // only now: there may have been no memory to post it
  }
  log_.Info("control", "listener closed", {{"name", name}, {"address", entry->bound}});
}

void ListenerSet::Retry() {
  bool all_open = true;
  for (auto& [name, entry] : entries_) {
    if (!entry.socket.fd) {
      all_open = false;
      Open(name, &entry);
    } else if (const Status turned = Follow(name, &entry); !turned) {
      all_open = false;
      Failed(name, &entry, turned.error());
    }
  }
  if (all_open) pause_.Succeeded();
}

void ListenerSet::TryAgain() {
  if (!retry_.running()) retry_.Start(pause_.Failed(kRetryBind, loop_.now()));
}

void ListenerSet::CloseKind(data::ListenerKind kind, Kept kept, std::function<void()> done) {
  // Each worker empties the queue before it lets go; the last descriptor to go closes the socket.
  // One more share is this function's own, so that `done` runs once, whatever is open.
  auto left = std::make_shared<std::atomic<std::size_t>>(1);
  // The loop, not this: a later signal may have ended this object by then.
  // Made here, so that the last worker cannot fail to hand it back.
  auto task =
      std::make_shared<std::unique_ptr<net::Task>>(std::make_unique<net::Task>(std::move(done)));
  const auto release = [&loop = loop_, left, task] {
    if (left->fetch_sub(1) == 1) loop.Post(std::move(*task));
  };
  for (auto it = entries_.begin(); it != entries_.end();) {
    auto& [name, entry] = *it;
    if (entry.wanted.kind != kind) {
      ++it;
      continue;
    }
    const bool stays = entry.socket.HeldByUnit() || (entry.socket.Kept() && kept == Kept::kStay);
    const auto queued =
        stays && entry.socket.KeptForSure() ? data::Queued::kLeft : data::Queued::kTaken;
    if (!stays) inherited_.LetGo(entry.wanted.address, std::move(entry.socket));
    *left += hosts_.size();
    for (data::ServiceHost* host : hosts_) host->PostCloseListener(name, queued, release);
    it = entries_.erase(it);
  }
  release();
}

bool ListenerSet::InUnit(data::ListenerKind kind) const {
  return std::any_of(entries_.begin(), entries_.end(), [kind](const auto& each) {
    return each.second.wanted.kind == kind && each.second.socket.HeldByUnit();
  });
}

bool ListenerSet::IsOpen(const std::string& name) const {
  const auto found = entries_.find(name);
  return found != entries_.end() && found->second.socket.fd;
}

std::optional<net::Address> ListenerSet::AddressOf(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) return std::nullopt;
  return found->second.wanted.address;
}

std::string ListenerSet::ErrorOf(const std::string& name) const {
  const auto found = entries_.find(name);
  return found != entries_.end() ? found->second.error : std::string();
}

bool ListenerSet::AllOpen() const {
  return std::all_of(entries_.begin(), entries_.end(),
                     [](const auto& each) { return static_cast<bool>(each.second.socket.fd); });
}

bool ListenerSet::Settled() const {
  return std::all_of(entries_.begin(), entries_.end(), [](const auto& each) {
    return each.second.socket.fd || !each.second.error.empty();
  });
}

bool ListenerSet::NoneCanOpen() const {
  return !entries_.empty() && std::all_of(entries_.begin(), entries_.end(), [](const auto& each) {
    return !each.second.socket.fd && !each.second.error.empty();
  });
}

std::uint16_t ListenerSet::BoundPort(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end() || !found->second.socket.fd) return 0;
  return net::SocketAddress::LocalOf(found->second.socket.fd.get()).port();
}

std::vector<ListenerSet::View> ListenerSet::Views() const {
  std::vector<View> views;
  for (const auto& [name, entry] : entries_) {
    const bool open = static_cast<bool>(entry.socket.fd);
    views.push_back({name, open ? entry.bound : entry.wanted.address.Text(), open, entry.error,
                     entry.refuses_since ? entry.refuses_for : std::string(), entry.refuses_since});
  }
  return views;
}

}  // namespace mooring::control
