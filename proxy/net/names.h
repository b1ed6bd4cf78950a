// Names: who in this process asks for which host name, and when a name is looked up again.
//
// A name has one look-up under way, however many ask. What it resolved to stays until it resolves
// again. Names that are our own (the agent, the app, a listener) never wait for others; of the
// endpoints' names those that were slow go in a lane of their own, so that no number of dead names
// holds up the rest. Knows no socket, no file and no clock: it is given a look-up and the time, and
// woken by Tick. One per loop, on its thread only.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "authz/result.h"
#include "proxy/net/loop.h"
#include "proxy/net/retry_pause.h"
#include "proxy/net/socket.h"

namespace mooring::net {

// Whose name it is.
enum class NameKind { kOwn, kEndpoint };

class Names final {
 public:
  using Found = Result<std::vector<SocketAddress>>;  // port 0, never empty
  using OnFound = std::function<void(const Found&)>;

  struct World {
    // Calls back once, never from inside.
    std::function<void(const std::string& host, NameKind kind, std::function<void(Found)>)> look_up;
    std::function<MonotonicTime()> now;
    std::function<void(milliseconds)> wake;  // Tick is wanted then; the last call counts
    std::function<double()> random;          // from 0 to 1
  };

  // What a name's next look-up waits for (net/retry_pause.h).
  static constexpr milliseconds kAgain{30'000};  // after a good one
  static constexpr RetryPause::Bounds kRetryEndpoint{milliseconds(2'000), milliseconds(30'000)};
  static constexpr RetryPause::Bounds kRetryOwn{milliseconds(2'000), milliseconds(4'000)};
  // A look-up that has taken this long is slow, and who asks for a name that has resolved before
  // gets that.
  static constexpr milliseconds kSlow{1'000};
  // How many look-ups for endpoints are under way: quick ones (a new name counts as such, for
  // kSlow), slow ones, all.
  static constexpr std::size_t kMaxQuick = 512;
  static constexpr std::size_t kMaxSlow = 64;
  static constexpr std::size_t kMaxAll = 8'192;
  // How long a name of our own is remembered after somebody asked.
  static constexpr milliseconds kRemembered{600'000};

 private:
  struct Entry;
  struct Asker;

 public:
  // Interest is what Follow and Ask return: while it lives, its function may be called. It may end
  // inside the call, and after the Names.
  class Interest final {
   public:
    Interest() = default;
    Interest(Interest&& other) noexcept = default;
    Interest& operator=(Interest&& other) noexcept;
    ~Interest() { End(); }
    void End();
    // Known is what the name resolves to as far as is known; null: it never has.
    const std::vector<SocketAddress>* Known() const;
    explicit operator bool() const { return asker_ != nullptr; }

   private:
    friend class Names;
    explicit Interest(std::shared_ptr<Asker> asker) : asker_(std::move(asker)) {}
    std::shared_ptr<Asker> asker_;
  };

  explicit Names(World world);
  ~Names();
  Names(const Names&) = delete;
  Names& operator=(const Names&) = delete;

  // Follow keeps a name resolved: `on_found` hears of every answer, of failures, too. Never called
  // from inside.
  [[nodiscard]] Interest Follow(const std::string& host, NameKind kind, OnFound on_found);

  // Ask is for somebody who waits: `on_found` hears one answer, the next one. During a backoff it
  // waits for its end. If the name has resolved before, a failure or kSlow without an answer is
  // answered with that. Never called from inside Ask.
  [[nodiscard]] Interest Ask(const std::string& host, NameKind kind, OnFound on_found);

  void Tick();

  std::size_t size() const { return entries_.size(); }  // names that are remembered

 private:
  [[nodiscard]] Interest Join(const std::string& host, NameKind kind, OnFound on_found, bool once);
  void Leave(Asker* asker);
  // starts or queues a look-up, unless one is under way or must not be yet
  void Want(Entry* entry);
  void Start(Entry* entry);
  void StartQueued();
  void NotUnderWay(Entry* entry);
  void Answered(const std::string& host, Found found);
  void BecameSlow(Entry* entry);
  void Tell(Entry* entry, const Found& found, bool all);
  void Schedule(Entry* entry, std::optional<MonotonicTime> next);
  void Forget(Entry* entry);  // if nobody has a use for it
  void Rearm();

  const World world_;
  std::map<std::string, std::unique_ptr<Entry>> entries_;  // by host in lower case
  std::set<std::pair<MonotonicTime, Entry*>> schedule_;
  std::deque<Entry*> new_, slow_;  // endpoints' names that wait for room
  std::size_t quick_count_ = 0, slow_count_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace mooring::net
