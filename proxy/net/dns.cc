#include "proxy/net/dns.h"

#include <ares.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <new>
#include <utility>

namespace mooring::net {
namespace {

constexpr char kResolvConf[] = "/etc/resolv.conf";
constexpr char kNsswitchConf[] = "/etc/nsswitch.conf";
// A try waits 2 s, the next 4, the last 8: a slow server is waited for, a lost packet costs 2 s.
constexpr int kFirstTry = 2'000;  // ms
constexpr int kTries = 3;
// A channel asks from one port per server. A new one begins after this many questions, so that a
// stranger who guesses at ports and numbers of questions cannot take his time; no more than
// kChannels at once, which bounds the descriptors.
constexpr int kQuestionsPerChannel = 32;
constexpr std::size_t kChannels = 8;

}  // namespace

struct Dns::Question {
  Dns* dns = nullptr;
  Channel* channel = nullptr;
  std::string host;
  Callback callback;
  std::unique_ptr<Question> next;  // of those that there was no memory to answer
};

struct Dns::Channel {
  explicit Channel(Dns& dns)
      : owner(dns), timer(dns.loop_, [this] {
          ares_process_fd(raw, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
          Arm();
          owner.Settle();
        }) {}
  ~Channel() {
    // tells every question, and takes its descriptors out of the loop
    if (raw != nullptr) ares_destroy(raw);
  }
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  int Open() {
    ares_options options{};
    options.timeout = kFirstTry;
    options.tries = kTries;
    options.sock_state_cb = [](void* self, ares_socket_t fd, int read, int write) {
      try {
        static_cast<Channel*>(self)->Watch(fd, read != 0, write != 0);
      } catch (const std::bad_alloc&) {  // C is above. Without a Poller the try's time runs out
        static_cast<Channel*>(self)->sockets.erase(fd);
      }
    };
    options.sock_state_cb_data = this;
    const int status = ares_init_options(
        &raw, &options, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
    if (status != ARES_SUCCESS) raw = nullptr;
    return status;
  }

  void Watch(int fd, bool read, bool write) {
    const unsigned interest =
        (read ? unsigned{Poller::kRead} : 0U) | (write ? unsigned{Poller::kWrite} : 0U);
    if (interest == Poller::kNone) {
      sockets.erase(fd);  // it is closed next
      return;
    }
    auto& [poller, wanted] = sockets[fd];
    wanted = interest;
    if (!poller) {
      poller = std::make_unique<Poller>(owner.loop_, fd,
                                        [this, fd](Poller::Ready ready) { OnReady(fd, ready); });
    }
    poller->Set(interest);
  }

  void OnReady(int fd, Poller::Ready ready) {
    // not watched: the try's time runs out, and the next one has another socket
    if (ready.refused != 0) return;
    const bool failed = ready.error || ready.other;
    ares_process_fd(raw, ready.read || failed ? fd : ARES_SOCKET_BAD,
                    ready.write || failed ? fd : ARES_SOCKET_BAD);
    if (const auto found = sockets.find(fd); failed && found != sockets.end()) {
      // a failure has stopped the polling, the socket is still in use
      found->second.first->Set(found->second.second);
    }
    Arm();
    owner.Settle();
  }

  void Arm() {
    timeval wait{};
    if (ares_timeout(raw, nullptr, &wait) == nullptr) {
      timer.Stop();
    } else {
      timer.Start(milliseconds(wait.tv_sec * 1000 + wait.tv_usec / 1000 + 1));
    }
  }

  Dns& owner;
  ares_channel raw = nullptr;
  // with what c-ares waits for
  std::map<int, std::pair<std::unique_ptr<Poller>, unsigned>> sockets;
  Timer timer;
  int asked = 0;
  int open = 0;          // questions without an answer
  bool retired = false;  // takes no new ones
};

Dns::Dns(Loop& loop) : loop_(loop), tell_lost_(loop, [this] { TellLost(); }) {
  // nothing but a counter, on Linux
  static const int library = ares_library_init(ARES_LIB_INIT_ALL);
  (void)library;
}

Dns::~Dns() {
  ending_ = true;
  channels_.clear();
}

Dns::FilesLook Dns::LookAtFiles() {
  FilesLook look{};
  std::size_t at = 0;
  for (const char* path : {kResolvConf, kNsswitchConf}) {
    struct stat info {};
    if (stat(path, &info) == 0) {
      look[at] = static_cast<std::int64_t>(info.st_ino);
      look[at + 1] = info.st_size;
      look[at + 2] = info.st_mtim.tv_sec;
      look[at + 3] = info.st_mtim.tv_nsec;
    }
    at += 4;
  }
  return look;
}

Dns::Channel* Dns::CurrentChannel() {
  if (!channels_.empty() && !channels_.back()->retired) {
    Channel* last = channels_.back().get();
    if (last->asked < kQuestionsPerChannel || channels_.size() >= kChannels) return last;
    last->retired = true;
  }
  // c-ares would take a file that it cannot open for want of descriptors for one that is not there,
  // and ask nobody.
  const UniqueFd readable(open(kResolvConf, O_RDONLY | O_CLOEXEC));
  if (!readable && IsShortage(errno)) return nullptr;
  auto channel = std::make_unique<Channel>(*this);
  look_ = LookAtFiles();
  if (channel->Open() != ARES_SUCCESS) return nullptr;
  channels_.push_back(std::move(channel));
  return channels_.back().get();
}

void Dns::LookUp(const std::string& host, Callback callback) {
  auto question = std::make_unique<Question>();
  question->dns = this;
  question->host = host;
  question->callback = std::move(callback);
  Settle();
  Ask(std::move(question));
}

void Dns::Ask(std::unique_ptr<Question> question) {
  Channel* channel = CurrentChannel();
  if (channel == nullptr) {
    Answered(question, Error{ErrorCode::kUnavailable, "out of descriptors or memory"});
    return;
  }
  question->channel = channel;
  ++channel->asked;
  ++channel->open;
  ares_addrinfo_hints hints{};
  // every record; whether its family leads anywhere, connecting shows at once
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  Question* raw = question.release();
  ares_getaddrinfo(
      channel->raw, raw->host.c_str(), nullptr, &hints,
      [](void* self, int status, int, ares_addrinfo* list) {
        const std::unique_ptr<ares_addrinfo, decltype(&ares_freeaddrinfo)> owned(list,
                                                                                 ares_freeaddrinfo);
        std::unique_ptr<Question> mine(static_cast<Question*>(self));
        Dns& dns = *mine->dns;
        --mine->channel->open;
        if (dns.ending_) return;
        try {
          dns.Take(mine, status, list);
        } catch (const std::bad_alloc&) {  // C is above
          dns.Lost(std::move(mine));
        }
      },
      raw);
  channel->Arm();
}

void Dns::Take(std::unique_ptr<Question>& question, int status, const ares_addrinfo* list) {
  if (status == ARES_EDESTRUCTION) {
    again_.push_back(std::move(question));
    return;
  }
  std::vector<SocketAddress> found;
  for (const ares_addrinfo_node* node = list == nullptr ? nullptr : list->nodes; node != nullptr;
       node = node->ai_next) {
    found.push_back(
        SocketAddress::FromRaw(node->ai_addr, static_cast<socklen_t>(node->ai_addrlen)));
  }
  if (status == ARES_SUCCESS && !found.empty()) {
    Answered(question, std::move(found));
  } else if (status == ARES_SUCCESS || status == ARES_ENODATA) {
    Answered(question, Error{ErrorCode::kNotFound, "the name has no address"});
  } else if (status == ARES_ENOTFOUND) {
    Answered(question, Error{ErrorCode::kNotFound, "no such name"});
  } else if (status == ARES_ETIMEOUT) {
    Answered(question, Error{ErrorCode::kUnavailable, "no DNS server answers"});
  } else if (status == ARES_ECONNREFUSED) {
    Answered(question, Error{ErrorCode::kNotFound, "no DNS server can be reached"});
  } else {
    Answered(question, Error{ErrorCode::kUnavailable, ares_strerror(status)});
  }
}

void Dns::Lost(std::unique_ptr<Question> question) noexcept {
  question->next = std::move(lost_);
  lost_ = std::move(question);
  tell_lost_.Arm();
}

void Dns::TellLost() {
  if (!lost_) return;
  const std::unique_ptr<Question> question = std::move(lost_);
  lost_ = std::move(question->next);
  if (lost_) tell_lost_.Arm();  // before what may fail again
  question->callback(Error{ErrorCode::kUnavailable, "out of memory"});
}

void Dns::Answered(const std::unique_ptr<Question>& question, Found found) {
  answers_.emplace_back(
      [callback = question->callback, found = std::move(found)] { callback(found); });
  if (answers_.size() > 1) return;  // Deliver is on its way
  loop_.Defer([this, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) Deliver();
  });
}

void Dns::Deliver() {
  const std::vector<std::function<void()>> answers = std::exchange(answers_, {});
  for (const auto& tell : answers) tell();
}

void Dns::Settle() {
  if (!channels_.empty() && look_ != LookAtFiles()) {
    // Other servers, other domains: what is under way is asked anew.
    const std::vector<std::unique_ptr<Channel>> old = std::exchange(channels_, {});
  }
  std::erase_if(channels_,
                [](const auto& channel) { return channel->retired && channel->open == 0; });
  for (auto& question : std::exchange(again_, {})) Ask(std::move(question));
}

}  // namespace mooring::net
