#include "proxy/net/name_sources.h"

#include <netdb.h>
#include <pthread.h>

#include <algorithm>
#include <array>
#include <deque>
#include <fstream>
#include <mutex>
#include <new>
#include <sstream>
#include <utility>

#include "proxy/log/signals_blocked.h"

namespace mooring::net {
namespace {

// Modules of a directory service want more than the least; only what is touched costs memory.
constexpr std::size_t kStack = 512 * 1024;

NameSources::Found GetAddresses(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;  // no AI_ADDRCONFIG: it counts no loopback address
  addrinfo* list = nullptr;
  const int rc = getaddrinfo(host.c_str(), nullptr, &hints, &list);
  if (rc != 0) {
    const bool none = rc == EAI_NONAME || rc == EAI_NODATA;
    return Error{none ? ErrorCode::kNotFound : ErrorCode::kUnavailable, gai_strerror(rc)};
  }
  std::vector<SocketAddress> found;
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    found.push_back(SocketAddress::FromRaw(entry->ai_addr, entry->ai_addrlen));
  }
  freeaddrinfo(list);
  if (found.empty()) return Error{ErrorCode::kNotFound, "the name has no address"};
  return found;
}

}  // namespace

struct NameSources::Lane {
  // Made whole before it is handed to a thread, where nothing may fail.
  struct Job {
    std::string host;
    std::shared_ptr<Found> found;
    std::unique_ptr<net::Task> tell;  // calls back with what `found` holds then
  };
  std::size_t most = 0;
  std::size_t threads = 0;
  std::deque<Job> waiting;
};

struct NameSources::Shared {
  std::mutex mutex;      // guards all of it
  Loop* loop = nullptr;  // null: nobody waits any more
  std::array<Lane, 2> lanes;
};

struct NameSources::Task {
  std::shared_ptr<Shared> shared;
  Lane* lane;
};

NameSources::NameSources(Loop& loop) : shared_(std::make_shared<Shared>()) {
  shared_->loop = &loop;
  shared_->lanes[0].most = kOwnThreads;
  shared_->lanes[1].most = kEndpointThreads;
}

NameSources::~NameSources() {
  const std::lock_guard lock(shared_->mutex);
  shared_->loop = nullptr;
  for (Lane& lane : shared_->lanes) lane.waiting.clear();
}

bool NameSources::HasOthers(const std::string& nsswitch_conf) {
  std::istringstream lines(nsswitch_conf);
  for (std::string line; std::getline(lines, line);) {
    line.resize(std::min(line.size(), line.find('#')));
    std::istringstream words(line);
    std::string word;
    if (!(words >> word) || word != "hosts:") continue;
    bool reaction = false;  // [NOTFOUND=return] and the like, perhaps with spaces inside
    while (words >> word) {
      if (word.front() == '[') reaction = true;
      const bool source = !reaction;
      if (word.back() == ']') reaction = false;
      if (source && word != "files" && word != "dns") return true;
    }
  }
  return false;
}

bool NameSources::MachineHasOthers() {
  std::ifstream file("/etc/nsswitch.conf");
  std::ostringstream text;
  text << file.rdbuf();
  return HasOthers(text.str());
}

void NameSources::LookUp(const std::string& host, NameKind kind, Callback callback) {
  const auto found = std::make_shared<Found>(Error{ErrorCode::kUnavailable, "out of memory"});
  auto tell =
      std::make_unique<net::Task>([found, callback = std::move(callback)] { callback(*found); });
  const std::lock_guard lock(shared_->mutex);
  Lane& lane = shared_->lanes[kind == NameKind::kOwn ? 0 : 1];
  lane.waiting.push_back({host, found, std::move(tell)});
  if (lane.threads >= lane.most) return;
  const log::SignalsBlocked blocked;  // they are the loop's
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStack);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  auto task = std::make_unique<Task>(Task{shared_, &lane});
  pthread_t thread;
  const int error = pthread_create(&thread, &attributes, Work, task.get());
  pthread_attr_destroy(&attributes);
  if (error == 0) {
    (void)task.release();
    ++lane.threads;
    return;
  }
  if (lane.threads > 0) return;  // another one will come to it
  for (Lane::Job& job : std::exchange(lane.waiting, {})) {
    *job.found = Error{ErrorCode::kUnavailable,
                       "no thread can be started for a look-up (limit of processes, memory)"};
    shared_->loop->Post(std::move(job.tell));
  }
}

void* NameSources::Work(void* raw) {
  const std::unique_ptr<Task> task(static_cast<Task*>(raw));
  const std::shared_ptr<Shared>& shared = task->shared;
  Lane& lane = *task->lane;
  std::unique_lock lock(shared->mutex);
  while (shared->loop != nullptr && !lane.waiting.empty()) {
    Lane::Job job = std::move(lane.waiting.front());
    lane.waiting.pop_front();
    lock.unlock();
    try {
      *job.found = GetAddresses(job.host);
    } catch (const std::bad_alloc&) {  // it holds that word already
    }
    lock.lock();
    if (shared->loop == nullptr) break;
    shared->loop->Post(std::move(job.tell));
  }
  --lane.threads;
  return nullptr;
}

}  // namespace mooring::net
