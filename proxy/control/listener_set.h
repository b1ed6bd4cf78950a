// ListenerSet: the listening sockets that should be open, and those that are.
//
// Sockets are opened here, or taken of those that were inherited, on the control thread, and shared
// with the workers. A change opens,
// moves and closes only what differs. One that cannot be bound is tried again, every two seconds at
// last, and harms no other. One that is to turn its clients away does so by its socket, which stays
// bound (net/refusing_port.h). What that means for whoever wants them is the owner's to say, who
// may have several sets: AllOpen, Settled and NoneCanOpen are what it goes by. Loop thread only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "proxy/data/service_host.h"
#include "proxy/log/log.h"
#include "proxy/net/address.h"
#include "proxy/net/inherited.h"
#include "proxy/net/loop.h"
#include "proxy/net/resolver.h"
#include "proxy/net/retry_pause.h"

namespace mooring::control {

class ListenerSet final {
 public:
  struct Wanted {
    net::Address address;
    data::ListenerKind kind = data::ListenerKind::kUpstream;
    bool operator==(const Wanted&) const = default;
  };
  struct View {
    std::string name;
    std::string address;  // as bound; the wanted one while it is not open
    bool open = false;
    std::string error;
    // why it refuses whoever connects, and since when; empty and absent: it does not
    std::string refuses_for;
    std::optional<net::MonotonicTime> refuses_since;
  };

  // `on_failed` hears of every listener that could not be opened, the first time and when the
  // reason changes; the caller decides whether that ends anything. Never called from inside Update.
  // `on_open` runs after each that opens.
  using OnFailed = std::function<void(const std::string& name, const Error& error)>;

  ListenerSet(net::Loop& loop, log::Log& log, const std::vector<data::ServiceHost*>& hosts,
              net::Inherited& inherited, OnFailed on_failed, std::function<void()> on_open);
  ~ListenerSet();
  ListenerSet(const ListenerSet&) = delete;
  ListenerSet& operator=(const ListenerSet&) = delete;

  // Update makes `wanted` what is open, by name.
  void Update(const std::map<std::string, Wanted>& wanted);

  // Refuse has an open listener refuse whoever connects, for the reason `why`, or take clients
  // again, where it is empty. One that opens later opens so. A listener that is gone or moves
  // forgets it. A unix socket, a port that the kernel chose and a socket unit's cannot do that:
  // they go on taking clients. What is under way goes on.
  void Refuse(const std::string& name, const std::string& why);

  // StopAccepting leaves the sockets open and as they are, for whoever shares them: another process
  // that takes them over, or has not let go of them yet. What the kernel has queued stays there.
  // `done` runs on this loop, once no worker takes clients any more. StartAccepting undoes it. A
  // listener that opens in between takes nobody either.
  void StopAccepting(std::function<void()> done);
  void StartAccepting();
  // Sockets are those that are open; they stay the set's.
  std::vector<const net::Inherited::Socket*> Sockets() const;
  // GiveUp lets go of all sockets, which are another process's now. To be called after
  // StopAccepting.
  void GiveUp();

  // CloseKind stops accepting on all listeners of a kind for good. Those of a socket that is kept
  // for the next process (net/inherited.h) leave it listening, so that whoever comes waits there,
  // or, of our own, do not. What the kernel has queued is taken before, unless it is sure to be
  // kept there. `done` runs on this loop.
  enum class Kept { kStay, kGo };
  void CloseKind(data::ListenerKind kind, Kept kept, std::function<void()> done);
  // InUnit: a socket unit has a listener of that kind.
  bool InUnit(data::ListenerKind kind) const;

  bool IsOpen(const std::string& name) const;
  // as wanted; nothing if it is not wanted
  std::optional<net::Address> AddressOf(const std::string& name) const;
  // of the last try; empty: open, not tried yet, or not wanted
  std::string ErrorOf(const std::string& name) const;
  bool AllOpen() const;
  // Settled: each is open, or has been tried and is not.
  bool Settled() const;
  // NoneCanOpen: there are some, and each has been tried and is not open. It may be another time.
  bool NoneCanOpen() const;
  // BoundPort is the port that an open listener got; 0 if it is not open or has none.
  std::uint16_t BoundPort(const std::string& name) const;
  std::vector<View> Views() const;

 private:
  class GivenBack;
  struct Entry {
    Wanted wanted;
    net::Inherited::Socket socket;
    std::string bound;
    std::string error;        // of the last try; empty: open, or not tried yet
    std::string refuses_for;  // what is wanted; empty: it takes clients
    std::optional<net::MonotonicTime> refuses_since;  // what is
    bool resolving = false;
    bool handed_out = false;  // the workers have it
    std::uint64_t id = 0;     // tells an answer of the resolver for an entry that is gone

    // AsWanted: while it is open it refuses or takes clients, whichever is wanted.
    bool AsWanted() const;
    bool CanRefuse() const;
  };

  void Open(const std::string& name, Entry* entry);
  void Resolved(const std::string& name, std::uint64_t id,
                Result<std::vector<net::SocketAddress>> found);
  // Bind opens at one of the addresses and hands the socket to the workers.
  Status Bind(const std::string& name, const std::vector<net::SocketAddress>& found, Entry* entry);
  void KeepForNext(const std::string& name, const net::Address& address,
                   net::Inherited::Socket* socket);
  // HandOut has the workers take clients from `fd`, the entry's. All of it or nothing.
  Status HandOut(const std::string& name, int fd, Entry* entry);
  // Follow makes an open listener refuse or take clients, as wanted.
  Status Follow(const std::string& name, Entry* entry);
  void Failed(const std::string& name, Entry* entry, const Error& error);
  void Close(const std::string& name, Entry* entry);
  void Retry();
  void TryAgain();

  net::Loop& loop_;
  log::Log& log_;
  const std::vector<data::ServiceHost*>& hosts_;
  net::Inherited& inherited_;
  const OnFailed on_failed_;
  const std::function<void()> on_open_;
  net::Resolver resolver_;
  std::map<std::string, Entry> entries_;
  bool accepting_ = true;
  std::uint64_t last_id_ = 0;
  net::RetryPause pause_;  // of all that are not open
  net::Timer retry_;
  // Workers that have still to let go of a closed listener: until then its address cannot be bound
  // again.
  std::shared_ptr<std::size_t> releases_ = std::make_shared<std::size_t>(0);
};

}  // namespace mooring::control
